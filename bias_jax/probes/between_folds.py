"""How images in different folds change each other's held-out values, because they train each other's probes.

At a certified optimum the change of image i's value per relative weight of image j in training is an influence function
(Koh & Liang 2017), so nothing is trained again. The matrix of these changes is never formed: its products with a vector
z, and those of its transpose, are one solution of Newton's equations each (see `statistics.cross_validation` for what
they are needed for).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.arithmetic import einsum
from bias_jax.probes.axes import Coordinates
from bias_jax.probes.biases import bias_hessian
from bias_jax.probes.curvature import newton_direction, penalties, residual_change, weighted_features
from bias_jax.probes.inverse import positive_inverse
from bias_jax.probes.objective import (
    Problems,
    cross_entropy,
    problem_logits,
    to_margins,
    true_class,
    weighted_probability,
)
from bias_jax.statistics import Exchange, deviations, home_groups

VALUES = ("adjusted_balanced_accuracy", "information_bits")  # metrics, see `score_probes`
REDUCTION, SOLVE_STEPS = 0.05, 30  # of conjugate gradients; a variance needs few digits
TOGETHER = 4  # right sides of Newton's equations that are solved at once


def centred_signs(
    strata: np.ndarray, repeats: int, rng: np.random.Generator, people: np.ndarray | None = None
) -> np.ndarray:
    """Random signs float32 [P, N], centred within strata, with the covariance of a stratified draw.

    All images of a person have the sign of the person: one is drawn with all its images.
    """
    if people is not None:
        return centred_signs(home_groups(strata, people), repeats, rng)[:, people]
    return deviations(rng.choice((-1.0, 1.0), (repeats, len(strata))), strata).astype(np.float32)


class Asked(NamedTuple):
    """What is asked of the probes of one target, as NumPy arrays; of several targets they differ in their shares."""

    held: np.ndarray  # whether a problem leaves an image out, float32 [F, N], every image once
    shares: np.ndarray  # of an image in each metric, float32 [V, N]
    sources: np.ndarray  # of the vectors, int32 [G, B]; see `responses`
    vectors: np.ndarray  # float32 [G, B, N]


def ask(labels: np.ndarray, folds: np.ndarray, signs: np.ndarray) -> Asked:
    """What to ask, of labels int [N], folds int [N] and `centred_signs` [P, N]."""
    counts, metrics = np.bincount(labels), len(VALUES)
    occurring = (counts > 0).sum()
    # An image's share in each metric: the metric is the sum of shares times recognised or not, or times bits.
    shares = np.stack([1.0 / (max(occurring - 1, 1) * counts[labels]), np.full(len(labels), 1.0 / len(labels))])
    held = folds == np.arange(folds.max() + 1)[:, None]
    # What is taught to the value of a metric, for each sign, and for ones, of which it is the influence; and what is
    # learned, from source 0, the residuals.
    vectors = np.concatenate([signs, np.ones((1, len(labels)), np.float32)])
    rows = [(v, z) for v in range(1, metrics + 1) for z in vectors] + [(0, z) for z in signs]
    rows += [(0, np.zeros_like(vectors[0]))] * (-len(rows) % TOGETHER)
    sources = np.array([source for source, _ in rows], np.int32).reshape(-1, TOGETHER)
    directions = np.stack([z for _, z in rows]).reshape(-1, TOGETHER, len(labels))
    return Asked(held.astype(np.float32), shares.astype(np.float32), sources, directions.astype(np.float32))


def answer(learned: np.ndarray, taught: np.ndarray, signs: int) -> Exchange:
    """`influence` [V, N], `learned` and `taught` [V, P, N] from what `responses` gives."""
    metrics, images = learned.shape[2:]
    values = metrics * (signs + 1)
    taught = taught.reshape(-1, images)[:values].reshape(metrics, -1, images)
    learned = learned.reshape(-1, metrics, images)[values : values + signs]
    return Exchange(taught[:, -1], learned.swapaxes(0, 1), taught[:, :-1])


def responses(
    coordinates: Coordinates,
    problems: Problems,
    coefficients: jax.Array,
    l2: jax.Array,
    held: jax.Array,
    shares: jax.Array,
    sources: jax.Array,
    vectors: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """What is learned [G, B, V, N] and taught [G, B, N], for vectors [G, B, N] and their sources [G, B].

    Of the F problems of one target, in the order of the folds, with their optima [F, C, D + 1] and strengths [F].

    A vector changes the weights of the images in training (source 0), which values learn from, or weighs the values of
    a metric (source 1 to V), which are taught. held [F, N], every image once; shares [V, N].
    """
    weights, width = problems.weights, coordinates.features.shape[1]
    logits = problem_logits(coordinates.features, coefficients, problems)
    true = true_class(problems)
    residual = jax.nn.softmax(logits, axis=1) - true.astype(jnp.float32)
    slopes = jnp.stack([_correct_slope(logits, true, held), -residual / np.float32(np.log(2.0))])  # [V, F, C, N]
    slopes = slopes * held[None, :, None] * shares[:, None, None]
    at_optimum = cross_entropy(to_margins(logits, problems), problems).residual
    inverse_bias_hessian = positive_inverse(bias_hessian(at_optimum, problems))
    probability = weighted_probability(at_optimum, problems)
    pulls = jnp.concatenate([(weights[:, None] * residual)[None], slopes])  # on the logits, [1 + V, F, C, N]

    # A probe fits what it was trained on better than what it has not seen. What an image teaches is measured by the
    # residual of a probe without it, on average larger by this factor.
    squares = jnp.square(residual).sum(axis=1)
    unseen = (squares * held).sum(axis=1) / jnp.maximum(held.sum(axis=1), 1.0)
    factor = jnp.sqrt(unseen / jnp.maximum((squares * weights).sum(axis=1), 1e-30))[:, None, None]

    # Every right side of a group is a problem of its own, which shares all but that with others.
    of_group = problems, probability, inverse_bias_hessian, penalties(l2, width)
    repeated, share, inverse, penalty = jax.tree.map(lambda a: jnp.concatenate([a] * TOGETHER), of_group)

    def respond(right: jax.Array) -> jax.Array:
        """What the logits [B F, C, N] change, up to their mean, where the gradients change by minus `right`."""
        right = jnp.where(repeated.present[:, :, None], right, 0.0)
        biases = einsum("pcd,pd->pc", inverse, right[:, :, -1])
        moved = jnp.broadcast_to(biases[:, :, None], share.shape)
        right = right - weighted_features(coordinates, residual_change(share, moved, repeated))
        solved = newton_direction(
            coordinates, repeated, share, right, penalty, inverse, reduction=REDUCTION, max_steps=SOLVE_STEPS
        )
        return moved + solved.margins

    def group(of: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        source, z = of[0], of[1][:, None]  # [B, 1, N]
        mean = jnp.where(source[:, None, None] == 0, (weights[None] * z).sum(axis=2, keepdims=True), 0.0)
        # Weights keep their sum; slopes and residuals sum to 0 over classes.
        pull = ((z - mean)[:, :, None] * pulls[source]).reshape(share.shape)
        change = respond(weighted_features(coordinates, pull)).reshape(-1, *logits.shape)  # [B, F, C, N]
        learned = jnp.stack([-(factor[None] * slope[None] * change).sum(axis=(1, 2)) for slope in slopes], axis=1)
        gains = -weights[None] * ((factor * residual)[None] * change).sum(axis=2)  # [B, F, N]
        return learned, (gains - weights[None] * gains.sum(axis=2, keepdims=True)).sum(axis=1)

    return jax.lax.map(group, (sources, vectors))


def _correct_slope(logits: jax.Array, true: jax.Array, held: jax.Array) -> jax.Array:
    """Derivative of "the true class is on top" by the logits, [F, C, N], smoothed over the margins of the held out.

    A step has no derivative, but its mean over images has: the density of the margin at 0. The kernel is half as wide
    as Silverman's rule (1986): products of two images' densities vary little, so bias matters more.
    """
    rival = jnp.where(true, -jnp.inf, logits)
    margin = jnp.where(true, logits, 0.0).sum(axis=1) - rival.max(axis=1)
    margin = jnp.where(jnp.isfinite(margin), margin, 0.0)  # a single class has no rival
    count = jnp.maximum(held.sum(axis=1), 1.0)
    mean = (margin * held).sum(axis=1) / count
    deviation = jnp.sqrt((jnp.square(margin - mean[:, None]) * held).sum(axis=1) / count)
    # Where all margins are equal, no image moves another one's: density 0.
    width = jnp.where(deviation > 0, 0.53 * deviation * count**-0.2, jnp.inf)[:, None]
    density = jnp.exp(-0.5 * jnp.square(margin / width)) / (width * np.float32(np.sqrt(2.0 * np.pi)))
    best = jnp.arange(logits.shape[1])[None, :, None] == rival.argmax(axis=1)[:, None]
    return density[:, None] * (true.astype(jnp.float32) - best.astype(jnp.float32))
