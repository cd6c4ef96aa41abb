"""What a weights file holds, as one flat list of names: mappings within mappings are names with dots."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from bias_jax.errors import InputError

SAVE = "save it with torch.save(model.state_dict(), path)"  # the way out of most that is wrong with a file
_SHOWN = 8  # names in a message


@dataclass(frozen=True)
class NoNumbers:
    """Stands for a value of which no array can be made; refused where a network needs it."""

    kind: str  # what it is, behind "is"
    shape: tuple[int, ...] = ()


class Leaf(NamedTuple):
    """One value of a file."""

    value: Any  # an array, `NoNumbers`, or anything else that training scripts save
    mapping: str  # name of the mapping that holds it, with a dot at the end; empty: the file itself
    top: str  # the file's own key that leads to it

    @property
    def is_array(self) -> bool:
        return isinstance(self.value, NoNumbers) or (hasattr(self.value, "shape") and hasattr(self.value, "dtype"))

    @property
    def is_counter(self) -> bool:
        """Whether it is a single integer, with which training counts steps; no weight is one."""
        return self.is_array and shape_of(self.value) == () and is_kind(self.value, jnp.integer)

    @property
    def is_matrix(self) -> bool:
        """Whether it looks like a weight."""
        return self.is_array and len(shape_of(self.value)) >= 2 and is_kind(self.value, jnp.floating)


def shape_of(value: Any) -> tuple[int, ...]:
    """Shape of an array; of anything else that of a scalar."""
    return tuple(getattr(value, "shape", ()))


def is_kind(array: Any, kind: Any) -> bool:
    """Whether the numbers of an array are of a kind such as `jnp.floating`."""
    return not isinstance(array, NoNumbers) and isinstance(array.dtype, np.dtype) and jnp.issubdtype(array.dtype, kind)


def flatten(content: Any) -> dict[str, Leaf]:
    """Every value under the names that lead to it, joined by dots. States of optimizers are values, not opened.

    Raises:
        InputError: it is no mapping, contains itself, or two values have the same name.
    """
    if not isinstance(content, Mapping):
        kind = type(content).__name__
        raise InputError(f"is not a mapping of names to arrays, but a {kind}", remedy=SAVE)
    leaves: dict[str, Leaf] = {}
    try:
        for key, leaf in _walk(content, "", None):
            if key in leaves:
                raise InputError(f"two of its values are called {key!r}", remedy=SAVE)
            leaves[key] = leaf
    except RecursionError:
        raise InputError("its mappings contain themselves", remedy=SAVE) from None
    return leaves


def _walk(content: Mapping | Sequence, mapping: str, top: str | None) -> Iterator[tuple[str, Leaf]]:
    items = content.items() if isinstance(content, Mapping) else enumerate(content)
    for key, value in items:
        name, first = f"{mapping}{key}", str(key) if top is None else top
        if _opens(value):
            yield from _walk(value, f"{name}.", first)
        else:
            yield name, Leaf(_numpy(value), mapping, first)


def _numpy(value: Any) -> Any:
    """Arrays of other libraries, e.g. tensors of torch, as NumPy's."""
    if isinstance(getattr(value, "dtype", None), np.dtype) or not hasattr(value, "__array__"):
        return value  # also what is read from the disk only when it is asked for
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        return NoNumbers(f"a {type(value).__name__} of which no array can be made", shape_of(value))


def _opens(value: Any) -> bool:
    if isinstance(value, Mapping):
        return bool(value) and not {"state", "param_groups"} <= value.keys()  # what torch's optimizers save
    return isinstance(value, (list, tuple)) and any(isinstance(item, Mapping) for item in value)


def listed(names: Iterable[str]) -> str:
    """Names for a message; many are put together by the first part in which they differ."""
    names = sorted(names)
    if len(names) > _SHOWN:
        parted = [re.findall(r"[^./]*[./]?", name) for name in names]
        shared = sum(1 for _ in takewhile(lambda parts: len(set(parts)) == 1, zip(*parted, strict=False)))
        groups: dict[str, list[str]] = defaultdict(list)
        for name, parts in zip(names, parted, strict=True):
            groups["".join(parts[: shared + 1])].append(name)
        names = [own[0] if len(own) == 1 else f"{start}* ({len(own)})" for start, own in groups.items()]
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
