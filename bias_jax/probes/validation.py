"""Out-of-fold predictions of one layer's probes: strength chosen on inner folds, reported on outer folds.

First, for every strength, *inner* probes without folds f and f + 1, each scored on both of these folds. Then, at the
strengths these choose (see `choice`), *outer* probes without fold f, on the real and on shuffled labels.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.probes.axes import Coordinates, principal_axes
from bias_jax.probes.between_folds import centred_signs, exchange
from bias_jax.probes.checks import check_data, whole_numbers
from bias_jax.probes.choice import choose_strengths
from bias_jax.probes.convex import checked_strengths, solve_path
from bias_jax.probes.objective import Problems, problem_logits
from bias_jax.probes.problems import class_problems, zero_start
from bias_jax.probes.solver import solve
from bias_jax.statistics import Exchange, shuffled_blocks

BY_IMAGE = ("predicted", "log_probability", "fitted", "fitted_log_probability", *Exchange._fields)
BY_TARGET = ("inner_predicted", "inner_log_probability", "l2", "relative_gap")


@dataclass(frozen=True)
class ProbeConfig:
    """How linear probes are trained and validated."""

    l2: tuple[float, ...] = tuple(10.0**k for k in range(-3, 5))  # strengths, on features of root mean square 1
    folds: int = 5  # outer folds, stratified by group; at least 3
    shuffles: int = 1  # repeats of the shuffled-label control
    tolerance: float = 1e-4  # certified gap at which a probe stops, relative to its objective
    max_steps: int = 1000  # solver steps per strength
    signs: int = 2  # random vectors that estimate the covariance between folds
    draws: int = 2000  # bootstrap draws for intervals

    def __post_init__(self) -> None:
        checked_strengths(self.l2)
        if self.folds < 3:
            raise ValueError(f"folds must be at least 3, two of which are left out at a time, got {self.folds}")
        if self.shuffles < 0:
            raise ValueError(f"shuffles must not be negative, got {self.shuffles}")
        for name in ("max_steps", "signs", "draws"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.tolerance > 0:
            raise ValueError(f"tolerance must be positive, got {self.tolerance}")


@dataclass(frozen=True)
class OutOfFold:
    """Predictions of every target's probe; row 0 is the real one, rows 1 to S the shuffled controls."""

    truth: np.ndarray  # labels that predictions are judged by, int32 [1 + S, T, N]
    predicted: np.ndarray  # held out: class numbers by the probe that never saw the image, int32 [1 + S, T, N]
    log_probability: np.ndarray  # held out, of the true class, nats, float32 [1 + S, T, N]
    fitted: np.ndarray  # training: by the next fold's probe, which was trained on the image, int32 [1 + S, T, N]
    fitted_log_probability: np.ndarray  # training, float32 [1 + S, T, N]
    influence: np.ndarray  # see `statistics.Exchange`, float32 [1 + S, T, V, N]
    learned: np.ndarray  # float32 [1 + S, T, V, P, N]
    taught: np.ndarray  # the same shape
    inner_predicted: np.ndarray  # by two inner probes (see `choice`), strongest penalty first, int32 [T, R, 2, N]
    inner_log_probability: np.ndarray  # of the true class, nats, float32, the same shape
    folds: np.ndarray  # fold of each image, int [N]
    l2: np.ndarray  # strength chosen for each outer fold, float64 [T, F]
    relative_gap: np.ndarray  # largest certified gap over the objective, of all probes of a target, float32 [T]

    def exchange(self, t: int, v: int) -> Exchange:
        """What images do to each other's values of target t in metric v; arrays [1 + S, ..., N]."""
        return Exchange(self.influence[:, t, v], self.learned[:, t, v], self.taught[:, t, v])


def cross_validate(
    features: jax.Array,
    labels: Mapping[str, np.ndarray],
    classes: Mapping[str, int],
    folds: np.ndarray,
    groups: np.ndarray,
    config: ProbeConfig,
    seed: int,
    people: np.ndarray | None = None,
) -> OutOfFold:
    """Probe one layer for all targets.

    Args:
        features: [N, D], on the device.
        labels: target -> class numbers int [N], all known.
        classes: target -> number of classes.
        folds: fold of each image, int [N], numbers 0 to ``config.folds`` - 1, none of them empty.
        groups: intersectional group of each image, int [N]; their sizes count as fixed.
        config: see `ProbeConfig`.
        seed: of the shuffled labels and the signs, the same for every layer and target.
        people: person of each image, int [N], 0 to K - 1, each in one fold; None: all differ.

    Raises:
        ValueError: for shapes or numbers that do not fit, or features that float32 cannot hold.
    """
    bank, labels = check_data({"features": features}, labels)
    features, images = bank["features"], len(bank["features"])
    folds, groups = whole_numbers("folds", folds, images), whole_numbers("groups", groups, images)
    if (found := np.unique(folds).tolist()) != list(range(config.folds)):
        raise ValueError(f"folds must be numbered 0 to {config.folds - 1}, got {found}")
    if people is not None:
        people = whole_numbers("people", people, images)
        if len(np.unique(np.stack([people, folds]), axis=1).T) > len(np.unique(people)):
            raise ValueError("a person has images in several folds")
    for target, y in labels.items():
        if target not in classes or y.min() < 0 or y.max() >= classes[target]:
            size = classes.get(target, 0)
            raise ValueError(f"target {target!r} has labels from {y.min()} to {y.max()}, but {size} classes from 0")
    rng = np.random.default_rng(seed)
    shuffles = [_shuffle_within_folds(folds, rng, people) for _ in range(config.shuffles)]
    truth = {t: np.stack([y, *(y[order] for order in shuffles)]) for t, y in labels.items()}
    # A generator of their own: differences between runs need the same signs, whatever the number of shuffles.
    signs = centred_signs(groups, config.signs, np.random.default_rng([seed, 1]), people)
    coordinates = principal_axes(features).coordinates
    results = [_probe_target(coordinates, truth[t], classes[t], folds, signs, config) for t in labels]
    return OutOfFold(
        truth=np.stack([truth[t] for t in labels], axis=1).astype(np.int32),
        **{name: np.stack([r[name] for r in results], axis=1) for name in BY_IMAGE},
        **{name: np.stack([r[name] for r in results]) for name in BY_TARGET},
        folds=folds,
    )


def _probe_target(
    coordinates: Coordinates,
    truth: np.ndarray,
    classes: int,
    folds: np.ndarray,
    signs: np.ndarray,
    config: ProbeConfig,
) -> dict[str, np.ndarray]:
    """Fields of `OutOfFold` without the T axis; truth [1 + S, N]."""
    number, images = config.folds, np.arange(len(folds))
    inner = np.stack([(folds != f) & (folds != (f + 1) % number) for f in range(number)])
    problems = class_problems(truth[0], classes, inner)
    strengths = checked_strengths(config.l2)
    path = solve_path(coordinates, problems, strengths, config.tolerance, config.max_steps)
    guessed = jax.device_get([_predict(coordinates.features, path[s].coefficients, problems) for s in strengths])
    two = np.stack([folds, (folds - 1) % number])  # the probes that left out an image's fold
    guess, log_p = (np.stack(part)[:, two, images] for part in zip(*guessed, strict=True))
    choice = choose_strengths(log_p, folds)
    chosen = np.array(strengths)[choice]  # [F]
    nearby = _select([path[strength].coefficients for strength in strengths], jax.device_put(choice.astype(np.int32)))

    # Real labels first, from the inner probes with one fold less, then each shuffle, from nothing; always F probes, so
    # the solver is compiled once per padded width and target size.
    outer = np.stack([folds != f for f in range(number)])
    l2 = jax.device_put(chosen.astype(np.float32))
    finals = []
    found: dict[str, list[np.ndarray]] = {name: [] for name in BY_IMAGE}
    for row, y in enumerate(truth):
        problems = class_problems(y, classes, outer)
        start = zero_start(problems, coordinates.features.shape[1]) if row else nearby
        finals.append(solve(coordinates, problems, start, l2, config.tolerance, config.max_steps))
        predictions = jax.device_get(_predict(coordinates.features, finals[-1].coefficients, problems))  # [F, N]
        values = [part[probe, images] for probe in (folds, (folds + 1) % number) for part in predictions]
        exchanged = exchange(coordinates, problems, finals[-1].coefficients, l2, y, folds, signs)
        for name, value in zip(BY_IMAGE, (*values, *exchanged), strict=True):
            found[name].append(value)
    gap = np.max(jax.device_get([solution.relative_gap for solution in (*path.values(), *finals)]))
    by_target = dict(zip(BY_TARGET, (guess, log_p, chosen, gap), strict=True))
    return {name: np.stack(rows) for name, rows in found.items()} | by_target


def _shuffle_within_folds(folds: np.ndarray, rng: np.random.Generator, people: np.ndarray | None) -> np.ndarray:
    """A permutation of the images that keeps each fold's label counts; labels of a person stay together."""
    order = np.arange(len(folds))
    for f in np.unique(folds):
        members = np.flatnonzero(folds == f)
        order[members] = members[shuffled_blocks(None if people is None else people[members], rng, len(members))]
    return order


@jax.jit
def _select(coefficients: list[jax.Array], choice: jax.Array) -> jax.Array:
    """Of R solutions [F, C, D + 1] the one chosen for each fold."""
    return jnp.stack(coefficients)[choice, jnp.arange(len(choice))]


@jax.jit
def _predict(features: jax.Array, coefficients: jax.Array, problems: Problems) -> tuple[jax.Array, jax.Array]:
    """Most probable class and log-probability of the labelled one, both [P, N]."""
    logits = problem_logits(features, coefficients, problems)
    log_p = jax.nn.log_softmax(logits, axis=1)
    return logits.argmax(axis=1).astype(jnp.int32), jnp.take_along_axis(log_p, problems.labels[:, None], axis=1)[:, 0]
