"""Erasure as an instrument: what is planted is gone for linear probes, and the rest stays."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure

from bias_jax.audit import open_stored
from bias_jax.data import CalibrationConfig, calibration_faces
from bias_jax.errors import InputError
from bias_jax.instruments.erasure import Erasure
from bias_jax.instruments.erasure.answer_account import NOT_ASKED
from bias_jax.instruments.erasure.conditions import conditions_of
from bias_jax.instruments.erasure.measuring import FIT, HALF
from bias_jax.instruments.faces import PEOPLE
from tests.conftest import toy_dataset
from tests.instruments.test_persons import CONTEXT, measured, people, seen
from tests.probes.test_calibration_faces import colours

SMALL = {"l2": (0.01, 0.1), "folds": 3, "draws": 200}
ACCURACY = "adjusted_balanced_accuracy"


def rows_of(tables, metric=ACCURACY, probe="linear"):
    rows = [row for row in tables["erasure"] if (row["metric"], row["probe"]) == (metric, probe)]
    return {(row["erased"], row["control"], row["target"]): row for row in rows}


def planted(dataset, rng, width=4):
    """Two attributes shift a dimension each; the first also scales the others, which is not linear."""
    x = rng.standard_normal((len(dataset), width)).astype(np.float32)
    x[:, 0] += 3.0 * dataset.labels["first"]
    x[:, 1] += 2.0 * dataset.labels["second"]
    x[:, 2:] *= 1.0 + 6.0 * dataset.labels["first"][:, None]
    return x


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    dataset = toy_dataset([[90, 90], [90, 90]], solo=True)
    folder = tmp_path_factory.mktemp("toy")
    instrument = Erasure(erased=("first",), **SMALL)
    task, tables = measured(instrument, dataset, planted(dataset, np.random.default_rng(0)), folder)
    return instrument, task, tables, open_stored(folder)


def test_what_is_erased_is_gone_and_the_rest_stays(toy):
    _, task, tables, _ = toy
    assert task.notes == (
        "erasure: erasers are fitted to 180 images, and everything that is reported as held out is measured on the "
        "other 180",
        "erasure: there is no output of at least two classes, so what erasing does to it is left out",
    )
    found = rows_of(tables)
    before, after = found["nothing", "none", "first"], found["first", "none", "first"]
    assert before["low"] > 0.6 and after["low"] <= 0.0 <= after["high"] and after["value"] < 0.25
    assert after["change"] == pytest.approx(after["value"] - before["value"]) and after["change_high"] < -0.4
    assert after["p_change_holm"] < 1e-3 and after["before"] == before["value"] and after["images"] == 180
    for control in ("random subspace", "shuffled labels"):
        assert found["first", control, "first"]["low"] > 0.6, control
    other = found["first", "none", "second"]
    assert other["low"] > 0.3 and other["change_low"] < 0.0 < other["change_high"] and other["p_change_holm"] > 0.5
    assert found["first", "none", "coin"]["low"] <= 0.0 <= found["first", "none", "coin"]["high"]


def test_neighbours_still_find_it(toy):
    """The first attribute also decides how large two dimensions are, which no linear probe sees."""
    after = rows_of(toy[2], probe="neighbours")["first", "none", "first"]
    assert after["low"] > 0.1 and after["value"] > rows_of(toy[2])["first", "none", "first"]["value"]


def test_erasers(toy):
    _, task, tables, _ = toy
    (real, random, shuffled), facts = tables["erasers"], task.facts
    assert [(row["erased"], row["control"]) for row in tables["erasers"]] == conditions_of(facts)[1:]
    assert real["rank"] == random["rank"] == shuffled["rank"] == 1
    assert real["gain_bits"] < 1e-6 < 0.01 < min(random["gain_bits"], shuffled["gain_bits"])
    assert real["gain_bits_before"] == pytest.approx(1.0)
    assert real["removed_held_out"] == pytest.approx(real["removed"], rel=0.3)
    assert list(facts["targets"]) == ["first", "second", "coin"] and facts["erased"] == ["first"]


def test_words_and_figure(toy):
    instrument, _, tables, stored = toy
    left, taken, lost, left_out = instrument.findings(stored, tables)
    assert left_out == NOT_ASKED
    assert left.startswith("first erased from pixels, which shows it best: linear probes find ")
    assert "(random subspace 0.8" in left and left.endswith("covers chance in 1 of 1 layers.")
    assert "(rank 1)" in taken and "certified to be below" in taken and taken.endswith("bits, of 1 before.")
    assert lost.startswith("Of the 2 other attributes in layers, 0 lose by it")
    summary, by_layer, costs, erasers = instrument.excerpts(stored, tables)
    found = rows_of(tables)["first", "none", "first"]
    assert summary.rows[0][:2] == ("first", "pixels") and summary.rows[0][3] == by_layer.rows[0][1]
    assert by_layer.rows == (("pixels", (found["value"], found["low"], found["high"])),)
    assert {row[1] for row in costs.rows} == {"second", "coin"} and costs.of == 2 and erasers.rows[0][2] == 1
    words, caveat = instrument.listing(stored, tables)
    assert words.splitlines()[1].startswith("  first: linear 0.9") and "covers chance in 1 of 1 layers" in words
    assert "others: 0 of 2 lose" in words and "certified to be below" in words and "Erasure is linear" in caveat
    ((name, draw),) = instrument.figures(stored, tables)
    figure = draw()
    assert name == "erasure_by_layer" and isinstance(figure, Figure) and len(figure.axes) == 1


def test_everything_is_erased_by_default_and_intersections_on_request():
    dataset = toy_dataset([[20, 20], [20, 20]], solo=True)
    task = Erasure(**SMALL).prepare(seen(dataset), dataset, {}, CONTEXT)
    assert task.facts["erased"] == ["first", "second", "coin", "first x second"]
    task = Erasure(erased=("second x coin",), **SMALL).prepare(seen(dataset), dataset, {}, CONTEXT)
    assert task.facts["targets"]["second x coin"][1] == "second 0 / heads"
    assert task.arrays["labels of second x coin"].max() == 3


def test_persons_are_on_one_side():
    dataset = people(groups=((10, 10), (10, 10)))
    task = Erasure(erased=("first",), neighbours=4, **SMALL).prepare(seen(dataset), dataset, {}, CONTEXT)
    for name in (HALF, "folds"):
        assert all(len(np.unique(task.arrays[name][dataset.people == k])) == 1 for k in range(40))
    assert (task.arrays["folds"][task.arrays[HALF] == FIT] == -1).all() and PEOPLE in task.arrays
    assert np.bincount(task.arrays[HALF]).tolist() == [80, 80] and "160 images show 40 persons" in task.notes[0]


@pytest.mark.slow
def test_intervals_are_of_persons(tmp_path):
    dataset, width = people(groups=((10, 10), (10, 10))), {}
    features = planted(dataset, np.random.default_rng(0))[4 * dataset.persons]
    instrument = Erasure(erased=("first",), neighbours=4, **SMALL)
    for name, given in (("persons", dataset), ("images", replace(dataset, people=None))):
        _, tables = measured(instrument, given, features, tmp_path / name)
        row = rows_of(tables)["nothing", "none", "second"]
        width[name] = row["high"] - row["low"]
    assert width["persons"] > 1.3 * width["images"]


def test_bad_input():
    dataset = toy_dataset([[5, 5], [5, 5]])
    for options, said in (
        ({"erased": ("colour",)}, "nothing called 'colour' to erase.*choose among first, second, or several"),
        ({"neighbours": 8}, "8 neighbours are too many of"),
        ({"folds": 11}, "has 20 images; half of them are too few for 11 folds"),
    ):
        with pytest.raises(InputError, match=said):
            Erasure(**{**SMALL, **options}).prepare(seen(dataset), dataset, {}, CONTEXT)
    for options in ({"l2": (-1.0,)}, {"neighbours": 0}, {"draws": 10}, {"folds": 2}):
        with pytest.raises(InputError, match="erasure: "):
            Erasure(**options)
    single = toy_dataset([[10, 10], [1, 0]])
    with pytest.raises(InputError, match="features of row 0 are not finite"):
        instrument = Erasure(erased=("second",), neighbours=3, **SMALL)
        task = instrument.prepare(seen(single), single, {}, CONTEXT)
        nan = jax.device_put(np.full((21, 3), np.nan, np.float32))
        list(instrument.measure(task, [], {"a": nan}, ["a"], CONTEXT))
    with pytest.raises(InputError, match="one class of first only"):
        one = toy_dataset([[10, 10], [0, 0]])
        Erasure(erased=("first",), neighbours=3, **SMALL).prepare(seen(one), one, {}, CONTEXT)


@pytest.mark.slow
def test_planted_attributes_of_calibration_faces(tmp_path):
    """Six principal colours of 960 faces: palette and width are gone, and what is planted independently of them stays.

    Attributes of calibration faces are balanced against each other, so erasing one implies no loss of another.
    """
    faces = calibration_faces(CalibrationConfig(per_group=40, size=48), 0)
    grid = colours(faces) - colours(faces).mean(axis=0)
    features = grid @ np.linalg.svd(grid, full_matrices=False)[2][:6].T
    instrument = Erasure(erased=("race", "gender"), l2=(0.01, 0.1), draws=500)
    _, tables = measured(instrument, faces, features, tmp_path)
    found = rows_of(tables)
    for name, least in (("race", 0.7), ("gender", 0.1)):
        before, after = found["nothing", "none", name], found[name, "none", name]
        assert before["low"] > 0.0 and before["value"] > least, (name, before)
        assert after["low"] <= 0.0 <= after["high"] and after["change_high"] < 0.0, (name, after)
        assert found[name, "random subspace", name]["value"] > 0.5 * least
        for other in {"race", "age", "gender", "null"} - {name}:
            assert found[name, "none", other]["p_change_holm"] > 0.05, (name, other)
    assert all(row["gain_bits"] < 1e-6 for row in tables["erasers"] if row["control"] == "none")
