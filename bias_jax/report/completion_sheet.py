"""Sheets of completions: a row for each picture, with the original first and what was given marked."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

ROWS = 16  # pictures a sheet
SCALE = 3  # pixels of the sheet for a pixel of a picture
GAP, NAMES, HEAD = 6, 150, 16  # pixels between pictures, for names at the left, and for what stands above
LINE = (255, 0, 0)  # around what was given


def completion_sheet(originals: np.ndarray, samples: np.ndarray, given: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """One sheet, uint8 [H, W, 3].

    Args:
        originals: uint8 [R, side, side, 3].
        samples: completions of each, uint8 [R, S, side, side, 3].
        given: which pixels were, bool [side, side].
        names: of the pictures.
    """
    rows, count, side = samples.shape[:3]
    step = side * SCALE + GAP
    sheet = Image.new("RGB", (NAMES + (count + 1) * step, HEAD + rows * step), "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((NAMES, 2), "original", fill="black")
    for column in range(count):
        pen.text((NAMES + (column + 1) * step, 2), str(column + 1), fill="black")
    for row in range(rows):
        top = HEAD + row * step
        pen.text((2, top + 2), _fitted(pen, names[row]), fill="black")
        for column, picture in enumerate((originals[row], *samples[row])):
            sheet.paste(Image.fromarray(_enlarged(picture)), (NAMES + column * step, top))
        sheet.paste(Image.fromarray(_marked(originals[row], given)), (NAMES, top))
    return np.asarray(sheet)


def _enlarged(picture: np.ndarray) -> np.ndarray:
    return picture.repeat(SCALE, axis=0).repeat(SCALE, axis=1)


def _marked(picture: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Enlarged, with a line on the given side of every border to what was not."""
    found, inside = _enlarged(picture), given.repeat(SCALE, axis=0).repeat(SCALE, axis=1)
    outside = np.pad(~inside, 1)
    near = outside[:-2, 1:-1] | outside[2:, 1:-1] | outside[1:-1, :-2] | outside[1:-1, 2:]
    found[inside & near] = LINE
    return found


def _fitted(pen: ImageDraw.ImageDraw, name: str) -> str:
    """The end of a name, as far as there is room; of other alphabets than the font's, what it has."""
    shown = name.encode("latin-1", "replace").decode("latin-1")
    while pen.textlength(shown) > NAMES - GAP:
        shown = "..." + shown.removeprefix("...")[1:]
    return shown
