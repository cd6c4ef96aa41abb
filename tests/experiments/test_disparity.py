"""Multi-label heads from images and label files to tables, on drawn faces."""

import json

import jax
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bias_jax.data import CalibrationConfig, calibration_faces
from bias_jax.data.decoding import decode
from bias_jax.data.planted_labels import PlantedConfig, planted_faces, planted_gap
from bias_jax.networks import Manifest, Transform, params_digest, random_params, save_checkpoint
from bias_jax.results import RunDirectory
from experiments.disparity import main
from experiments.disparity_config import DisparityConfig
from experiments.disparity_planted import large_sample_gaps
from experiments.sweep import main as sweep

pytestmark = pytest.mark.slow

TRAINING = ["--epochs", "3", "--learning-rates", "0.01,0.1", "--weight-decays", "0.001", "--draws", "100"]
SMALL = [
    "--data", "calibration", "--label-attributes", "age,gender", "--per-group", "3", "--folds", "3",
    "--layers", "maxpool,layer1.0", *TRAINING, "--examples", "2", "--attention", "2", "--occlusion", "2",
]  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A checkpoint of random weights for images of 64 pixels: quick to run."""
    images = np.random.default_rng(0).standard_normal((16, 64, 64, 3)).astype(np.float32)
    params = random_params("resnet50", 0, jax.device_put(images))
    transform = Transform(resize=64, crop=64)
    folder = tmp_path_factory.mktemp("weights") / "checkpoint"
    digest = params_digest(jax.device_get(params))
    save_checkpoint(folder, params, Manifest("resnet50", 1000, "custom", "a test", "-", digest, transform, None))
    return ["--weights", str(folder)]


@pytest.fixture(scope="module")
def finished(weights, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "run"
    assert main([*SMALL, *weights, "--out", str(out)]) == 0
    return out


def test_tables_are_tidy_and_complete(finished):
    heads = pd.read_parquet(finished / "heads.parquet")
    assert len(heads) == 2 * 4 * 2 * 3 and not heads.duplicated(["layer", "loss", "seed", "split"]).any()
    assert heads["test_images"].groupby([heads["layer"], heads["loss"], heads["seed"]]).sum().eq(72).all()
    assert heads["learning_rate_at_edge"].all()  # of two rates both are
    rates = pd.read_parquet(finished / "rates.parquet")
    assert not rates.duplicated(["view", "group", "metric", "label", "loss"]).any()
    assert set(rates["view"]) == {"all images", "race", "age", "gender", "race x age x gender"}
    defined = rates[rates["value"].notna() & rates["low"].notna()]
    assert ((defined["low"] <= defined["value"] + 1e-6) & (defined["value"] <= defined["high"] + 1e-6)).mean() > 0.97
    # An age has no other ages in it: recall of another age is undefined there, with no image to judge it on.
    other = rates.query("view == 'age' and group == 'smooth' and metric == 'recall' and label == 'rough'")
    assert other["value"].isna().all() and (other["trials"] == 0).all()
    losses = pd.read_parquet(finished / "losses.parquet")
    assert len(losses.groupby(["loss", "minus_loss"])) == 6
    spreads = pd.read_parquet(finished / "spreads.parquet")
    assert (spreads["spread"] >= 0).all() and spreads["p_value"].dropna().between(0.005, 1).all()
    record = json.loads((finished / "run.json").read_text())
    assert "custom from a test" in record["weights"] and record["labels"][:3] == ["smooth", "lined", "rough"]
    figures = {p.stem for p in (finished / "figures").iterdir()}
    assert {"precision_by_layer", "contact_sheet-losses", "contact_sheet-groups", "attention-race"} <= figures
    assert {"rates-race", "losses-race", "recall-age"} <= figures


def test_matched_decisions_give_about_as_many_labels_as_there_are(finished):
    rates = pd.read_parquet(finished / "rates.parquet").query("view == 'all images' and label == '(all labels)'")
    predicted = rates.query("metric == 'predicted_rate'")["value"]  # labels per image; every image has two
    assert predicted.between(1.4, 2.6).all() and predicted.max() - predicted.min() < 0.5


def test_interrupted_run_continues_to_the_same_bytes(weights, finished, tmp_path, monkeypatch):
    out = tmp_path / "run"
    arguments = [*SMALL, *weights, "--examples", "0", "--out", str(out)]
    save = RunDirectory.save_arrays

    def interrupted(self, name, arrays):
        if name == "heads/layer1.0.npz":
            raise KeyboardInterrupt
        save(self, name, arrays)

    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "save_arrays", interrupted)
        assert main(arguments) == 130
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*.npz")}
    assert before and not (out / "rates.parquet").exists()
    assert main(arguments) == 0
    for table in ("heads", "rates", "spreads", "losses"):
        assert (out / f"{table}.parquet").read_bytes() == (finished / f"{table}.parquet").read_bytes()
    assert all(p.stat().st_mtime_ns == t for p, t in before.items())  # nothing done twice


def test_the_large_sample_reaches_the_closed_form():
    """Heads that see the latent values of 20,000 faces, against the best classifier's recalls."""
    found = large_sample_gaps(DisparityConfig(seeds=1, losses=("binary_cross_entropy", "target_softmax")))
    assert found["binary_cross_entropy"] == pytest.approx(planted_gap(PlantedConfig()), abs=0.02)
    assert found["target_softmax"] > found["binary_cross_entropy"] + 0.04


def test_planted_faces_are_what_they_say():
    dataset, labels = planted_faces(PlantedConfig(training=400, evaluation=400, size=8), 0)
    present = labels.values.toarray() == 1
    cool = dataset.labels["palette"] == 1
    lined = present[:, labels.classes.index("lined")]
    rates = [lined[part & group].mean() for part in (np.arange(800) < 400, np.arange(800) >= 400)
             for group in (cool, ~cool)]  # fmt: skip
    np.testing.assert_allclose(rates, [0.8, 0.2, 0.5, 0.5], atol=0.09)
    assert (present.sum(axis=1) == 2).all() and decode(dataset.read_bytes(0)).shape == (8, 8, 3)


@pytest.fixture(scope="module")
def own_files(tmp_path_factory):
    """Photographs of two sizes with labels in Open Images' layout, and a table of faces to evaluate on."""
    root = tmp_path_factory.mktemp("own")
    faces = calibration_faces(CalibrationConfig(per_group=3, size=64), 0)
    (root / "images").mkdir()
    (root / "faces").mkdir()
    rows, table = ["ImageID,Source,LabelName,Confidence"], ["file,kind"]
    for i in range(len(faces)):
        picture = Image.fromarray(decode(faces.read_bytes(i)))
        cool, wide = faces.labels["race"][i] > 1, faces.labels["gender"][i]
        if i % 3:
            picture.resize((60 + i % 2, 64)).save(root / "images" / f"{i}.jpg")
            rows += [f"{i},verification,/m/face,1", f"{i},verification,/m/cool,{int(cool)}"]
            rows += [f"{i},verification,/m/{'wide' if wide else 'narrow'},1"]
        else:
            picture.save(root / "faces" / f"{i}.png")
            table.append(f"{i}.png,{'cool' if cool else 'warm'}")
    rows += ["missing,verification,/m/cool,1", "5,machine,/m/narrow,0.2"]
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    (root / "names.csv").write_text("/m/cool,Cool\n/m/face,Face\n/m/wide,Wide\n/m/narrow,Narrow\n")
    (root / "faces.csv").write_text("\n".join(table) + "\n")
    return root


def own(root, *more):
    return [
        "--labels", str(root / "labels.csv"), "--descriptions", str(root / "names.csv"),
        "--images", str(root / "images"), "--data", "table", "--table", str(root / "faces.csv"),
        "--data-dir", str(root / "faces"), "--attributes", "kind", "--truth", "cool=Cool,warm=Wide|Narrow",
        "--always", "Face", "--layers", "maxpool", *TRAINING, "--seeds", "1", "--examples", "1", "--attention", "1",
        "--occlusion", "2", *more,
    ]  # fmt: skip


def test_own_labels_and_another_set_for_evaluation(weights, own_files, tmp_path, capsys):
    out = tmp_path / "run"
    families = ["--families", "shape=Wide|Narrow", "--family-top", "1"]
    assert (
        main(own(own_files, *weights, "--unverified", "mask", *families, "--decision", "tuned", "--out", str(out))) == 0
    )
    assert "1 listed images do not exist, the first 'missing'" in capsys.readouterr().out
    rates = pd.read_parquet(out / "rates.parquet").set_index(["view", "group", "metric", "label", "loss"]).sort_index()
    cool = rates.loc["kind", "cool", "recall", "Cool"]
    assert (cool["trials"] == 12).all()
    assert rates.loc["kind", "warm", "recall", "Cool"]["value"].isna().all()
    assert (rates.loc["kind", "warm", "false_positive_rate", "Cool"]["trials"] == 12).all()
    assert ("association", "shape") in {(m, x) for _, _, m, x, _ in rates.index}


def test_labels_of_the_evaluated_images_themselves(weights, own_files, tmp_path):
    lines = ["image,labels"] + [f"{p.name},{'Even|Face' if int(p.stem) % 2 else 'Face'}"
                                for p in sorted((own_files / "faces").iterdir())]  # fmt: skip
    (tmp_path / "own.csv").write_text("\n".join(lines) + "\n")
    arguments = ["--data", "table", "--table", str(own_files / "faces.csv"), "--data-dir", str(own_files / "faces"),
                 "--attributes", "kind", "--labels", str(tmp_path / "own.csv"), "--layers", "maxpool", *TRAINING,
                 "--seeds", "1", "--folds", "3", "--min-images", "2", "--examples", "0", "--decision", "fixed",
                 ]  # fmt: skip
    assert main([*arguments, *weights, "--out", str(tmp_path / "run")]) == 0
    rates = pd.read_parquet(tmp_path / "run" / "rates.parquet").query("view == 'all images' and metric == 'label_rate'")
    assert rates.set_index("label")["value"]["Face"].eq(1.0).all()


BAD = {
    "unknown loss": (["--losses", "hinge"], "--losses must be of"),
    "no rates": (["--learning-rates", ""], "--learning-rates must be"),
    "unknown attribute": (["--label-attributes", "height"], "no attribute 'height'"),
    "unknown layer": (["--label-attributes", "age", "--layers", "layer9"], "no layer 'layer9'"),
    "layer without heads": (["--label-attributes", "age", "--layers", "maxpool", "--report-layer", "fc"], "no heads"),
    "unknown label": (["--label-attributes", "age", "--report-labels", "tall"], "names 'tall'"),
    "too small a pool": (["--label-attributes", "age", "--decision", "top"], "does not fit 3 labels"),
    "family": (["--label-attributes", "age", "--families", "x=Gun"], "no label of the family 'x'"),
    "two kinds of labels": (["--labels", "x", "--label-attributes", "age"], "not both"),
    "images without labels": (["--images", "x"], "--images needs --labels"),
    "no label file": (["--data", "calibration", "--labels", "/nowhere.csv"], "no such file"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_with_status_2_and_one_message(case, weights, tmp_path, capsys):
    arguments, message = BAD[case]
    assert main([*arguments, *weights, "--per-group", "1", "--folds", "3", "--out", str(tmp_path / "run")]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ") and message in last and "Way out" in last
    assert not (tmp_path / "run").exists()


def test_a_stage_of_the_sweep(weights, tmp_path, capsys, monkeypatch):
    """The other stages have tests of their own and are left out here."""
    monkeypatch.setattr("experiments.sweep.analyse_layers", lambda *_: None)
    monkeypatch.setattr("experiments.sweep.summarise", lambda *_: None)
    options = ["--per-group", "3", "--layers", "maxpool", "--draws", "100", "--folds", "3", *weights]
    assert sweep([*options, "--disparity", "--out", str(tmp_path / "run")]) == 0
    assert "multi-label heads" in capsys.readouterr().out.splitlines()[-2]
    heads = pd.read_parquet(tmp_path / "run" / "disparity" / "heads.parquet")
    assert set(heads["layer"]) == {"maxpool"} and set(heads["split"]) == {0, 1, 2}
