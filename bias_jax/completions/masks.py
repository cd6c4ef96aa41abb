"""Which pixels of a picture are given."""

from pathlib import Path

import numpy as np
from PIL import Image

from bias_jax.errors import InputError

HALF = "half"
WAYS = "give half, a number of rows, or a picture in which what is given is white"


def given_pixels(keep: str, side: int) -> np.ndarray:
    """Pixels that are given, bool [side * side], in raster order.

    Args:
        keep: ``half`` (the upper one), a number of rows, or a file: a picture of side x side pixels, white where they
            are given and black where not.
        side: of the network's pictures.

    Raises:
        InputError: it is none of these, or nothing is left to be drawn.

    >>> given_pixels("half", 4).reshape(4, 4).sum(axis=1).tolist()
    [4, 4, 0, 0]
    """
    if keep == HALF or keep.isdecimal():
        rows = side // 2 if keep == HALF else int(keep)
        if rows >= side:
            raise InputError(f"--keep {keep} leaves nothing to be drawn", remedy=f"pictures have {side} rows")
        return np.arange(side * side) < rows * side
    try:
        with Image.open(keep) as picture:
            levels = np.asarray(picture.convert("L"))
    except Exception as error:  # pillow raises many kinds
        raise InputError(f"--keep is no picture that can be read ({error})", file=Path(keep), remedy=WAYS) from None
    if levels.shape != (side, side):
        size = " x ".join(map(str, levels.shape))
        raise InputError(f"has {size} pixels, not {side} x {side}", file=keep, remedy=WAYS)
    if not np.isin(levels, (0, 255)).all():
        raise InputError("holds greys: what is given does not show", file=keep, remedy="use white and black only")
    if levels.all():
        raise InputError("is all white: nothing is left to be drawn", file=keep, remedy=WAYS)
    return levels.ravel() == 255
