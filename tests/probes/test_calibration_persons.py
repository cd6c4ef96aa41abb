"""Random labels on several pictures of each person: intervals cover chance, p-values are uniform; without persons not.

A copy of a picture is the worst case: its features are equal. Persons lie in one fold each.
"""

from dataclasses import replace

import jax
import numpy as np
import pytest
from scipy.stats import binom, kstest

from bias_jax.data import Attribute, FaceDataset, stratified_folds
from bias_jax.probes import (
    COMPARED,
    ProbeConfig,
    class_recalls,
    compare_probes,
    cross_validate,
    layer_pairs,
    probe_values,
    score_probes,
)
from bias_jax.randomness import key_for
from tests.probes import shapes

REPEATS, WIDTH = 200, 10
CONFIG = ProbeConfig(l2=(1e-3, 1e-2), shuffles=0)
SHAPES = {"t": (("t", 2),)}


def people_of(kind, repeat):
    """Person of each of about 240 images."""
    if kind.endswith("copies"):
        return np.repeat(np.arange(240 // int(kind[0])), int(kind[0]))
    return np.repeat(np.arange(60), np.random.default_rng(repeat).permutation(np.arange(60) % 6 + 1))


def images_of(people, label, noise, rng, folds=5):
    """Features of persons, half of whom have either label: nothing to find. And the folds of a data set of theirs."""
    base = rng.standard_normal((people.max() + 1, WIDTH))
    x = (base[people] + noise * rng.standard_normal((len(people), WIDTH))).astype(np.float32)
    dataset = FaceDataset(
        "toy", (Attribute("t", ("a", "b")),), {"t": label}, tuple(map(str, range(len(x)))), tuple(range(len(x))),
        lambda i: b"", "toy", people=people,
    )  # fmt: skip
    return x, stratified_folds(dataset, folds, 0)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "noise"), [("3 copies", 0.0), ("4 copies", 0.0), ("1 to 6 pictures", 0.3)])
def test_intervals_cover_chance_where_persons_are_known(kind, noise):
    """Of 200 repeats; bits have no chance that their mean attains, so their intervals cover their mean."""
    covered = dict.fromkeys(("persons", "images", "split by images"), 0)
    for repeat in range(REPEATS):
        rng, people = np.random.default_rng(repeat), people_of(kind, repeat)
        label = rng.permutation(np.arange(people.max() + 1) % 2)[people].astype(np.int32)
        x, folds = images_of(people, label, noise, rng)
        ways = {"persons": (people, folds), "images": (None, folds),
                "split by images": (None, rng.permutation(np.arange(len(x)) % 5))}  # fmt: skip
        for way, (given, parts) in ways.items():
            found = cross_validate(jax.device_put(x), {"t": label}, {"t": 2}, parts, label, CONFIG, 0, given)
            scores = score_probes(found, SHAPES, label, draws=300, key=key_for(repeat, "bootstrap"), people=given)
            (own,) = (s for s in scores if (s.split, s.metric) == ("held out", "balanced_accuracy"))
            covered[way] += own.low <= 0.5 <= own.high
    print(f"{kind}: chance covered of {REPEATS}: {covered}")
    assert covered["persons"] >= binom.ppf(0.001, REPEATS, 0.95), covered
    assert covered["images"] < 0.9 * REPEATS and covered["split by images"] < 0.5 * REPEATS, covered


@pytest.mark.slow
def test_p_values_of_layers_are_uniform_where_persons_are_known():
    """And intervals of the recall of each class hold its expectation, one half."""
    p, covered = {"persons": [], "images": []}, {"persons": 0, "images": 0}
    for repeat in range(REPEATS):
        rng, people = np.random.default_rng(repeat), people_of("4 copies", repeat)
        label = rng.permutation(np.arange(60) % 2)[people].astype(np.int32)
        layers = {layer: images_of(people, label, 0.1, rng) for layer in "ab"}
        for way, given in (("persons", people), ("images", None)):
            results = {layer: cross_validate(jax.device_put(x), {"t": label}, {"t": 2}, folds, label, CONFIG, 0, given)
                       for layer, (x, folds) in layers.items()}  # fmt: skip
            values = probe_values("m", results, SHAPES, COMPARED[0])
            (row,) = compare_probes(COMPARED[0], values, layer_pairs(list(values)), label, draws=100,
                                    key=key_for(0, "x"), people=given)  # fmt: skip
            p[way].append(row.p_value)
            covered[way] += sum(r.low <= 0.5 <= r.high for r in class_recalls(results["a"], {"t": "ab"}, given))
    print(f"p <= 0.05: { {way: np.mean(np.array(own) <= 0.05) for way, own in p.items()} }; recalls: {covered}")
    assert kstest(np.array(p["persons"]), "uniform").pvalue > 0.001
    assert np.mean(np.array(p["persons"]) <= 0.05) <= binom.ppf(0.999, REPEATS, 0.05) / REPEATS
    assert np.mean(np.array(p["images"]) <= 0.05) > 0.08
    assert covered["persons"] >= 0.92 * 2 * REPEATS and covered["images"] < 0.8 * 2 * REPEATS


@pytest.mark.parametrize("shuffles", [0, 1])
def test_one_picture_a_person_gives_the_numbers_without_persons(shuffles):
    """Signs, permutations, draws and sums of everyone alone are those of images."""
    rng, people = np.random.default_rng(0), np.arange(shapes.N)
    label = (people % 2).astype(np.int32)
    x, folds = images_of(people, label, 0.3, rng, shapes.FOLDS)
    config = replace(shapes.CONFIG, shuffles=shuffles)
    found = []
    for given in (None, people):
        result = cross_validate(jax.device_put(x), {"t": label}, {"t": 2}, folds, label, config, 0, given)
        found.append(score_probes(result, SHAPES, label, draws=100, key=key_for(0, "x"), people=given))
    for one, other in zip(*found, strict=True):
        if one.control == "none" or not shuffles:
            np.testing.assert_allclose(one[5:8], other[5:8], atol=1e-5)
    assert len(found[0]) == len(found[1])


def test_a_person_in_several_folds_is_refused():
    label = (np.arange(60) % 2).astype(np.int32)
    x, _ = images_of(np.arange(60), label, 0.3, np.random.default_rng(0))
    with pytest.raises(ValueError, match="a person has images in several folds"):
        cross_validate(
            jax.device_put(x), {"t": label}, {"t": 2}, np.arange(60) % 5, label, CONFIG, 0, np.arange(60) // 2
        )
