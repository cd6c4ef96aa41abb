"""Few shapes for many layers: tables are padded to the next of few sizes, so that layers share compiled programs.

Networks have layers of 64, 192, 256, 288, 512, 768, 1024, 1280, 2048 and 4096 units. Padded rows are not read: loops
run over as many blocks as hold rows. Padded columns are zero, which changes no distance.
"""

import numpy as np

ROWS = 2048  # least rows of a table, and of that many more by doubling
SIDE = 48  # least nodes along an axis of a map (of 2048 units: 46), doubling
COLUMNS = 128  # least columns; above 1024 eight sizes an octave, since every column costs


def doubled(size: int, least: int) -> int:
    """The next of least, 2 least, 4 least, ... that is not below size."""
    return least * 2 ** max((max(size, 1) - 1) // least, 0).bit_length()


def columns(size: int) -> int:
    """Padded number of columns: a multiple of 128, and by an eighth too many at most from 1024 on."""
    step = max(COLUMNS, 2 ** max(size.bit_length() - 4, 0))
    return -(-size // step) * step


def padded(table: np.ndarray, *shape: int) -> np.ndarray:
    """A table float32 with zeros added at the end of each axis."""
    found = np.zeros(shape, np.float32)
    found[tuple(slice(size) for size in table.shape)] = table
    return found
