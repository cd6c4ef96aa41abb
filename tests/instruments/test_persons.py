"""Several pictures of a person in every instrument: what is split, drawn and permuted are persons."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from scipy.stats import binom, fisher_exact, kstest

from bias_jax.audit import OUTPUT, PIXELS, Context, Layer, Seen, open_stored
from bias_jax.audit.stored import TASK, layer_file
from bias_jax.data import numbered
from bias_jax.errors import InputError
from bias_jax.instruments import Heads, Predictions, Probes, Recipe, Variance
from bias_jax.instruments.faces import PEOPLE
from bias_jax.instruments.heads.problem import problem_of
from bias_jax.instruments.predictions.views import DRAWN
from bias_jax.results import Folder
from bias_jax.statistics import clopper_pearson_interval
from tests.conftest import toy_dataset

CONTEXT = Context(0, "mean")


def people(images=4, groups=((10, 10), (10, 10)), changing=0):
    """Persons of so many images each, all in one group but for the first ones, who change the second attribute."""
    dataset = toy_dataset(np.array(groups) * images)
    dataset = replace(dataset, people=np.arange(len(dataset)) // images)
    dataset.labels["second"][: changing * images : images] ^= 1
    return dataset


def seen(dataset):
    return Seen(dataset, np.arange(len(dataset)), "seen")


def measured(instrument, dataset, features, folder, layer=PIXELS):
    """The task and the tables of an instrument whose network has these features [n, D] in one layer."""
    layers = (Layer(layer, (1, 1, features.shape[1])),)
    task = instrument.prepare(seen(dataset), dataset, {"network": layers}, CONTEXT)
    given = jax.device_put({layer: np.asarray(features, np.float32)})
    with jax.transfer_guard("disallow"):
        ((_, arrays),) = instrument.measure(task, layers, given, [layer], CONTEXT)
    found = Folder(folder)
    found.save_json("layers.json", {"network": [[layer, layers[0].grid]]})
    found.save_json("facts.json", dict(task.facts))
    found.save_arrays(TASK, task.arrays)
    found.save_arrays(layer_file("network", layer), arrays)
    run = {"model": "toy", "weights": "none", "data": "toy", "images": len(dataset), "seed": 0}
    found.save_json("about.json", run)
    return task, dict(instrument.tables(open_stored(folder)))


@pytest.mark.slow
def test_probes(tmp_path):
    """Features of persons: intervals are twice as wide as for as many images; recalls and mistakes, too."""
    dataset = people()
    rng = np.random.default_rng(0)
    features = (rng.standard_normal((40, 6)) + dataset.labels["first"][::4, None])[dataset.persons]
    instrument, widths = Probes(l2=(0.1,), shuffles=1, draws=200, signs=1), {}
    for name, given in (("persons", dataset), ("images", replace(dataset, people=None))):
        task, tables = measured(instrument, given, features, tmp_path / name)
        assert (PEOPLE in task.arrays) == (name == "persons")
        assert any("160 images show 40 persons" in note for note in task.notes) == (name == "persons")
        if name == "persons":
            assert all(len(np.unique(task.arrays["folds"][dataset.people == k])) == 1 for k in range(40))
        for table in ("probes", "recalls", "mistake_types"):
            rows = [r for r in tables[table] if r.get("split", "held out") == "held out"]
            widths[name, table] = np.median([r["high"] - r["low"] for r in rows])
    assert all(widths["persons", t] > 1.5 * widths["images", t] for t in ("recalls", "mistake_types"))
    assert widths["persons", "probes"] > 1.3 * widths["images", "probes"]


def test_groups_of_few_persons_are_told():
    dataset = people(groups=((10, 1), (10, 3)))
    notes = Probes().prepare(seen(dataset), dataset, {}, CONTEXT).notes
    assert "1 of 4 groups have images of one person alone, so for intervals they are one group, the first" in notes[1]
    assert "2 of 4 groups have fewer persons than the 5 folds" in notes[2]
    with pytest.raises(InputError, match=r"has 4 persons, fewer than the 5 folds.*add persons"):
        Probes().prepare(seen(people(groups=((1, 1), (1, 1)))), dataset, {}, CONTEXT)


def test_groups_of_one_image_vary_in_intervals_and_tests(tmp_path):
    """Alone in their groups, images must not look as if they were all there are: together they are one group."""
    dataset, rng = toy_dataset(np.ones((2, 30), int)), np.random.default_rng(0)
    features = rng.standard_normal((60, 4)) + 0.7 * dataset.labels["first"][:, None]
    instrument = Probes(l2=(0.1,), shuffles=1, draws=200, signs=1)
    task, tables = measured(instrument, dataset, features, tmp_path)
    assert any("60 of 60 groups have one image, so for intervals they are one group" in note for note in task.notes)
    first = next(r for r in tables["probes"] if (r["probe"], r["target"], r["split"], r["metric"], r["control"])
                 == ("first", "first", "held out", "balanced_accuracy", "none"))  # fmt: skip
    assert 0.05 < first["high"] - first["low"] < 0.5 and first["low"] < first["value"] < first["high"]
    assert all(np.isfinite(r["p_value"]) for r in tables["differences"] if r["metric"] == "adjusted_balanced_accuracy")


def test_variance_is_that_of_means_of_persons(tmp_path):
    """Against the partition of the persons' means, taken here; of who changes group, the larger part counts."""
    dataset, rng = people(changing=3), np.random.default_rng(0)
    features = rng.standard_normal((160, 5)) + 3.0 * rng.standard_normal((40, 5))[dataset.people] + 100.0
    task, tables = measured(Variance(permutations=99), dataset, features, tmp_path)
    at_home = np.ones(160, bool)
    at_home[:12:4] = False
    assert ((task.arrays[PEOPLE] >= 0) == at_home).all()
    assert [note.split(": ")[1].split(",")[0] for note in task.notes] == [
        "of the means of 40 persons", "3 images are left out"]  # fmt: skip
    means = np.stack([features[(dataset.people == k) & at_home].mean(axis=0) for k in range(40)])
    labels = {a.name: dataset.labels[a.name][1::4] for a in dataset.attributes}
    _, of_means = measured(Variance(permutations=99), with_labels(labels), means, tmp_path / "means")
    for row, other in zip(tables["variance"], of_means["variance"], strict=True):
        assert (row["images"], row["persons"], other["images"]) == (157, 40, 40)
        for name in ("omega_squared", "low", "high", "p_value", "ratio"):
            np.testing.assert_allclose(row[name], other[name], rtol=1e-3, atol=1e-4)


def with_labels(labels):
    """One image of each person, with these labels."""
    dataset = toy_dataset([[10, 10], [10, 10]])
    return replace(dataset, labels={name: np.asarray(values, np.int32) for name, values in labels.items()})


def test_p_values_of_variance_are_uniform_where_persons_are_known(tmp_path):
    """Nothing to find in 150 draws of persons with 1 to 5 images; permuted images find something in half of them."""
    found = {"persons": [], "images": []}
    for repeat in range(150):
        rng = np.random.default_rng(repeat)
        number = rng.permutation(np.arange(40) % 5 + 1)
        who, groups = np.repeat(np.arange(40), number), rng.permutation(np.arange(40) % 4)
        dataset = toy_dataset([[30, 30], [30, 30]])
        dataset = replace(dataset, people=who, labels={"first": groups[who] // 2, "second": groups[who] % 2})
        features = (rng.standard_normal((40, 4))[who] + 0.3 * rng.standard_normal((120, 4))).astype(np.float32)
        for name, given in (("persons", dataset), ("images", replace(dataset, people=None))):
            task = Variance(permutations=99).prepare(seen(given), given, {}, CONTEXT)
            ((_, arrays),) = Variance(permutations=99).measure(
                task, [], {"a": jax.device_put(features)}, ["a"], replace(CONTEXT, seed=repeat)
            )
            found[name].append(arrays["p_value"][:, -1])
    p, of_images = np.array(found["persons"]), np.array(found["images"])
    spread = np.random.default_rng(0).uniform(-0.01, 0.0, p.shape)  # p-values are multiples of 1/100
    assert all(kstest((p + spread)[:, level], "uniform").pvalue > 0.001 for level in range(2))
    assert (p <= 0.05).mean() <= binom.ppf(0.999, 150, 0.05) / 150 and (of_images <= 0.05).mean() > 0.3


def answers(rng, dataset, rate, within=0.1):
    """Logits of three classes: a person is mostly taken for class 0 or mostly for class 1."""
    taken = (rng.random(dataset.persons.max() + 1) < rate)[dataset.persons] ^ (rng.random(len(dataset)) < within)
    logits = np.tile(np.float32([0, 0, -1]), (len(dataset), 1)) + 0.1 * rng.standard_normal((len(dataset), 3))
    logits[np.arange(len(dataset)), np.where(taken, 0, 1)] += 2
    return logits, taken


def test_predictions_are_of_persons(tmp_path):
    """Persons with 1 to 7 images: rates are means of persons' rates; tests are of one image each."""
    rng, who = np.random.default_rng(0), np.repeat(np.arange(40), np.arange(40) % 7 + 1)
    dataset = toy_dataset([[len(who), 0], [0, 0]])
    second = ((who % 2) ^ (np.arange(len(who)) == 3)).astype(np.int32)  # one person is in two groups
    dataset = replace(dataset, people=who, labels={**dataset.labels, "second": second})
    logits, taken = answers(rng, dataset, 0.5)
    instrument = Predictions(permutations=99, min_images=1)
    task, tables = measured(instrument, dataset, logits, tmp_path, OUTPUT)
    assert task.notes == (f"predictions: rates of 40 persons, who are on {len(who)} images",)
    drawn = task.arrays[DRAWN]
    assert (who[drawn] == np.arange(40)).all() and len(set(drawn - np.searchsorted(who, np.arange(40)))) > 3
    row = next(r for r in tables["predictions"]
               if (r["view"], r["group"], r["label"], r["top"]) == ("second", "second 1", "class 0", 1))  # fmt: skip
    own = [taken[(who == k) & (second == 1)].mean() for k in np.unique(who[second == 1])]
    assert row["value"] == pytest.approx(np.mean(own)) and row["persons"] == len(own) == 21
    assert (row["hits"], row["images"]) == (taken[second == 1].sum(), (second == 1).sum())
    assert [row["low"], row["high"]] == [float(end) for end in clopper_pearson_interval(sum(own), 21)]
    test = next(r for r in tables["prediction_differences"] if (r["view"], r["label"], r["top"]) == (*row_of(row), 1))
    chosen, of = taken[drawn], second[drawn]
    table = [[(chosen & (of == g)).sum(), (~chosen & (of == g)).sum()] for g in (0, 1)]
    smaller = min(fisher_exact(table, side).pvalue for side in ("less", "greater"))
    assert test["p_value"] == pytest.approx(min(1.0, 2 * smaller)) and test["persons"] == 20
    (sure,) = [
        r for r in tables["confidence"] if (r["view"], r["measure"], r["group"]) == ("second", "confidence", "second 1")
    ]
    assert sure["images"] == row["images"] and sure["low"] < sure["value"] < sure["high"]


def row_of(row):
    return row["view"], row["label"]


@pytest.mark.slow
def test_p_values_of_predictions_hold_their_level_where_persons_are_known(tmp_path):
    """Nothing to find in 100 draws; taking images for persons finds something in a quarter of them."""
    p, confidence = {"persons": [], "images": []}, {"persons": [], "images": []}
    covered = 0
    dataset = people(images=6, groups=((12, 0), (12, 0)))
    for repeat in range(100):
        rng = np.random.default_rng(repeat)
        logits, _ = answers(rng, dataset, 0.5)
        logits *= np.exp(0.5 * rng.standard_normal(24))[dataset.persons][:, None]
        for name, given in (("persons", dataset), ("images", replace(dataset, people=None))):
            _, tables = measured(Predictions(permutations=99, min_images=1), given, logits, tmp_path / name, OUTPUT)
            (row,) = [r for r in tables["prediction_differences"]
                      if (r["view"], r["label"], r["top"]) == ("first", "class 0", 1)]  # fmt: skip
            p[name].append(row["p_value"])
            covered += (name == "persons") * (row["low"] <= 0.0 <= row["high"])
            rows = [r for r in tables["confidence"] if (r["view"], r["measure"]) == ("first", "confidence")]
            confidence[name].append(rows[0]["p_value"])
    most = binom.ppf(0.999, 100, 0.05) / 100
    for found in (p, confidence):
        below = {name: np.mean(np.array(own) <= 0.05) for name, own in found.items()}
        assert below["persons"] <= most and below["images"] > 0.2, below
    assert covered >= 92


@pytest.mark.parametrize("split", ["stratified", "random"])
def test_the_recipe_holds_persons_out(split):
    dataset = people(images=3, groups=((30, 20), (40, 50)), changing=10)
    task = Recipe(split=split, held_out=0.2).prepare(seen(dataset), dataset, {}, CONTEXT)
    held_out = task.arrays["held out"]
    assert all(len(np.unique(held_out[dataset.people == k])) == 1 for k in range(140))
    assert held_out.sum() == 3 * 28 and "420 images show 140 persons" in task.notes[0]
    if split == "stratified":
        shares = np.bincount(dataset.group_labels[held_out]) / np.bincount(dataset.group_labels)
        assert np.abs(shares - 0.2).max() < 0.1


def test_heads_split_persons_and_store_them():
    dataset = people(images=3, groups=((30, 20), (40, 50)))
    layers = {"network": (Layer("maxpool", (1, 1, 64)),)}
    task = Heads(folds=3).prepare(seen(dataset), dataset, layers, CONTEXT)
    problem = problem_of(task.facts, task.arrays)
    for roles in task.arrays["roles"]:
        assert all(len(np.unique(roles[dataset.people == k])) == 1 for k in range(140))
    own = dataset.people[problem.rows]
    assert (numbered(own) == problem.people).all() and len(np.unique(problem.people)) == 140
    dataset = replace(dataset, people=None)
    alone = Heads(folds=3).prepare(seen(dataset), dataset, layers, CONTEXT)
    assert PEOPLE not in alone.arrays and problem_of(alone.facts, alone.arrays).people is None
