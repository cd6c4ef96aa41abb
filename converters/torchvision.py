"""torchvision state dicts -> parameters of the Flax networks; all or nothing."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from bias_jax.errors import InputError
from bias_jax.networks import abstract_params, network

# Batch-norm counters serve training only, and older files lack them: dropped by name.
_DROPPED = ("num_batches_tracked",)
_BATCH_NORM = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
_REMEDY = "use torchvision's weights of this very network"


def convert(name: str, state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of network `name` from a mapping of torchvision's names to arrays.

    Every source key must be used, every parameter filled and every shape fit; all faults are raised in one message.
    The number of classes is taken from the last layer's bias.
    """
    arrays = {key: np.asarray(value) for key, value in state_dict.items() if not key.endswith(_DROPPED)}
    last = ".".join((*network(name).classifier, "bias"))
    if last not in arrays or arrays[last].ndim != 1:
        raise InputError(f"no {last!r} among {len(arrays)} arrays", remedy=_REMEDY)
    unused = set(arrays)
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
        array = to_flax_layout(array, path[-1].key)
        if array.shape != leaf.shape:
            faults.append(f"{key} has shape {arrays[key].shape}, which does not become {leaf.shape}")
        return array.astype(np.float32)

    params = jax.tree_util.tree_map_with_path(fill, abstract_params(name, len(arrays[last])))
    faults += [f"{key} is not part of {name}" for key in sorted(unused)]
    if faults:
        listed = "; ".join(faults[:8]) + (f"; and {len(faults) - 8} more" if len(faults) > 8 else "")
        raise InputError(f"does not fit {name}: {listed}", remedy=_REMEDY)
    return jax.tree.map(jax.numpy.asarray, params)


def source_key(path: tuple) -> str:
    """torchvision's name of the parameter at a path of our tree, e.g. ``layer1.0.bn2.running_var``."""
    *module, leaf = (str(entry.key) for entry in path)
    is_norm = module[-1].startswith("bn") or (module[-2:] == ["downsample", "1"])
    torch_leaf = _BATCH_NORM[leaf] if is_norm else {"kernel": "weight", "bias": "bias"}[leaf]
    return ".".join((*module, torch_leaf))


def to_flax_layout(array: np.ndarray, leaf: str) -> np.ndarray:
    """Convolution kernels (O, I, h, w) -> (h, w, I, O); linear ones (out, in) -> (in, out); the rest stays."""
    if leaf != "kernel":
        return array
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T
