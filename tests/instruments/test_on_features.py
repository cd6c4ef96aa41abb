"""Erasure, neighbours and similarity on the whole road: features computed elsewhere, two layers of unequal width."""

import numpy as np
import pytest

from bias_jax.audit import audit
from bias_jax.instruments import Erasure, Neighbours, Similarity


@pytest.mark.slow
def test_what_needs_no_network(tmp_path):
    rng, number = np.random.default_rng(0), np.arange(360)
    labels = {"first": (number % 2).astype(str), "second": (number // 2 % 3).astype(str)}
    hidden = rng.standard_normal((360, 4)) + 2.0 * np.stack([number % 2, number // 2 % 3, *[0 * number] * 2], axis=1)
    features = {"early": hidden @ rng.standard_normal((4, 6)), "late": np.tanh(hidden)}
    features = {name: x.astype(np.float32) for name, x in features.items()}
    instruments = [
        Erasure(erased=("first",), l2=(0.01, 0.1), folds=3, draws=200),
        Neighbours(at=(3,), distances=("cosine",), permutations=99, draws=100),
        Similarity(images=60),
    ]
    found = audit(features=features, labels=labels, instruments=instruments, out=tmp_path)
    assert not found.failures, found.failures
    rows = [row for row in found.tables["erasure"].to_pylist() if row["metric"] == "adjusted_balanced_accuracy"]
    after = [row for row in rows if (row["erased"], row["target"], row["control"]) == ("first", "first", "none")]
    linear = [row for row in after if row["probe"] == "linear"]
    assert [row["layer"] for row in linear] == ["early", "late"]
    assert all(row["before"] > 0.5 and row["value"] < 0.25 for row in linear)
    assert {row["layer"] for row in found.tables["neighbours"].to_pylist()} == {"early", "late"}
    (pair,) = [r for r in found.tables["cka"].to_pylist() if r["layer"] != r["versus_layer"]]
    assert pair["value"] > 0.3 and pair["images"] == 60
    assert found.figure("erasure_by_layer") and "precision of the nearest neighbours" in found.listing
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    again = audit(features=features, labels=labels, instruments=instruments, out=tmp_path)
    assert not again.failures and all(path.stat().st_mtime_ns == time for path, time in files.items())
