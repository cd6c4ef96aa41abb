"""Erased layers sent on through the network: what is used is missed, what is only held is not."""

import json
from dataclasses import replace
from typing import NamedTuple

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure

from bias_jax.audit import OUTPUT, FlaxSubject, Layer, RunConfig, Stored, audit, load_subject, open_stored, own_network
from bias_jax.audit.images import look
from bias_jax.audit.stored import INTERVENTIONS, TASK, layer_file
from bias_jax.data.decoding import decode
from bias_jax.errors import InputError
from bias_jax.instruments import Erasure
from bias_jax.instruments.erasure.answer_account import NOT_ASKED, answer_excerpts, answer_findings
from bias_jax.instruments.erasure.answer_figures import answer_figures
from bias_jax.instruments.erasure.answer_tables import answer_tables
from bias_jax.instruments.erasure.answering import change_answers, changes_of, plain_answers
from bias_jax.instruments.erasure.asking import ANSWERED
from bias_jax.instruments.erasure.conditions import conditions_of
from bias_jax.instruments.erasure.measuring import FIT, HALF, fitted_erasers
from bias_jax.networks import NETWORKS, Transform, forward, image_classifier
from bias_jax.results import Folder
from tests.conftest import toy_dataset
from tests.instruments.test_persons import CONTEXT, people, seen
from tests.instruments.test_sensitivity import Reader, shaded

SMALL = {"erased": ("first", "second"), "l2": (0.1,), "folds": 3, "draws": 100, "neighbours": 3,
         "families": ("bright=class 0|class 2",)}  # fmt: skip
TRANSFORM, CLASSES = Transform(16, 16), 3


def drawn(path, shape, rng):
    """Of three classes, one is said where the first square is bright, one where it is dark, and one hardly ever."""
    bright = np.array([6.0, -6.0, 0.0], np.float32)
    return bright[None] if path[-1] == "kernel" else np.float32([-2.8, 2.8, -1.0])


@pytest.fixture(scope="module", autouse=True)
def reader():
    layers = image_classifier(Reader, last=("fc",), preparation=TRANSFORM, layers=("squares", "again"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "reader", replace(layers, usual={"classes": CLASSES}, draw=drawn))
        yield


class Asked(NamedTuple):
    """What the network answered, and everything that it was asked with."""

    stored: Stored
    tables: dict
    subject: FlaxSubject
    prepared: jax.Array
    features: np.ndarray
    fitted: dict  # condition -> eraser
    labels: np.ndarray


@pytest.fixture(scope="module")
def asked(reader, tmp_path_factory):
    """Asked directly, without a run and its probes."""
    faces, folder = shaded(((40, 40), (40, 40))), tmp_path_factory.mktemp("asked")
    images, _ = look([faces], skip_unreadable=False, drop_contradictory=False, near_duplicates="ignore")
    subject = load_subject("reader", "random", faces, images.image_size, 0)
    prepared = TRANSFORM.on_device(np.stack([decode(faces.read_bytes(i)) for i in range(len(faces))]))
    output, activations = forward("reader", subject.params, prepared)
    layers = {"network": (Layer("squares", (1, 1, 16)), Layer(OUTPUT, (1, 1, CLASSES)))}
    task = Erasure(**SMALL).prepare(seen(faces), faces, layers, CONTEXT)
    fit, rows = np.flatnonzero(task.arrays[HALF] == FIT), task.arrays[ANSWERED]
    fitted = fitted_erasers(activations["squares"][fit], task, fit, Erasure(**SMALL), 0)
    ranks = np.array([[fitted[c].rank if c in fitted else 0] for c in conditions_of(task.facts)])
    stored = open_at(folder, task, layers)
    stored.folder.save_arrays(layer_file("network", OUTPUT), plain_answers(output, rows))
    arrays = {"eraser": ranks, **changes_of(activations["squares"], rows, fitted)}
    stored.folder.save_arrays(layer_file("network", "squares"), arrays)
    with jax.transfer_guard("disallow"):
        ((name, answers),) = change_answers(task, images, subject, stored, ["squares"], CONTEXT)
    stored.folder.save_arrays(layer_file(INTERVENTIONS, name), answers)
    tables = dict(answer_tables(stored))
    features = np.asarray(activations["squares"])
    return Asked(stored, tables, subject, prepared, features, fitted, faces.labels["first"])


def open_at(folder, task, layers):
    about = {"model": "reader", "weights": "own", "data": "toy", "images": len(task.rows), "seed": 0}
    stored = Stored(Folder(folder), about, layers)
    stored.folder.save_json("layers.json", {s: [[one.name, one.grid] for one in own] for s, own in layers.items()})
    stored.folder.save_json("facts.json", dict(task.facts))
    stored.folder.save_json("about.json", about)
    stored.folder.save_arrays(TASK, task.arrays)
    return open_stored(folder)


def rows_of(tables, name="erasure_answers", **wanted):
    return [row for row in tables[name] if all(row[key] == value for key, value in wanted.items())]


def test_answers_are_those_of_the_erased_layer(asked):
    """By hand: the other half's layer erased by NumPy in float64, and the rest of the network."""
    stored, params = asked.stored, asked.subject.params
    rows = stored.arrays[ANSWERED]
    assert len(rows) == 80 and not (stored.arrays[HALF] == FIT)[rows].any()
    before, arrays = np.asarray(forward("reader", params, asked.prepared)[0])[rows], stored.interventions("squares")
    for k, condition in enumerate(conditions_of(stored.facts)):
        shift = np.zeros((80, 16), np.float32)
        if k:
            shift = (asked.fitted[condition].apply(asked.features[rows].astype(float)) - asked.features[rows]).astype(
                "f"
            )
        logits = np.asarray(forward("reader", params, asked.prepared[rows], offsets={"squares": shift})[0])
        p, q = (jax.nn.softmax(x, axis=1) for x in (before, logits))
        np.testing.assert_array_equal(arrays["predicted"][k], logits.argmax(axis=1))
        np.testing.assert_allclose(arrays["distance"][k], 0.5 * np.abs(p - q).sum(axis=1), atol=2e-6)
        np.testing.assert_allclose(arrays["probabilities"][k, :, -1], q[:, 0] + q[:, 2], atol=2e-6)  # the family
    assert arrays["reinserted"] < 1e-6 and (arrays["distance"][0] == 0).all()


def test_what_is_used_is_missed(asked):
    """The answer is one square's: without the first attribute it moves further than without a random direction.

    The second attribute is in another square, which nobody looks at.
    """
    moved = {(r["erased"], r["control"]): r for r in rows_of(asked.tables, metric="change of probabilities")}
    used, held = moved["first", "none"], moved["second", "none"]
    assert used["low"] > held["high"] and used["value"] > 3 * held["value"] and np.isnan(used["beyond"])
    for control in ("random subspace", "shuffled labels"):
        less = moved["first", control]
        assert less["beyond"] == pytest.approx(used["value"] - less["value"])
        assert less["beyond_low"] > 0 and less["p_beyond_holm"] < 1e-3
    kept = rows_of(asked.tables, metric="agreement", control="none")
    assert kept[0]["value"] < 0.8 and kept[0]["value"] < kept[1]["low"] and all(r["images"] == 80 for r in kept)
    assert all(r["low"] <= r["value"] <= r["high"] and r["reinserted"] < 1e-6 for r in kept)


def test_groups_get_the_same_answers(asked):
    rows = rows_of(asked.tables, "erasure_answers_by_group", erased="first", view="first", control="none")
    assert {row["group"] for row in rows} == {"first 0", "first 1"} and {r["kind"] for r in rows} == {"class", "family"}
    for row in rows:
        assert row["gap_change"] == pytest.approx(row["gap_after"] - row["gap_before"])
        assert row["change"] == pytest.approx(row["after"] - row["before"])
        assert row["gap_change_low"] <= row["gap_change"] <= row["gap_change_high"]
    for row in (row for row in rows if row["measure"] == "rate" and row["label"] in ("class 0", "bright")):
        assert abs(row["gap_before"]) > 0.5 > 0.3 > abs(row["gap_after"]) and row["images"] == 40
        assert not row["gap_change_low"] <= 0.0 <= row["gap_change_high"]
    assert min(row["p_change_holm"] for row in rows) < 0.01
    everyone = rows_of(asked.tables, "erasure_answers_by_group", view="all images", measure="probability")
    assert all(np.isnan(row["gap_before"]) and 0 <= row["after"] <= 1 for row in everyone)


def test_words_and_figures(asked):
    tables, erased = asked.tables, ("first", "second")
    words = " ".join(answer_findings(erased, tables))
    assert "first erased from squares moves the network's answers most" in words and "keep their class." in words
    assert "Most different is" in words and "A layer put back unchanged" in words and "nan" not in words
    assert list(answer_findings(erased, {})) == [NOT_ASKED] and not list(answer_excerpts({}))
    by_layer, by_group = answer_excerpts(tables)
    assert [row[:2] for row in by_layer.rows] == [("first", "squares"), ("second", "squares")]
    assert by_group.of > len(by_group.rows) - 1 and by_group.rows[0][0] == "first"
    figures = dict(answer_figures(asked.stored, tables))
    assert list(figures) == ["erasure_answers_by_layer", "erasure_answers_by_group"]
    assert all(isinstance(draw(), Figure) for draw in figures.values())


def test_whose_answers_are_asked_for():
    """As many of each group, none that an eraser saw, one of each person; or nobody's."""
    layers = {"network": (Layer("squares", (1, 1, 16)), Layer(OUTPUT, (1, 1, CLASSES)))}
    few = Erasure(**{**SMALL, "answers": 8})
    dataset = toy_dataset([[40, 20], [20, 20]])
    task = few.prepare(seen(dataset), dataset, layers, CONTEXT)
    rows = task.arrays[ANSWERED]
    assert task.intervenes and np.bincount(dataset.group_labels[rows]).tolist() == [2, 2, 2, 2]
    assert (task.arrays[HALF][rows] != FIT).all()
    assert len(replace(few, answers=3).prepare(seen(dataset), dataset, layers, CONTEXT).arrays[ANSWERED]) == 3
    persons = people(groups=((10, 10), (10, 10)))
    rows = replace(few, answers=128).prepare(seen(persons), persons, layers, CONTEXT).arrays[ANSWERED]
    assert len(rows) == 20 == len(np.unique(persons.people[rows]))
    for instrument, given in ((few, {"network": layers["network"][:1]}), (replace(few, answers=0), layers)):
        task = instrument.prepare(seen(dataset), dataset, given, CONTEXT)
        assert not task.intervenes and ANSWERED not in task.arrays
        assert any("no output" in note for note in task.notes) == bool(instrument.answers)


def test_bad_input(tmp_path):
    for options in ({"answers": -1}, {"max_classes": -1}):
        with pytest.raises(InputError, match="must not be negative"):
            Erasure(**options)
    (tmp_path / "names.txt").write_text("a\nb\n")
    dataset, options = (
        toy_dataset([[20, 20], [20, 20]]),
        {**SMALL, "families": (), "classes": str(tmp_path / "names.txt")},
    )
    with pytest.raises(InputError, match="names 2 classes, but the network has 3 outputs"):
        Erasure(**options).prepare(seen(dataset), dataset, {"network": (Layer(OUTPUT, (1, 1, 3)),)}, CONTEXT)


def run(out, **options):
    return audit("reader", [Erasure(**{**SMALL, **options})], faces=shaded(((20, 20), (20, 20))),
                 config=RunConfig(batch_size=16), out=out)  # fmt: skip


@pytest.mark.slow
def test_a_run_continues_and_damaged_answers_are_made_again(tmp_path):
    found = run(tmp_path / "run")
    assert not found.failures and "the network's answers:" in found.listing
    assert {row["layer"] for row in found.tables["erasure_answers"].to_pylist()} == {"squares", "again"}
    told = json.loads((found.path / "erasure/section.json").read_text())
    assert [excerpt["name"] for excerpt in told["excerpts"]][-2:] == ["erasure-answers", "erasure-answers-groups"]
    assert found.figure("erasure_answers_by_layer") and found.report().exists()
    files = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in found.path.rglob("*.arrow")}
    damaged = found.path / "erasure/interventions/again.arrow"
    damaged.write_bytes(damaged.read_bytes()[:-7])
    assert not run(tmp_path / "run").failures
    for path, (time, whole) in files.items():
        assert path.read_bytes() == whole and (path == damaged or path.stat().st_mtime_ns == time), path


@pytest.mark.slow
def test_opting_out_and_networks_without_a_rest(tmp_path):
    quick = {**SMALL, "erased": ("first",), "families": ()}
    without = run(tmp_path / "without", answers=0, **{"erased": ("first",)})
    assert not without.failures and "erasure_answers" not in without.tables and NOT_ASKED in without.findings
    assert not (without.path / "erasure/interventions").exists()
    mine = own_network(lambda images: (images.mean(axis=(1, 2)), {"colour": images.mean(axis=(1, 2))}), name="mine")
    faces = shaded(((20, 20), (20, 20)))
    own = audit(mine, [Erasure(**quick)], faces=faces, out=tmp_path / "own")
    assert not own.failures and own.tables["erasure"] and NOT_ASKED in own.findings
    features = np.random.default_rng(0).standard_normal((80, 3)).astype(np.float32)
    labels = {name: values.astype(str) for name, values in faces.labels.items()}
    given = audit(features=features, labels=labels, instruments=[Erasure(**quick)], out=tmp_path / "given")
    assert not given.failures and NOT_ASKED in given.findings
