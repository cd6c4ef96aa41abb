"""Encoded images in a column of parquet files."""

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from bias_jax.data.labels import trimmed
from bias_jax.data.parquet_files import is_picture
from bias_jax.data.parquet_table import ParquetTable

HELD = 2**30  # bytes of encoded images that are held: of more, groups of rows are read again


class EmbeddedImages:
    """Images of the rows of a table, one after another, as `data.listed_images.Places`."""

    def __init__(self, table: ParquetTable, column: str):
        """Begin at the first row."""
        self.column, self.source = "", table.name  # no column: they are in the rows themselves
        self._images, self._passed = column, 0
        self._groups = [(file, group) for file in table.files for group in range(len(file.group_rows))]
        self._ends = list(accumulate(file.group_rows[group] for file, group in self._groups))
        self._held: OrderedDict[int, list[bytes | None]] = OrderedDict()
        self._bytes, self._lock = 0, threading.Lock()
        self._names = self._distinct_paths(table)

    def _distinct_paths(self, table: ParquetTable) -> list[str]:
        """Paths of the hub's pairs; none if rows lack them, or share them."""
        kind = table.kind(self._images)
        if not is_picture(kind) or kind.get_field_index("path") < 0:
            return []
        batches = (batch for file in table.files for batch in file.batches([f"{self._images}.path"]))
        paths = [str((value or {}).get("path") or "") for batch in batches for value in batch.column(0).to_pylist()]
        return paths if all(map(trimmed, paths)) and len(set(paths)) == len(paths) else []

    def locate(self, text: str, table: str, row: int) -> tuple[str, str] | None:
        """The next row: its path if every row has one of its own, else its number."""
        place, self._passed = self._passed, self._passed + 1
        return (self._names[place] if self._names else f"row {place + 1}"), str(place)

    def told(self, table: str) -> Sequence[str]:
        return ()

    def read(self, file: str) -> bytes:
        """The encoded image of a row; a group of rows is read at once, and held as long as there is room."""
        row = int(file)
        group = bisect_right(self._ends, row)
        with self._lock:
            if group not in self._held:
                self._hold(group)
            self._held.move_to_end(group)
            data = self._held[group][row - self._ends[group]]  # counted from the end of the group
        if not isinstance(data, bytes) or not data:
            raise OSError("the row holds no image bytes")
        return data

    def _hold(self, group: int) -> None:
        file, number = self._groups[group]
        found: list[Any] = []
        for batch in file.batches([self._images], 64, [number]):
            found += [value.get("bytes") if isinstance(value, dict) else value for value in batch.column(0).to_pylist()]
        self._held[group] = found
        self._bytes += sum(len(data or b"") for data in found)
        while self._bytes > HELD and len(self._held) > 1:
            self._bytes -= sum(len(data or b"") for data in self._held.popitem(last=False)[1])
