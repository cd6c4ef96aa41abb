"""The tables of a finished instrument, known by the digests that were taken when they were written."""

import re

import pyarrow as pa

from bias_jax.errors import InputError
from bias_jax.results.folder import DamagedError, Folder

TABLES = "tables.json"  # table -> SHA-256 of its file; appears when all are there
DIGEST = re.compile("[0-9a-f]{64}")


def read_tables(folder: Folder) -> dict[str, pa.Table]:
    """Tables of a finished instrument.

    Raises:
        InputError: it is not finished.
        DamagedError: a table is not what was written.
    """
    if not folder.has(TABLES):
        raise InputError("has no tables yet", file=folder.path, remedy="run the same command again: it continues")
    digests = folder.load_json(TABLES, {str: str})
    if odd := [name for name, digest in digests.items() if "/" in name or not DIGEST.fullmatch(digest)]:
        raise DamagedError(folder.path / TABLES, f"{odd[0]} is no table with a digest")
    return {name: folder.load_table(f"{name}.parquet", digest) for name, digest in digests.items()}
