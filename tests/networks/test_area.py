"""OpenCV's INTER_AREA: frozen arrays of its own, whole numbers on the device as on the host, and what ties become."""

import jax
import numpy as np
import pytest

from bias_jax.networks.area import area_on_device, area_on_host

on_device = jax.jit(area_on_device, static_argnums=1)


def busy_picture(height: int, width: int) -> np.ndarray:
    """The uint8 picture of the frozen rows."""
    i, j, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    return ((i * (3 + c) + j * (7 - 2 * c) + ((i // 9 + j // 13) % 2) * 90) % 256).astype(np.uint8)


@pytest.mark.parametrize("size", [(300, 400), (233, 150), (100, 128), (64, 64), (96, 97)])
def test_frozen_rows_of_opencv(size, oracles_dir):
    picture = busy_picture(*size)
    with np.load(oracles_dir / "simclr_oracle.npz") as frozen:
        key = f"prep/area/{size[0]}x{size[1]}"
        small, rows, mean = (frozen[f"{key}/{what}"] for what in ("32", "224_rows", "224_mean"))
    for found in (lambda side: area_on_host(picture, side), lambda side: np.asarray(on_device(picture[None], side))[0]):
        assert np.array_equal(found(32), small)
        assert np.array_equal(found(224)[[0, 1, 111, 222, 223]], rows)
        np.testing.assert_allclose(found(224).mean(axis=(0, 1)), np.ravel(mean), atol=1e-4)


@pytest.mark.parametrize(("size", "side"), [(12, 4), (12, 6), (13, 4), (16, 4), (5, 8), (4, 4), (1, 3), (101, 7)])
def test_the_device_gives_the_numbers_of_the_host(size, side, rng):
    pictures = rng.integers(0, 256, (3, size + 2, size, 3), dtype=np.uint8)
    expected = np.stack([area_on_host(picture, side) for picture in pictures])
    assert np.array_equal(on_device(pictures, side), expected)


def test_only_the_top_left_square_counts(rng):
    picture = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
    assert np.array_equal(area_on_host(picture, 8), area_on_host(picture[:, :30], 8))
    assert np.array_equal(area_on_host(picture.swapaxes(0, 1), 8), area_on_host(picture[:, :30].swapaxes(0, 1), 8))


def test_a_white_picture_stays_white_however_large():
    for size in (65, 300, 4200):
        white = np.full((1, size, size, 3), 255, np.uint8)
        assert (np.asarray(on_device(white, 16)) == 255).all()
        assert (area_on_host(white[0], 16) == 255).all()


@pytest.mark.parametrize(
    ("block", "level"),
    [([[10, 10], [11, 11]], 11), ([[10, 10], [10, 11]], 10), ([[10] * 4] * 2 + [[11] * 4] * 2, 10),
     ([[11] * 4] * 2 + [[12] * 4] * 2, 12)],
)  # fmt: skip
def test_the_middle_of_two_grey_levels(block, level):
    """Four pixels: upwards; sixteen: to the even level, as OpenCV does."""
    picture = np.tile(np.array(block, np.uint8)[:, :, None], (2, 2, 3))
    assert (area_on_host(picture, 2) == level).all() and (np.asarray(on_device(picture[None], 2)) == level).all()


@pytest.mark.parametrize("side", [32, 224])
def test_live_against_opencv(side, rng):
    cv2 = pytest.importorskip("cv2")
    for size in (20, 31, 64, 128, 200, 223, 224, 256, 301, 333, 448):
        picture = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
        expected = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA).astype(int)
        difference = np.abs(area_on_host(picture, side) - expected)
        assert difference.max() <= 1 and np.count_nonzero(difference) <= 1e-4 * difference.size  # ties, in its float32
