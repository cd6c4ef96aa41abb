"""The default map against MiniSom as it was published, and how many programs maps of all layers compile."""

from itertools import product

import numpy as np
import pytest

from bias_jax.compilation import counted_programs
from bias_jax.topomaps import default_som, som_layout, square_side

SPECTRA = {  # strengths of 126 directions
    "some ten": np.exp(-np.arange(126) / 8.0) + 0.02,
    "a few": np.exp(-np.arange(126) / 2.0) + 0.005,
    "power law": 1.0 / (1.0 + np.arange(126)),
}


def profiles(units, strengths, seed):
    rng = np.random.default_rng([seed, units])
    turn = np.linalg.qr(rng.normal(size=(len(strengths), len(strengths))))[0]
    return (rng.standard_normal((units, len(strengths))) * strengths @ turn).astype(np.float32)


def clusters(units):
    """A dozen kinds of units, of unlike strength, a tenth of them dead, as behind a ReLU."""
    rng = np.random.default_rng(units)
    x = rng.normal(size=(12, 126))[rng.integers(12, size=units)] * rng.gamma(1, 1, size=(units, 1))
    x += 0.3 * rng.normal(size=x.shape)
    x[rng.random(units) < 0.1] = 0.0
    return x.astype(np.float32)


CASES = {
    **{f"{kind}, {units} units, seed {seed}": profiles(units, SPECTRA[kind], seed)
       for kind, units, seed in product(SPECTRA, (64, 256), (0, 1))},
    "some ten, 512 units": profiles(512, SPECTRA["some ten"], 0),
    "clusters, 256 units": clusters(256),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_default_map_is_no_worse_than_the_published_one(case):
    """Both errors, of MiniSom with sigma 1, rate 0.5 and 10 steps a unit; by MiniSom's own measures."""
    x, side = CASES[case].astype(float), square_side(len(CASES[case]))
    published = pytest.importorskip("minisom").MiniSom(
        side, side, x.shape[1], sigma=1.0, learning_rate=0.5, random_seed=0
    )
    published.random_weights_init(x)
    published.train_random(x, 10 * len(x))
    theirs = published.quantization_error(x), published.topographic_error(x)
    published._weights = default_som(len(x)).fit(CASES[case], seed=0).weights.astype(float)
    ours = published.quantization_error(x), published.topographic_error(x)
    assert ours[0] <= theirs[0] and ours[1] <= theirs[1]


def test_layers_of_a_network_share_two_programs(rng):
    """From 64 to 2048 units: search and update, however many layers there are."""
    som_layout(rng.standard_normal((64, 5)), seed=0)
    with counted_programs() as programs:
        for units, groups in ((65, 9), (192, 126), (300, 20)):
            positions, _ = som_layout(rng.standard_normal((units, groups)), seed=1)
            assert positions.shape == (units, 2)
    assert programs.count == 0
