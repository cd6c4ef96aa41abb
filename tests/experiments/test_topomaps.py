"""Topographic maps from drawn faces to tables and figures, interrupted, split by errors, and on bad input."""

import json

import jax
import numpy as np
import pandas as pd
import pytest

import experiments.topomaps
from bias_jax.activations import LayerPlan, extract_bank, plan_memory
from bias_jax.data import CalibrationConfig, calibration_faces
from bias_jax.data.decoding import decode
from bias_jax.errors import InputError
from bias_jax.results import RunDirectory
from bias_jax.topomaps import contrast, force_layout, group_profiles, stream_means
from experiments.benchmark import main as benchmark
from experiments.benchmarks.topomaps import numpy_force
from experiments.topomap_stages import Grouping
from experiments.topomaps import main
from experiments.topomaps_config import TopomapsConfig

pytestmark = pytest.mark.slow

SMALL = ["--per-group", "2", "--layers", "maxpool", "--permutations", "19", "--som-epochs", "5"]


@pytest.fixture(scope="module", autouse=True)
def one_network():
    """All tests see the same faces, so random weights are drawn and calibrated once."""
    load, loaded = experiments.topomaps.load_subject, []

    def once(*arguments):
        if not loaded:
            loaded.append(load(*arguments))
        return loaded[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiments.topomaps, "load_subject", once)
        yield


@pytest.fixture(scope="module")
def faces():
    return calibration_faces(CalibrationConfig(per_group=2), 0)


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    out = tmp_path_factory.mktemp("compared") / "run"
    assert main([*SMALL, "--compare", "--layouts", "random,som,pca", "--out", str(out)]) == 0
    return out


def test_comparison_is_tidy_and_random_is_worst(compared):
    table = pd.read_parquet(compared / "layouts.parquet")
    assert not table.duplicated(["layer", "layout", "force"]).any()
    assert len(table) == 3 * 3 and (table["units"] == 64).all()
    plain = table[table["force"] == "none"].set_index("layout")
    for measure in ("trustworthiness_10", "continuity_10", "distance_correlation", "morans_i"):
        assert plain[measure].idxmin() == "random", measure
    assert plain["disparity_of_seeds"].idxmax() == "random" and plain.loc["random", "disparity_of_seeds"] > 0.8
    assert {p.name for p in (compared / "figures").iterdir()} == {"layouts_by_layer.png"}


def test_streamed_means_are_those_of_a_bank(faces):
    """To 1e-5, also when every position is kept; 48 images are no multiple of the batch."""
    subject = experiments.topomaps.load_subject("resnet50", "random", faces, (224, 224), 0)
    size = decode(faces.read_bytes(0)).shape[:2]
    given = (faces, size, subject.model, subject.params, subject.transform)
    found = {}
    for rule in ("mean", "none"):
        plan = plan_memory("resnet50", subject.params, images=1, layers=("maxpool",), rule=rule)
        labels = {"maxpool": faces.group_labels}
        found[rule] = stream_means(*given, plan.layers, labels, faces.groups.size, rule=rule)["maxpool"]
    profiles = jax.device_get(contrast(found["mean"]))
    bank = extract_bank(*given, plan_memory("resnet50", subject.params, images=48, layers=("maxpool",)).waves[0])
    expected = group_profiles(bank["maxpool"], faces.group_labels, faces.groups.size)
    np.testing.assert_allclose(profiles, expected, atol=1e-5)
    spatial = jax.device_get(contrast(found["none"])).reshape(24, 56 * 56, 64)
    np.testing.assert_allclose(spatial.mean(axis=1), expected, atol=1e-5)


def test_interrupted_run_continues_to_the_same_bytes(compared, tmp_path, monkeypatch):
    arguments = [*SMALL, "--compare", "--layouts", "random,som,pca", "--out", str(tmp_path / "run")]
    save = RunDirectory.save_arrays

    def interrupted(self, name, arrays):
        if name == "layers/maxpool.som.npz":
            raise KeyboardInterrupt
        save(self, name, arrays)

    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "save_arrays", interrupted)
        assert main(arguments) == 130
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.npz")}
    assert before and not (tmp_path / "run/layouts.parquet").exists()
    assert main(arguments) == 0
    assert (tmp_path / "run/layouts.parquet").read_bytes() == (compared / "layouts.parquet").read_bytes()
    assert all(p.stat().st_mtime_ns == t for p, t in before.items())  # nothing done twice


def test_maps_are_drawn_and_redrawn_with_other_looks(tmp_path, capsys):
    arguments = [*SMALL, "--forces", "none,short", "--seeds", "1", "--out", str(tmp_path)]
    assert main(arguments) == 0
    figures = {p.name: p.read_bytes() for p in (tmp_path / "figures").iterdir()}
    assert set(figures) == {"topomap-maxpool-som.png", "topomap-maxpool-som-short.png"}
    assert main([*arguments, "--order", "dendrogram", "--round", "--align"]) == 0
    assert all((tmp_path / "figures" / name).read_bytes() != old for name, old in figures.items())
    assert "som short" in capsys.readouterr().out


def grouping(faces, **options) -> Grouping:
    return Grouping(TopomapsConfig(**options), faces, (LayerPlan("maxpool", (1, 1, 64), 0),), "digest")


def test_contrast_of_chosen_groups(faces):
    race, _, gender = (a.categories for a in faces.attributes)
    found = grouping(faces, contrast=(f"{race[0]} / {gender[0]}", f"{race[2]} / {gender[1]}")).chosen
    names = [faces.groups.classes[g].split(" / ") for g in found]
    assert len(found) == 6 and {(n[0], n[2]) for n in names} == {(race[0], gender[0]), (race[2], gender[1])}


@pytest.mark.parametrize("errors", ["correct", "confusion"])
def test_groups_by_label_and_prediction(errors, faces, tmp_path):
    """Invented predictions of a probe, a tenth of them wrong."""
    (tmp_path / "layers").mkdir()
    (tmp_path / "run.json").write_text(json.dumps({"identity": {"data_sha256": "digest"}}))
    number = [t.name for t in faces.targets].index("gender")
    truth = np.zeros((1, len(faces.targets), len(faces)), np.int32)
    truth[0, number] = faces.labels["gender"]
    wrong = np.arange(len(faces)) % 10 == 0
    np.savez(tmp_path / "layers/maxpool.probes.npz", truth=truth, predicted=np.where(wrong, 1 - truth, truth))
    found = grouping(faces, errors=errors, predictions=str(tmp_path), target="gender")
    label, prediction = found.target.decode(found.labels["maxpool"]).values()
    np.testing.assert_array_equal(label, faces.labels["gender"])
    assert (prediction == (~wrong if errors == "correct" else np.where(wrong, 1 - label, label))).all()
    (tmp_path / "run.json").write_text(json.dumps({"identity": {"data_sha256": "another"}}))
    with pytest.raises(InputError, match="made with other images"):
        grouping(faces, errors=errors, predictions=str(tmp_path), target="gender")


BAD = {
    "unknown layout": (["--layouts", "swarm"], "--layouts must be of"),
    "unknown force": (["--forces", "strong"], "--forces must be of"),
    "errors without predictions": (["--errors", "correct"], "belong together"),
    "predictions that are none": (["--errors", "correct", "--predictions", "/nowhere"], "holds no predictions"),
    "unknown target": (["--errors", "correct", "--predictions", "/nowhere", "--target", "age x"], "no probe predicts"),
    "unknown group": (["--contrast", "Martian"], "is no category"),
    "no seeds": (["--seeds", "0"], "--seeds must be positive"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_with_status_2_and_one_message(case, tmp_path, capsys):
    arguments, message = BAD[case]
    assert main([*SMALL, *arguments, "--out", str(tmp_path / "run")]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ") and message in last and "Way out" in last


def test_benchmark_prints_both_comparisons(capsys, compared):
    pytest.importorskip("minisom")
    small = ["--units", "50", "--force-steps", "10", "--numpy-steps", "2", "--repeats", "1", "--minisom-steps", "1"]
    assert benchmark(["topomaps", "--data-dir", str(compared), *small]) == 0
    text = capsys.readouterr().out
    assert "MiniSom, online" in text and "MiniSom, batch" in text and "force layout, 50 units" in text
    assert benchmark(["topomaps", "--data-dir", "/nowhere"]) == 2


def test_both_force_layouts_of_the_benchmark_are_the_same(rng):
    start = rng.uniform(size=(40, 2))
    start = (start - start.min(0)) / np.ptp(start, axis=0)
    np.testing.assert_allclose(force_layout(start, steps=50), numpy_force(start, 50, 50), atol=1e-3)
