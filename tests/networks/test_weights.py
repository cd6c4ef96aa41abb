import json

import jax
import numpy as np
import pytest

from bias_jax.errors import InputError
from bias_jax.networks import (
    Manifest,
    Transform,
    abstract_params,
    load_checkpoint,
    params_digest,
    random_params,
    save_checkpoint,
)
from tests.networks.parity import program
from tests.reference import torch_oracle as oracle


def noise(name):
    """Images of the size at which other tests compile this network."""
    return np.random.default_rng(0).standard_normal((2, *oracle.SIZES[name][1], 3)).astype(np.float32)


@pytest.fixture(scope="module")
def params():
    images = noise("resnet50")
    return random_params("resnet50", 5, images), images


@pytest.fixture
def checkpoint(params, tmp_path):
    manifest = Manifest(
        network="resnet50", classes=1000, weights="custom", source="x.pth", source_sha256="0",
        params_sha256=params_digest(params[0]), transform=Transform(256, 224), accuracy=(1.0, 2.0),
    )  # fmt: skip
    save_checkpoint(tmp_path / "checkpoint", params[0], manifest)
    return tmp_path / "checkpoint", manifest


def test_random_weights_are_seeded_and_calibrated(params):
    found, images = params
    again, other = random_params("resnet50", 5, images), random_params("resnet50", 6, images)
    assert params_digest(found) == params_digest(again) != params_digest(other)
    assert jax.tree.map(lambda x: x.shape, found) == jax.tree.map(lambda x: x.shape, abstract_params("resnet50"))
    # Calibrated statistics make the stem's output have mean 0 and variance 1 per channel before the ReLU.
    _, activations = program("resnet50")(found, images)
    stem = np.asarray(activations["relu"])
    half_normal = np.sqrt(1 / (2 * np.pi))
    assert stem.mean() == pytest.approx(half_normal, abs=0.02)
    for value in jax.device_get(activations).values():
        assert np.isfinite(value).all() and 0.001 < np.abs(value).mean() < 100


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg16", "inception_v3"])
def test_random_weights_of_the_other_networks(name):
    images = noise(name)
    found = random_params(name, 0, images)
    assert jax.tree.map(lambda x: x.shape, found) == jax.tree.map(lambda x: x.shape, abstract_params(name))
    _, activations = program(name)(found, images)
    for value in jax.device_get(activations).values():
        assert np.isfinite(value).all() and 0.001 < np.abs(value).mean() < 100


def test_checkpoint_round_trip(checkpoint, params):
    path, manifest = checkpoint
    loaded, found = load_checkpoint(path)
    assert found == manifest
    assert params_digest(loaded) == params_digest(params[0])


def test_damaged_checkpoints_are_refused(checkpoint, tmp_path):
    path, _ = checkpoint
    with pytest.raises(InputError, match="absent: no such folder"):
        load_checkpoint(tmp_path / "absent")
    for absent in (tmp_path, path / "manifest.json", tmp_path / ("x" * 300)):
        with pytest.raises(InputError, match=r"is not a checkpoint \(.*manifest\.json"):
            load_checkpoint(absent)
    fields = json.loads((path / "manifest.json").read_text())
    for spoiled, message in (({**fields, "params_sha256": "1"}, "differ from those"),
                             ({**fields, "network": "alexnet"}, "unknown network 'alexnet'"),
                             ({**fields, "classes": 10}, "damaged parameters"),
                             ({"network": "resnet50"}, "damaged manifest")):  # fmt: skip
        (path / "manifest.json").write_text(json.dumps(spoiled))
        with pytest.raises(InputError, match=message):
            load_checkpoint(path)
    (path / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="damaged manifest"):
        load_checkpoint(path)


def test_existing_directory_is_not_overwritten(checkpoint, params):
    path, manifest = checkpoint
    with pytest.raises(InputError, match="not empty"):
        save_checkpoint(path, params[0], manifest)
