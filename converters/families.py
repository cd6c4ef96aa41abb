"""Every network's conversion."""

from collections.abc import Mapping

from bias_jax.errors import InputError
from bias_jax.networks import convnext, efficientnet, resnet, vgg
from bias_jax.networks.igpt import SIZES
from bias_jax.networks.simclr import ARCHITECTURES
from bias_jax.networks.vit_family import ROWS
from converters import igpt, simclr, torchvision, vit
from converters.naming import Family

FAMILIES: dict[str, Family] = {
    **dict.fromkeys((*vgg.NETWORKS, *resnet.NETWORKS, "inception_v3"), torchvision.FAMILY),
    **dict.fromkeys((*convnext.NETWORKS, *efficientnet.NETWORKS), torchvision.FAMILY),
    **dict.fromkeys(SIZES, igpt.FAMILY),
    **dict.fromkeys(ARCHITECTURES, simclr.FAMILY),
    **dict.fromkeys(ROWS, vit.FAMILY),
}


def family_of(name: str) -> Family:
    """Whose conversion it is.

    Raises:
        InputError: no weights of this network can be converted.
    """
    if name not in FAMILIES:
        raise InputError(f"no weights can be converted for {name!r}", remedy=f"choose one of {', '.join(FAMILIES)}")
    return FAMILIES[name]


def checked_options(family: Family, given: Mapping[str, str]) -> dict[str, str]:
    """The values of all options of a family.

    Raises:
        InputError: an option or a value that does not exist.
    """
    known = {option.name: option for option in family.options}
    for name, value in given.items():
        if name not in known:
            raise InputError(f"there is no option {name!r}", remedy=f"choose among {', '.join(known) or 'none'}")
        if value not in known[name].choices:
            raise InputError(f"{name} cannot be {value!r}", remedy=f"choose one of {', '.join(known[name].choices)}")
    return {name: given.get(name, option.choices[0]) for name, option in known.items()}
