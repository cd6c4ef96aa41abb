"""Several pictures of a person in every instrument: what is split, drawn and permuted are persons."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from scipy.stats import binom, kstest

from bias_jax.audit import PIXELS, Context, Layer, Seen, open_stored
from bias_jax.audit.stored import TASK, layer_file
from bias_jax.errors import InputError
from bias_jax.instruments import Probes, Variance
from bias_jax.results import Folder
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
        assert ("people" in task.arrays) == (name == "persons")
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
    assert "1 of 4 groups have images of one person alone, so their intervals are too short, the first" in notes[1]
    assert "2 of 4 groups have fewer persons than the 5 folds" in notes[2]
    with pytest.raises(InputError, match=r"has 4 persons, fewer than the 5 folds.*add persons"):
        Probes().prepare(seen(people(groups=((1, 1), (1, 1)))), dataset, {}, CONTEXT)


def test_variance_is_that_of_means_of_persons(tmp_path):
    """Against the partition of the persons' means, taken here; of who changes group, the larger part counts."""
    dataset, rng = people(changing=3), np.random.default_rng(0)
    features = rng.standard_normal((160, 5)) + 3.0 * rng.standard_normal((40, 5))[dataset.people] + 100.0
    task, tables = measured(Variance(permutations=99), dataset, features, tmp_path)
    at_home = np.ones(160, bool)
    at_home[:12:4] = False
    assert ((task.arrays["people"] >= 0) == at_home).all()
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
                task, [], {"a": jax.device_put(features)}, ["a"], CONTEXT._replace(seed=repeat)
            )
            found[name].append(arrays["p_value"][:, -1])
    p, of_images = np.array(found["persons"]), np.array(found["images"])
    spread = np.random.default_rng(0).uniform(-0.01, 0.0, p.shape)  # p-values are multiples of 1/100
    assert all(kstest((p + spread)[:, level], "uniform").pvalue > 0.001 for level in range(2))
    assert (p <= 0.05).mean() <= binom.ppf(0.999, 150, 0.05) / 150 and (of_images <= 0.05).mean() > 0.3
