"""CRC-32C (Castagnoli), the checksum of TensorFlow's files, by NumPy: many pieces of the data side by side.

A checksum without the initial and final inversion is linear over bits, so those of pieces can be put together: that of
A before B is that of A, moved on by the length of B, plus (exclusive or) that of B.
"""

from functools import cache

import numpy as np

POLYNOMIAL = 0x82F63B78  # bits in the reversed order
LANES = 1 << 14  # pieces at most
MASK = 0xA282EAD8  # added to checksums that are stored beside what they are of


def crc32c(data: bytes | memoryview | np.ndarray) -> int:
    """Checksum of bytes.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    raw = np.frombuffer(data, np.uint8)
    if len(raw) < 4:  # the initial inversion is that of the first four bytes
        value = np.uint32(0xFFFFFFFF)
        for byte in raw:
            value = _table()[(value ^ byte) & 0xFF] ^ (value >> 8)
        return int(value) ^ 0xFFFFFFFF
    lanes = 1
    while lanes < LANES and len(raw) > lanes * 64:
        lanes *= 2
    length = -(-len(raw) // lanes)
    pieces = np.zeros(lanes * length, np.uint8)  # zeros in front change nothing
    pieces[len(pieces) - len(raw) :] = raw
    pieces[len(pieces) - len(raw) :][:4] ^= 0xFF
    columns = np.ascontiguousarray(pieces.reshape(lanes, length).T)
    values, table = np.zeros(lanes, np.uint32), _table()
    for column in columns:
        values = table[(values ^ column) & 0xFF] ^ (values >> 8)
    step = _moved_by(length)
    while len(values) > 1:
        values = _apply(step, values[::2]) ^ values[1::2]
        step = _apply(step, step)
    return int(values[0]) ^ 0xFFFFFFFF


def masked(value: int) -> int:
    """A checksum as it is stored: turned by 15 bits, and a constant added."""
    return (((value >> 15) | (value << 17)) + MASK) & 0xFFFFFFFF


@cache
def _table() -> np.ndarray:
    """Checksum of each byte, uint32 [256]."""
    values = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        values = np.where(values & 1, (values >> 1) ^ np.uint32(POLYNOMIAL), values >> 1)
    return values


def _moved_by(length: int) -> np.ndarray:
    """What so many zero bytes behind it make of each bit of a checksum, uint32 [32]."""
    one, found = np.uint32(1) << np.arange(32, dtype=np.uint32), np.uint32(1) << np.arange(32, dtype=np.uint32)
    one = _table()[one & 0xFF] ^ (one >> 8)
    while length:
        if length & 1:
            found = _apply(one, found)
        one, length = _apply(one, one), length >> 1
    return found


def _apply(columns: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A matrix of bits, its 32 columns as numbers, times each value."""
    found = np.zeros_like(values)
    for bit, column in enumerate(columns):
        found ^= np.where(values >> np.uint32(bit) & 1, column, np.uint32(0))
    return found
