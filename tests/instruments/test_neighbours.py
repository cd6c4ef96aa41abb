"""Neighbours as an instrument: precision by hand, chance, and p-values that hold their level."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.stats import kstest
from sklearn.neighbors import NearestNeighbors

from bias_jax.audit import open_stored
from bias_jax.errors import InputError
from bias_jax.instruments.neighbours import Neighbours
from tests.conftest import toy_dataset
from tests.instruments.test_persons import CONTEXT, measured, people, seen

SMALL = {"at": (1, 5), "permutations": 99, "draws": 200}


def pick(tables, **wanted):
    rows = [row for row in tables["neighbours"] if all(row[key] == value for key, value in wanted.items())]
    (found,) = rows
    return found


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    dataset = toy_dataset([[30, 20], [10, 20]], solo=True)
    features = np.random.default_rng(0).standard_normal((80, 5)).astype(np.float32)
    features[:, 0] += 3.0 * dataset.labels["first"]
    folder = tmp_path_factory.mktemp("toy")
    instrument = Neighbours(**SMALL)
    _, tables = measured(instrument, dataset, features, folder)
    return dataset, features, instrument, tables, open_stored(folder)


def test_precision_by_hand(toy):
    dataset, features, _, tables, _ = toy
    labels = dataset.labels["first"]
    for distance in ("cosine", "euclidean"):
        near = NearestNeighbors(n_neighbors=6, metric=distance).fit(features).kneighbors(features)[1][:, 1:]
        match = (labels[near] == labels[:, None]).mean(axis=1)
        common = {"distance": distance, "target": "first", "measure": "precision", "k": 5}
        means = [match[labels == c].mean() for c in (0, 1)]
        for c, name in enumerate(("first 0", "first 1")):
            row = pick(tables, **common, group=name)
            assert row["value"] == pytest.approx(means[c]) and row["images"] == (labels == c).sum()
            assert row["chance"] == pytest.approx((np.sum(labels == c) - 1) / 79, abs=0.02) and np.isnan(row["p_value"])
        every = pick(tables, **common, group="all images")
        assert every["value"] == pytest.approx(np.mean(means)) and every["low"] < every["value"] < every["high"]
        votes = [((labels[near] == labels[:, None]).sum(axis=1) > 2.5)[labels == c].mean() for c in (0, 1)]
        row = pick(tables, **{**common, "measure": "vote"}, group="all images")
        assert row["value"] == pytest.approx(np.mean(votes)) and row["p_value"] == 0.01
        coin = pick(tables, **{**common, "target": "coin"}, group="all images")
        assert coin["p_max_t"] > 0.05 and every["p_max_t"] == 0.01 and coin["low"] < coin["chance"] < coin["high"]


def test_words_and_figures(toy):
    *_, instrument, tables, stored = toy
    found = list(instrument.findings(stored, tables))
    every = {(r["target"], r["distance"]): r for r in tables["neighbours"]
             if (r["group"], r["measure"], r["k"]) == ("all images", "precision", 5)}  # fmt: skip
    assert len(found) == len(every) == 8
    for sentence, row in zip(found, every.values(), strict=True):
        assert sentence.startswith(f"{row['target']}: of the 5 nearest images by {row['distance']} distance, ")
        assert f"{100 * row['value']:.1f} % [{100 * row['low']:.1f}, " in sentence
        assert f"(chance {100 * row['chance']:.1f} %, pixels " in sentence
    assert found[0].endswith("Above chance in 1 of 1 layers, corrected.")
    (words,) = instrument.listing(stored, tables)
    assert "first, cosine, 5:" in words and "above chance in 1 of 1 layers" in words and "coin" in words
    figures = dict(instrument.figures(stored, tables))
    assert list(figures) == ["precision_by_layer-cosine", "precision_by_layer-euclidean"]
    assert isinstance(figures["precision_by_layer-cosine"](), Figure)


def test_pictures_of_a_person_are_no_neighbours(tmp_path):
    dataset = people(groups=((10, 10), (10, 10)))
    features = np.random.default_rng(0).standard_normal((40, 4))[dataset.persons].astype(np.float32)
    instrument = Neighbours(distances=("euclidean",), **SMALL)
    task, tables = measured(instrument, dataset, features, tmp_path)
    nearest = open_stored(tmp_path).load("pixels")["euclidean"]
    assert (dataset.persons[nearest] != dataset.persons[:, None]).all() and "show 40 persons" in task.notes[0]
    found = pick(tables, target="first", measure="precision", k=5, group="all images")
    _, alone = measured(instrument, replace(dataset, people=None), features, tmp_path / "images")
    of_images = pick(alone, target="first", measure="precision", k=5, group="all images")
    assert of_images["value"] > found["value"] + 0.1
    assert found["p_value"] > 0.02 and of_images["p_value"] == 0.01


def test_bad_input():
    dataset = toy_dataset([[2, 2], [1, 1]])
    with pytest.raises(InputError, match="has 6 images: too few for 5 neighbours"):
        Neighbours(**SMALL).prepare(seen(dataset), dataset, {}, CONTEXT)
    for options in ({"at": ()}, {"at": (0,)}, {"distances": ("far",)}, {"permutations": 10}, {"draws": 1}):
        with pytest.raises(InputError, match="neighbours"):
            Neighbours(**options)
    task = Neighbours(at=(1,)).prepare(seen(dataset), dataset, {}, CONTEXT)
    nan = jax.device_put(np.full((6, 3), np.nan, np.float32))
    with pytest.raises(InputError, match="not all finite"):
        list(Neighbours(at=(1,)).measure(task, [], {"a": nan}, ["a"], CONTEXT))


@pytest.mark.slow
def test_p_values_are_uniform_where_there_is_nothing(tmp_path):
    dataset, found = toy_dataset([[15, 15], [10, 10]]), []
    for seed in range(100):
        features = np.random.default_rng(seed).standard_normal((50, 4)).astype(np.float32)
        instrument = Neighbours(at=(5,), distances=("euclidean",), permutations=99, draws=100)
        _, tables = measured(instrument, dataset, features, tmp_path / str(seed))
        found.append(
            [pick(tables, target=t, measure="precision", group="all images")["p_value"] for t in ("first", "second")]
        )
    p = np.array(found) - np.random.default_rng(0).uniform(0.0, 0.01, (100, 2))  # p-values are multiples of 1/100
    assert all(kstest(p[:, i], "uniform").pvalue > 0.001 for i in range(2))
