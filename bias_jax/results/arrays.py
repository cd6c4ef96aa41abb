"""Named arrays in one file: an Arrow IPC file, every array a column of one list, compressed by zstd.

Readable by pandas and every Arrow library. Integers are stored in the smallest type that holds them; reading gives back
type, shape and values. Equal arrays give equal bytes. Every file is sealed by a digest of its bytes: of a file that a
disk has damaged, Arrow would read other numbers, or end the process.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

SMALL = tuple(np.dtype(kind) for kind in ("u1", "i1", "u2", "i2", "u4", "i4"))
LEVEL = 1  # of zstd: higher ones cost far more time than they save space
SEAL = re.compile(rb"sha256:[0-9a-f]{64}")  # in the metadata of the schema
UNSEALED = b"sha256:" + b"0" * 64  # in its place when the digest is taken


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays of numbers, truth values or text of any shape.

    Raises:
        TypeError: an array of another kind.
    """
    columns, fields = [], []
    for name, given in arrays.items():
        array = np.asarray(given)
        values = _values(name, array)
        offsets = pa.array([0, len(values)], pa.int64())
        columns.append(pa.LargeListArray.from_arrays(offsets, values))
        about = {"shape": json.dumps(array.shape), "dtype": array.dtype.str}
        fields.append(pa.field(name, columns[-1].type, metadata=about))
    batch = pa.record_batch(columns, schema=pa.schema(fields, metadata={"seal": UNSEALED}))
    options = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", LEVEL))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    unsealed = sink.getvalue().to_pybytes()
    path.write_bytes(unsealed.replace(UNSEALED, _seal(unsealed)))


def is_whole(path: Path) -> bool:
    """Whether a file is what `write_arrays` wrote, to the last bit.

    Raises:
        OSError: it cannot be read.
    """
    return _is_sealed(path.read_bytes())


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """What `write_arrays` wrote.

    Raises:
        OSError: the file is absent.
        ValueError: it is not what was written.
    """
    data = path.read_bytes()
    if not _is_sealed(data):
        raise ValueError("its bytes are not those that were written")
    batch = pa.ipc.open_file(pa.BufferReader(data)).get_batch(0)
    found = {}
    for field, column in zip(batch.schema, batch.columns, strict=True):
        shape, dtype = json.loads(field.metadata[b"shape"]), np.dtype(field.metadata[b"dtype"].decode())
        values = column.flatten().to_numpy(zero_copy_only=False)
        found[field.name] = np.array(values.astype(dtype).reshape(shape))
    return found


def _seal(unsealed: bytes) -> bytes:
    return b"sha256:" + hashlib.sha256(unsealed).hexdigest().encode()


def _is_sealed(data: bytes) -> bool:
    seal = SEAL.search(data)
    return seal is not None and _seal(data.replace(seal[0], UNSEALED)) == seal[0]


def _values(name: str, array: np.ndarray) -> pa.Array:
    flat: Any = np.ascontiguousarray(array).reshape(-1)
    if array.dtype.kind == "U":
        return pa.array(flat.tolist(), pa.large_string())
    if array.dtype.kind not in "biuf":
        raise TypeError(f"array {name!r} is of type {array.dtype}, which cannot be stored")
    if array.dtype.kind in "iu" and flat.size:
        low, high = int(flat.min()), int(flat.max())
        fits = [kind for kind in SMALL if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max]
        flat = flat.astype(min(fits, key=lambda kind: kind.itemsize)) if fits else flat
    return pa.array(flat)
