"""Similarity of layers as an instrument, of a network and its untrained control."""

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure

from bias_jax.audit import Layer, open_stored
from bias_jax.audit.stored import TASK, layer_file
from bias_jax.errors import InputError
from bias_jax.instruments.similarity import Similarity
from bias_jax.results import Folder
from tests.conftest import toy_dataset
from tests.instruments.test_persons import CONTEXT, seen


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    dataset, rng = toy_dataset([[9, 9], [9, 9], [9, 9]]), np.random.default_rng(0)
    hidden = rng.standard_normal((54, 4)) + rng.standard_normal((6, 4))[dataset.group_labels]
    banks = {"network": {"early": hidden @ rng.standard_normal((4, 8)), "late": np.tanh(hidden)},
             "untrained network": {"early": rng.standard_normal((54, 8))}}  # fmt: skip
    layers = {s: tuple(Layer(n, (1, 1, x.shape[1])) for n, x in own.items()) for s, own in banks.items()}
    instrument, folder = Similarity(images=48), Folder(tmp_path_factory.mktemp("similarity"))
    task = instrument.prepare(seen(dataset), dataset, layers, CONTEXT)
    folder.save_json("layers.json", {s: [[layer.name, layer.grid] for layer in own] for s, own in layers.items()})
    folder.save_json("facts.json", dict(task.facts))
    folder.save_arrays(TASK, task.arrays)
    for source, own in banks.items():
        for name, x in own.items():
            bank = {name: jax.device_put(x[task.rows].astype(np.float32))}
            with jax.transfer_guard("disallow"):
                ((_, arrays),) = instrument.measure(task, [], bank, [name], CONTEXT)
            folder.save_arrays(layer_file(source, name), arrays)
    folder.save_json("about.json", {"model": "toy", "weights": "none", "data": "toy", "images": 48, "seed": 0})
    stored = open_stored(folder.path)
    return instrument, task, stored, dict(instrument.tables(stored))


def test_tables(found):
    _, task, _, tables = found
    assert len(task.rows) == 48 and (np.bincount(task.arrays["strata"]) == 8).all()
    assert task.notes[0] == "similarity: of 48 of 54 images" and "no distances of second" in task.notes[1]
    rows = {(r["source"], r["layer"], r["versus_source"], r["versus_layer"]): r for r in tables["cka"]}
    assert len(rows) == 6 and rows["network", "early", "network", "early"]["value"] == pytest.approx(1.0)
    alike, unlike = rows["network", "early", "network", "late"], rows["network", "early", "untrained network", "early"]
    assert alike["low"] > 0.3 and unlike["low"] < 0.15 and unlike["value"] < 0.3 and alike["images"] == 48
    assert {r["target"]: r["groups"] for r in tables["rsa"]} == {"first": 3, "first x second": 6}
    assert len(tables["rsa"]) == 12


def test_words_and_figures(found):
    instrument, _, stored, tables = found
    images, first, both = instrument.findings(stored, tables)
    assert images.startswith("Images: of neighbouring layers, early and late are least alike, CKA 0.")
    assert "training changed early most, CKA with the same untrained" in images and "pixels" not in images
    assert first.startswith("Groups of first: ") and both.startswith("Groups of first x second: ")
    rows = {(r["source"], r["layer"], r["versus_source"], r["versus_layer"]): r for r in tables["cka"]}
    ends = ("network", "early", "network", "late"), ("network", "early", "untrained network", "early")
    step, trained = (tuple(rows[place][key] for key in ("value", "low", "high")) for place in ends)
    excerpt = next(iter(instrument.excerpts(stored, tables)))
    assert excerpt.rows == (("early", step, None, trained, None), ("late", None, None, None, None))
    (words,) = instrument.listing(stored, tables)
    assert "largest step: early to late" in words and "most alike in early" in words
    figures = dict(instrument.figures(stored, tables))
    assert list(figures) == ["cka", "rsa-first", "rsa-first-x-second"]
    assert all(isinstance(draw(), Figure) for draw in figures.values())


def test_bad_input():
    with pytest.raises(InputError, match="images must be at least 10"):
        Similarity(images=3)
    small = toy_dataset([[2, 2], [2, 2]])
    with pytest.raises(InputError, match="has 8 images, and similarity needs at least 10"):
        Similarity().prepare(seen(small), small, {}, CONTEXT)
