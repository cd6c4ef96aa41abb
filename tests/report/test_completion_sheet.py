import numpy as np

from bias_jax.report.completion_sheet import GAP, HEAD, LINE, NAMES, SCALE, completion_sheet

STEP = 8 * SCALE + GAP


def place(sheet, row, column):
    """One picture of a sheet, of 8 x 8 pixels."""
    top, left = HEAD + row * STEP, NAMES + column * STEP
    return sheet[top : top + 8 * SCALE, left : left + 8 * SCALE]


def test_every_picture_is_in_its_place():
    rng = np.random.default_rng(0)
    originals, samples = (rng.integers(0, 255, (*lead, 8, 8, 3)).astype(np.uint8) for lead in ((3,), (3, 4)))
    given = np.zeros((8, 8), bool)
    given[:4], given[6, 2] = True, True
    sheet = completion_sheet(originals, samples, given, ["a.jpg", "b" * 200 + ".jpg", "顔.png"])
    assert sheet.shape == (HEAD + 3 * STEP, NAMES + 5 * STEP, 3)
    for row in range(3):
        for column in range(4):
            assert np.array_equal(place(sheet, row, column + 1)[::SCALE, ::SCALE], samples[row, column])
        first, marked = place(sheet, row, 0), np.zeros((8 * SCALE, 8 * SCALE), bool)
        marked[4 * SCALE - 1] = True  # the last line of what is given
        ring = marked[6 * SCALE : 7 * SCALE, 2 * SCALE : 3 * SCALE]
        ring[[0, -1]] = ring[:, [0, -1]] = True
        assert (first[marked] == LINE).all()
        enlarged = originals[row].repeat(SCALE, 0).repeat(SCALE, 1)
        assert np.array_equal(first[~marked], enlarged[~marked])
    names = sheet[HEAD : HEAD + 3 * STEP, : NAMES - GAP]
    assert all((names[row * STEP : row * STEP + 20] < 128).any() for row in range(3))
    assert (sheet[HEAD:, NAMES - GAP : NAMES] == 255).all()  # long names do not reach the pictures
