"""Every network's conversion."""

from bias_jax.networks.simclr import ARCHITECTURES
from converters import simclr, torchvision
from converters.naming import Family

FAMILIES: dict[str, Family] = {
    **dict.fromkeys(("vgg16", "resnet50", "inception_v3"), torchvision.FAMILY),
    **dict.fromkeys(ARCHITECTURES, simclr.FAMILY),
}
