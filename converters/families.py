"""Every network's conversion."""

from converters import torchvision
from converters.naming import Family

FAMILIES: dict[str, Family] = {
    **dict.fromkeys(("vgg16", "resnet50", "inception_v3"), torchvision.FAMILY),
}
