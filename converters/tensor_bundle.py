"""The index of a TensorFlow checkpoint: a table of LevelDB's format, whose values are messages of protocol buffers.

A table is blocks of sorted names with shared beginnings, and at its end the places of the blocks; the messages are
those of TensorFlow's tensor_bundle.proto. Every block has a checksum, which is compared.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from converters.crc32c import crc32c, masked

MAGIC = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"  # the end of a table
FOOTER, TRAILER = 48, 5  # bytes behind the blocks, and behind each block: its kind of packing and a checksum
Fields = dict[int, list[Any]]  # field -> its values: numbers, or bytes
# What damaged bytes raise here.
DAMAGE = (ValueError, KeyError, IndexError, TypeError, struct.error, OverflowError, MemoryError)


class UnreadForm(Exception):
    """A form of checkpoint that this project does not read."""


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


def read_index(content: bytes) -> tuple[int, dict[str, Entry]]:
    """Number of data files, and where each array lies, by name.

    Raises:
        UnreadForm: it may be right, but is not read here.
        DAMAGE: it is not right.
    """
    table = dict(_table(content))
    header = _fields(table.pop(b""))
    if _number(header, 2):
        raise UnreadForm("its numbers begin with the highest byte")
    # Names that begin with a zero are parts of an array that is cut.
    return _number(header, 1), {key.decode(): _entry(value) for key, value in table.items() if key[0]}


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
        raise UnreadForm(f"its index is compressed (type {content[end]})")
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
