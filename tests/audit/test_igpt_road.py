"""iGPT walks the whole road: random weights, a checkpoint with the published tests' norm, commands."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import experiments.ieat
import experiments.sweep
from bias_jax.audit import load_subject
from bias_jax.errors import InputError
from bias_jax.instruments import Predictions
from bias_jax.networks import Manifest, network, params_digest, save_checkpoint
from converters import convert
from tests.audit.toys import faces, pictures
from tests.networks.igpt_case import TINY, registered, seeded_weights

NAME = "igpt_tiny"
LAYERS = ["h.0", "h.1", "h.1.ieat", "h.2", "h.3", "ln_f"]


@pytest.fixture(autouse=True, scope="module")
def tiny():
    with registered(NAME, TINY):
        yield


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """With the norm of the published association tests, and colours of its own."""
    params = convert(NAME, seeded_weights(TINY), options={"norm": "variance"})
    palette = np.random.default_rng(0).uniform(-1, 1, (512, 3)).astype(np.float32)
    transform = network(NAME).preparation.with_palette(palette, "-")
    parts = dict(network(NAME).variant(params))
    manifest = Manifest(NAME, parts.pop("classes"), "custom", "a test", "-", params_digest(params), transform, None,
                        parts=parts)  # fmt: skip
    folder = tmp_path_factory.mktemp("weights") / "variance"
    save_checkpoint(folder, params, manifest)
    return folder


def test_a_sweep_of_random_weights(tmp_path):
    command = ["--models", NAME, "--per-group", "3", "--instruments", "variance", "--batch-size", "24",
               "--layers", "h.1.ieat,ln_f"]  # fmt: skip
    assert experiments.sweep.main([*command, "--out", str(tmp_path / "run"), "--cache", "off"]) == 0
    rows = pd.read_parquet(tmp_path / "run/variance/variance.parquet")
    assert list(rows["layer"].unique()) == ["pixels", "h.1.ieat", "ln_f"]
    assert set(rows["model"]) == {NAME}


def test_association_tests(checkpoint, tmp_path, rng):
    """The published layer and the logits, on pictures of many sizes; the untrained control has the same norm."""
    for number, name in enumerate(("x", "y", "a", "b")):
        (tmp_path / "stimuli/toy" / name).mkdir(parents=True)
        for i in range(8):
            pixels = rng.integers(0, 255, (40 + i, 50 - i, 3)).astype(np.uint8)
            Image.fromarray(pixels // (1 + number % 2)).save(tmp_path / "stimuli/toy" / name / f"{i}.png")
    command = ["--stimuli", str(tmp_path / "stimuli"), "--models", NAME, "--weights", str(checkpoint), "--layers",
               "h.1.ieat,logits", "--out", str(tmp_path / "run"), "--cache", "off"]  # fmt: skip
    assert experiments.ieat.main(command) == 0
    rows = pd.read_parquet(tmp_path / "run/associations/associations.parquet")
    for source in ("network", "untrained network"):
        assert list(rows[rows["source"] == source]["layer"].unique()) == ["h.1.ieat", "logits"]
    assert rows["effect_size"].notna().all() and {"raw pixels", "mean colour"} <= set(rows["source"])
    assert json.loads((tmp_path / "run/run.json").read_text())["identity"]["model"] == NAME


def test_the_untrained_control_is_like_the_trained_network(checkpoint, faces_of_noise):
    trained = load_subject(NAME, str(checkpoint), faces_of_noise, None, 0)
    control = load_subject(NAME, "random", faces_of_noise, None, 0, trained)
    assert control.transform == trained.transform and list(control.shapes) == list(trained.shapes)
    assert network(NAME).variant(control.params)["variance"] == 1
    assert network(NAME).variant(load_subject(NAME, "random", faces_of_noise, None, 0).params)["variance"] == 0
    assert not trained.choice(()).output and trained.choice(()).layers == tuple(LAYERS)
    with pytest.raises(InputError, match="no valid classifier"):
        Predictions().choose(trained.choice(()))


@pytest.fixture(scope="module")
def faces_of_noise():
    return faces(pictures(8, size=20))
