"""Sensitivity as an instrument: a network that holds two attributes and uses one of them."""

import json
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from matplotlib.figure import Figure

from bias_jax.audit import Choice, Layer, RunConfig, audit, own_network
from bias_jax.errors import InputError
from bias_jax.instruments import Sensitivity
from bias_jax.networks import NETWORKS, Transform, image_classifier
from bias_jax.networks.layers import Activations
from bias_jax.results import Folder
from tests.conftest import toy_dataset
from tests.data.test_decoding import encoded
from tests.instruments.test_persons import CONTEXT, seen

SMALL = {"images": 48, "looked_at": 12, "permutations": 199, "families": ("fish=tench|goldfish",)}


class Reader(nnx.Module):
    """Holds the grey levels of sixteen squares; its answer depends on the first alone."""

    def __init__(self, classes, rngs):
        self.fc = nnx.Linear(1, classes, rngs=rngs)

    def __call__(self, x, offsets=None):
        activations = Activations(offsets)
        squares = x.reshape(len(x), 4, 4, 4, 4, 3).mean(axis=(2, 4, 5)).reshape(len(x), 16)
        squares = activations.keep("squares", squares)
        again = activations.keep("again", jnp.tanh(squares))
        return activations.keep("fc", self.fc(again[:, :1])), dict(activations)


def shaded(groups=((12, 12), (12, 12))):
    """Pictures of sixteen squares of noise; the first attribute is the shade of the first, the second of the last."""
    dataset, rng, files = toy_dataset(groups), np.random.default_rng(3), []
    for first, second in zip(dataset.labels["first"], dataset.labels["second"], strict=True):
        squares = rng.integers(100, 150, 16)
        squares[[0, 15]] += 40 * np.array([first, second])
        pixels = np.kron(squares.reshape(4, 4), np.ones((4, 4)))[..., None] * np.ones(3)
        files.append(encoded(pixels.astype(np.uint8)))
    return replace(dataset, read_bytes=files.__getitem__)


@pytest.fixture(scope="module", autouse=True)
def reader():
    layers = image_classifier(Reader, last=("fc",), preparation=Transform(16, 16), layers=("squares", "again"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "reader", layers)
        yield "reader"


def run(out, instrument=None, faces=None):
    return audit("reader", [instrument or Sensitivity(**SMALL)], faces=faces or shaded(),
                 config=RunConfig(batch_size=16), out=out)  # fmt: skip


@pytest.fixture(scope="module")
def found(reader, tmp_path_factory):
    return run(tmp_path_factory.mktemp("sensitivity") / "run")


def test_what_is_used_is_told_from_what_is_only_held(found):
    assert not found.failures
    strengths = found.tables["sensitivity_strength"].to_pylist()
    assert [(r["layer"], r["attribute"]) for r in strengths] == [
        (layer, attribute) for layer in ("squares", "again") for attribute in ("first", "second")
    ]
    for row in strengths:
        assert row["against"].endswith(" 1") and row["images"] == 12
        if row["attribute"] == "first":
            assert row["p_max_t"] < 0.05 and row["value"] > row["shuffled_high"] > row["random"]
        else:
            assert row["p_max_t"] > 0.2 and row["value"] < row["shuffled_high"]
    rows = found.tables["sensitivity"].to_pylist()
    assert {r["label"] for r in rows if r["kind"] == "family"} == {"fish"}
    used = [r for r in rows if r["attribute"] == "first" and r["layer"] == "squares"]
    assert len(used) == 11 and all(r["low"] <= r["value"] <= r["high"] for r in rows)
    assert all(r["positive"] == (r["value"] > 0) for r in used)  # one square decides, so all images agree
    assert min(r["p_max_t"] for r in used) < 0.05
    assert min(r["p_max_t"] for r in rows if r["attribute"] == "second") > 0.1


def test_words_and_figures(found):
    words = found.findings
    assert "Of first, answers change more than along shuffled labels in 2 of 2 layers and groups" in words
    assert "upwards for 100 % of the images" in words and "Along second, no class alone" in words
    assert "Of second, answers change more than along shuffled labels in 0 of 2" in words
    stored = found.stored["sensitivity"]
    ((name, draw),) = Sensitivity(**SMALL).figures(stored, {k: v.to_pylist() for k, v in found.tables.items()})
    assert name == "sensitivity_by_layer" and isinstance(draw(), Figure)
    told = json.loads((found.path / "sensitivity/section.json").read_text())
    assert told["excerpts"][0]["rows"][0][:2] == ["again", "first: first 0 from first 1"]
    assert told["account"]["limits"][0].startswith("A slope is local")


@pytest.mark.parametrize("at", ["untrained-network/again.arrow", "interventions/again.arrow", "sensitivity.parquet"])
def test_interrupted_run_continues_to_the_same_bytes(found, tmp_path, monkeypatch, at):
    saves = {name: getattr(Folder, name) for name in ("save_arrays", "save_table")}

    def interrupted(save):
        def saved(self, name, content):
            if name == at:
                raise KeyboardInterrupt
            return save(self, name, content)

        return saved

    with monkeypatch.context() as patch:
        for name, save in saves.items():
            patch.setattr(Folder, name, interrupted(save))
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "run")
    folder = tmp_path / "run/sensitivity"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.arrow")}
    assert before and not (folder / at).exists()
    run(tmp_path / "run")
    for path in (found.path / "sensitivity").rglob("*"):
        if path.suffix in (".arrow", ".parquet"):
            own = folder / path.relative_to(found.path / "sensitivity")
            assert own.read_bytes() == path.read_bytes(), path
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())  # nothing done twice


def test_damaged_interventions_are_made_again(found, tmp_path):
    again = run(tmp_path / "run")
    file = again.path / "sensitivity/interventions/squares.arrow"
    whole = file.read_bytes()
    file.write_bytes(whole[:-7])
    assert not run(tmp_path / "run").failures
    assert file.read_bytes() == whole


def layers_of(outputs=1000):
    return {"network": (Layer("squares", (1, 1, 16)), Layer("output", (1, 1, outputs)))}


def test_persons_have_a_side_each(tmp_path):
    """Groups of one person have no direction; intervals are about persons, means about images."""
    dataset = replace(shaded(((9, 9), (9, 9))), people=np.arange(36) // 3)
    task = Sensitivity(**SMALL).prepare(seen(dataset), dataset, layers_of(), CONTEXT)
    assert task.facts["contrasts"] == [["first", "first 0", "first 1"], ["second", "second 0", "second 1"]]
    assert task.notes[0] == "36 images show 12 persons, which are what is split, drawn and permuted"
    one = replace(shaded(((9, 0), (0, 3))), people=np.arange(12) // 3)
    with pytest.raises(InputError, match="no group has 2 images or persons beside 2 others"):
        Sensitivity(**SMALL).prepare(seen(one), one, layers_of(), CONTEXT)
    few = run(tmp_path / "few", faces=dataset)
    alone = run(tmp_path / "alone", faces=replace(dataset, people=None))
    assert not few.failures
    for row, other in zip(*(found.tables["sensitivity"].to_pylist() for found in (few, alone)), strict=True):
        assert row["value"] == other["value"] and row["low"] != other["low"]


def test_groups_of_one_image_have_no_direction():
    dataset = shaded(((5, 0), (5, 0), (1, 0)))
    task = Sensitivity(**SMALL).prepare(seen(dataset), dataset, layers_of(), CONTEXT)
    assert task.facts["contrasts"] == [["first", f"first {g}", "the others"] for g in (0, 1)]
    assert "no direction of first first 2, second second 0" in task.notes[-1]


def test_bad_input(tmp_path):
    for options, said in [({"images": 5}, "images must be at least 10"), ({"permutations": 9}, "at least 99"),
                          ({"looked_at": 1}, "looked_at at least 2")]:  # fmt: skip
        with pytest.raises(InputError, match=said):
            Sensitivity(**options)
    dataset, names = shaded(), tmp_path / "names.txt"
    names.write_text("a\nb\n")
    with pytest.raises(InputError, match="names 2 classes, but the network has 1000 outputs"):
        Sensitivity(classes=str(names)).prepare(seen(dataset), dataset, layers_of(), CONTEXT)
    with pytest.raises(InputError, match="no valid classifier"):
        Sensitivity().choose(Choice(("squares",), False, output=False))


def test_networks_that_are_not_of_the_registry_are_refused(tmp_path):
    mine = own_network(lambda images: (images.mean(axis=(1, 2)), {"colour": images.mean(axis=(1, 2))}), name="mine")
    with pytest.raises(InputError, match=r"sensitivity changes layers on the way, and mine is no network"):
        audit(mine, [Sensitivity(**SMALL)], faces=shaded(), out=tmp_path / "run")
    assert not (tmp_path / "run/run.json").exists()
    with pytest.raises(InputError, match="sensitivity"):
        audit(features=np.ones((48, 3), np.float32), faces=shaded(), instruments=[Sensitivity(**SMALL)])
