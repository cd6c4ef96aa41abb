"""How images in different folds change each other's held-out values, because they train each other's probes.

At a certified optimum the change of image i's value per relative weight of image j in training is an influence function
(Koh & Liang 2017), so nothing is trained again. The matrix of these changes is never formed: its products with a vector
z, and those of its transpose, are one solution of Newton's equations each (see `statistics.cross_validation` for what
they are needed for).
"""

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.probes.axes import Axes
from bias_jax.probes.biases import bias_hessian
from bias_jax.probes.curvature import bend, combine, newton_direction
from bias_jax.probes.objective import (
    Problems,
    cross_entropy,
    problem_logits,
    to_margins,
    true_class,
    weighted_probability,
)
from bias_jax.statistics import Exchange, deviations

VALUES = ("adjusted_balanced_accuracy", "information_bits")  # metrics, see `score_probes`
REDUCTION, SOLVE_STEPS = 0.05, 30  # of conjugate gradients; a variance needs few digits


def centred_signs(strata: np.ndarray, repeats: int, rng: np.random.Generator) -> np.ndarray:
    """Random signs float32 [P, N], centred within strata, with the covariance of a stratified draw."""
    return deviations(rng.choice((-1.0, 1.0), (repeats, len(strata))), strata).astype(np.float32)


def exchange(
    axes: Axes,
    problems: Problems,
    coefficients: jax.Array,
    l2: jax.Array,
    labels: np.ndarray,
    folds: np.ndarray,
    signs: np.ndarray,
) -> Exchange:
    """`influence` [V, N], `learned` and `taught` [V, P, N] of the F probes of one target, for the metrics `VALUES`.

    Args:
        axes: of the layer.
        problems: F problems, in the order of the fold numbers.
        coefficients: their optima [F, C, D + 1].
        l2: their strengths [F].
        labels: class of each image, int [N].
        folds: fold of each image, int [N].
        signs: of `centred_signs`, [P, N].
    """
    counts = np.bincount(labels)
    occurring = (counts > 0).sum()
    # An image's share in each metric: the metric is the sum of shares times recognised or not, or times bits.
    shares = np.stack([1.0 / (max(occurring - 1, 1) * counts[labels]), np.full(len(labels), 1.0 / len(labels))])
    held = folds == np.arange(len(l2))[:, None]
    arrays = jax.device_put((held, shares.astype(np.float32)))
    vectors = jax.device_put([*signs, np.ones(len(labels), np.float32)])  # of ones, what is taught is the influence
    rows = jax.device_get([_exchange(axes, problems, coefficients, l2, *arrays, z) for z in vectors])
    learned, taught = (np.stack(values, axis=1) for values in zip(*rows, strict=True))
    return Exchange(taught[:, -1], learned[:, :-1], taught[:, :-1])


@jax.jit
def _exchange(
    axes: Axes,
    problems: Problems,
    coefficients: jax.Array,
    l2: jax.Array,
    held: jax.Array,
    shares: jax.Array,
    z: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """What is learned and taught, [V, N] each, for one vector z [N]; held [F, N] (every image once), shares [V, N]."""
    weights = problems.weights
    logits = problem_logits(axes.features, coefficients, problems)
    true = true_class(problems)
    residual = jax.nn.softmax(logits, axis=1) - true
    slopes = jnp.stack([_correct_slope(logits, true, held), -residual / np.log(2.0)])  # [V, F, C, N]
    slopes = slopes * held[:, None] * shares[:, None, None]
    at_optimum = cross_entropy(to_margins(logits, problems), problems).residual
    by_biases = jnp.linalg.inv(bias_hessian(at_optimum, problems))
    share = weighted_probability(at_optimum, problems)

    def respond(right: jax.Array) -> jax.Array:
        """What the logits [F, C, N] change, up to their mean, where the gradients change by minus `right`."""
        right = jnp.where(problems.present[:, :, None], right, 0.0)
        biases = jnp.einsum("pcd,pd->pc", by_biases, right[:, :, -1], precision="highest")
        biases = jnp.broadcast_to(biases[:, :, None], logits.shape)
        right = right - combine(axes, bend(share, biases, problems))
        solved = newton_direction(
            axes, problems, share, right, l2, by_biases, reduction=REDUCTION, max_steps=SOLVE_STEPS
        )
        return biases + solved.margins

    # A probe fits what it was trained on better than what it has not seen. What an image teaches is measured by the
    # residual of a probe without it, on average larger by this factor.
    squares = jnp.square(residual).sum(axis=1)
    unseen = (squares * held).sum(axis=1) / jnp.maximum(held.sum(axis=1), 1)
    factor = jnp.sqrt(unseen / jnp.maximum((squares * weights).sum(axis=1), 1e-30))[:, None, None]

    towards = weights * (z - (weights * z).sum(axis=1, keepdims=True))  # weights keep their sum
    right = jnp.concatenate([combine(axes, towards[:, None] * residual)[None], combine(axes, z * slopes)])
    change = jax.vmap(respond)(right)  # slopes and residuals sum to 0 over classes
    learned = -(factor * slopes * change[0]).sum(axis=(1, 2))
    gains = -weights * (factor * residual * change[1:]).sum(axis=2)  # [V, F, N]
    return learned, (gains - weights * gains.sum(axis=2, keepdims=True)).sum(axis=1)


def _correct_slope(logits: jax.Array, true: jax.Array, held: jax.Array) -> jax.Array:
    """Derivative of "the true class is on top" by the logits, [F, C, N], smoothed over the margins of the held out.

    A step has no derivative, but its mean over images has: the density of the margin at 0. The kernel is half as wide
    as Silverman's rule (1986): products of two images' densities vary little, so bias matters more.
    """
    rival = jnp.where(true, -jnp.inf, logits)
    margin = jnp.where(true, logits, 0.0).sum(axis=1) - rival.max(axis=1)
    margin = jnp.where(jnp.isfinite(margin), margin, 0.0)  # a single class has no rival
    count = jnp.maximum(held.sum(axis=1), 1)
    mean = (margin * held).sum(axis=1) / count
    deviation = jnp.sqrt((jnp.square(margin - mean[:, None]) * held).sum(axis=1) / count)
    # Where all margins are equal, no image moves another one's: density 0.
    width = jnp.where(deviation > 0, 0.53 * deviation * count**-0.2, jnp.inf)
    density = jnp.exp(-0.5 * jnp.square(margin / width[:, None])) / (width[:, None] * np.sqrt(2.0 * np.pi))
    best = jnp.arange(logits.shape[1])[:, None] == rival.argmax(axis=1)[:, None]
    return density[:, None] * (true.astype(logits.dtype) - best)
