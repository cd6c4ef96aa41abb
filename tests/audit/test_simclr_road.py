"""A network of another family walks the whole road: random weights, a checkpoint without a classifier, two commands."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import experiments.ieat
import experiments.sweep
from bias_jax.errors import InputError
from bias_jax.instruments import Predictions
from bias_jax.networks import NETWORKS, Manifest, params_digest, save_checkpoint
from bias_jax.networks.unit_images import UnitImages
from converters import convert
from tests.converters.conftest import without
from tests.networks.simclr_case import seeded_variables

NAME, SIDE = "simclrv2_r50_1x_sk0", 32


@pytest.fixture(autouse=True)
def small_images(monkeypatch):
    """The network as it is, but of images that take no time."""
    ways = {form: UnitImages(form, SIDE) for form in ("tf2", "tf1", "ieat")}
    monkeypatch.setitem(NETWORKS, NAME, dataclasses.replace(NETWORKS[NAME], preparations=ways))


@pytest.fixture
def checkpoint(tmp_path):
    """Of weights with a projection head and without a classifier."""
    params = convert(NAME, without(seeded_variables("r50_1x_sk0"), "head_supervised"))
    parts = dict(NETWORKS[NAME].variant(params))
    manifest = Manifest(NAME, parts.pop("classes"), "custom", "a test", "-", params_digest(params),
                        UnitImages("ieat", SIDE), None, parts=parts)  # fmt: skip
    save_checkpoint(tmp_path / "weights", params, manifest)
    return tmp_path / "weights"


@pytest.mark.slow
@pytest.mark.parametrize("instruments", ["predictions", "probes,predictions"])
def test_a_sweep_of_random_weights(instruments, tmp_path):
    command = ["--models", NAME, "--per-group", "3", "--layers", "initial_max_pool,block_group2.0,nl_2",
               "--instruments", instruments, "--probes.l2", "1,10", "--probes.draws", "100",
               "--probes.folds", "3", "--predictions.permutations", "99", "--batch-size", "24"]  # fmt: skip
    assert experiments.sweep.main([*command, "--out", str(tmp_path / "run")]) == 0
    assert len(pd.read_parquet(tmp_path / "run/predictions/predictions.parquet")) > 0
    if instruments == "predictions":
        return
    probes = pd.read_parquet(tmp_path / "run/probes/probes.parquet")
    assert list(probes["layer"].unique()) == ["pixels", "initial_max_pool", "block_group2.0", "nl_2"]
    assert set(probes["model"]) == {NAME}


@pytest.mark.slow
def test_association_tests_of_a_checkpoint_without_a_classifier(checkpoint, tmp_path, rng):
    """Pictures of many sizes; raw pixels, and a network without training that has the same layers, stand beside it."""
    for number, name in enumerate(("x", "y", "a", "b")):
        (tmp_path / "stimuli/toy" / name).mkdir(parents=True)
        for i in range(8):
            pixels = rng.integers(0, 255, (40 + i, 50 - i, 3)).astype(np.uint8)
            Image.fromarray(pixels // (1 + number % 2)).save(tmp_path / "stimuli/toy" / name / f"{i}.png")
    command = ["--stimuli", str(tmp_path / "stimuli"), "--models", NAME, "--weights", str(checkpoint)]
    assert experiments.ieat.main([*command, "--out", str(tmp_path / "run")]) == 0
    rows = pd.read_parquet(tmp_path / "run/associations/associations.parquet")
    own = rows[rows["source"] == "network"]["layer"].unique()
    assert list(own) == list(NETWORKS[NAME].layers)
    assert list(rows[rows["source"] == "untrained network"]["layer"].unique()) == list(own)
    assert rows["effect_size"].notna().all() and {"raw pixels", "mean colour"} <= set(rows["source"])
    assert json.loads((tmp_path / "run/run.json").read_text())["identity"]["model"] == NAME


def test_without_a_classifier_nothing_is_predicted(checkpoint):
    from bias_jax.audit.subjects import load_subject

    choice = load_subject(NAME, str(checkpoint), None, None, 0).choice(())
    assert choice.layers[-1] == "nl_2" and not choice.output
    with pytest.raises(InputError, match="no valid classifier"):
        Predictions().choose(choice)
