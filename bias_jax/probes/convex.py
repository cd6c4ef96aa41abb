"""`fit_convex`: L2-regularised softmax probes for every layer, target, strength and fold, each with a certificate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.probes.axes import Axes, principal_axes, to_bank
from bias_jax.probes.problems import class_problems, zero_start
from bias_jax.probes.solver import ABSENT_CLASS_LOGIT, Problems, Solution, solve


@dataclass(frozen=True)
class LayerPath:
    """One layer in principal axes, and its solutions: target -> problems, target -> strength -> solution."""

    axes: Axes
    problems: Mapping[str, Problems]
    solutions: Mapping[str, Mapping[float, Solution]]


class ConvexProbes:
    """Result of `fit_convex`; look a probe up by layer, target, strength and fold."""

    def __init__(
        self,
        bank: Mapping[str, jax.Array],
        paths: dict[str, LayerPath],
        classes: Mapping[str, int],
        folds: Sequence[int] | None,
    ):
        self._bank, self._paths, self._classes = bank, paths, classes
        self._folds: list[int | None] = list(folds) if folds is not None else [None]

    def weights(self, layer: str, target: str, l2: float, fold: int | None = None) -> tuple[jax.Array, jax.Array]:
        """(W [D, C], b [C]) in the coordinates of the bank as given: logits are ``bank[layer] @ W + b``."""
        path, p, classes = self._paths[layer], self._folds.index(fold), self._classes[target]
        coefficients = path.solutions[target][float(l2)].coefficients[p, :classes]
        weights, bias = to_bank(path.axes, coefficients, self._bank[layer])
        return weights, jnp.where(path.problems[target].present[p, :classes], bias, ABSENT_CLASS_LOGIT)

    def objective(self, layer: str, target: str, l2: float, fold: int | None = None) -> float:
        """Value reached: mean cross-entropy (nats) plus ``l2/2 sum(W^2)`` on the centred, scaled features."""
        return float(self._paths[layer].solutions[target][float(l2)].objective[self._folds.index(fold)])

    def gap(self, layer: str, target: str, l2: float, fold: int | None = None) -> float:
        """Certified upper bound of `objective` minus the optimum."""
        return float(self._paths[layer].solutions[target][float(l2)].gap[self._folds.index(fold)])

    def steps(self, layer: str, target: str, l2: float) -> int:
        """Solver steps taken by the probes of all folds together; each is two matrix products."""
        return int(self._paths[layer].solutions[target][float(l2)].steps)


def fit_convex(
    bank: Mapping[str, jax.Array],
    labels: Mapping[str, np.ndarray],
    *,
    l2: Sequence[float],
    folds: np.ndarray | None = None,
    tolerance: float = 1e-5,
    max_steps: int = 2000,
) -> ConvexProbes:
    """Minimise, for every layer, target, strength and fold,

        mean over n of  -log softmax(x_n W + b)[y_n]   +   l2/2 * sum(W^2)

    where x are the layer's features, centred and divided by one scalar (the root mean square of the centred
    features), and the bias is not penalised.

    Args:
        bank: layer -> features [N, D].
        labels: target -> class numbers int [N], from 0; negative means unknown and is left out.
        l2: strengths, positive.
        folds: fold number of each image, int [N]; the probe of fold f is trained on all other folds. None: train
            on everything.
        tolerance: stop each problem when its certified gap is at most this fraction of its objective.
        max_steps: limit on solver steps per strength.

    A class without training images gets zero weights and a bias of -40.

    Raises:
        ValueError: for shapes that do not fit, strengths that are not positive, or features that are not finite.
    """
    strengths = sorted({float(value) for value in l2}, reverse=True)
    if not strengths or strengths[-1] <= 0 or not np.isfinite(strengths).all():
        raise ValueError(f"l2 must be positive and finite, got {list(l2)}")
    arrays = {target: np.asarray(values) for target, values in labels.items()}
    images = len(next(iter(arrays.values())))
    for name, values in (*arrays.items(), *bank.items(), *((("folds", folds),) if folds is not None else ())):
        if len(values) != images:
            raise ValueError(f"{name!r} has {len(values)} rows, the first target has {images}")
    classes = {target: int(max(values.max(), 0)) + 1 for target, values in arrays.items()}
    numbers = None if folds is None else sorted(set(np.asarray(folds).tolist()))
    excluded = [None] if numbers is None else numbers
    training = np.stack([np.ones(images, bool) if f is None else np.asarray(folds) != f for f in excluded])
    problems = {t: class_problems(y, classes[t], training) for t, y in arrays.items()}
    paths = {}
    for layer, features in bank.items():
        features = jnp.asarray(features)
        if not bool(jnp.isfinite(features).all()):
            raise ValueError(f"features of layer {layer!r} are not all finite")
        axes = principal_axes(features)
        solutions = {t: solve_path(axes, p, strengths, tolerance, max_steps) for t, p in problems.items()}
        paths[layer] = LayerPath(axes, problems, solutions)
    return ConvexProbes({k: jnp.asarray(v) for k, v in bank.items()}, paths, classes, numbers)


def solve_path(
    axes: Axes, problems: Problems, strengths: Sequence[float], tolerance: float, max_steps: int
) -> dict[float, Solution]:
    """Solve from the strongest to the weakest strength.

    Each is started from where the last two point: coefficients change smoothly with the logarithm of the strength, and
    the weak strengths, which take the most steps, then take half as many.
    """
    solutions: dict[float, Solution] = {}
    start, before = zero_start(problems, axes.features.shape[1]), None
    ordered = sorted(strengths, reverse=True)
    for k, strength in enumerate(ordered):
        l2 = jax.device_put(np.full(len(problems.present), strength, np.float32))
        solutions[strength] = solve(axes.features, axes.spectrum, problems, start, l2, tolerance, max_steps)
        last = solutions[strength].coefficients
        start = last
        if before is not None and k + 1 < len(ordered):
            ratio = np.log(strength / ordered[k + 1]) / np.log(ordered[k - 1] / strength)
            start = _extrapolate(before, last, jax.device_put(np.float32(min(ratio, 2.0))))
        before = last
    return solutions


@jax.jit
def _extrapolate(before: jax.Array, last: jax.Array, ratio: jax.Array) -> jax.Array:
    return last + ratio * (last - before)
