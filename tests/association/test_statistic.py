import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from bias_jax.association import cosines, effect_size_interval, ieat, ieat_layers, image_associations
from bias_jax.association.statistic import contrast
from bias_jax.errors import InputError


@pytest.fixture
def sets(rng):
    return [rng.standard_normal((n, 12)) + 0.3 for n in (6, 5, 4, 7)]


def test_against_the_definition(sets):
    x, y, a, b = sets
    s = [cosine_similarity(w, a).mean(1) - cosine_similarity(w, b).mean(1) for w in (x, y)]
    np.testing.assert_allclose(image_associations(x, a, b), s[0], rtol=1e-12)
    np.testing.assert_allclose(cosines(x, a), cosine_similarity(x, a), rtol=1e-12)
    d = (s[0].mean() - s[1].mean()) / np.concatenate(s).std(ddof=1)
    assert ieat(x, y, a, b).effect_size == pytest.approx(d, abs=1e-12)


def test_zero_rows_have_cosine_zero(sets):
    x, _, a, b = sets
    x[2], a[1] = 0.0, 0.0
    expected = cosine_similarity(x, a).mean(1) - cosine_similarity(x, b).mean(1)
    assert image_associations(x, a, b)[2] == 0.0
    np.testing.assert_allclose(image_associations(x, a, b), expected, atol=1e-15)


def test_nearly_parallel_float32_features_keep_their_digits(rng):
    """Associations of 1e-7 on cosines near 1, against arithmetic with 30 digits more."""
    mpmath = pytest.importorskip("mpmath")
    base = 1.0 + rng.random(40)
    w, a, b = ((base + 3e-4 * rng.standard_normal((n, 40))).astype(np.float32) for n in (3, 2, 2))
    with mpmath.workdps(50):

        def cos(u, v):
            u, v = ([mpmath.mpf(float(value)) for value in vector] for vector in (u, v))
            dot = mpmath.fsum(p * q for p, q in zip(u, v, strict=True))
            return dot / mpmath.sqrt(mpmath.fsum(p * p for p in u) * mpmath.fsum(q * q for q in v))

        exact = [float(sum(cos(u, v) for v in a) / 2 - sum(cos(u, v) for v in b) / 2) for u in w]
    assert np.abs(exact).max() < 1e-6
    np.testing.assert_allclose(image_associations(w, a, b), exact, atol=1e-16)


@pytest.mark.parametrize("factor", [1e-200, 3.0, 1e200])
def test_scaling_an_image_changes_nothing(sets, factor):
    scaled = [s.copy() for s in sets]
    for s in scaled:
        s[0] *= factor
    before, after = ieat(*sets), ieat(*scaled)
    assert after.effect_size == pytest.approx(before.effect_size, abs=1e-12) and after.count == before.count


def test_exchanges(sets):
    x, y, a, b = sets
    d = ieat(x, y, a, b).effect_size
    assert ieat(y, x, a, b).effect_size == pytest.approx(-d, abs=1e-12)
    assert ieat(x, y, b, a).effect_size == pytest.approx(-d, abs=1e-12)
    assert ieat(y, x, b, a).effect_size == pytest.approx(d, abs=1e-12)
    p, q = ieat(x, y, a, b), ieat(y, x, a, b)
    assert p.count + q.count_strict == p.total == q.count + p.count_strict
    assert len({ieat(*sets, alternative="two-sided").count for sets in ((x, y, a, b), (y, x, a, b), (x, y, b, a))}) == 1


@pytest.mark.parametrize("method", ["exact", "bounds", "sampled"])
def test_equal_associations_are_undefined(method, rng):
    """Grey pictures by their mean colour: all cosines are 1."""
    grey = [np.outer(rng.random(n) + 0.1, np.ones(3)) for n in (4, 4, 3, 5)]
    with pytest.warns(RuntimeWarning, match="undefined"):
        found = ieat(*grey, method=method)
    assert np.isnan(found.effect_size) and found.p_value == found.p_low == found.p_high == 1.0


def test_one_image_a_side():
    a, b = np.eye(2)[:1], np.eye(2)[1:]
    found = ieat(a, b, a, b)
    assert found.effect_size == pytest.approx(np.sqrt(2)) and (found.count, found.total) == (1, 2)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("which", range(4))
def test_values_that_are_not_finite_raise(sets, which, value):
    sets[which][1, 2] = value
    with pytest.raises(ValueError, match="NaN or infinity"):
        ieat(*sets)


def test_bad_shapes_and_options_raise(sets):
    x, y, a, b = sets
    with pytest.raises(ValueError, match="same D"):
        ieat(x, y, a[:, :3], b)
    with pytest.raises(ValueError, match="non-empty"):
        ieat(x[:0], y, a, b)
    with pytest.raises(ValueError, match="method"):
        ieat(x, y, a, b, method="guess")
    with pytest.raises(ValueError, match="alternative"):
        ieat(x, y, a, b, alternative="less")
    with pytest.raises(ValueError, match="two non-empty vectors"):
        contrast([], [1.0])


@pytest.mark.parametrize("name", ["X", "Y", "A", "B"])
def test_a_set_without_any_direction_is_refused(name, rng):
    sets = {key: rng.normal(size=(4, 3)) for key in "XYAB"}
    sets[name] = np.zeros((4, 3))
    with pytest.raises(InputError, match=rf"all 4 vectors of {name} are zero \(rows 0 to 3\)"):
        ieat(**sets)
    with pytest.raises(InputError, match=rf"all 4 vectors of {name} are zero"):
        effect_size_interval(**sets)
    with pytest.raises(InputError, match=rf"all 4 vectors of {name} in layer late are zero"):
        ieat_layers({"late": tuple(sets.values())})
    sets[name][1, 1] = 1.0  # one that has a direction tells something
    assert np.isfinite(ieat(**sets).effect_size)
