"""State dicts -> parameters of the Flax networks; all or nothing."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.errors import InputError
from bias_jax.networks import abstract_params, network
from converters.contents import NoNumbers, is_kind, listed, shape_of
from converters.names import source_key, to_torch_shape
from converters.recognition import THIS_NETWORK, Recognised, recognise

# Linear layers behind a flattened grid of (channels, rows, columns); ours has the channels last.
FLATTENED = {("vgg16", "classifier.0.weight"): (512, 7, 7)}


def convert(
    name: str, state_dict: Mapping[str, Any], *, invalid: str | None = None, take: str | None = None,
    ignore_extra: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Parameters of network `name` from a mapping of torchvision's (or timm's) names to arrays.

    Every source key must be used, every parameter filled and every shape fit; all faults are raised in one message.
    The number of classes is taken from the last layer's bias.

    Args:
        name: a network.
        state_dict: the arrays, in torch's layouts; they may lie under a prefix or in further mappings.
        invalid: prefix of the names whose values are known to be meaningless; they become NaN.
        take: which of several networks, see `recognise`.
        ignore_extra: leave out arrays that are no part of the network.

    Raises:
        InputError: all faults.
    """
    return fit(name, recognise(name, state_dict, take=take, ignore_extra=ignore_extra), invalid=invalid)[0]


def fit(name: str, found: Recognised, *, invalid: str | None = None) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Parameters of recognised arrays; and what is odd about their values but not wrong, for the reader.

    Raises:
        InputError: all faults.
    """
    arrays = found.arrays
    last = ".".join((*network(name).classifier, "bias"))
    shape = shape_of(arrays.get(last))
    if len(shape) != 1 or shape[0] == 0:
        problem = f"no {last!r} with a number per class among {len(arrays)} arrays"
        raise InputError(problem, remedy=THIS_NETWORK)
    hollow = tuple(f"{layer}." for layer in found.missing) + ((invalid,) if invalid is not None else ())
    structure = [f"{key} is not part of {name}" for key in found.strange]
    values: list[str] = []
    empty: dict[str, bool] = {}  # kernel -> whether it holds zeros only

    def fill(path: tuple, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        key, kind = source_key(path), path[-1].key
        if key not in arrays:
            structure.append(f"{key} is missing")
        elif fault := no_floats(arrays[key]):
            values.append(f"{key} {fault}")
        else:
            array = np.asarray(arrays[key])
            if kind == "kernel" and array.ndim == len(leaf.shape):
                array = to_flax_layout(array, FLATTENED.get((name, key)))
            if array.shape != leaf.shape:
                structure.append(_other_shape(key, shape_of(arrays[key]), to_torch_shape(leaf.shape)))
            elif key.startswith(hollow):
                return np.full(leaf.shape, np.nan, np.float32)
            else:
                floats, fault = single_precision(array, variances=kind == "var")
                if fault:
                    values.append(f"{key} {fault}")
                if kind == "kernel":
                    empty[key] = not floats.any()
                return floats
        return np.zeros(leaf.shape, np.float32)

    params = jax.tree_util.tree_map_with_path(fill, abstract_params(name, shape[0]))
    if empty and all(empty.values()):
        values.append("every kernel holds zeros only")
    if structure or values or found.extra:
        raise _faults(name, structure, values, found)
    zeros = [key for key, is_empty in empty.items() if is_empty]
    odd = (f"zeros only: {listed(zeros)}",) if zeros else ()
    return jax.device_put(params, may_alias=False), odd


def _other_shape(key: str, found: tuple[int, ...], needed: tuple[int, ...]) -> str:
    """What is wrong with a shape, both as files have them."""
    transposed = ": it is transposed" if len(found) > 1 and found == needed[::-1] else ""
    return f"{key} has shape {found} instead of {needed}{transposed}"


def no_floats(value: Any) -> str | None:
    """Why a value cannot be weights: it is no array, or holds no floating point numbers; None if it can."""
    if isinstance(value, NoNumbers):
        return f"is {value.kind}"
    if not hasattr(value, "dtype"):
        return f"is a {type(value).__name__}, not an array"
    if is_kind(value, jnp.floating) and value.dtype.itemsize > 1:
        return None
    # Numbers of 8 bits and fewer are read with scales that lie elsewhere, each program in its own way.
    small = " of 16 bits or more" if is_kind(value, jnp.floating) else ""
    return f"holds {value.dtype}, not floating point numbers{small}"


def single_precision(array: np.ndarray, *, variances: bool = False) -> tuple[np.ndarray, str | None]:
    """The array in float32, contiguous; and what values it has that weights cannot have.

    A variance of 0 is one of a channel that is always the same; epsilon keeps its division finite.
    """
    with np.errstate(over="ignore"):
        found = np.ascontiguousarray(array, np.float32)
    if count := np.count_nonzero(~np.isfinite(found)):
        lost = count - np.count_nonzero(~np.isfinite(array))
        what = "beyond the range of float32" if lost == count else "that are not finite"
        return found, f"holds values {what}: {count} of {array.size}"
    if variances and (count := np.count_nonzero(found < 0)):
        return found, f"holds negative variances: {count} of {array.size}"
    return found, None


def _faults(name: str, structure: list[str], values: list[str], found: Recognised) -> InputError:
    faults = structure + values
    if found.extra:
        faults.append(f"{listed(found.extra)} {'is' if len(found.extra) == 1 else 'are'} not part of {name}")
    told = "; ".join(faults[:8]) + (f"; and {len(faults) - 8} more" if len(faults) > 8 else "")
    remedy = "--ignore-extra leaves that out"
    if structure:
        remedy = THIS_NETWORK
    elif values:
        remedy = "save the weights again, before they were damaged, and as plain floating point numbers"
    elif found.missing:
        remedy += f"; the network then has no output, for {found.missing[-1]} is not there"
    return InputError(f"does not fit {name}: {told}", remedy=remedy)


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
