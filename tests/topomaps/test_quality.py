"""Measures of layouts against scikit-learn, SciPy, PIL and plain NumPy; p-values against their calibration."""

import jax
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.spatial import procrustes
from scipy.stats import spearmanr
from sklearn.manifold import trustworthiness

from bias_jax.topomaps import Neighbourhoods, area_under_curve, morans_i, stability


@pytest.mark.parametrize("k", [1, 5, 20])
def test_trustworthiness_and_continuity_against_scikit_learn(k, rng):
    units, positions = rng.standard_normal((120, 9)), rng.uniform(size=(120, 2))
    units[:, :2] += 4 * positions
    near = Neighbourhoods(units)
    assert near.trustworthiness(positions, k) == pytest.approx(
        trustworthiness(units, positions, n_neighbors=k), abs=1e-12
    )
    assert near.continuity(positions, k) == pytest.approx(trustworthiness(positions, units, n_neighbors=k), abs=1e-12)
    assert Neighbourhoods(positions).trustworthiness(positions, k) == 1.0


def test_distance_correlation_against_scipy(rng):
    units, positions = rng.standard_normal((50, 4)), rng.uniform(size=(50, 2))
    pairs = np.triu_indices(50, 1)
    both = [np.linalg.norm(x[:, None] - x, axis=2)[pairs] for x in (units, positions)]
    assert Neighbourhoods(units).distance_correlation(positions) == pytest.approx(spearmanr(*both).statistic, abs=1e-12)


def test_measures_of_too_few_units_are_undefined():
    for units in (1, 2):
        near = Neighbourhoods(np.ones((units, 3)))
        assert np.isnan(near.trustworthiness(np.zeros((units, 2)), 5)) and np.isnan(
            near.continuity(np.zeros((units, 2)), 5)
        )
        assert np.isnan(near.distance_correlation(np.zeros((units, 2))))
    assert np.isnan(morans_i(np.zeros((1, 2)), np.ones((2, 1)), seed=0).index).all()


def test_morans_i_against_its_definition(rng):
    positions, values = rng.uniform(size=(70, 2)), rng.standard_normal((3, 70)).astype(np.float32)
    values[2] = 4.0  # a constant map has no autocorrelation
    found = morans_i(positions, values, neighbours=6, permutations=99, seed=0)
    apart = np.linalg.norm(positions[:, None] - positions, axis=2) + np.diag(np.full(70, np.inf))
    weights = np.zeros((70, 70))
    np.put_along_axis(weights, np.argsort(apart, axis=1)[:, :6], 1.0, axis=1)
    z = values[:2] - values[:2].mean(1, keepdims=True)
    expected = 70 / weights.sum() * np.einsum("gi,ij,gj->g", z, weights, z) / (z**2).sum(1)
    np.testing.assert_allclose(found.index[:2], expected, atol=1e-5)
    assert np.isnan(found.index[2]) and np.isnan(found.p_value[2]) and found.expected == -1 / 69


def test_morans_p_values_are_calibrated_and_powerful(rng):
    positions = rng.uniform(size=(60, 2))
    nothing = morans_i(positions, rng.standard_normal((2000, 60)), permutations=199, seed=1)
    rejected = (nothing.p_value <= 0.05).mean()
    assert abs(rejected - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 2000) + 0.02  # the permutations are shared by all maps
    assert abs(nothing.index.mean() - nothing.expected) < 0.01
    smooth = morans_i(positions, positions.T, permutations=199, seed=1)
    assert (smooth.index > 0.7).all() and (smooth.p_value == 1 / 200).all()


def test_units_at_one_place_are_no_neighbours_of_themselves():
    values = np.arange(24.0).reshape(2, 12)
    found = morans_i(np.zeros((12, 2)), values, neighbours=3, permutations=19, seed=0)
    assert np.isfinite(found.index).all()


def test_stability_against_scipy(rng):
    layouts = [rng.uniform(size=(30, 2)) for _ in range(3)]
    pairs = [procrustes(layouts[i], layouts[j])[2] for i, j in ((0, 1), (0, 2), (1, 2))]
    assert stability(layouts) == pytest.approx(np.mean(pairs), abs=1e-12)
    turned = layouts[0] @ np.array([[0.0, -1.0], [1.0, 0.0]]) * [1, -1] * 3 + 7
    assert stability([layouts[0], turned]) == pytest.approx(0, abs=1e-12)
    assert np.isnan(stability(layouts[:1])) and np.isnan(stability([np.zeros((4, 2))] * 2))


def test_areas_against_degrading_image_by_image(rng):
    images = rng.standard_normal((3, 100, 100)).astype(np.float32)
    images[0] = gaussian_filter(images[0], 8)
    images[2] = np.nan  # a group without images
    scaled = images[:2] / np.abs(images[:2]).max() / 2
    resize, blur = [], []
    for percent in range(55, 9, -5):
        small = [Image.fromarray(i).resize((percent, percent), Image.Resampling.BICUBIC) for i in scaled]
        back = np.stack([np.asarray(i.resize((100, 100), Image.Resampling.BICUBIC)) for i in small])
        resize.append(((back - scaled) ** 2).mean())
    for sigma in np.arange(0.5, 5.1, 0.5):
        blur.append(((gaussian_filter(scaled, (0, sigma, sigma)) - scaled) ** 2).mean())
    found = area_under_curve(jax.device_put(images))
    assert found["resize"] == pytest.approx(np.trapezoid(resize), rel=1e-4)
    assert found["blur"] == pytest.approx(np.trapezoid(blur), rel=1e-4)


def test_smoother_maps_score_better(rng):
    rough = rng.standard_normal((4, 50, 50)).astype(np.float32)
    smooth = gaussian_filter(rough, (0, 5, 5))
    for kind, area in area_under_curve(jax.device_put(smooth)).items():
        assert area < area_under_curve(jax.device_put(rough))[kind]
    assert area_under_curve(jax.device_put(np.zeros((1, 20, 20), np.float32))) == {"resize": 0.0, "blur": 0.0}
