"""Damaged files of features, of every form."""

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from bias_jax.features import open_features
from tests.features.test_opening import whole, write
from tests.fuzz.places import damage
from tests.fuzz.watching import nothing_outside, outcome

ROWS = 11
ARRAYS = {name: np.linspace(0, 1, ROWS * width).reshape(ROWS, width).astype("f4") for name, width in
          (("a", 6), ("b", 3))}  # fmt: skip
# Places from the beginning, where arrays have their headers, and from the end, where archives and parquet have theirs.
DAMAGED = {
    "form": st.sampled_from(["npz", "compressed", "columns first", "safetensors", "parquet", "numbered"]),
    "broken": st.lists(st.tuples(st.integers(-900, 900), st.integers(0, 255)), min_size=1, max_size=6),
    "cut": st.integers(0, 3000),
}


def damaged_features(form, broken, cut):
    with tempfile.TemporaryDirectory() as folder:
        path = write(form, Path(folder), ARRAYS)
        damage(path, broken)
        if cut > 2000:
            path.write_bytes(path.read_bytes()[: cut - 2000])

        def read():
            features = open_features(path)
            return {name: whole(features, name, 4).shape[0] for name in features.layers}

        with nothing_outside(Path(folder)):
            found = outcome(read)
        assert found is None or len(set(found.values())) == 1
