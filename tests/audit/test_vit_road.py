"""A vision transformer walks the road: all its blocks are layers of one width, so more of them are no more programs."""

import jax
import pandas as pd
import pytest

from bias_jax.audit import RunConfig, audit
from bias_jax.compilation import counted_programs
from bias_jax.instruments import Probes, Variance
from bias_jax.networks import Transform, network
from tests.audit.toys import faces, pictures
from tests.networks.vit_case import registered, tiny_row

NAME = "vit_tiny"
FILES = pictures(40, size=32)
PROBES = Probes(folds=3, l2=(0.01, 1.0), draws=100)


@pytest.fixture(autouse=True, scope="module")
def tiny():
    row = tiny_row("dinov2_b_14_reg4")
    row = row._replace(preparations={"tiny": Transform(32, 32, filter="bicubic")})
    with registered(NAME, row):
        yield


def run(layers, out, instrument=PROBES):
    found = audit(NAME, [instrument], faces=faces(FILES), config=RunConfig(layers=layers, batch_size=20), out=out)
    assert not found.failures
    return found


def test_both_layers_of_a_block_are_measured(tmp_path):
    run((), tmp_path, Variance(permutations=99))
    rows = pd.read_parquet(tmp_path / "variance/variance.parquet")
    expected = [f"blocks.{i}.{end}" for i in range(3) for end in ("class", "patches")]
    assert list(rows["layer"].unique()) == ["pixels", *expected, "norm.class"] == ["pixels", *network(NAME).layers]


@pytest.mark.slow
def test_more_blocks_are_no_more_programs(tmp_path):
    """Beside the network itself, of which there is one in either run."""
    counts = {}
    for layers in (("blocks.0.class",), network(NAME).layers):
        jax.clear_caches()
        with counted_programs() as programs:
            run(layers, tmp_path / str(len(layers)))
        counts[len(layers)] = programs.count
    assert counts[7] <= counts[1], counts
