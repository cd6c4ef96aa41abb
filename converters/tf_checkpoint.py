"""TensorFlow's checkpoints, read without TensorFlow: ``NAME.index`` says where in ``NAME.data-*`` each array lies.

An array is read when it is asked for: of a checkpoint of 16 GB, two thirds of which an optimizer left there, only what
a network takes of it. Every array has a checksum, which is compared.
"""

import re
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from bias_jax.errors import InputError
from converters.contents import NoNumbers
from converters.crc32c import crc32c, masked
from converters.tensor_bundle import DAMAGE, Entry, UnreadForm, read_index

# Of TensorFlow's numbers of types, those that are read: weights, and counters of training.
TYPES: dict[int, np.dtype] = {1: np.dtype("<f4"), 3: np.dtype("<i4"), 9: np.dtype("<i8")}
AGAIN = "download or copy all its files again"
_SHARD = re.compile(r"\.data-\d{5}-of-\d{5}$")


@dataclass(frozen=True, eq=False)
class LazyArray:
    """One array of a checkpoint, read and checked when NumPy asks for it."""

    name: str
    entry: Entry
    index: Path
    shards: int

    @property
    def dtype(self) -> np.dtype:
        return TYPES[self.entry.kind]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.entry.shape

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        found = self._read()
        return found if dtype in (None, found.dtype) and not copy else found.astype(dtype or found.dtype)

    def _read(self) -> np.ndarray:
        entry, problem = self.entry, ""
        if entry.size != self.dtype.itemsize * prod(entry.shape):
            problem = f"gives array {self.name!r} {entry.size} bytes for shape {entry.shape}"
        elif entry.shard >= self.shards:
            problem = f"puts array {self.name!r} into part {entry.shard} of {self.shards}"
        if problem:
            raise InputError(f"is a damaged index: it {problem}", file=self.index, remedy=AGAIN)
        path = self.index.with_name(f"{self.index.stem}.data-{entry.shard:05d}-of-{self.shards:05d}")
        try:
            size = path.stat().st_size
            if entry.offset + entry.size > size:
                problem = f"is cut off: array {self.name!r} ends at byte {entry.offset + entry.size:,} of {size:,}"
                raise InputError(problem, file=path, remedy=AGAIN)
            raw = np.fromfile(path, np.uint8, entry.size, offset=entry.offset)
        except OSError as error:
            problem = f"a part of the checkpoint cannot be read ({error.strerror})"
            raise InputError(problem, file=path, remedy=AGAIN) from None
        if masked(crc32c(raw)) != entry.checksum:
            problem = f"is damaged: the checksum of array {self.name!r} is another one"
            raise InputError(problem, file=path, remedy=AGAIN)
        try:
            return raw.view(self.dtype).reshape(entry.shape)
        except ValueError:  # nothing in more axes, or in longer ones, than NumPy has
            problem = f"is a damaged index: array {self.name!r} has shape {entry.shape}"
            raise InputError(problem, file=self.index, remedy=AGAIN) from None


def read_tf_checkpoint(path: str | Path) -> dict[str, LazyArray | NoNumbers]:
    """What a checkpoint holds; arrays are read when they are asked for.

    Args:
        path: ``NAME.index``, one of its data files, or ``NAME``; or the folder of the only checkpoint in it.

    Returns:
        Names -> arrays of float32, int32 or int64; `NoNumbers` stands for those of other types or cut into parts.

    Raises:
        InputError: there is no such index, or it is damaged or of a form that is not read; when an array is asked for:
            its data file is absent, cut off or damaged.
    """
    index = index_of(path)
    try:
        content = index.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=index, remedy=AGAIN) from None
    try:
        shards, entries = read_index(content)
    except UnreadForm as error:
        problem = f"is a TensorFlow checkpoint of a form that is not read: {error}"
        raise InputError(problem, file=index, remedy="write it again with tf.compat.v1.train.Saver") from None
    except DAMAGE as error:
        reason = f"{error}" if isinstance(error, ValueError) and not isinstance(error, UnicodeError) else "no table"
        raise InputError(
            f"is a damaged index of a TensorFlow checkpoint ({reason})", file=index, remedy=AGAIN
        ) from None
    return {name: _array(name, entry, index, shards) for name, entry in entries.items()}


def _array(name: str, entry: Entry, index: Path, shards: int) -> LazyArray | NoNumbers:
    if entry.sliced:
        return NoNumbers("cut into parts, which are not put together", entry.shape)
    if entry.kind not in TYPES:
        return NoNumbers(f"of TensorFlow's type {entry.kind}, which is not read", entry.shape)
    return LazyArray(name, entry, index, shards)


def index_of(path: str | Path) -> Path:
    """The index of the checkpoint that a path means.

    Raises:
        InputError: there is none, or a folder holds several.
    """
    given = Path(path)
    if given.is_dir():
        found = sorted(given.glob("*.index"))
        if len(found) == 1:
            return found[0]
        several = f"holds {len(found)} indices of TensorFlow checkpoints"
        raise InputError(several, file=path, remedy="give the one that ends in .index" if found else AGAIN)
    base = given.name if given.suffix == ".index" else _SHARD.sub("", given.name).removesuffix(".meta") + ".index"
    index = given.with_name(base)
    if not index.is_file():
        raise InputError("the index of the TensorFlow checkpoint is not there", file=index, remedy=AGAIN)
    return index


def is_tensorflow(path: str | Path) -> bool:
    """Whether a path means a TensorFlow checkpoint, by the names of its files."""
    given = Path(path)
    if given.is_dir():
        return any(given.glob("*.index"))
    known = given.suffix in (".index", ".meta") or _SHARD.search(given.name) is not None
    return known or (not given.exists() and bool(given.name) and given.with_name(given.name + ".index").is_file())
