"""Multi-label heads from images and label files to tables, on drawn faces; numbers beside those of a direct call."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from bias_jax.audit import Choice, Context, Layer, RunConfig, Seen, audit, look, open_stored
from bias_jax.data import Attribute, CalibrationConfig, FolderImages, Table, calibration_faces, read_table
from bias_jax.data.decoding import decode
from bias_jax.data.planted_labels import PlantedConfig, planted_faces, planted_gap
from bias_jax.disparity import ALL, HeadConfig, fit_layer, train_heads
from bias_jax.errors import InputError
from bias_jax.instruments import INSTRUMENTS, Heads
from bias_jax.instruments.heads.account import worst_gaps
from bias_jax.instruments.heads.maps import mean_attention
from bias_jax.instruments.heads.planted import large_sample_gaps
from bias_jax.instruments.heads.preparing import category_truth
from bias_jax.instruments.heads.problem import problem_of
from bias_jax.networks import Manifest, Transform, params_digest, random_params, save_checkpoint
from bias_jax.results import Folder
from bias_jax.results.arrays import read_arrays, write_arrays
from tests.audit.toys import ToySubject

CONTEXT = Context(0, "mean")
QUICK = {"epochs": 3, "learning_rates": (0.01, 0.1), "weight_decays": (0.001,), "draws": 100}
SMALL = Heads(label_attributes=("age", "gender"), folds=3, examples=2, attention=2, occlusion=2, **QUICK)
TWO = RunConfig(layers=("maxpool", "layer1.0"))
ONE = RunConfig(layers=("maxpool",))
TABLES = ("heads", "rates", "spreads", "losses")


def small_faces(per_group=3, size=64):
    return calibration_faces(CalibrationConfig(per_group=per_group, size=size), 0)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A checkpoint of random weights for images of 64 pixels: quick to run."""
    images = np.random.default_rng(0).standard_normal((16, 64, 64, 3)).astype(np.float32)
    params = random_params("resnet50", 0, jax.device_put(images))
    transform = Transform(resize=64, crop=64)
    folder = tmp_path_factory.mktemp("weights") / "checkpoint"
    digest = params_digest(jax.device_get(params))
    save_checkpoint(folder, params, Manifest("resnet50", 1000, "custom", "a test", "-", digest, transform, None))
    return str(folder)


def run(instrument, weights, out, faces=None, config=TWO):
    found = audit("resnet50", [instrument], faces=faces, weights=weights, config=config, out=out)
    assert not found.failures, found.failures
    return found


@pytest.fixture(scope="module")
def finished(weights, tmp_path_factory):
    return run(SMALL, weights, tmp_path_factory.mktemp("finished") / "run", small_faces())


@pytest.mark.slow
def test_tables_are_tidy_and_complete(finished):
    tables = {name: table.to_pandas() for name, table in finished.tables.items()}
    heads = tables["heads"]
    assert len(heads) == 2 * 4 * 2 * 3 and not heads.duplicated(["layer", "loss", "seed", "split"]).any()
    assert heads["test_images"].groupby([heads["layer"], heads["loss"], heads["seed"]]).sum().eq(72).all()
    assert heads["learning_rate_at_edge"].all()  # of two rates both are
    rates = tables["rates"]
    assert not rates.duplicated(["view", "group", "metric", "label", "loss"]).any()
    assert set(rates["view"]) == {"all images", "race", "age", "gender", "race x age x gender"}
    defined = rates[rates["value"].notna() & rates["low"].notna()]
    assert ((defined["low"] <= defined["value"] + 1e-6) & (defined["value"] <= defined["high"] + 1e-6)).mean() > 0.97
    # An age has no other ages in it: recall of another age is undefined there, with no image to judge it on.
    other = rates.query("view == 'age' and group == 'smooth' and metric == 'recall' and label == 'rough'")
    assert other["value"].isna().all() and (other["trials"] == 0).all()
    assert len(tables["losses"].groupby(["loss", "minus_loss"])) == 6
    spreads = tables["spreads"]
    assert (spreads["spread"] >= 0).all() and spreads["p_value"].dropna().between(0.005, 1).all()
    assert "custom from a test" in json.loads((finished.path / "run.json").read_text())["weights"]
    assert finished.stored["heads"].facts["classes"][:3] == ["smooth", "lined", "rough"]
    figures = {p.stem for p in (finished.path / "heads/figures").iterdir()}
    assert {"precision_by_layer", "contact_sheet-losses", "contact_sheet-groups", "attention-race"} <= figures
    assert {"rates-race", "losses-race", "recall-age"} <= figures
    assert figures == set(finished.figure_names()["heads"])


@pytest.mark.slow
def test_matched_decisions_give_about_as_many_labels_as_there_are(finished):
    rates = finished.tables["rates"].to_pandas().query("view == 'all images' and label == '(all labels)'")
    predicted = rates.query("metric == 'predicted_rate'")["value"]  # labels per image; every image has two
    assert predicted.between(1.4, 2.6).all() and predicted.max() - predicted.min() < 0.5


@pytest.mark.slow
def test_illustrations_say_what_they_show(finished):
    """Arrays of sheets and attention; a picture of a sheet is the evaluated image itself, pixel by pixel."""
    stored = finished.stored["heads"]
    sheet, attention = stored.illustrations("sheet-losses"), stored.illustrations("attention-race")
    assert sheet["cams"].shape[:2] == sheet["occlusions"].shape[:2] == (2, 2)
    assert sheet["occlusions"].shape[2:] == (2, 2) and sheet["losses"].tolist() == [
        "pairwise_softmax", "binary_cross_entropy",
    ]  # fmt: skip
    assert all("given by" in caption for caption in sheet["captions"])
    faces = small_faces()
    pixels = np.stack([decode(faces.read_bytes(i)) for i in range(len(faces))])
    assert all((picture == pixels).all(axis=(1, 2, 3)).any() for picture in sheet["pictures"])
    assert attention["groups"].tolist() == list(faces.attributes[0].categories)
    assert (attention["images"] >= 2).all()  # two of every category of every attribute
    shares = attention["attention"].sum(axis=(2, 3))
    assert attention["attention"].shape[:2] == (4, 2) and (shares <= 1 + 1e-6).all() and (shares > 0).all()


@pytest.mark.slow
def test_other_looks_draw_again_and_train_nothing(weights, finished, tmp_path):
    out = tmp_path / "run"
    plain = run(replace(SMALL, examples=0), weights, out, small_faces())
    for table in TABLES:
        name = f"heads/{table}.parquet"
        assert (out / name).read_bytes() == (finished.path / name).read_bytes()
    trained = {p: p.stat().st_mtime_ns for p in (out / "heads/network").iterdir()}
    assert not plain.stored["heads"].illustrated()
    assert not [name for name in plain.figure_names()["heads"] if "sheet" in name or "attention" in name]
    for examples in (2, 1):
        again = run(replace(SMALL, examples=examples, attention=0), weights, out, small_faces())
        assert len(again.stored["heads"].illustrations("sheet-losses")["captions"]) == examples
        assert "contact_sheet-losses" in again.figure_names()["heads"]
        assert {p: p.stat().st_mtime_ns for p in (out / "heads/network").iterdir()} == trained
    cams = again.stored["heads"].illustrations("sheet-losses")["cams"]
    np.testing.assert_array_equal(cams, finished.stored["heads"].illustrations("sheet-losses")["cams"][:1])


@pytest.mark.slow
def test_interrupted_run_continues_to_the_same_bytes(weights, finished, tmp_path, monkeypatch):
    out, plain = tmp_path / "run", replace(SMALL, examples=0)
    save = Folder.save_arrays

    def interrupted(self, name, arrays):
        if name == "network/layer1.0.arrow":
            raise KeyboardInterrupt
        save(self, name, arrays)

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "save_arrays", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(plain, weights, out, small_faces())
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*.arrow")}
    assert before and not (out / "heads/rates.parquet").exists()
    run(plain, weights, out, small_faces())
    for table in TABLES:
        name = f"heads/{table}.parquet"
        assert (out / name).read_bytes() == (finished.path / name).read_bytes()
    assert all(p.stat().st_mtime_ns == t for p, t in before.items())  # nothing done twice


@pytest.mark.slow
def test_the_large_sample_reaches_the_closed_form():
    """Heads that see the latent values of 20,000 faces, against the best classifier's recalls."""
    found = large_sample_gaps(Heads(planted=True, seeds=1, losses=("binary_cross_entropy", "target_softmax")), 0)
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


@pytest.fixture
def few_planted(monkeypatch):
    """The self-test with few and small faces."""
    few = PlantedConfig(training=60, evaluation=40, size=8)
    for module in ("material", "preparing"):
        monkeypatch.setattr(f"bias_jax.instruments.heads.{module}.PlantedConfig", lambda: few)
    return few


def test_self_test_needs_no_faces_and_sets_what_was_planted_beside_what_was_found(few_planted, monkeypatch):
    """On a toy network; the expected gaps are given, so that nothing is trained for them."""
    expected = {"binary_cross_entropy": 0.25, "zlpr": 0.125}
    monkeypatch.setattr("bias_jax.instruments.heads.tables.large_sample_gaps", lambda *_: expected)
    instrument = Heads(planted=True, losses=tuple(expected), seeds=1, **QUICK)
    found = audit(ToySubject(), [instrument], config=RunConfig(layers=("early",)))
    assert not found.failures and found.images == 100
    planted = found.tables["planted"].to_pylist()
    assert {row["loss"]: row["expected_gap"] for row in planted} == expected
    rates = found.tables["rates"].to_pandas().query("label == 'lined' and metric == 'recall' and group == 'cool'")
    gaps = dict(zip(rates["loss"], rates["difference"], strict=True))
    assert found.findings.count("cool minus warm") == 2 and "+25.0 planted" in found.findings
    lines = found.listing.splitlines()
    start = lines.index(next(line for line in lines if line.startswith("recall of lined: cool minus warm")))
    for line, (loss, gap) in zip(lines[start + 1 :], expected.items(), strict=False):
        assert line.split()[:3] == [loss, f"{100 * gap:+.1f}", f"{100 * gaps[loss]:+.1f}"]
    assert "+12.5" in lines[-1]  # the planted difference between the two
    assert found.tables["heads"].to_pandas()["training_images"].eq(48).all()  # a fifth of 60 is for tuning


def test_self_test_lists_what_was_planted_in_losses_but_not_in_fixes(few_planted, monkeypatch):
    expected = {"binary_cross_entropy": 0.25, "zlpr": 0.125}
    monkeypatch.setattr("bias_jax.instruments.heads.tables.large_sample_gaps", lambda *_: expected)
    instrument = Heads(planted=True, losses=tuple(expected), mends=("reweighted", "thresholds"), seeds=1, **QUICK)
    found = audit(ToySubject(), [instrument], config=RunConfig(layers=("early",)))
    lines = found.listing.split("difference between losses in the gap of the palettes")[1].splitlines()
    assert [line.split(" +")[0].strip() for line in lines[1:]] == ["binary_cross_entropy - zlpr"]


def test_self_test_takes_shallow_layers_unless_told_otherwise():
    own = Choice(tuple("abcdef"), by_user=False)
    assert Heads(planted=True).choose(own) == tuple("abcd")
    assert Heads(planted=True).choose(own._replace(by_user=True)) == Heads().choose(own) == tuple("abcdef")


@pytest.fixture(scope="module")
def own_files(tmp_path_factory):
    """Photographs of two sizes with labels in Open Images' layout, and a table of faces to evaluate on."""
    root = tmp_path_factory.mktemp("own")
    faces = small_faces()
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


def own_faces(root: Path):
    kind = Attribute("kind", ("cool", "warm"))
    return read_table([Table.file(root / "faces.csv")], FolderImages(root / "faces"), [kind], name="table")


def own(root: Path, **more):
    return Heads(
        labels=str(root / "labels.csv"), descriptions=str(root / "names.csv"), images=str(root / "images"),
        truth=("cool=Cool", "warm=Wide|Narrow"), always=("Face",), seeds=1, examples=1, attention=1, occlusion=2,
        **QUICK, **more,
    )  # fmt: skip


@pytest.mark.slow
def test_own_labels_and_another_set_for_evaluation(weights, own_files, tmp_path, caplog):
    instrument = own(own_files, unverified="mask", families=("shape=Wide|Narrow",), family_top=1, decision="tuned")
    with caplog.at_level(logging.INFO, "bias_jax"):
        found = run(instrument, weights, tmp_path / "run", own_faces(own_files), ONE)
    assert "1 listed images do not exist, the first 'missing'" in caplog.text
    rates = found.tables["rates"].to_pandas().set_index(["view", "group", "metric", "label", "loss"]).sort_index()
    cool = rates.loc["kind", "cool", "recall", "Cool"]
    assert (cool["trials"] == 12).all() and (rates["data"] == "table").all()
    assert rates.loc["kind", "warm", "recall", "Cool"]["value"].isna().all()
    assert (rates.loc["kind", "warm", "false_positive_rate", "Cool"]["trials"] == 12).all()
    assert ("association", "shape") in {(m, x) for _, _, m, x, _ in rates.index}
    assert "24 images" in found.figure("precision_by_layer").get_suptitle()  # those that are evaluated
    assert "attention-kind" in found.figure_names()["heads"]


def test_damaged_images_of_both_sets_are_left_out_with_their_labels(own_files, tmp_path):
    """Against the files: an image's labels by its name, a face's by its row of the table."""
    for name in ("images", "faces"):
        (tmp_path / name).mkdir()
        for path in (own_files / name).iterdir():
            (tmp_path / name / path.name).write_bytes(path.read_bytes())
    for name in ("labels.csv", "names.csv", "faces.csv"):
        (tmp_path / name).write_text((own_files / name).read_text())
    (tmp_path / "images/4.jpg").write_bytes(b"nothing")
    (tmp_path / "faces/9.png").write_bytes(b"nothing")
    (tmp_path / "images/5.jpg").write_bytes((tmp_path / "faces/12.png").read_bytes())
    (tmp_path / "images/8.jpg").write_bytes((tmp_path / "images/7.jpg").read_bytes())
    instrument, faces = own(tmp_path), own_faces(tmp_path)
    given = instrument.pictures(faces, CONTEXT)
    assert len(given) == 72
    _, (seen,) = look([given], skip_unreadable=True)
    task = instrument.prepare(seen, faces, {"network": (Layer("maxpool", (1, 1, 64)),)}, CONTEXT)
    problem, names = problem_of(task.facts, task.arrays), seen.dataset.image_names
    assert len(names) == 70 and len(problem.rows) == 23
    assert any("1 training image was left out because evaluated" in note for note in task.notes)
    numbers = [int(Path(name).stem) for name in names]
    drawn, cool = small_faces(), problem.classes.index("Cool")
    truth = np.where(drawn.labels["race"][numbers] > 1, 1, -1)
    np.testing.assert_array_equal(problem.labels.toarray()[:, cool], truth)
    kinds = problem.categories["kind"]
    np.testing.assert_array_equal(kinds == 0, truth[problem.rows] == 1)
    split = problem.splits[0]
    assert [name.startswith("evaluated/") for name in names] == np.isin(np.arange(70), split.test).tolist()
    # One training image is evaluated; two are equal and stay together.
    used, (out, one, two) = (
        {*split.training, *split.tuning, *split.test},
        (names.index(f"training/{i}.jpg") for i in (5, 7, 8)),
    )
    assert used == set(range(70)) - {out} and len(split.tuning) in (round(0.2 * 45), round(0.2 * 45) + 1)
    assert (one in split.tuning) == (two in split.tuning)


@pytest.mark.slow
def test_labels_of_the_evaluated_images_themselves(weights, own_files, tmp_path):
    lines = ["image,labels"] + [f"{p.name},{'Even|Face' if int(p.stem) % 2 else 'Face'}"
                                for p in sorted((own_files / "faces").iterdir())]  # fmt: skip
    (tmp_path / "own.csv").write_text("\n".join(lines) + "\n")
    instrument = Heads(
        labels=str(tmp_path / "own.csv"), seeds=1, folds=3, min_images=2, examples=0, decision="fixed", **QUICK
    )
    faces = own_faces(own_files)
    assert instrument.pictures(faces, CONTEXT) is faces
    rates = run(instrument, weights, tmp_path / "run", faces, ONE).tables["rates"].to_pandas()
    rates = rates.query("view == 'all images' and metric == 'label_rate'")
    assert rates.set_index("label")["value"]["Face"].eq(1.0).all()


def seen(faces):
    return Seen(faces, np.arange(len(faces)), "seen")


def test_labels_are_all_attributes_of_the_faces_by_default(tmp_path):
    faces = small_faces(1, 8)
    task = Heads(folds=3).prepare(seen(faces), faces, {"network": (Layer("maxpool", (1, 1, 64)),)}, CONTEXT)
    assert task.facts["classes"] == tuple(c for a in faces.attributes for c in a.categories)
    assert Heads().pictures(faces, CONTEXT) is faces
    assert INSTRUMENTS["heads"] is Heads


def test_a_problem_survives_being_stored(own_files, tmp_path):
    """Labels, splits and groups through JSON and an Arrow file; every image has one role in every split."""
    faces = small_faces(2, 8)
    task = SMALL.prepare(seen(faces), faces, {"network": (Layer("maxpool", (1, 1, 64)),)}, CONTEXT)
    write_arrays(tmp_path / "task.arrow", task.arrays)
    problem = problem_of(json.loads(json.dumps(task.facts)), read_arrays(tmp_path / "task.arrow"))
    wanted = np.concatenate(
        [np.where(faces.labels[a][:, None] == np.arange(n), 1, -1) for a, n in (("age", 3), ("gender", 2))], axis=1
    )
    np.testing.assert_array_equal(problem.labels.toarray(), wanted)
    for split in problem.splits:
        assert sorted([*split.training, *split.tuning, *split.test]) == list(range(len(faces)))
    assert sorted(problem.rows) == list(range(len(faces)))
    for number, split in enumerate(problem.splits):  # the next fold is for tuning
        np.testing.assert_array_equal(split.tuning, problem.splits[(number + 1) % 3].test)
    groups, names = problem.views()["race x age x gender"]
    np.testing.assert_array_equal(groups, faces.group_labels[problem.rows])
    assert names == faces.groups.classes
    np.testing.assert_array_equal(problem.truth("negative"), (wanted[problem.rows] == 1).astype(np.float32))


def test_what_is_stored_are_the_heads_of_a_direct_call(tmp_path):
    """Two layers of one width trained together, whatever is wanted; tables and findings from the folder alone."""
    faces = small_faces(2, 8)
    task = SMALL.prepare(
        seen(faces), faces, {"network": tuple(Layer(name, (1, 1, 6)) for name in "ab")}, Context(5, "mean")
    )
    features = np.random.default_rng(0).standard_normal((2, len(faces), 6)).astype(np.float32)
    layers = [Layer(name, (1, 1, 6)) for name in "ab"]
    given = dict(zip("ab", jax.device_put(list(features)), strict=True))
    ((name, found),) = SMALL.measure(task, layers, given, ["b"], Context(5, "mean"))
    problem = problem_of(task.facts, task.arrays)
    config = HeadConfig(unverified="negative", **{k: v for k, v in QUICK.items() if k != "draws"})
    training = [(split.training, seed) for seed in (10, 11) for split in problem.splits]  # two seeds of run 5
    bank = jax.device_put(features)
    heads = train_heads(bank, problem.labels, training, config)
    wanted = vars(fit_layer(bank, heads, 1, problem.labels, problem.splits, config))
    assert name == "b" and found.keys() == wanted.keys()
    for key, array in wanted.items():
        np.testing.assert_array_equal(found[key], array)


def test_programs_do_not_depend_on_how_results_are_looked_at():
    assert Heads(examples=1, draws=200, decision="fixed").training == Heads().training
    assert Heads(epochs=3).training == HeadConfig(epochs=3, unverified="negative")


MENDS = ("reweighted", "balanced", "thresholds")


@pytest.fixture(scope="module")
def mended(weights, tmp_path_factory):
    """Groups of unequal sizes: every second image of the first race is gone."""
    faces = small_faces()
    keep = np.flatnonzero((faces.labels["race"] > 0) | (np.arange(len(faces)) % 3 == 0))
    instrument = replace(SMALL, examples=0, attention=0, losses=("target_softmax", "binary_cross_entropy"),
                         mends=MENDS, mended_groups="race")  # fmt: skip
    return run(instrument, weights, tmp_path_factory.mktemp("mended") / "run", faces.take(keep))


@pytest.mark.slow
def test_mended_heads_stand_beside_the_losses(mended):
    assert not mended.failures
    rates = mended.tables["rates"].to_pylist()
    names = [f"binary_cross_entropy, {mend}" for mend in MENDS]
    assert list(dict.fromkeys(r["loss"] for r in rates)) == ["target_softmax", "binary_cross_entropy", *names]
    pairs = {(r["loss"], r["minus_loss"]) for r in mended.tables["losses"].to_pylist()}
    assert pairs == {("target_softmax", "binary_cross_entropy"), *((name, "binary_cross_entropy") for name in names)}
    heads = mended.tables["heads"].to_pylist()
    assert {r["learning_rate"] for r in heads if r["loss"] in names} <= set(SMALL.learning_rates)
    own = {r["loss"]: r["test_average_precision"] for r in heads if (r["seed"], r["split"]) == (0, 0)}
    assert own[names[2]] == own["binary_cross_entropy"] != own[names[0]]  # thresholds are for the same heads
    words = [line for line in mended.findings.splitlines() if "minus without" in line]
    assert len(words) == 3 and "with thresholds of each group minus without: recall over all labels" in words[2]


def test_gaps_of_groups_of_few_images_come_last():
    def rate(group, images, difference):
        ends = {"difference_low": difference - 0.01, "difference_high": difference + 0.01}
        return {"metric": "recall", "label": ALL, "view": "race", "group": group, "images": images,
                "difference": difference, **ends}  # fmt: skip

    rows = [rate("two alike", 2, 0.6), rate("many", 50, 0.1), rate("ten", 10, -0.3)]
    assert [row["group"] for row in worst_gaps(rows)] == ["ten", "many", "two alike"]


def test_groups_that_are_not_there_cannot_be_mended():
    faces = small_faces()
    instrument = replace(SMALL, mends=("balanced",), mended_groups="race x height")
    with pytest.raises(InputError, match="mended_groups names 'race x height', which is no attribute"):
        instrument.prepare(seen(faces), faces, {"network": (Layer("maxpool", (1, 1, 64)),)}, CONTEXT)


def test_category_truth_knows_only_what_it_is_told(own_files):
    """Two categories of one attribute exclude each other's labels; an untold category has no known label."""
    instrument, faces = own(own_files), own_faces(own_files)
    known = instrument.pictures(faces, CONTEXT).known
    values = category_truth(instrument, faces, known).toarray()
    by_label = dict(zip(known.classes, values.T, strict=True))
    sign = np.where(faces.labels["kind"] == 0, 1, -1)
    np.testing.assert_array_equal(by_label["Cool"], sign)
    np.testing.assert_array_equal(by_label["Wide"], -sign)
    assert (by_label["Face"] == 1).all()
    one = category_truth(replace(instrument, truth=("cool=Cool",)), faces, known).toarray()
    np.testing.assert_array_equal(dict(zip(known.classes, one.T, strict=True))["Cool"], np.where(sign > 0, 1, 0))


def test_mean_attention_weighs_every_map_alike():
    """A strong and a weak map of one point each, and one of zeros, by hand; fine grids are brought to 14 cells."""
    cams = np.zeros((3, 1, 2, 2))
    cams[0, 0, 0, 0], cams[1, 0, 1, 1] = 100.0, 0.5
    np.testing.assert_allclose(mean_attention(cams), [[[1 / 3, 0], [0, 1 / 3]]], rtol=1e-12)
    fine = mean_attention(np.ones((2, 3, 28, 56)))
    np.testing.assert_allclose(fine, np.full((3, 14, 14), 1 / 196), rtol=1e-12)


BAD_OPTIONS = {
    "losses must be of": {"losses": ("hinge",)},
    "each once": {"losses": ("zlpr", "zlpr")},
    "learning_rates must be": {"learning_rates": ()},
    "weight_decays must be": {"weight_decays": (-1.0,)},
    "folds must be at least 3": {"folds": 2},
    "threshold must lie": {"threshold": 1.0},
    "draws must be at least 100": {"draws": 99},
    "occlusion must be": {"occlusion": 0},
    "momentum must be": {"momentum": 1.0},
    "decision must be of matched": {"decision": "best"},
    "optimiser must be of nesterov, adam": {"optimiser": "sgd"},
    "unverified must be of": {"unverified": "guess"},
    "mends must be of reweighted": {"mends": ("pruned",)},
    "mended_loss must be one of": {"mends": ("balanced",), "mended_loss": "hinge"},
    "do not have": {"mends": ("balanced",), "images": "x", "labels": "y", "always": ("Person",)},
    "is for decision matched and tuned": {"mends": ("thresholds",), "decision": "fixed"},
    "not both": {"labels": "x", "label_attributes": ("age",)},
    "images needs labels": {"images": "x"},
    "images needs truth or always": {"images": "x", "labels": "y"},
    "truth and always are for images": {"labels": "y", "always": ("Person",)},
    "planted brings labels of its own": {"planted": True, "label_attributes": ("age",)},
}


@pytest.mark.parametrize("message", BAD_OPTIONS)
def test_contradictory_options_are_refused(message):
    with pytest.raises(InputError, match=message) as caught:
        Heads(**BAD_OPTIONS[message])
    assert "Way out" in str(caught.value)


BAD = {
    "unknown attribute": ({"label_attributes": ("height",)}, "no attribute 'height'"),
    "unknown layer": ({"label_attributes": ("age",)}, "no layer 'layer9'"),
    "layer without heads": ({"label_attributes": ("age",), "report_layer": "fc"}, "no heads"),
    "unknown label": ({"label_attributes": ("age",), "report_labels": ("tall",)}, "names 'tall'"),
    "too small a pool": ({"label_attributes": ("age",), "decision": "top"}, "does not fit 3 labels"),
    "family": ({"label_attributes": ("age",), "families": ("x=Gun",)}, "no label of the family 'x'"),
    "too few images": ({"label_attributes": ("age",), "folds": 25}, "fewer than the 25 folds"),
    "no label file": ({"labels": "/nowhere.csv"}, "no such file"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_shows_before_anything_is_measured(case, tmp_path):
    options, message = BAD[case]
    config = RunConfig(layers=("layer9" if case == "unknown layer" else "early",))
    with pytest.raises(InputError, match=message) as caught:
        audit(ToySubject(), [Heads(**{"folds": 3, **options})], faces=small_faces(1, 8), config=config,
              out=tmp_path / "run")  # fmt: skip
    assert "Way out" in str(caught.value)
    assert not (tmp_path / "run" / "run.json").exists()


def test_faces_are_needed_and_what_they_are_not_labelled_with_is_refused(own_files):
    with pytest.raises(InputError, match="needs labelled faces"):
        Heads().pictures(None, CONTEXT)
    faces = own_faces(own_files)
    known = own(own_files).pictures(faces, CONTEXT).known
    with pytest.raises(InputError, match="'blue', which is no category"):
        category_truth(replace(own(own_files), truth=("blue=Cool",)), faces, known)
    with pytest.raises(InputError, match="'Person', which is not"):
        category_truth(replace(own(own_files), always=("Person",)), faces, known)


def test_a_network_without_gradients_gets_no_maps_but_everything_else(caplog, tmp_path):
    """A subject that only gives activations; and one loss alone gives no table of differences."""
    instrument = replace(SMALL, losses=("zlpr",), seeds=1)
    with caplog.at_level(logging.INFO, "bias_jax"):
        found = audit(ToySubject(), [instrument], faces=small_faces(2, 8), config=RunConfig(layers=("early", "late")),
                      out=tmp_path / "run")  # fmt: skip
    assert not found.failures and set(found.tables) == {"heads", "rates", "spreads"}
    assert "no maps of toy" in caplog.text and not found.stored["heads"].illustrated()
    again = open_stored(tmp_path / "run/heads")  # without images or network
    assert dict(instrument.tables(again))["rates"][0]["layer"] == found.tables["rates"].to_pylist()[0]["layer"]
    assert [name for name, _ in instrument.figures(again, {k: t.to_pylist() for k, t in found.tables.items()})]
    assert "difference between losses" not in found.listing
    assert found.listing.startswith("recall over all labels, %") and found.findings.startswith("Recall over all labels")
