"""Intervals of rates that no image contradicts, against the closed form of one rate and a search over several."""

import numpy as np
import pytest
from scipy.optimize import minimize

from bias_jax.probes.extremes import doubt, silent_mean
from bias_jax.probes.readouts import HELD_OUT, TRAINING, Readout, image_values
from bias_jax.statistics import clopper_pearson_interval


@pytest.mark.parametrize("trials", [1, 7, 300])
def test_one_rate_is_that_of_clopper_and_pearson(trials):
    assert silent_mean(np.array([trials])) == pytest.approx(clopper_pearson_interval([0], [trials])[1][0], rel=1e-12)


@pytest.mark.parametrize("trials", [(4, 4, 4), (2, 3, 9), (1, 200), (1, 1, 50, 60), (2,) * 126])
def test_several_rates_are_the_worst_there_can_be(trials):
    n = np.array(trials, float)
    found = silent_mean(n)
    # Shares that miss, by their logarithms, which add up to a limit and are at most 0.
    limit = {"type": "eq", "fun": lambda logs: n @ logs - np.log(0.025)}
    start = np.full(len(n), np.log(0.025) / n.sum())
    best = minimize(
        lambda logs: np.exp(logs).mean(),
        start,
        jac=lambda logs: np.exp(logs) / len(n),
        method="SLSQP",
        bounds=[(None, 0.0)] * len(n),
        constraints=limit,
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert found == pytest.approx(1.0 - best.fun, abs=1e-6)


def test_the_interval_holds_the_rates_that_would_often_give_nothing(rng):
    """Of rates at the bound, nothing is hit in 2.5 % of draws; of lower ones more often."""
    n = np.array([19, 20, 21])
    scale = np.exp((np.log(0.025) - (n * np.log(n)).sum()) / n.sum())
    rates = 1.0 - scale * n
    assert rates.min() > 0 and rates.mean() == pytest.approx(silent_mean(n))
    nothing = (rng.binomial(n, rates, (200_000, 3)) == 0).all(axis=1).mean()
    assert nothing == pytest.approx(0.025, abs=0.0015)


def test_doubt_is_there_only_where_no_image_differs():
    true = np.tile(np.repeat(np.arange(3), 4), (3, 1))
    guess = np.stack([(true[0] + 1) % 3, true[0], np.where(np.arange(12) == 0, 1, true[0])])

    def read(split=HELD_OUT, people=None):
        readout = Readout("age", "age", split, 3, true, guess, np.log(np.full((3, 12), 0.5)))
        return {m.name: doubt(readout, m, people) for m in image_values(readout, ordinal=True)}

    found = read()
    most = silent_mean(np.array([12]))
    for name, scale in (("accuracy", 1.0), ("balanced_accuracy", 1.0), ("adjusted_balanced_accuracy", 1.5)):
        below, above = found[name]
        np.testing.assert_allclose(above, [scale * most, 0, 0])
        np.testing.assert_allclose(below, [0, scale * most, 0])
    assert found["kappa"][1][0] == pytest.approx(most / (1 - 1 / 3))
    assert not np.any(found["log_loss_bits"]) and not np.any(read(TRAINING)["accuracy"])
    people = np.repeat(np.arange(6), 2)
    assert read(people=people)["accuracy"][1][0] == pytest.approx(silent_mean(np.array([6])))
