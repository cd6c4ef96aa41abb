"""Parquet files of any columns, and damaged ones."""

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from bias_jax.data import read_fairface
from tests.data.test_parquet_copies import HUB, LABELS, images, labelled, numbers, table
from tests.fuzz.places import SPLITS, damage
from tests.fuzz.watching import reads_or_refuses

VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 9), st.floats(), st.text(max_size=5), st.binary(max_size=9),
    st.sampled_from([text for texts in HUB.values() for text in texts]),
)  # fmt: skip
USUAL = ["image", "img", "file", "race", "Race", "race_label", "age", "gender", "sex", "path"]
COLUMN_NAMES = st.one_of(st.sampled_from(USUAL), st.text(max_size=5))


@st.composite
def tables(draw) -> pa.Table:
    """Four rows of any columns, often with those that are needed."""
    columns = {"image": images()} | draw(st.sampled_from([numbers(), LABELS, {}]))
    for name in draw(st.lists(COLUMN_NAMES, max_size=4)):
        values = draw(st.lists(VALUES, min_size=4, max_size=4))
        columns[name] = draw(st.sampled_from([values, list(map(repr, values)), images(), [[1]] * 4]))
    for name in draw(st.lists(st.sampled_from(list(columns)), max_size=1)):
        del columns[name]
    found = {}
    for name, values in columns.items():
        try:
            found[name] = pa.array(values)
        except (pa.ArrowException, OverflowError):
            found[name] = pa.array(list(map(repr, values)))
    return table(found, draw(st.sampled_from([HUB, None, {}])))


COLUMNS = {"found": tables(), "splits": SPLITS}


def any_columns(found, splits):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        pq.write_table(found, root / "train-00000-of-00001.parquet")
        pq.write_table(found, root / "val.parquet")
        reads_or_refuses(lambda: read_fairface(root, splits=splits), root)


DAMAGED = {
    "broken": st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=6),
    "cut": st.integers(0, 3000),
}


def damaged_parquet(broken, cut):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.parquet"
        pq.write_table(labelled(numbers()), path)
        damage(path, broken)
        if cut > 2000:
            path.write_bytes(path.read_bytes()[: cut - 2000])
        reads_or_refuses(lambda: read_fairface(folder), Path(folder))
