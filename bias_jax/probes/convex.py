"""`fit_convex`: L2-regularised softmax probes for every layer, target, strength and fold, each with a certificate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jax
import numpy as np

from bias_jax.arithmetic import Fast
from bias_jax.probes.axes import Axes, principal_axes, to_bank
from bias_jax.probes.checks import check_data, check_training, whole_numbers
from bias_jax.probes.lookup import position
from bias_jax.probes.objective import Problems
from bias_jax.probes.paths import checked_strengths, solve_path
from bias_jax.probes.problems import class_problems
from bias_jax.probes.solver import Solution


@dataclass(frozen=True)
class LayerPath:
    """One layer in principal axes, and its solutions: target -> problems, target -> solutions [R, P, ...]."""

    axes: Axes
    problems: Mapping[str, Problems]
    solutions: Mapping[str, Solution]


class ConvexProbes:
    """Result of `fit_convex`; look a probe up by layer, target, strength and fold."""

    def __init__(
        self,
        bank: Mapping[str, jax.Array],
        paths: dict[str, LayerPath],
        classes: Mapping[str, int],
        strengths: Sequence[float],
        folds: Sequence[int | None],
    ):
        self._bank, self._paths, self._classes, self._strengths, self._folds = bank, paths, classes, strengths, folds

    def weights(self, layer: str, target: str, l2: float, fold: int | None = None) -> tuple[jax.Array, jax.Array]:
        """(W [D, C], b [C]) in the coordinates of the bank as given: logits are ``bank[layer] @ W + b``."""
        (solution, r), p = self._solution(layer, target, l2), position("fold", fold, self._folds)
        path, bank = self._paths[layer], self._bank[layer]
        return to_bank(path.axes, path.problems[target], solution.coefficients[r], p, self._classes[target], bank)

    def objective(self, layer: str, target: str, l2: float, fold: int | None = None) -> float:
        """Value reached: mean cross-entropy (nats) plus ``l2/2 sum(W^2)`` on the centred, scaled features."""
        solution, r = self._solution(layer, target, l2)
        return float(solution.objective[r, position("fold", fold, self._folds)])

    def gap(self, layer: str, target: str, l2: float, fold: int | None = None) -> float:
        """Certified upper bound of `objective` minus the optimum."""
        solution, r = self._solution(layer, target, l2)
        return float(solution.gap[r, position("fold", fold, self._folds)])

    def steps(self, layer: str, target: str, l2: float) -> int:
        """Solver steps taken by the probes of all folds together; each is two matrix products."""
        solution, r = self._solution(layer, target, l2)
        return int(solution.steps[r])

    def _solution(self, layer: str, target: str, l2: float) -> tuple[Solution, int]:
        """All strengths of a target, and which of them is asked for."""
        position("layer", layer, self._paths)
        path = self._paths[layer].solutions
        position("target", target, path)
        return path[target], position("strength", float(l2), self._strengths)


def fit_convex(
    bank: Mapping[str, jax.Array],
    labels: Mapping[str, np.ndarray],
    *,
    l2: Sequence[float],
    folds: np.ndarray | None = None,
    tolerance: float = 1e-5,
    max_steps: int = 2000,
    arithmetic: Fast = "float32",
) -> ConvexProbes:
    """Minimise, for every layer, target, strength and fold,

        mean over n of  -log softmax(x_n W + b)[y_n]   +   l2/2 * sum(W^2)

    where x are the layer's features, centred and divided by one scalar (the root mean square of the centred
    features), and the bias is not penalised. Columns that are constant up to float32 rounding count as 0.

    Args:
        bank: layer -> features [N, D].
        labels: target -> class numbers int [N], from 0; negative means unknown and is left out.
        l2: strengths, positive.
        folds: fold number of each image, int [N]; the probe of fold f is trained on all other folds. None: train
            on everything.
        tolerance: stop each problem when its certified gap is at most this fraction of its objective.
        max_steps: limit on solver steps per strength.
        arithmetic: of the conjugate gradients; the gap is certified in float32 whatever it is.

    A class without training images gets zero weights and a bias of -40.

    Raises:
        ValueError: for shapes that do not fit, labels or folds that are not whole numbers, strengths that are not
            positive, features that float32 cannot hold, or a fold outside which a target has no image to train on.

    >>> import jax.numpy as jnp
    >>> features = jnp.array([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0], [3.0, 1.0], [4.0, 0.0], [4.0, 1.0]])
    >>> probes = fit_convex({"conv": features}, {"age": np.array([0, 0, 0, 1, 1, 1])}, l2=[0.01])
    >>> W, b = probes.weights("conv", "age", 0.01)
    >>> (features @ W + b[None]).argmax(axis=1).tolist()
    [0, 0, 0, 1, 1, 1]
    >>> bool(probes.gap("conv", "age", 0.01) < 1e-5)
    True
    """
    strengths = checked_strengths(l2)
    arrays, known = check_data(bank, labels)
    classes = {target: int(y.max()) + 1 for target, y in known.items()}
    images = len(next(iter(known.values())))
    numbers: list[int | None] = [None]
    training = np.ones((1, images), bool)
    if folds is not None:
        fold = whole_numbers("folds", folds, images)
        numbers = np.unique(fold).tolist()
        training = fold != np.unique(fold)[:, None]
        check_training(known, numbers, training)
    problems = {t: class_problems(y, classes[t], training) for t, y in known.items()}
    paths = {}
    for layer, features in arrays.items():
        axes = principal_axes(features)
        solutions = {
            t: solve_path(axes.coordinates, p, np.array(strengths), tolerance, max_steps, arithmetic)
            for t, p in problems.items()
        }
        paths[layer] = LayerPath(axes, problems, solutions)
    return ConvexProbes(arrays, paths, classes, strengths, numbers)
