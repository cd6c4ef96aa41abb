"""The batched peer minimises the objective that it is timed on, every probe as if it were alone."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from experiments.benchmarks.lbfgs_peer import fit_layer  # noqa: E402
from experiments.benchmarks.solved import Job  # noqa: E402
from experiments.benchmarks.torch_history import History  # noqa: E402

N, D, FOLDS, STRENGTHS = 120, 12, 3, (0.1, 1e-2, 1e-3)


@pytest.fixture(autouse=True)
def one_thread():
    """Operations this small only wait for a second one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def job(rng):
    x = (rng.standard_normal((N, D)) * np.linspace(2.0, 0.1, D)).astype(np.float32)
    labels = {f"{c} classes": rng.permutation(np.arange(N) % c) for c in (2, 3, 7)}
    return Job({"layer": x + labels["3 classes"][:, None]}, labels, rng.permutation(np.arange(N) % FOLDS), STRENGTHS, 0)


def objective(x, y, coefficients, l2):
    """Float64, of coefficients [C, D + 1]."""
    logits = x @ coefficients[:, :-1].T + coefficients[:, -1]
    loss = np.log(np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1)) + logits.max(axis=1)
    return float((loss - logits[np.arange(len(y)), y]).mean() + 0.5 * l2 * np.square(coefficients[:, :-1]).sum())


def optimum(x, y, l2):
    """What scikit-learn finds, with the tightest tolerance."""
    from sklearn.linear_model import LogisticRegression

    two = y.max() == 1
    model = LogisticRegression(C=(2.0 if two else 1.0) / (l2 * len(y)), tol=1e-10, max_iter=10_000).fit(x, y)
    found = np.concatenate([model.coef_, model.intercept_[:, None]], axis=1)
    return objective(x, y, np.concatenate([-found / 2, found / 2]) if two else found, l2)


def coefficients_of(fit, labels):
    """By strength, target and fold."""
    sizes = [int(y.max()) + 1 for y in labels.values() for _ in range(FOLDS)]
    return [np.split(minimum.coefficients.double().numpy(), np.cumsum(sizes)[:-1]) for minimum in fit.minima]


def test_every_probe_comes_down_to_scikit_learns_optimum(job):
    pytest.importorskip("sklearn")
    x = job.standardised("layer")
    probes = [(y, job.folds != fold) for y in job.labels.values() for fold in range(FOLDS)]
    best = [[optimum(x[kept].astype(float), y[kept], l2) for y, kept in probes] for l2 in STRENGTHS]
    wanted = (1 + 1e-5) * np.array(best)
    fit = fit_layer(x, job.labels, job.folds, STRENGTHS, wanted, "cpu", limit=60.0)
    assert fit.reached == len(STRENGTHS) * len(probes) and fit.steps > 3
    for k, found in enumerate(coefficients_of(fit, job.labels)):
        true = np.array([objective(x[m], y[m], w, STRENGTHS[k]) for (y, m), w in zip(probes, found, strict=True)])
        np.testing.assert_allclose(fit.minima[k].objective, true, rtol=1e-6)
        assert (true <= wanted[k] * (1 + 1e-6)).all() and (true >= np.array(best[k]) * (1 - 1e-6)).all()


def test_a_probe_takes_the_steps_it_would_take_alone(job):
    """Neither step lengths nor histories are shared: company changes nothing but rounding."""
    x, strengths = job.standardised("layer"), (1e-2,)
    best = fit_layer(x, job.labels, job.folds, strengths, np.zeros((1, 9)), "cpu", limit=60.0, longest=60)
    wanted = [(1.001 * best.minima[0].objective).tolist()]
    together = fit_layer(x, job.labels, job.folds, strengths, wanted, "cpu", limit=60.0)
    assert together.reached == 9 and len(set(together.minima[0].steps.tolist())) > 1
    for k, (target, y) in enumerate(job.labels.items()):
        own = slice(FOLDS * k, FOLDS * (k + 1))
        alone = fit_layer(x, {target: y}, job.folds, strengths, [wanted[0][own]], "cpu", limit=60.0)
        assert alone.minima[0].steps.tolist() == together.minima[0].steps[own].tolist()


def test_what_cannot_be_reached_ends_and_is_said(job):
    x = job.standardised("layer")
    fit = fit_layer(x, job.labels, job.folds, (0.1,), np.zeros((1, 9)), "cpu", limit=60.0, longest=5)
    assert fit.reached == 0 and fit.minima[0].steps.tolist() == [5] * 9
    none = fit_layer(x, job.labels, job.folds, (0.1, 0.01), np.zeros((2, 9)), "cpu", limit=1e-9)
    assert none.reached == 0 and len(none.minima) <= 1


def test_directions_are_those_of_the_two_loop_recursion(rng):
    """Three probes of 1, 2 and 1 rows with a common history longer than what is remembered."""
    owner = np.array([0, 1, 1, 2])
    history, pairs = History(torch.zeros(4, 5, dtype=torch.float64), 3, 3), []
    for _ in range(5):
        s, g = rng.standard_normal((2, 4, 5))
        y = s * rng.uniform(0.5, 2.0, 5)
        pairs = [*pairs, (s, y)][-3:]
        found = history.add(*map(torch.from_numpy, (s, y, g)), torch.from_numpy(owner)).numpy()
    for probe in range(3):
        mine = owner == probe
        kept, q, factors = [(s[mine].ravel(), y[mine].ravel()) for s, y in pairs], g[mine].ravel(), []
        for s, y in reversed(kept):
            factors.append(s @ q / (s @ y))
            q = q - factors[-1] * y
        q = q * (kept[-1][0] @ kept[-1][1]) / (kept[-1][1] @ kept[-1][1])
        for (s, y), factor in zip(kept, reversed(factors), strict=True):
            q = q + (factor - y @ q / (s @ y)) * s
        np.testing.assert_allclose(found[mine].ravel(), q, rtol=1e-9)
