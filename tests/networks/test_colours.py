"""The nearest colour against plain float64 arithmetic."""

import jax
import numpy as np
import pytest

from bias_jax.errors import InputError
from bias_jax.networks.colours import checked_centres, colour_grid, nearest_colours, to_levels

ALL_GREYS = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)


def expected(pixels, centres):
    """First of the nearest, float64; and by how much the next one is farther."""
    points = pixels.reshape(-1, 3) / 127.5 - 1
    distances = np.square(points[:, None] - centres[None].astype(np.float64)).sum(-1)
    two = np.sort(distances, axis=1)[:, :2]
    return distances.argmin(axis=1).reshape(pixels.shape[:-1]), (two[:, 1] - two[:, 0]).reshape(pixels.shape[:-1])


def found(pixels, centres):
    return np.asarray(jax.jit(lambda x: nearest_colours(x, centres))(pixels))


def drawn(seed, close=False):
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-1, 1, (512, 3)).astype(np.float32)
    if close:  # pairs of centres next to each other in float32
        centres[1::2] = np.nextafter(centres[::2], 2.0, dtype=np.float32).clip(-1, 1)
    return rng.integers(0, 256, (4, 1024, 3)).astype(np.uint8), centres


@pytest.mark.parametrize("close", [False, True])
def test_nearest_as_float64_finds_it(close):
    pixels, centres = drawn(0, close)
    wanted, margin = expected(pixels, centres)
    sure = margin > 1e-13  # below that, float64 itself does not know
    assert np.array_equal(found(pixels, centres)[sure], wanted[sure]) and sure.mean() > 0.9999
    if close:  # what float32 would take for another one
        points = (pixels / np.float32(127.5) - 1).astype(np.float32)
        single = np.square(points[:, :, None] - centres[None, None]).sum(-1, dtype=np.float32).argmin(-1)
        assert (single != wanted).mean() > 0.01


def test_ties_go_to_the_first():
    """Pixel 128 lies at 1 / 255; centres at the same distance on both sides, and equal ones."""
    centres = np.tile(np.float32([[1.0, 1.0, 1.0]]), (8, 1))
    centres[3], centres[5] = (0.5, 0.0, 0.0), (0.5, 0.0, 0.0)
    assert found(np.full((1, 3), 128, np.uint8), centres) == [3]
    assert found(np.full((1, 3), 255, np.uint8), centres) == [0]
    sides = np.float32([[0.5, 0.25, 0.25], [-0.5, 0.25, 0.25], [0.5, 0.25, 0.25]])  # 127.5 is no pixel: no tie
    assert found(np.uint8([[127, 200, 200], [128, 200, 200]]), sides).tolist() == [1, 0]


def test_the_grid():
    grid = colour_grid()
    assert grid.shape == (512, 3) and grid.dtype == np.float32
    assert np.array_equal(grid[0], [-1, -1, -1]) and np.array_equal(grid[511], [1, 1, 1])
    assert np.array_equal(found(to_levels(grid), grid), np.arange(512))  # each is nearest to itself
    grey = found(ALL_GREYS, grid)
    assert np.array_equal(np.unique(grey), np.arange(8) * 73)
    assert np.array_equal(grey, expected(ALL_GREYS, grid)[0])


def test_channels_are_not_swapped():
    pixels, centres = drawn(1)
    assert (found(pixels, centres) != found(pixels[..., ::-1], centres)).mean() > 0.9


def test_back_to_levels():
    centres = np.float32([[-1, 1, 0], [0.8866443634, 0.6618829370, 0.3891746402]])
    assert to_levels(centres).tolist() == [[0, 255, 128], [241, 212, 177]]  # 127.5 is rounded to even
    levels = np.stack([np.arange(256)] * 3, axis=1)
    assert np.array_equal(to_levels((levels / 127.5 - 1).astype(np.float32)), levels)


@pytest.mark.parametrize("wrong", [np.zeros((511, 3), np.float32), np.zeros((512, 3), int), np.full((512, 3), 1.01),
                                   np.full((512, 3), np.nan)])  # fmt: skip
def test_wrong_centres_are_refused(wrong):
    with pytest.raises(InputError, match="colours are"):
        checked_centres(wrong, 512)
    assert checked_centres(colour_grid().astype(np.float64), 512).dtype == np.float32
