"""Figures as files: the same bytes, no dates, rasters of few colours with a palette."""

import base64
import io
import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from bias_jax.results.drawings import FORMATS, check_drawing, vector, write_drawing


def figure(pixels):
    made = Figure(figsize=(3, 2), dpi=150)
    axes = made.add_subplot()
    axes.imshow(pixels, cmap="bwr", interpolation="nearest")
    axes.set_title("a title")
    return made


def raster(svg: bytes) -> Image.Image:
    (found,) = re.findall(rb"data:image/png;base64,([^\"]+)\"", svg)
    return Image.open(io.BytesIO(base64.b64decode(found)))


@pytest.mark.parametrize("kind", FORMATS)
def test_equal_figures_give_equal_bytes(kind, tmp_path):
    for name in "ab":
        write_drawing(tmp_path / f"{name}.{kind}", figure(np.arange(12).reshape(3, 4)))
        check_drawing(tmp_path / f"{name}.{kind}")
    content = (tmp_path / f"a.{kind}").read_bytes()
    assert content == (tmp_path / f"b.{kind}").read_bytes() and b"CreationDate" not in content
    assert b"dc:date" not in content


@pytest.mark.parametrize("layout", [None, "constrained", "compressed"])
def test_formats_do_not_depend_on_each_other(layout, tmp_path):
    def drawn():
        made = Figure(figsize=(4, 3), dpi=150, layout=layout)
        made.suptitle("a title of two\nlines")
        axes = made.subplots(1, 2)
        made.colorbar(axes[0].imshow(np.arange(12).reshape(3, 4)), ax=axes, label="what it is")
        axes[1].plot([0, 1e4], [1e-4, 1], label="a curve")
        if layout is not None:
            made.legend(loc="outside lower center")
        return made

    both = drawn()
    for kind in FORMATS:
        write_drawing(tmp_path / f"alone.{kind}", drawn())
        write_drawing(tmp_path / f"after.{kind}", both)
        assert (tmp_path / f"alone.{kind}").read_bytes() == (tmp_path / f"after.{kind}").read_bytes()


def test_maps_get_a_palette_and_keep_their_colours():
    values = np.random.default_rng(0).normal(size=(40, 60))
    drawn = raster(vector(figure(values), ".svg"))
    assert drawn.mode == "P"
    plain = np.asarray(drawn.convert("RGBA")).astype(int)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bias_jax.results.drawings.MOST_COLOURS", 1)
        before = np.asarray(raster(vector(figure(values), ".svg"))).astype(int)
    assert plain.shape == before.shape and np.abs(plain - before).max() <= 2


def test_photographs_keep_all_of_theirs():
    pixels = np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8)
    assert raster(vector(figure(pixels), ".svg")).mode == "RGBA"
