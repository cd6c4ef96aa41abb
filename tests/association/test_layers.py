import numpy as np
import pytest
from scipy.stats import kstest

from bias_jax.association import ieat, ieat_layers, permutation_test, profile_test
from bias_jax.association.exact import all_subsets


def test_each_layer_is_its_own_test(rng):
    embeddings = {f"layer {i}": [rng.standard_normal((n, 6)) for n in (5, 6, 3, 4)] for i in range(3)}
    for alternative in ("greater", "two-sided"):
        for found in ieat_layers(embeddings, alternative=alternative):
            assert found.test == ieat(*embeddings[found.layer], alternative=alternative)
            assert found.p_max_t >= found.test.p_value and found.joint_exact


@pytest.mark.parametrize("alternative", ["greater", "two-sided"])
def test_largest_over_layers_against_the_definition(rng, alternative):
    s = rng.standard_normal((4, 11)) * np.array([[1.0], [1e-6], [30.0], [0.1]])

    def effect_sizes(chosen):
        d = np.array([(row[chosen].mean() - row[~chosen].mean()) / row.std(ddof=1) for row in s])
        return np.abs(d) if alternative == "two-sided" else d

    observed = effect_sizes(np.arange(11) < 5)
    largest = np.array([effect_sizes(subset > 0).max() for subset in all_subsets(11, 5)])
    found = profile_test({str(i): (row[:5], row[5:]) for i, row in enumerate(s)}, alternative=alternative)
    assert [f.joint_count for f in found] == [(largest >= d - 1e-9).sum() for d in observed]


def test_sampled_profile_agrees_with_all_relabellings(rng, monkeypatch):
    s = rng.standard_normal((5, 18)) + 0.6 * (np.arange(18) < 9)
    profile = {str(i): (row[:9], row[9:]) for i, row in enumerate(s)}
    exact = profile_test(profile)
    monkeypatch.setattr("bias_jax.association.layers.MOST_ENUMERATED", 0)
    sampled = profile_test(profile, draws=400_000)
    assert exact[0].joint_exact and not sampled[0].joint_exact and sampled[0].joint_total == 400_001
    for a, b in zip(exact, sampled, strict=True):
        assert b.p_max_t == pytest.approx(a.p_max_t, abs=4 * np.sqrt(0.25 / 400_000))


def test_layer_without_spread_is_undefined_and_leaves_the_others_alone(rng):
    s = rng.standard_normal(12)
    alone = profile_test({"a": (s[:6], s[6:])})
    with pytest.warns(RuntimeWarning, match="equal in grey"):
        both = profile_test({"a": (s[:6], s[6:]), "grey": (np.full(6, 0.2), np.full(6, 0.2))})
    assert both[0] == alone[0] and both[1].p_max_t == 1.0 and np.isnan(both[1].test.effect_size)


def test_layers_must_hold_the_same_images(rng):
    with pytest.raises(ValueError, match="same images"):
        profile_test({"a": (np.arange(3.0), np.arange(3.0)), "b": (np.arange(3.0), np.arange(4.0))})


def test_null_calibration():
    """Stimuli without any difference, 500 times: uniform p-values, and 5 % false alarms over five layers in all."""
    rng = np.random.default_rng(5)
    p, smallest = [], []
    for _ in range(500):
        common = rng.standard_normal(14)
        s = common + 0.7 * rng.standard_normal((5, 14))  # correlated, as layers are
        p.append(permutation_test(s[0, :7], s[0, 7:]).p_value)
        found = profile_test({str(i): (row[:7], row[7:]) for i, row in enumerate(s)})
        smallest.append(min(f.p_max_t for f in found))
    assert kstest(p, "uniform").pvalue > 0.001
    error = np.mean(np.array(smallest) <= 0.05)
    assert abs(error - 0.05) <= 3.5 * np.sqrt(0.05 * 0.95 / 500)
    assert kstest(smallest, "uniform").pvalue > 0.001


def test_null_calibration_when_sampled():
    """The same beyond the reach of enumeration, with few draws: (1 + hits) / (1 + draws) stays a valid p-value."""
    rng = np.random.default_rng(6)
    p = []
    for repeat in range(500):
        s = rng.standard_normal(50)
        p.append(permutation_test(s[:25], s[25:], method="sampled", draws=999, seed=repeat).p_value)
    assert kstest(p, "uniform").pvalue > 0.001
