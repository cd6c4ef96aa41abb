"""Out-of-fold predictions of one layer's probes: strength chosen on inner folds, reported on outer folds.

Three probes per fold f, trained together: *outer* without fold f; *inner* without folds f and f + 1; *shuffled*, the
outer one on shuffled labels. Each inner probe is scored on both of its folds, so the strength for outer fold f is
chosen by two probes that never saw f, and f itself is used for nothing but the reported prediction.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.probes.axes import principal_axes
from bias_jax.probes.convex import solve_path
from bias_jax.probes.problems import class_problems
from bias_jax.probes.solver import Problems, problem_logits


@dataclass(frozen=True)
class ProbeConfig:
    """How linear probes are trained and validated."""

    l2: tuple[float, ...] = tuple(10.0**k for k in range(-3, 5))  # strengths, on features of root mean square 1
    folds: int = 5  # outer folds, stratified by group; at least 3
    shuffles: int = 1  # repeats of the shuffled-label control
    tolerance: float = 1e-4  # certified gap at which a probe stops, relative to its objective
    max_steps: int = 1000  # solver steps per strength
    draws: int = 2000  # bootstrap draws for intervals


@dataclass(frozen=True)
class OutOfFold:
    """Held-out predictions of every target's probe; row 0 is the real one, rows 1 to S the shuffled controls."""

    predicted: np.ndarray  # class numbers, int32 [1 + S, T, N]
    truth: np.ndarray  # labels they are judged by, int32 [1 + S, T, N]
    log_probability: np.ndarray  # of the true class, nats, float32 [1 + S, T, N]
    l2: np.ndarray  # strength chosen for each outer fold, float64 [T, F]
    relative_gap: np.ndarray  # largest certified gap over the objective, of all probes of a target, float32 [T]


def cross_validate(
    features: jax.Array,
    labels: Mapping[str, np.ndarray],
    classes: Mapping[str, int],
    folds: np.ndarray,
    config: ProbeConfig,
    seed: int,
) -> OutOfFold:
    """Probe one layer for all targets.

    Args:
        features: [N, D], on the device.
        labels: target -> class numbers int [N].
        classes: target -> number of classes.
        folds: fold of each image, int [N], numbers 0 to F - 1.
        config: see `ProbeConfig`.
        seed: of the shuffled labels, the same permutation for every layer and target.
    """
    number = config.folds
    rng = np.random.default_rng(seed)
    shuffles = [_shuffle_within_folds(folds, rng) for _ in range(config.shuffles)]
    outer = np.stack([folds != f for f in range(number)])
    inner = np.stack([(folds != f) & (folds != (f + 1) % number) for f in range(number)])
    training = np.concatenate([outer, inner, *([outer] * config.shuffles)])
    truth = {t: np.stack([y, *(y[order] for order in shuffles)]) for t, y in labels.items()}
    expanded = {t: np.repeat(np.insert(y, 0, y[0], axis=0), number, axis=0) for t, y in truth.items()}

    axes = principal_axes(features)
    problems = class_problems(expanded, classes, training)
    strengths = sorted(config.l2, reverse=True)
    solutions = solve_path(axes, problems, strengths, config.tolerance, config.max_steps)
    predicted, log_probability, gaps = [], [], []
    for strength in strengths:
        solution = solutions[strength]
        guess, log_p = _predict(axes.features, solution.coefficients, problems)
        predicted.append(guess)
        log_probability.append(log_p)
        gaps.append(solution.gap / solution.objective)
    guesses, log_ps, gap = jax.device_get((predicted, log_probability, gaps))
    guesses, log_ps = np.stack(guesses), np.stack(log_ps)  # [R, T, P, N]

    chosen = _choose(log_ps[:, :, number : 2 * number], folds)
    rows = np.arange(len(folds))
    result_guess, result_log_p = [], []
    for first in (0, *(number * (2 + s) for s in range(config.shuffles))):
        picked = chosen[:, folds], np.arange(len(labels))[:, None], first + folds, rows
        result_guess.append(guesses[picked])
        result_log_p.append(log_ps[picked])
    return OutOfFold(
        predicted=np.stack(result_guess),
        truth=np.stack([truth[t] for t in labels], axis=1).astype(np.int32),
        log_probability=np.stack(result_log_p),
        l2=np.array(strengths)[chosen],
        relative_gap=np.stack(gap).max(axis=(0, 2)),
    )


def _shuffle_within_folds(folds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A permutation of the images that keeps each fold's label counts."""
    order = np.arange(len(folds))
    for f in np.unique(folds):
        members = np.flatnonzero(folds == f)
        order[members] = rng.permutation(members)
    return order


def _choose(log_p: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Index of the strength with the best inner log-probability, [T, F], from [R, T, F, N] of the inner probes."""
    number = log_p.shape[2]
    result = np.empty((log_p.shape[1], number), dtype=np.int64)
    for f in range(number):
        after, before = folds == (f + 1) % number, folds == (f - 1) % number
        score = log_p[:, :, f, after].sum(axis=-1) + log_p[:, :, f - 1, before].sum(axis=-1)
        result[:, f] = score.argmax(axis=0)  # ties go to the stronger regularisation
    return result


@jax.jit
def _predict(features: jax.Array, coefficients: jax.Array, problems: Problems) -> tuple[jax.Array, jax.Array]:
    """Most probable class and log-probability of the labelled one, both [T, P, N]."""
    guesses, log_ps = [], []
    for logits, labels in zip(problem_logits(features, coefficients, problems), problems.labels, strict=True):
        guesses.append(logits.argmax(axis=1).astype(jnp.int32))
        log_p = jax.nn.log_softmax(logits, axis=1)
        log_ps.append(jnp.take_along_axis(log_p, labels[:, None], axis=1)[:, 0])
    return jnp.stack(guesses), jnp.stack(log_ps)

