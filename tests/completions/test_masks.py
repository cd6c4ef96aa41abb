import numpy as np
import pytest
from PIL import Image

from bias_jax.completions import given_pixels
from bias_jax.errors import InputError


def test_rows():
    assert np.array_equal(given_pixels("half", 32), np.arange(1024) < 512)
    assert np.array_equal(given_pixels("12", 32), np.arange(1024) < 12 * 32)
    assert not given_pixels("0", 32).any()


def test_a_picture(tmp_path):
    levels = np.random.default_rng(0).integers(0, 2, (32, 32)).astype(np.uint8) * 255
    for mode in ("L", "RGB", "1"):
        Image.fromarray(levels).convert(mode).save(tmp_path / "mask.png")
        assert np.array_equal(given_pixels(str(tmp_path / "mask.png"), 32), levels.ravel() == 255)


@pytest.mark.parametrize(("picture", "said"), [
    (np.zeros((16, 32)), "has 16 x 32 pixels, not 32 x 32"),
    (np.full((32, 32), 100), "holds greys"),
    (np.full((32, 32), 255), "is all white: nothing is left"),
])  # fmt: skip
def test_other_pictures_are_refused(picture, said, tmp_path):
    Image.fromarray(picture.astype(np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(InputError, match=f"mask.png: {said}.*Way out"):
        given_pixels(str(tmp_path / "mask.png"), 32)


@pytest.mark.parametrize("keep", ["32", "1000", "upper", "", "-3", "\0", "/"])
def test_nothing_else_is_understood(keep):
    with pytest.raises(InputError, match="--keep"):
        given_pixels(keep, 32)
