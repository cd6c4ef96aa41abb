"""TensorFlow's checkpoints, read without TensorFlow: ``NAME.index`` says where in ``NAME.data-*`` each array lies.

The index is a table of LevelDB's format (blocks of sorted names with shared beginnings), its values are messages of
protocol buffers (TensorFlow's tensor_bundle.proto). An array is read when it is asked for: a file of 16 GB, two thirds
of which an optimizer left there, costs only what a network takes of it. Both have checksums, which are compared.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from bias_jax.errors import InputError
from converters.contents import NoNumbers
from converters.crc32c import crc32c, masked

MAGIC = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"  # the end of a table
FOOTER, TRAILER = 48, 5  # bytes behind the blocks, and behind each block: its kind of packing and a checksum
# Of TensorFlow's numbers of types, those that are read: weights, and counters of training.
TYPES: dict[int, np.dtype] = {1: np.dtype("<f4"), 3: np.dtype("<i4"), 9: np.dtype("<i8")}
AGAIN = "download or copy all its files again"
Fields = dict[int, list[Any]]  # field -> its values: numbers, or bytes
_SHARD = re.compile(r"\.data-\d{5}-of-\d{5}$")


@dataclass(frozen=True)
class Entry:
    """Where an array lies."""

    kind: int  # TensorFlow's number of its type
    shape: tuple[int, ...]
    shard: int
    offset: int  # bytes
    size: int  # bytes
    checksum: int  # masked
    sliced: bool  # whether it is cut into parts that stand under other names


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
        table = dict(_table(content))
        header = _fields(table.pop(b""))
        if _number(header, 2):
            raise _Unread("its numbers begin with the highest byte")
        # Names that begin with a zero are parts of an array that is cut.
        entries = {key.decode(): _entry(value) for key, value in table.items() if key[0]}
        shards = _number(header, 1)
    except _Unread as error:
        problem = f"is a TensorFlow checkpoint of a form that is not read: {error}"
        raise InputError(problem, file=index, remedy="write it again with tf.compat.v1.train.Saver") from None
    except (ValueError, KeyError, IndexError, TypeError, struct.error, OverflowError, MemoryError) as error:
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


class _Unread(Exception):
    """A form of checkpoint that this project does not read."""


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


def _table(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a table."""
    if len(content) < FOOTER or content[-8:] != MAGIC:
        raise ValueError("its end is missing")
    # Offset and size of the index of further tables, of which there are none; then those of the index of the blocks.
    _, _, *blocks = _varints(content[-FOOTER:-8], 4)
    for _, place in _block(content, *blocks):
        yield from _block(content, *_varints(place, 2))


def _block(content: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Entries of one block: each key begins with a part of the one before it."""
    end = offset + size
    if end + TRAILER > len(content):
        raise ValueError("a block ends behind the file")
    if content[end]:
        raise _Unread(f"its index is compressed (type {content[end]})")
    if masked(crc32c(content[offset : end + 1])) != struct.unpack_from("<I", content, end + 1)[0]:
        raise ValueError("the checksum of a block is another one")
    block = content[offset:end]
    (restarts,) = struct.unpack_from("<I", block, size - 4)
    last, place, key = size - 4 * (restarts + 1), 0, b""
    if last < 0:
        raise ValueError("a block has too many restarts")
    while place < last:
        shared, place = _varint(block, place)
        added, place = _varint(block, place)
        length, place = _varint(block, place)
        if shared > len(key) or place + added + length > last:
            raise ValueError("an entry of a block is too long")
        key = key[:shared] + block[place : place + added]
        place += added + length
        yield key, block[place - length : place]


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first; and the place behind it."""
    value = 0
    for count in range(10):
        byte = data[place + count]
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value, place + count + 1
    raise ValueError("a number is too long")


def _varints(data: bytes, count: int) -> list[int]:
    """The numbers at the beginning."""
    found, place = [], 0
    for _ in range(count):
        value, place = _varint(data, place)
        found.append(value)
    return found


def _fields(message: bytes) -> Fields:
    """Fields of a message of protocol buffers."""
    found: Fields = {}
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        field, wire = tag >> 3, tag & 7
        value: Any
        if wire == 0:
            value, place = _varint(message, place)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
            value, place = message[place : place + size], place + size
        elif wire == 2:
            size, place = _varint(message, place)
            value, place = message[place : place + size], place + size
        else:
            raise ValueError("a message has a field of unknown kind")
        if place > len(message):
            raise ValueError("a message is cut off")
        found.setdefault(field, []).append(value)
    return found


def _number(fields: Fields, field: int) -> int:
    """A number; a field that is not there is 0."""
    value = fields.get(field, [0])[-1]
    if not isinstance(value, int):
        raise ValueError("a field is no number")
    return value


def _entry(message: bytes) -> Entry:
    """Of tensor_bundle.proto, BundleEntryProto."""
    fields = _fields(message)
    shape = _fields(fields.get(2, [b""])[-1])
    dimensions = tuple(_number(_fields(dimension), 1) for dimension in shape.get(2, []))
    (checksum,) = struct.unpack("<I", fields.get(6, [bytes(4)])[-1])
    return Entry(
        kind=_number(fields, 1), shape=dimensions, shard=_number(fields, 3), offset=_number(fields, 4),
        size=_number(fields, 5), checksum=checksum, sliced=7 in fields,
    )  # fmt: skip
