"""Arrays in `.npy`, `.npz` and `.safetensors` files: what is there, and where; values are read later.

Nothing is unpickled, ever. The safetensors format is read here: a header of JSON, and numbers.
"""

import json
import math
import re
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.lib import format as npy

from bias_jax.errors import InputError
from bias_jax.features.values import BFLOAT16, RawValues

AGAIN = "copy or write it again"
LONGEST_HEADER = 10_000  # of an array, in characters; NumPy's own bound for strangers' files
LARGEST_TEXT = 2**28  # bytes of an array of identifiers
TENSORS = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": BFLOAT16, "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip


def natural(name: str) -> list[tuple[int, str]]:
    """Sorts numbers in names by value.

    >>> sorted(["block10", "block9"], key=natural)
    ['block9', 'block10']
    """
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def npy_array(path: Path, name: str) -> RawValues:
    """The array of a `.npy` file.

    Raises:
        InputError: damaged or cut short.
    """
    return _npy(lambda: path.open("rb"), path.stat().st_size, f"array {name!r}", str(path), lambda: (path, 0))


def npy_folder(folder: Path) -> dict[str, RawValues]:
    """Array of every `.npy` file of a folder, by the file's name, numbers in names by value; not of folders in it."""
    files = {p.name.removesuffix(".npy"): p for p in folder.iterdir() if p.name.endswith(".npy") and p.is_file()}
    return {name: npy_array(files[name], name) for name in sorted(files, key=natural)}


def npz_arrays(path: Path) -> tuple[dict[str, RawValues], list[str]]:
    """Arrays of a `.npz` file in their order, and other members.

    Raises:
        InputError: no archive, damaged, encrypted or packed in a way that is not read.
    """
    arrays: dict[str, RawValues] = {}
    others = []
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # zipfile raises many kinds
        problem = f"is no readable .npz file ({error})"
        raise InputError(problem, file=path, remedy=f"it is damaged or cut short: {AGAIN}") from None
    with archive:
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            if name == member.filename:
                others.append(name)
                continue
            what = f"array {name!r}"
            if name in arrays:
                raise InputError(f"holds {what} twice", file=path, remedy=AGAIN)
            if member.flag_bits & 1:
                raise InputError(f"{what} is encrypted", file=path, remedy="write it without a password")
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise InputError(f"{what} is packed in a way that is not read", file=path, remedy="use numpy.savez")
            arrays[name] = _npy(_member(path, member), member.file_size, what, str(path), _stored(path, member))
    return arrays, others


def _member(path: Path, member: zipfile.ZipInfo) -> Callable[[], AbstractContextManager[BinaryIO]]:
    @contextmanager
    def opened() -> Iterator[BinaryIO]:
        with zipfile.ZipFile(path) as archive, archive.open(member) as stream:
            yield cast(BinaryIO, stream)

    return opened


def _stored(path: Path, member: zipfile.ZipInfo) -> Callable[[], tuple[Path, int] | None]:
    """Where a member begins in its archive; None if it is compressed."""

    def place() -> tuple[Path, int] | None:
        if member.compress_type != zipfile.ZIP_STORED:
            return None
        with path.open("rb") as stream:
            stream.seek(member.header_offset + 26)
            return path, member.header_offset + 30 + sum(struct.unpack("<HH", stream.read(4)))

    return place


def _npy(
    open_: Callable[[], AbstractContextManager[BinaryIO]], size: int, what: str, source: str,
    mapped: Callable[[], tuple[Path, int] | None],
) -> RawValues:  # fmt: skip
    """An array by its header."""
    try:
        with open_() as stream:
            version = npy.read_magic(stream)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            if version not in ((1, 0), (2, 0)):
                raise ValueError(f"version {version[0]}.{version[1]} of the format")
            shape, column_major, dtype = read(stream, max_header_size=LONGEST_HEADER)
            offset = stream.tell()
    except Exception as error:  # as above
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{what} cannot be read ({reason})", file=source, remedy=AGAIN) from None
    there = size - offset
    if dtype.kind != "O" and there != dtype.itemsize * math.prod(shape):
        problem = f"{what} of the shape {list(shape)} in {dtype} has {there:,} bytes"
        raise InputError(problem, file=source, remedy=f"it is cut short or damaged: {AGAIN}")
    place = None
    if column_major and len(shape) > 1:
        place = mapped()
        if place is None:
            problem = f"{what} is compressed column by column, and cannot be read by rows"
            raise InputError(problem, file=source, remedy="write numpy.ascontiguousarray of it")
        offset += place[1]
    return RawValues(what, source, open_, offset, tuple(shape), dtype, place[0] if place else None)


def tensors(path: Path) -> dict[str, RawValues]:
    """Tensors of a `.safetensors` file by name, numbers in names by value: the format keeps no order.

    Raises:
        InputError: damaged, cut short, or numbers of a kind that is not read.
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > min(size, 10**8):
                raise ValueError(f"its header says that it has {length:,} bytes")
            header: Mapping[str, Any] = json.loads(stream.read(length))
        found = {name: _tensor(path, name, about, 8 + length, size) for name, about in header.items()
                 if name != "__metadata__"}  # fmt: skip
    except InputError:
        raise
    except Exception as error:  # no JSON, or other JSON
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        problem = f"is no readable .safetensors file ({reason})"
        raise InputError(problem, file=path, remedy=f"it is damaged or cut short: {AGAIN}") from None
    return {name: found[name] for name in sorted(found, key=natural)}


def _tensor(path: Path, name: str, about: Mapping[str, Any], start: int, size: int) -> RawValues:
    what = f"array {name!r}"
    if about["dtype"] not in TENSORS:
        raise InputError(f"{what} is of type {about['dtype']}", file=path, remedy="write it as F32 or BF16")
    dtype, shape, (first, end) = np.dtype(TENSORS[about["dtype"]]), tuple(about["shape"]), about["data_offsets"]
    if not all(type(number) is int and number >= 0 for number in (*shape, first, end)):
        raise ValueError(f"{what} has no shape or place")
    if end - first != dtype.itemsize * math.prod(shape) or start + end > size:
        there = max(0, min(end, size - start) - first)
        problem = f"{what} of the shape {list(shape)} in {about['dtype']} has {there:,} bytes"
        raise InputError(problem, file=path, remedy=f"it is cut short or damaged: {AGAIN}")
    return RawValues(what, str(path), lambda: path.open("rb"), start + first, shape, dtype)


def texts(values: RawValues) -> list[str]:
    """A column of identifiers as text: of strings, bytes or whole numbers, [N].

    Raises:
        InputError: it is none.
    """
    remedy = "write identifiers as an array [N] of text, e.g. numpy.array(names, dtype=str), or of whole numbers"
    if len(values.shape) != 1 or values.dtype.kind not in "USiu":
        kind = "Python objects, which are never unpickled" if values.dtype.kind == "O" else f"of type {values.dtype}"
        problem = f"{values.what} is {kind}, of the shape {list(values.shape)}"
        raise InputError(problem, file=values.source, remedy=remedy)
    if values.dtype.itemsize * math.prod(values.shape) > LARGEST_TEXT:
        raise InputError(f"{values.what} has more than {LARGEST_TEXT >> 20} MiB", file=values.source, remedy=remedy)
    count = values.shape[0]
    blocks = [block for _, block in values.blocks(max(1, count), np.ones(min(1, count), bool))]
    found = np.concatenate(blocks).tolist() if blocks else []
    return [text.decode(errors="replace") if isinstance(text, bytes) else str(text) for text in found]
