"""Pictures as colours: crops, colours of a file, and what a manifest keeps of them."""

import json
from dataclasses import asdict, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from bias_jax.errors import InputError
from bias_jax.networks import split
from bias_jax.networks.colours import colour_grid, to_levels
from bias_jax.networks.igpt import NETWORKS
from bias_jax.networks.preparation import from_json, to_json
from bias_jax.networks.tokens import Tokens
from tests.networks.test_colours import expected

PALETTE = np.random.default_rng(4).uniform(-1, 1, (512, 3)).astype(np.float32)
COLOURED = Tokens().with_palette(PALETTE, "abc")


def picture(height, width):
    i, j, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    return ((i * (3 + c) + j * (7 - 2 * c) + ((i // 9 + j // 13) % 2) * 90) % 256).astype(np.uint8)


@pytest.mark.parametrize("size", [(300, 400), (97, 40), (64, 64), (32, 32), (20, 31)])
@pytest.mark.parametrize("crop", ["square", "squeezed"])
def test_host_and_device_agree(size, crop):
    tokens, image = replace(COLOURED, crop=crop), picture(*size)
    on_host, shape, dtype, rest = split(tokens, None)
    assert (shape, dtype) == ((32, 32), np.uint8)
    small = on_host(image)
    found = np.asarray(jax.jit(tokens.on_device)(image[None]))
    assert np.array_equal(found, jax.jit(rest.on_device)(small[None]))
    assert found.shape == (1, *tokens.input.shape) and found.dtype == tokens.input.dtype
    assert np.array_equal(found[0], expected(small.reshape(-1, 3), PALETTE)[0])  # raster order


def test_the_crops():
    for size in ((300, 400), (48, 80), (64, 64), (20, 31), (97, 40)):
        image = picture(*size)
        by_pil = np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.BILINEAR))
        squeezed = Tokens("squeezed").on_host(image)
        # Of tall pictures newer versions of PIL take the columns first.
        assert np.abs(squeezed.astype(int) - by_pil).max() <= (1 if size == (97, 40) else 0)
    image = picture(48, 80)
    squeezed = Tokens("squeezed").on_host(image)
    image[:, 48:] = 255  # right of the top-left square
    assert np.array_equal(Tokens().on_host(image), Tokens().on_host(image[:, :48]))
    assert not np.array_equal(Tokens("squeezed").on_host(image), squeezed)


def test_the_published_crop(oracles_dir):
    """OpenCV's INTER_AREA."""
    with np.load(oracles_dir / "simclr_oracle.npz") as frozen:
        for size in ((300, 400), (233, 150), (100, 128), (64, 64), (96, 97)):
            area = frozen[f"prep/area/{size[0]}x{size[1]}/32"]
            assert np.array_equal(Tokens().on_host(picture(*size)), area)


def test_back_to_pictures():
    numbers = np.arange(1024, dtype=np.int32).reshape(1, -1) % 512
    assert np.array_equal(COLOURED.visible(numbers)[0, 1, 5], to_levels(PALETTE)[37])
    pixels = COLOURED.pixels(jnp.asarray(numbers))
    assert pixels.shape == (1, 32, 32, 3) and np.array_equal(pixels[0, 1, 5], PALETTE[37])
    grid = Tokens()
    assert np.array_equal(grid.on_device(jnp.asarray(grid.visible(numbers))), numbers)
    for tokens in (grid, COLOURED):
        assert tokens.blank.dtype == np.int32
        assert np.abs(tokens.palette[tokens.blank]).max() < 0.3  # grey, or nearly


@pytest.mark.parametrize("tokens", [Tokens(), COLOURED, replace(COLOURED, crop="squeezed")])
def test_the_manifest_keeps_it(tokens):
    again = from_json(json.loads(json.dumps(to_json(tokens))), NETWORKS["igpt_s"].preparations)
    assert again == tokens and hash(again) == hash(tokens) and np.array_equal(again.palette, tokens.palette)
    assert str(tokens).startswith(("top-left square", "squeezed"))


@pytest.mark.parametrize("change", [{"crop": "centre"}, {"side": 0}, {"side": "32"}, {"centres": "?"}, {"centres": 3},
                                    {"centres": "AAAA"}, {"clusters_sha256": None}, {"other": 1}])  # fmt: skip
def test_a_damaged_manifest(change):
    with pytest.raises((TypeError, ValueError)):
        from_json({"kind": "colours", **asdict(COLOURED), **change}, NETWORKS["igpt_s"].preparations)


def test_colours_out_of_range():
    with pytest.raises(InputError, match="colours are not between -1 and 1"):
        Tokens().with_palette(to_levels(colour_grid()).astype(np.float64), "")
