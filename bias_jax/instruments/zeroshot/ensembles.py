"""Ensembles of templates: which prompt is nearest, and how much of that is the choice of templates.

The embedding of a prompt is that of its templates, each of length 1, averaged, and brought to length 1 again, as CLIP's
authors do it (Radford et al. 2021, section 3.1.4). Templates are a sample of all that might have been written: each is
left out once, for all prompts of a family, everything is computed again, and the jackknife tells how far other samples
would lie. (A bootstrap draws some twice, so its ensembles are worse ones, and its percentiles need not hold the value.)
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import stdtrit

from bias_jax.arithmetic import matmul
from bias_jax.errors import InputError


def cosines_to_texts(features: jax.Array, texts: np.ndarray) -> np.ndarray:
    """Cosines float32 [n, T] of pictures [n, D] with texts [T, D] of length 1.

    Raises:
        InputError: a picture has no direction.
    """
    found, lengths = jax.device_get(_cosines(features, jax.device_put(texts)))
    if not np.isfinite(found).all() or not lengths.all():
        row = int(np.argmin(np.isfinite(found).all(axis=1) & (lengths > 0)))
        problem = f"zeroshot: the embedding of image number {row} (from 0) is zero or not finite"
        raise InputError(problem, remedy="check the weights, or the features")
    return np.asarray(found)


@jax.jit
def _cosines(features: jax.Array, texts: jax.Array) -> tuple[jax.Array, jax.Array]:
    x = features.astype(jnp.float32)
    largest = jnp.abs(x).max(axis=1, keepdims=True)
    x = x / jnp.where(largest > 0, largest, 1.0)  # squares of large numbers are infinite
    lengths = jnp.linalg.norm(x, axis=1)
    return matmul(x / jnp.where(lengths > 0, lengths, 1.0)[:, None], texts.T), lengths


def similarities(cosines: np.ndarray, texts: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Cosines float64 [n, P] of pictures with the ensembles of P prompts.

    Args:
        cosines: with every text [n, P, M].
        texts: of length 1, [P, M, D].
        weights: how often each template counts, [M] (default: once).
    """
    weights = np.ones(texts.shape[1]) if weights is None else weights
    means = np.einsum("pmd,m->pd", texts.astype(np.float64), weights)
    return np.asarray((cosines @ weights.astype(cosines.dtype)) / np.linalg.norm(means, axis=1))


def templates_left_out(count: int) -> Iterator[np.ndarray]:
    """How often each of M templates counts, [M], with each left out once; nothing where there is one template."""
    for one in range(count if count > 1 else 0):
        yield (np.arange(count) != one).astype(float)


def jackknife_interval(value: np.ndarray, left_out: np.ndarray, least: float, most: float) -> tuple[np.ndarray, ...]:
    """95 % interval of values over templates, Student's t with the jackknife's standard error (Tukey 1958).

    Args:
        value: with all templates, [...].
        left_out: with each of M left out, [M, ...].
        least: bound of the values.
        most: bound of the values.

    Returns:
        Lower and upper ends [...]; NaN without templates to leave out.
    """
    count = len(left_out)
    if count < 2:
        return np.full_like(value, np.nan), np.full_like(value, np.nan)
    error = np.sqrt((count - 1) / count * np.square(left_out - left_out.mean(axis=0)).sum(axis=0))
    reach = stdtrit(count - 1, 0.975) * error
    return np.clip(value - reach, least, most), np.clip(value + reach, least, most)
