"""Published association tests: planted rows, the published embeddings, and what is refused."""

import math

import numpy as np
import pytest

from bias_jax.association import cosines, image_associations
from bias_jax.data.published_tests import MAIN
from bias_jax.errors import InputError
from bias_jax.published.finding import AS_PUBLISHED, HONEST, NOT_DECIDABLE, NOT_SUPPORTED, SUPPORTED
from bias_jax.published.steed2021 import PUBLISHED, Recomputed, read_embeddings, row_findings
from bias_jax.published.steed2021.findings import came_out_again, holds
from bias_jax.published.steed2021.numbers import IGPT, SIMCLR, PublishedRow

BIAS, NONE = PublishedRow("Weight", IGPT, 10, 0.8, 0.01), PublishedRow("Native", IGPT, 10, 0.1, 0.4)
EXACT = PublishedRow("Race", IGPT, 6, 0.5, 0.2)


def test_the_thirty_rows():
    assert len(PUBLISHED) == 30 and {row.test for row in PUBLISHED} == set(MAIN)
    for row in PUBLISHED:
        assert 0 < row.p <= 1 and abs(row.d) <= 2 * math.sqrt((2 * row.size - 1) / (2 * row.size))
        assert (row.d > 0) == (row.p < 0.5)  # one-sided


def test_whether_a_row_comes_out_again():
    assert came_out_again(EXACT, 0.50004, 0.20003, 0.20003) == SUPPORTED
    assert came_out_again(EXACT, 0.5004, 0.2, 0.2) == came_out_again(EXACT, 0.5, 0.201, 0.201) == NOT_SUPPORTED
    assert came_out_again(BIAS, 0.8, 0.012, 0.013) == SUPPORTED  # drawn: 4 * sqrt(0.01 * 0.99 / 10000) = 0.004
    assert came_out_again(BIAS, 0.8, 0.015, 0.016) == NOT_SUPPORTED


@pytest.mark.parametrize(
    ("row", "interval", "verdict"),
    [
        (BIAS, (0.1, 1.2), SUPPORTED), (BIAS, (-1.0, -0.1), NOT_SUPPORTED), (BIAS, (-0.1, 0.7), NOT_SUPPORTED),
        (BIAS, (-0.1, 1.2), NOT_DECIDABLE), (NONE, (-0.1, 0.15), SUPPORTED), (NONE, (0.1, 0.9), NOT_SUPPORTED),
        (NONE, (-0.9, -0.1), NOT_SUPPORTED), (NONE, (-0.5, 0.5), NOT_DECIDABLE),
        (BIAS, (math.nan, math.nan), NOT_DECIDABLE),
    ],
)  # fmt: skip
def test_whether_a_row_holds(row, interval, verdict):
    assert holds(row, *interval, small=False)[0] == verdict
    assert holds(row, *interval, small=True)[0] == NOT_DECIDABLE


def planted(rng, shift, same=True, reason=""):
    x, y = rng.standard_normal((2, 40, 8)) + shift * np.array([[[1.0]], [[-1.0]]])
    a, b = rng.standard_normal((2, 30, 8)) + 2.0 * np.array([[[1.0]], [[-1.0]]])
    targets = np.concatenate([x, y])
    row = next(r for r in PUBLISHED if (r.test, r.model) == ("Gender-Career", SIMCLR))
    near = image_associations(targets, a, b), cosines(targets, a), cosines(targets, b)
    return Recomputed(row, *near, 40, same, "planted", reason)


def test_findings_of_planted_embeddings(rng):
    def verdicts(one):
        found = [f for f in row_findings([one]) if math.isfinite(f.number)]
        assert [f.protocol for f in found] == [AS_PUBLISHED, HONEST] and len(list(row_findings([one]))) == 31
        return [f.verdict for f in found]

    assert verdicts(planted(rng, 1.0)) == [NOT_SUPPORTED, SUPPORTED]
    assert verdicts(planted(rng, -1.0)) == [NOT_SUPPORTED, NOT_SUPPORTED]
    assert verdicts(planted(rng, 1.0, same=False)) == [NOT_DECIDABLE, SUPPORTED]
    assert verdicts(planted(rng, 1.0, same=False, reason="untrained")) == [NOT_DECIDABLE, NOT_DECIDABLE]


def test_published_embeddings_give_the_published_rows(ieat_dir):
    """Every row of which there are embeddings comes out again."""
    recomputed = read_embeddings(ieat_dir)
    assert len(recomputed) == len(list(ieat_dir.glob("real_*.npz")))
    for finding in row_findings(recomputed):
        if math.isfinite(finding.number) and finding.protocol == AS_PUBLISHED:
            assert finding.verdict == SUPPORTED, finding.line


@pytest.mark.parametrize("case", ["no folder", "empty", "damaged", "widths", "not finite", "no arrays"])
def test_bad_embeddings(case, tmp_path):
    file, sets = tmp_path / "age__igpt_l_32.npz", {name: np.ones((3, 2)) for name in "XYAB"}
    if case == "damaged":
        file.write_bytes(b"PK\x03\x04 nothing")
    elif case != "empty":
        changed = {"widths": {"A": np.ones((3, 5))}, "not finite": {"X": np.full((3, 2), np.nan)}}.get(case, {})
        np.savez(file, **({} if case == "no arrays" else {**sets, **changed}))
    with pytest.raises(InputError, match="Way out"):
        read_embeddings(tmp_path / "nowhere" if case == "no folder" else tmp_path)
