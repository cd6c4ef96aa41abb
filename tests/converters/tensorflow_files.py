"""Writes TensorFlow checkpoints, with anything wrong that a test asks for; shares no code with the reader."""

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

MAGIC = 0xDB4775248B80FB57


def crc(data: bytes) -> int:
    """Masked CRC-32C, bit by bit."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    value ^= 0xFFFFFFFF
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF


def varint(value: int) -> bytes:
    found = b""
    while value >= 0x80:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(value) if value else b""


def entry(kind: int, shape: tuple[int, ...], shard: int, offset: int, size: int, checksum: int, extra=b"") -> bytes:
    dimensions = b"".join(field(2, field(1, side)) for side in shape)
    place = field(3, shard) + field(4, offset) + field(5, size)
    return field(1, kind) + field(2, dimensions) + place + varint(6 << 3 | 5) + struct.pack("<I", checksum) + extra


def block(entries: list[tuple[bytes, bytes]], every: int = 16, packing: int = 0) -> bytes:
    """Entries with shared beginnings, started anew every so many; and what is behind a block."""
    found, restarts, before = b"", [], b""
    for number, (key, value) in enumerate(entries):
        shared = 0
        if number % every == 0:
            restarts.append(len(found))
        else:
            while shared < min(len(key), len(before)) and key[shared] == before[shared]:
                shared += 1
        found += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    restarts = restarts or [0]
    found += b"".join(struct.pack("<I", place) for place in (*restarts, len(restarts))) + bytes([packing])
    return found + struct.pack("<I", crc(found))


def table(entries: list[tuple[bytes, bytes]], a_block: int = 10, **options) -> bytes:
    """The whole index."""
    content, places = b"", []
    for start in range(0, len(entries), a_block):
        own = entries[start : start + a_block]
        data = block(own, **options)
        places.append((own[-1][0], varint(len(content)) + varint(len(data) - 5)))
        content += data
    handles = b""
    for data in (block([]), block(places)):
        handles += varint(len(content)) + varint(len(data) - 5)
        content += data
    return content + handles.ljust(40, b"\0") + struct.pack("<Q", MAGIC)


def write_checkpoint(folder: Path, arrays: Mapping[str, np.ndarray], shards: int = 3, name="model.ckpt-7", **options):
    """Arrays spread over so many data files; the path of the index."""
    folder.mkdir(parents=True, exist_ok=True)
    parts, entries = [b""] * shards, [(b"", field(1, shards) + field(3, field(1, 1)))]
    for number, key in enumerate(sorted(arrays)):
        array, shard = np.asarray(arrays[key]), number % shards
        raw, kind = array.tobytes(), {"f4": 1, "f8": 2, "i4": 3, "i8": 9}[array.dtype.str[1:]]
        entries.append((key.encode(), entry(kind, array.shape, shard, len(parts[shard]), len(raw), crc(raw))))
        parts[shard] += raw
    for shard, data in enumerate(parts):
        (folder / f"{name}.data-{shard:05d}-of-{shards:05d}").write_bytes(data)
    (folder / f"{name}.index").write_bytes(table(entries, **options))
    return folder / f"{name}.index"
