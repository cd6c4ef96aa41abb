"""State dicts -> parameters of the Flax networks; all or nothing."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from bias_jax.errors import InputError
from bias_jax.networks import abstract_params, network

# Batch-norm counters and InceptionV3's auxiliary head serve training only, and some files lack them: dropped by name.
DROPPED_SUFFIX = ".num_batches_tracked"
DROPPED_PREFIX = {"inception_v3": "AuxLogits."}
# Linear layers behind a flattened grid of (channels, rows, columns); ours has the channels last.
FLATTENED = {("vgg16", "classifier.0.weight"): (512, 7, 7)}
# timm's VGG16 holds the same matrices under these names, as convolutions over the grid.
TIMM_NAMES = {"vgg16": {"pre_logits.fc1": "classifier.0", "pre_logits.fc2": "classifier.3", "head.fc": "classifier.6"}}
DATA_PARALLEL_PREFIX = "module."

_BATCH_NORM = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
_REMEDY = "use weights of torchvision's or timm's network of this very name"


def convert(name: str, state_dict: Mapping[str, Any], *, invalid: str | None = None) -> dict[str, Any]:
    """Parameters of network `name` from a mapping of torchvision's (or timm's) names to arrays.

    Every source key must be used, every parameter filled and every shape fit; all faults are raised in one message.
    The number of classes is taken from the last layer's bias.

    Args:
        name: a network.
        state_dict: the arrays, in torch's layouts.
        invalid: prefix of the names whose values are known to be meaningless; they become NaN.

    Raises:
        InputError: all faults.
    """
    arrays = torchvision_names(name, state_dict)
    last = ".".join((*network(name).classifier, "bias"))
    if last not in arrays or arrays[last].ndim != 1 or len(arrays[last]) == 0:
        raise InputError(f"no {last!r} with a number per class among {len(arrays)} arrays", remedy=_REMEDY)
    dropped = DROPPED_PREFIX.get(name)
    unused = {
        key
        for key in arrays
        if not key.endswith(DROPPED_SUFFIX) and not (dropped is not None and key.startswith(dropped))
    }
    faults: list[str] = []

    def fill(path: tuple, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        key = source_key(path)
        if key not in arrays:
            faults.append(f"{key} is missing")
            return np.zeros(leaf.shape, np.float32)
        unused.discard(key)
        array = arrays[key]
        if not np.issubdtype(array.dtype, np.floating):
            faults.append(f"{key} holds {array.dtype}, not floating point numbers")
            return np.zeros(leaf.shape, np.float32)
        if path[-1].key == "kernel" and array.ndim == len(leaf.shape):
            array = to_flax_layout(array, FLATTENED.get((name, key)))
        if array.shape != leaf.shape:
            faults.append(f"{key} has shape {arrays[key].shape}, which does not become {leaf.shape}")
        if invalid is not None and key.startswith(invalid):
            return np.full(leaf.shape, np.nan, np.float32)
        if not np.isfinite(array).all():
            faults.append(f"{key} holds values that are not finite")
        return np.ascontiguousarray(array, np.float32)

    params = jax.tree_util.tree_map_with_path(fill, abstract_params(name, len(arrays[last])))
    faults += [f"{key} is not part of {name}" for key in sorted(unused)]
    if faults:
        listed = "; ".join(faults[:8]) + (f"; and {len(faults) - 8} more" if len(faults) > 8 else "")
        raise InputError(f"does not fit {name}: {listed}", remedy=_REMEDY)
    return jax.device_put(params, may_alias=False)


def torchvision_names(name: str, state_dict: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The same arrays under torchvision's names and with its shapes.

    The prefix that data-parallel training puts before every name is removed. timm's names are replaced, except where
    torchvision's name is there too: neither may overwrite the other, so timm's stays and is refused by `convert`.
    """
    parallel = all(key.startswith(DATA_PARALLEL_PREFIX) for key in state_dict)
    prefix = DATA_PARALLEL_PREFIX if parallel else ""
    arrays = {key.removeprefix(prefix): np.asarray(value) for key, value in state_dict.items()}
    for old, new in TIMM_NAMES.get(name, {}).items():
        for leaf in ("weight", "bias"):
            if f"{old}.{leaf}" in arrays and f"{new}.{leaf}" not in arrays:
                array = arrays.pop(f"{old}.{leaf}")
                grid = array.ndim == 4
                arrays[f"{new}.{leaf}"] = array.reshape(len(array), math.prod(array.shape[1:])) if grid else array
    return arrays


def source_key(path: tuple) -> str:
    """torchvision's name of the parameter at a path of our tree, e.g. ``layer1.0.bn2.running_var``."""
    *module, leaf = (str(entry.key) for entry in path)
    is_norm = module[-1].startswith("bn") or (module[-2:] == ["downsample", "1"])
    torch_leaf = _BATCH_NORM[leaf] if is_norm else {"kernel": "weight", "bias": "bias"}[leaf]
    return ".".join((*module, torch_leaf))


def to_flax_layout(kernel: np.ndarray, flattened: tuple[int, int, int] | None = None) -> np.ndarray:
    """Convolution kernels (O, I, h, w) -> (h, w, I, O); linear ones (out, in) -> (in, out).

    Args:
        kernel: torch's array.
        flattened: (channels, rows, columns) of the grid that torch flattens in this order before a linear layer; the
            result takes it with the channels running fastest.
    """
    if flattened is not None and kernel.shape[1:] == (math.prod(flattened),):
        return kernel.reshape(len(kernel), *flattened).transpose(2, 3, 1, 0).reshape(kernel.shape[::-1])
    return kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel.T
