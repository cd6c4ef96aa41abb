"""The values of one layer, wherever they lie: read block by block in their order, and never all at once."""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.errors import InputError

BLOCK_BYTES = 2**24  # of a block in float32
EXACT = 2**24  # whole numbers up to this are float32, too
BFLOAT16 = np.dtype(jnp.bfloat16)
FLOAT32 = "give them as float32, e.g. array.astype('float32')"


class Values(Protocol):
    """N rows of a layer."""

    @property
    def shape(self) -> tuple[int, ...]:
        """[N, D], or [N, H, W, U]."""

    @property
    def dtype(self) -> np.dtype:
        """As they lie there."""

    def blocks(self, rows: int, needed: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """First row and values of every needed block, in their order.

        Args:
            rows: of a block; the last one may be shorter.
            needed: which blocks, bool [ceil(N / rows)]; others are passed over, unread where that is possible.

        Raises:
            InputError: they cannot be read.
        """


def block_rows(shape: tuple[int, ...]) -> int:
    """Rows of a block: the same whatever the values lie in, so that nothing is rounded otherwise."""
    return max(1, min(shape[0], BLOCK_BYTES // (4 * math.prod(shape[1:]))))


def needed_blocks(rows: np.ndarray, total: int, size: int) -> np.ndarray:
    """Which blocks of `size` rows hold any of the rows, bool [ceil(total / size)].

    >>> needed_blocks(np.array([0, 5]), 7, 2).tolist()
    [True, False, True, False]
    """
    needed = np.zeros(-(-total // size), bool)
    needed[np.asarray(rows) // size] = True
    return needed


def check_layer(name: str, shape: tuple[int, ...], dtype: np.dtype, source: str) -> None:
    """Refuse what is no layer.

    Raises:
        InputError: a wrong rank, no features, or numbers of a kind that is not read.
    """
    what = f"layer {name!r}"
    if dtype.kind not in "fiub" and dtype != BFLOAT16:
        problem, remedy = f"{what} holds {_kind(dtype)}", FLOAT32
        if dtype == np.dtype("V2"):
            problem += ": bfloat16 from which NumPy has lost the name, or something else"
            remedy += ", or in a .safetensors file"
        raise InputError(problem, file=source, remedy=remedy)
    if dtype.kind == "f" and dtype.itemsize > 8:
        raise InputError(f"{what} holds {dtype}", file=source, remedy=FLOAT32)
    if len(shape) not in (2, 4):
        problem = f"{what} has the shape {list(shape)}, not [N, D], nor [N, H, W, U]"
        remedy = "give one row of features an image: of tokens e.g. the mean or the first; or leave it out by --layers"
        raise InputError(problem, file=source, remedy=remedy)
    if not math.prod(shape):
        problem = f"{what} has the shape {list(shape)}: no {'rows' if not shape[0] else 'features'}"
        raise InputError(problem, file=source, remedy="write it again, or leave it out by --layers")
    if len(shape) == 4 and shape[2] == shape[3] != shape[1]:
        problem = f"{what} has the shape {list(shape)}, as if its channels came first"
        remedy = "give feature maps as [N, H, W, U], e.g. array.transpose(0, 2, 3, 1), or pool them to [N, D] yourself"
        raise InputError(problem, file=source, remedy=remedy)


def _kind(dtype: np.dtype) -> str:
    names = {"O": "Python objects, which are never unpickled", "U": "text", "S": "bytes", "c": "complex numbers",
             "M": "dates", "m": "times"}  # fmt: skip
    if dtype.names:
        return "records of several fields"
    return names.get(dtype.kind, f"numbers of type {dtype}")


def as_float32(block: np.ndarray) -> np.ndarray:
    """Values in float32; what does not fit is infinite."""
    with np.errstate(over="ignore"):
        found = block.astype(np.float32)
    if block.dtype.kind in "iu" and block.dtype.itemsize > 2:
        found[(block > EXACT) | (block < -EXACT)] = np.inf
    return found


@dataclass(frozen=True)
class RawValues:
    """Numbers as they lie in a file or in the member of an archive, one after another."""

    what: str  # for messages
    source: str
    open: Callable[[], AbstractContextManager[BinaryIO]]
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype
    column_major: Path | None = None  # the file that is mapped, where numbers of a column follow each other

    def blocks(self, rows: int, needed: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        try:
            yield from self._mapped(rows, needed) if self.column_major else self._read(rows, needed)
        except InputError:
            raise
        except Exception as error:  # damaged and encrypted archives raise many kinds
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            problem = f"{self.what} cannot be read ({reason})"
            raise InputError(problem, file=self.source, remedy="copy or write it again") from None

    def _read(self, rows: int, needed: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        shape, width = self.shape[1:], self.dtype.itemsize * math.prod(self.shape[1:])
        with self.open() as stream:
            for start in np.flatnonzero(needed).tolist():
                first = start * rows
                place, number = self.offset + first * width, min(rows, self.shape[0] - first)
                if stream.tell() != place:
                    stream.seek(place)
                data = stream.read(number * width)
                if len(data) < number * width:
                    problem = f"{self.what} ends in row {first + len(data) // width} (from 0) of {self.shape[0]}"
                    raise InputError(problem, file=self.source, remedy="the file is cut short: copy or write it again")
                yield first, np.frombuffer(data, self.dtype).reshape(number, *shape)

    def _mapped(self, rows: int, needed: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        for start in np.flatnonzero(needed).tolist():  # mapped anew for each, or all its pages would stay in memory
            assert self.column_major is not None
            whole = np.memmap(self.column_major, self.dtype, "r", self.offset, self.shape, order="F")
            yield start * rows, np.array(whole[start * rows : (start + 1) * rows], order="C")


@dataclass(frozen=True)
class ArrayValues:
    """An array that is there already: of NumPy, of JAX, or mapped."""

    array: Any

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.array.dtype)

    def blocks(self, rows: int, needed: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        for start in np.flatnonzero(needed).tolist():
            part = self.array[start * rows : (start + 1) * rows]
            yield start * rows, jax.device_get(part) if isinstance(part, jax.Array) else np.array(part)
