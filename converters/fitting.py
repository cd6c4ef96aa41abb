"""Arrays of files -> parameters of the Flax networks; all or nothing."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.errors import InputError
from bias_jax.networks import Variant, abstract_params
from converters.contents import NoNumbers, is_kind, listed, shape_of
from converters.recognition import Recognised, recognise


def convert(
    name: str, content: Mapping[str, Any], *, invalid: str | None = None, take: str | None = None,
    ignore_extra: bool = False, options: Mapping[str, str] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Parameters of network `name` from a mapping of names to arrays, as its published files name and lay them out.

    Every source key must be used, every parameter filled and every shape fit; all faults are raised in one message.
    The number of classes, and which heads there are, is taken from the arrays.

    Args:
        name: a network.
        content: the arrays, e.g. a state dict; they may lie under a prefix or in further mappings.
        invalid: prefix of the names whose values are known to be meaningless; they become NaN.
        take: which of several networks, see `recognise`.
        ignore_extra: leave out arrays that are no part of the network.
        options: what files do not say, by the names of `naming.Option`.

    Raises:
        InputError: all faults.
    """
    found = recognise(name, content, take=take, ignore_extra=ignore_extra, options=options)
    return fit(name, found, invalid=invalid)[0]


def fit(
    name: str, found: Recognised, *, invalid: str | None = None,
    abstract: Callable[[str, Variant], dict[str, Any]] = abstract_params,
) -> tuple[dict[str, Any], tuple[str, ...]]:  # fmt: skip
    """Parameters of recognised arrays; and what is odd about their values but not wrong, for the reader.

    `abstract` tells shapes of the parameters from the name and from in what the weights differ.

    Raises:
        InputError: all faults.
    """
    arrays, naming = found.arrays, found.naming
    variant = naming.variant(arrays)
    hollow = tuple(f"{layer}." for layer in found.missing) + ((invalid,) if invalid is not None else ())
    structure = [f"{found.shown(key)} is not part of {name}" for key in found.strange]
    values: list[str] = []
    empty: dict[str, bool] = {}  # kernel -> whether it holds zeros only

    def fill(path: tuple, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        key, kind = naming.key(path), path[-1].key
        shown = found.shown(key)
        if key not in arrays:
            structure.append(f"{shown} is missing")
        elif fault := no_floats(arrays[key]):
            values.append(f"{shown} {fault}")
        else:
            array = naming.to_flax(path, np.asarray(arrays[key]))
            if array.shape != leaf.shape:
                structure.append(_other_shape(shown, shape_of(arrays[key]), naming.file_shape(path, leaf.shape)))
            elif key.startswith(hollow):
                return np.full(leaf.shape, np.nan, np.float32)
            else:
                floats, fault = single_precision(array, variances=kind == "var")
                if fault:
                    values.append(f"{shown} {fault}")
                if kind == "kernel":
                    empty[shown] = not fault and not floats.any()  # a signalling NaN is no number to ask
                return floats
        return np.zeros(leaf.shape, np.float32)

    params = jax.tree_util.tree_map_with_path(fill, abstract(name, variant))
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
    with np.errstate(over="ignore", invalid="ignore"):  # also signalling NaN
        found = np.ascontiguousarray(array, np.float32)
    if count := np.count_nonzero(~np.isfinite(found)):
        lost = count - np.count_nonzero(~np.isfinite(array))
        what = "beyond the range of float32" if lost == count else "that are not finite"
        return found, f"holds values {what}: {count} of {array.size}"
    if variances and (count := np.count_nonzero(found < 0)):
        return found, f"holds negative variances: {count} of {array.size}"
    return found, None


def _faults(name: str, structure: list[str], values: list[str], found: Recognised) -> InputError:
    faults = list(dict.fromkeys(structure + values))  # several parameters may share an array
    if found.extra:
        extra = listed(map(found.shown, found.extra))
        faults.append(f"{extra} {'is' if len(found.extra) == 1 else 'are'} not part of {name}")
    told = "; ".join(faults[:8]) + (f"; and {len(faults) - 8} more" if len(faults) > 8 else "")
    remedy = "--ignore-extra leaves that out"
    if structure:
        remedy = found.remedy
    elif values:
        remedy = "save the weights again, before they were damaged, and as plain floating point numbers"
    elif found.missing:
        remedy += f"; the network then has no output, for {found.missing[-1]} is not there"
    return InputError(f"does not fit {name}: {told}", remedy=remedy)
