"""Named arrays in one file: an Arrow IPC file, every array a column of one list, compressed by zstd.

Readable by pandas and every Arrow library. Integers are stored in the smallest type that holds them; reading gives back
type, shape and values. Equal arrays give equal bytes.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

SMALL = tuple(np.dtype(kind) for kind in ("u1", "i1", "u2", "i2", "u4", "i4"))
LEVEL = 1  # of zstd: higher ones cost far more time than they save space


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
    batch = pa.record_batch(columns, schema=pa.schema(fields))
    options = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", LEVEL))
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """What `write_arrays` wrote.

    Raises:
        OSError, ValueError, KeyError: the file is absent or damaged.
    """
    with pa.memory_map(str(path)) as source:
        batch = pa.ipc.open_file(source).get_batch(0)
    found = {}
    for field, column in zip(batch.schema, batch.columns, strict=True):
        shape, dtype = json.loads(field.metadata[b"shape"]), np.dtype(field.metadata[b"dtype"].decode())
        values = column.flatten().to_numpy(zero_copy_only=False)
        found[field.name] = np.array(values.astype(dtype).reshape(shape))
    return found


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
