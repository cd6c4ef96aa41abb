"""The command that completes pictures, and hands them on to a second network."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from safetensors.numpy import save_file

from bias_jax.networks import NETWORKS
from bias_jax.networks.igpt import Size
from converters.checkpoint import convert_file, open_weights
from experiments.completions import main
from tests.networks.igpt_case import openai_shapes, registered
from tests.small import SMALL

SIZE = Size(blocks=2, width=16, heads=2, side=8)


@pytest.fixture(autouse=True, scope="module")
def network():
    with registered("igpt_tiny", SIZE):
        yield


@pytest.fixture
def portraits(tmp_path):
    folder = tmp_path / "portraits"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("b.png", "a.png"):
        Image.fromarray(rng.integers(0, 255, (20, 30, 3)).astype(np.uint8)).save(folder / name)
    return folder


def test_a_folder_of_pictures(portraits, tmp_path, capsys):
    out = tmp_path / "out"
    given = ["--images", str(portraits), "--models", "igpt_tiny", "--count", "2", "--out", str(out), "--cache", "off"]
    assert main(given) == 0
    said = capsys.readouterr().out
    assert "igpt_tiny, random weights, seed 0: untrained control: 2 completions of 2 pictures" in said
    assert "2 pictures x 2 completions, 2 pictures at a time" in said
    rows = pq.read_table(out / "completions.parquet").to_pylist()
    assert [row["image"] for row in rows] == ["a.png", "a.png", "b.png", "b.png"]
    assert json.loads((out / "run.json").read_text())["identity"]["drawing"]["count"] == 2
    assert main([*given, "--temperature", "0.5"]) == 2
    assert "holds another run" in capsys.readouterr().err


def test_bad_input(portraits, tmp_path, capsys):
    def refused(said, *arguments):
        assert main([*arguments, "--cache", "off", "--out", str(tmp_path / "x")]) == 2
        assert said in capsys.readouterr().err
        assert not (tmp_path / "x/run.json").exists()

    refused("--audit compares groups", "--images", str(portraits), "--audit", "resnet50")
    refused("resnet50 draws no pictures", "--images", str(portraits), "--models", "resnet50")
    refused("is not a folder", "--images", str(tmp_path / "absent"))
    refused("leaves nothing to be drawn", "--images", str(portraits), "--models", "igpt_tiny", "--keep", "8")


@pytest.mark.slow
def test_an_audit_of_completions(tmp_path, monkeypatch, capsys):
    """By a trained network, so that there is an untrained one beside it."""
    monkeypatch.setitem(NETWORKS, "small", SMALL)
    rng = np.random.default_rng(1)
    arrays = {name.replace("/", "."): 0.1 * rng.standard_normal(shape).astype(np.float32)
              for name, shape in openai_shapes(SIZE).items()}  # fmt: skip
    save_file(arrays, tmp_path / "model.safetensors")
    np.save(tmp_path / "kmeans_centers.npy", rng.uniform(-1, 1, (512, 3)).astype(np.float32))
    convert_file(open_weights("igpt_tiny", tmp_path / "model.safetensors", None), tmp_path / "weights")
    out = tmp_path / "out"
    given = ["--models", "igpt_tiny", "--weights", str(tmp_path / "weights"), "--per-group", "1", "--count", "2",
             "--audit", "small", "--predictions.min-images", "1", "--predictions.permutations", "99",
             "--out", str(out), "--cache", "off"]  # fmt: skip
    assert main(given) == 0
    said = capsys.readouterr().out
    rows = pq.read_table(out / "predictions.parquet").to_pylist()
    sets = {row["pictures"] for row in rows}
    assert sets == {"originals", "completions", "completions of the untrained network"}
    for what in sets:
        assert f"small on {what}" in said
    groups = {row["group"] for row in rows if row["view"] == "race"}
    for row in rows:
        assert 0 <= row["low"] <= row["value"] <= row["high"] <= 1
        if row["pictures"] != "originals" and row["view"] == "race":
            assert row["persons"] < row["images"] == 2 * row["persons"]
    assert len(groups) > 1 and "what is true of anybody" in said
    manifest = json.loads((out / "untrained/run.json").read_text())
    trained = json.loads((out / "run.json").read_text())
    assert manifest["identity"]["preparation"] == trained["identity"]["preparation"]
    before = (out / "predictions.parquet").read_bytes()
    assert main(given) == 0
    assert (out / "predictions.parquet").read_bytes() == before
