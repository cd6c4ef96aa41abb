"""Google's evaluation transform in both forms, and that of the published association tests, against frozen rows."""

import dataclasses

import jax
import numpy as np
import pytest

from bias_jax.networks import NETWORKS, split
from bias_jax.networks.preparation import from_json, to_json
from bias_jax.networks.unit_images import FORMS, UnitImages
from tests.networks.test_area import busy_picture

TOLERANCE = 1e-6
SIZES = [(300, 400), (233, 150), (100, 128)]
PREPARATIONS = NETWORKS["simclrv2_r50_1x_sk0"].preparations
on_device = jax.jit(lambda preparation, images: preparation.on_device(images), static_argnums=0)


def both_ways(preparation: UnitImages, picture: np.ndarray) -> list[np.ndarray]:
    """As pictures of one size go, and as those of many."""
    on_host, size, dtype, rest = split(preparation, None)
    brought = on_host(picture)
    assert brought.shape == (*size, 3) and brought.dtype == dtype
    return [np.asarray(on_device(preparation, picture[None]))[0], np.asarray(on_device(rest, brought[None]))[0]]


@pytest.mark.parametrize("form", ["tf1", "tf2"])
@pytest.mark.parametrize("size", SIZES)
def test_frozen_rows_of_tensorflow(form, size, oracles_dir):
    with np.load(oracles_dir / "simclr_oracle.npz") as frozen:
        rows, mean = (frozen[f"prep/{form}/{size[0]}x{size[1]}/{what}"] for what in ("rows", "mean"))
    for found in both_ways(PREPARATIONS[form], busy_picture(*size)):
        assert found.shape == (224, 224, 3) and found.dtype == np.float32
        assert np.abs(found[[0, 1, 111, 223]] - rows).max() < TOLERANCE
        assert np.abs(found.mean(axis=(0, 1)) - np.ravel(mean)).max() < TOLERANCE


def test_the_forms_are_not_the_same(oracles_dir):
    picture = busy_picture(300, 400)
    found = [both_ways(PREPARATIONS[form], picture)[0] for form in FORMS]
    differences = [np.abs(found[i] - found[j]).max() for i, j in ((0, 1), (0, 2), (1, 2))]
    assert min(differences) > 0.1


@pytest.mark.parametrize("size", SIZES)
def test_frozen_rows_of_opencv(size, oracles_dir):
    with np.load(oracles_dir / "simclr_oracle.npz") as frozen:
        rows = frozen[f"prep/area/{size[0]}x{size[1]}/224_rows"]
    for found in both_ways(PREPARATIONS["ieat"], busy_picture(*size)):
        assert np.array_equal(np.rint(found[[0, 1, 111, 222, 223]] * 255), rows)
        assert np.abs(found[[0, 1, 111, 222, 223]] - rows / 255).max() < TOLERANCE


@pytest.mark.parametrize("form", FORMS)
def test_grey_stays_grey_without_mean_and_deviation(form):
    for size in ((224, 224), (37, 500), (3, 2)):
        grey = np.full((*size, 3), 128, np.uint8)
        for found in both_ways(UnitImages(form, 32), grey):
            np.testing.assert_allclose(found, 128 / 255, atol=TOLERANCE)
            assert (UnitImages(form, 32).visible(found[None]) == 128).all()


@pytest.mark.parametrize("form", FORMS)
def test_host_and_device_agree(form, rng):
    for size in ((60, 41), (41, 60), (7, 9), (32, 32)):
        there, here = both_ways(UnitImages(form, 32), rng.integers(0, 256, (*size, 3), dtype=np.uint8))
        np.testing.assert_allclose(there, here, atol=TOLERANCE)
        assert there.min() >= 0 and there.max() <= 1


def test_written_into_manifests_and_read_again():
    assert list(PREPARATIONS) == list(FORMS)
    for preparation in PREPARATIONS.values():
        assert from_json(to_json(preparation), PREPARATIONS) == preparation
    fields = to_json(PREPARATIONS["tf2"])
    for wrong in ({"form": "tf3"}, {"side": 0}, {"side": 2.5}, {"ready": True}, {"form": 3}, {"more": 1},
                  {"kind": "torchvision"}):  # fmt: skip
        with pytest.raises((ValueError, TypeError, KeyError)):
            from_json(fields | wrong, PREPARATIONS)
    assert len({str(p) for p in PREPARATIONS.values()}) == 3
    assert dataclasses.replace(PREPARATIONS["tf2"], side=96).input.shape == (96, 96, 3)
