"""torchvision's names and shapes of the arrays of our networks, and timm's names where they differ."""

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import jax

from bias_jax.networks import abstract_params, convnext, efficientnet, resnet, vgg
from converters.contents import NoNumbers, shape_of

# Batch-norm counters and InceptionV3's auxiliary head serve training only, and some files lack them: dropped by name.
DROPPED_SUFFIX = ".num_batches_tracked"
DROPPED_PREFIX = {"inception_v3": "AuxLogits."}
# timm's VGGs hold the same matrices under these names, as convolutions over the grid.
_TIMM_VGG = {"pre_logits.fc1": "classifier.0", "pre_logits.fc2": "classifier.3", "head.fc": "classifier.6"}
TIMM_NAMES = dict.fromkeys(vgg.NETWORKS, _TIMM_VGG)

# Arrays that every file of a network has, see `naming.Family`.
MARKS = {
    **dict.fromkeys(vgg.NETWORKS, "features.0.weight"),
    **dict.fromkeys(resnet.NETWORKS, "layer1.0.conv1.weight"),
    "inception_v3": "Conv2d_1a_3x3.conv.weight",
    **dict.fromkeys(convnext.NETWORKS, "features.1.0.layer_scale"),
    **dict.fromkeys(efficientnet.NETWORKS, "features.1.0.block.0.0.weight"),
}

_LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


def source_key(path: tuple) -> str:
    """torchvision's name of the parameter at a path of our tree, e.g. ``layer1.0.bn2.running_var``."""
    *module, leaf = (str(entry.key) for entry in path)
    return ".".join((*module, _LEAVES.get(leaf, leaf)))


@cache
def shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Every array that inference needs, in torch's layouts."""
    leaves = jax.tree_util.tree_leaves_with_path(abstract_params(name))
    return {source_key(path): to_torch_shape(leaf.shape) for path, leaf in leaves}


def to_torch_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of one of our arrays in torch's layouts."""
    return (shape[3], shape[2], shape[0], shape[1]) if len(shape) == 4 else shape[::-1]


@cache
def head_layers(name: str) -> tuple[str, ...]:
    """The layers behind the pooled features, in depth order: linear ones, ConvNeXt's norm; the last one classifies."""
    weights = {key.removesuffix(".weight"): shape for key, shape in shapes(name).items() if key.endswith(".weight")}
    linear = next(key for key, shape in weights.items() if len(shape) == 2 and not key.startswith("features."))
    return tuple(key for key in weights if key.partition(".")[0] == linear.partition(".")[0])


@cache
def body(name: str) -> dict[str, tuple[int, ...]]:
    """The arrays up to the pooled features."""
    return {key: shape for key, shape in shapes(name).items() if key.rpartition(".")[0] not in head_layers(name)}


def training_only(name: str, key: str) -> bool:
    """Whether an array of this name serves training only."""
    dropped = DROPPED_PREFIX.get(name)
    return key.endswith(DROPPED_SUFFIX) or (dropped is not None and key.startswith(dropped))


def torchvision_names(name: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The same arrays under torchvision's names and with its shapes.

    timm's names are replaced, except where torchvision's name is there too: neither may overwrite the other, so timm's
    stays and is refused as no part of the network.
    """
    found = dict(arrays)
    for old, new in TIMM_NAMES.get(name, {}).items():
        for leaf in ("weight", "bias"):
            if f"{old}.{leaf}" in found and f"{new}.{leaf}" not in found:
                array = found.pop(f"{old}.{leaf}")
                grid = len(shape_of(array)) == 4 and not isinstance(array, NoNumbers)
                found[f"{new}.{leaf}"] = array.reshape(len(array), math.prod(array.shape[1:])) if grid else array
    return found
