"""Activations kept in bfloat16: half the bytes, rounded once, and every instrument takes them as they are."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bias_jax.activations import Need, activation_shapes, extract_wave, pack
from bias_jax.audit import RunConfig, audit
from bias_jax.errors import InputError
from bias_jax.instruments import Maps, Predictions, Probes, Recipe, Variance
from bias_jax.networks import NETWORKS, Transform, random_params
from tests.audit.toys import SHAPES, ToySubject, faces, features_of, pictures
from tests.small import SMALL

FILES = pictures(40)
INSTRUMENTS = (
    Probes(folds=3, l2=(0.01, 1.0), draws=100),
    Variance(permutations=99),
    Maps(),
    Recipe(l1=(1e-3,), learning_rates=(1e-2,), seeds=1, epochs=2, batch_size=8),
    Predictions(top=2, permutations=99),
)


class Kept(ToySubject):
    """Gives banks of a type, with values of bfloat16."""

    def __init__(self, kept: str):
        super().__init__(shapes={layer: SHAPES[layer] for layer in ("pixels", "early", "late", "output")})
        self.kept = kept

    def extract(self, images, wave, labels, *, batch_size, precision, mesh):
        found = super().extract(images, wave, labels, batch_size=batch_size, precision=precision, mesh=mesh)
        for number, plan in enumerate(wave):
            if not plan.groups:
                rounded = jax.device_put(features_of(FILES, plan.name).astype(jnp.bfloat16))
                found[number] = rounded if plan.storage == self.kept else rounded.astype(jnp.float32)
        return found


@pytest.mark.slow
def test_every_instrument_takes_banks_of_bfloat16_as_they_are(tmp_path):
    """The same bytes as of the same numbers in float32; nothing is computed in bfloat16."""
    runs = {}
    for storage in ("bfloat16", "float32"):
        subject = Kept("bfloat16")
        config = RunConfig(storage=storage, layers=("early", "late"), batch_size=8)
        found = audit(subject, INSTRUMENTS, faces=faces(FILES), config=config, out=tmp_path / storage)
        assert not found.failures
        runs[storage] = {
            str(file.relative_to(tmp_path / storage)): file.read_bytes()
            for file in sorted((tmp_path / storage).rglob("*.arrow"))
        }
    assert len(runs["float32"]) > 12 and runs["float32"] == runs["bfloat16"]


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setitem(NETWORKS, "small", SMALL)


def test_banks_take_half_the_bytes_and_are_rounded_once(small):
    images, params = faces(FILES), random_params("small", 0, np.zeros((2, 24, 24, 3), np.float32))
    needs = [Need("first", "none"), Need("second", "mean", 2, "a"), Need("output", "mean")]
    plans, found = {}, {}
    for storage in ("float32", "bfloat16"):
        plans[storage] = pack(
            activation_shapes("small", params, Transform(28, 24)), needs, 40, 1.0, of="small", storage=storage
        )
        labels = {1: images.labels["kind"]}
        found[storage] = extract_wave(
            images, (6, 6), "small", params, Transform(28, 24), plans[storage].waves[0], labels, batch_size=8
        )
    exact, rounded = plans.values()
    assert [a.bytes / b.bytes for a, b in zip(exact.layers, rounded.layers, strict=True)] == [2, 1, 1]
    assert "in bfloat16" in str(rounded) and "bfloat16" not in str(exact)
    bank, means, output = found["bfloat16"]
    assert bank.dtype == jnp.bfloat16 and means.means.dtype == output.dtype == jnp.float32
    np.testing.assert_array_equal(bank, found["float32"][0].astype(jnp.bfloat16))
    for one, other in zip(jax.tree.leaves((means, output)), jax.tree.leaves(found["float32"][1:]), strict=True):
        np.testing.assert_array_equal(one, other)


def test_storage_is_part_of_what_a_run_is(tmp_path):
    """Numbers of one kind are never mixed with those of another; a run without the option stays what it was."""
    instruments = (Maps(),)
    for storage, kept in (("float32", ["pooling", "precision", "batch_size", "seed"]), ("bfloat16", None)):
        audit(ToySubject(), instruments, faces=faces(FILES), config=RunConfig(storage=storage), out=tmp_path / storage)
        activations = json.loads((tmp_path / storage / "run.json").read_text())["identity"]["activations"]
        assert list(activations) == (kept or ["pooling", "precision", "batch_size", "seed", "storage"])
    with pytest.raises(InputError, match="storage"):
        audit(
            ToySubject(),
            instruments,
            faces=faces(FILES),
            config=RunConfig(storage="bfloat16"),
            out=tmp_path / "float32",
        )
