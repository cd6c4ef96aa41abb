import math

import jax
import numpy as np
import pytest
from scipy.stats import chisquare

from bias_jax.association import ieat, permutation_test, profile_test
from bias_jax.association.draws import CHUNK, alias_tables, draw_patterns, generator_state, unpack
from bias_jax.association.exact import all_subsets
from bias_jax.association.sampled import count_hits
from bias_jax.randomness import key_for


def draw(total, size, lanes, seed=0):
    """Random subsets [lanes, total] of zeros and ones."""
    state = generator_state(key_for(seed, "subsets"), lanes)
    patterns, _ = draw_patterns(jax.device_put(alias_tables(total, size)), jax.device_put(np.uint32(size)), state)
    return np.asarray(unpack(patterns)).T.astype(int)


@pytest.mark.parametrize(("total", "size"), [(8, 4), (7, 2), (11, 5), (12, 11), (2, 1), (17, 3)])
def test_every_subset_is_equally_likely(total, size):
    found = draw(total, size, 400_000)
    assert (found.sum(axis=1) == size).all() and not found[:, total:].any()
    numbers = found[:, :total] @ (1 << np.arange(total))
    subsets = all_subsets(total, size).astype(int) @ (1 << np.arange(total))
    seen, counts = np.unique(numbers, return_counts=True)
    assert np.isin(seen, subsets).all()
    counts = np.append(counts, np.zeros(len(subsets) - len(counts)))
    assert chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize(("total", "size"), [(80, 40), (90, 20), (133, 100)])
def test_large_subsets_have_the_right_size_and_pairs(total, size):
    lanes = 40_000
    found = draw(total, size, lanes)
    assert (found.sum(axis=1) == size).all() and found.shape[1] % CHUNK == 0 and not found[:, total:].any()
    rows = found[:, :total].astype(np.float32)
    single, pair = size / total, size * (size - 1) / (total * (total - 1))
    together = rows.T @ rows / lanes
    error = np.abs(together - np.where(np.eye(total), single, pair))
    assert error.max() < 5.5 * math.sqrt(0.25 / lanes)  # the largest of some thousand frequencies


def test_same_seed_same_numbers_and_other_seed_others(rng):
    sets = [rng.standard_normal((n, 5)) for n in (25, 24, 4, 4)]
    first, again, other = (ieat(*sets, method="sampled", seed=s, draws=50_000) for s in (3, 3, 4))
    assert first == again and first.count != other.count and first.total == 50_001


def test_counts_of_many_layers_equal_those_of_one(rng):
    rows = rng.standard_normal((3, 30))
    rows -= rows.mean(axis=1, keepdims=True)
    together = count_hits(rows, 15, 20_000, key_for(0, "a"), two_sided=True)
    alone = [count_hits(row[None], 15, 20_000, key_for(0, "a"), two_sided=True) for row in rows]
    np.testing.assert_array_equal(together.own, [int(hits.own[0]) for hits in alone])
    assert (together.largest >= together.own).all()
    assert all(hits.own[0] == hits.largest[0] for hits in alone)


def test_nothing_is_copied_by_accident(rng):
    rows = rng.standard_normal((4, 24))
    with jax.transfer_guard("disallow"):
        hits = count_hits(rows, 9, 30_000, key_for(0, "guard"), two_sided=False)
        profile_test({"a": (rows[0, :14], rows[0, 14:]), "b": (rows[1, :14], rows[1, 14:])}, draws=1000)
    assert hits.own.shape == (4,)


def test_smallest_sampled_p_value_and_its_interval():
    found = permutation_test(np.arange(40.0) + 100, np.arange(40.0), method="sampled", draws=1000)
    assert found.count == 1 and found.p_value == 1 / 1001 and found.p_low == 0.0
    assert found.p_high == pytest.approx(1 - 0.025 ** (1 / 1000))


def test_limits():
    with pytest.raises(ValueError, match="draws"):
        permutation_test([1.0, 2.0], [3.0], method="sampled", draws=0)
    with pytest.raises(ValueError, match="too many"):
        permutation_test(np.arange(700.0), np.arange(5.0), method="sampled")
