"""Every network's conversion."""

from bias_jax.networks.igpt import SIZES
from bias_jax.networks.simclr import ARCHITECTURES
from converters import igpt, simclr, torchvision
from converters.naming import Family

FAMILIES: dict[str, Family] = {
    **dict.fromkeys(("vgg16", "resnet50", "inception_v3"), torchvision.FAMILY),
    **dict.fromkeys(SIZES, igpt.FAMILY),
    **dict.fromkeys(ARCHITECTURES, simclr.FAMILY),
}
