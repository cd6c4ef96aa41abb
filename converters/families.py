"""Every network's conversion."""

from bias_jax.networks.igpt import SIZES
from converters import igpt, torchvision
from converters.naming import Family

FAMILIES: dict[str, Family] = {
    **dict.fromkeys(("vgg16", "resnet50", "inception_v3"), torchvision.FAMILY),
    **dict.fromkeys(SIZES, igpt.FAMILY),
}
