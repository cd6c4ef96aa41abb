"""The exact nearest neighbours of every image among the others, in blocks on the device."""

from functools import partial
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.arithmetic import matmul
from bias_jax.errors import InputError

Metric = Literal["cosine", "euclidean"]
METRICS = get_args(Metric)
BLOCK = 64  # images whose distances to all others are held at once
SPARE = 16  # candidates beyond those asked for, whose distances are taken again
ROUNDING = 2e-6  # of a product of features, as a share of the largest square of their length


def nearest_images(
    features: jax.Array, count: int, metric: Metric = "cosine", apart: np.ndarray | None = None
) -> np.ndarray:
    """The nearest other images of every image, nearest first, of equally near ones the first; int32 [N, count].

    Distances of all images come from one product, which rounds. Those that may be among the nearest are candidates, the
    clear ones first, then by number, `count` + 16 of them; their distances are taken again as sums of squared
    differences (of products, for cosines), so that equal images are equally far.

    Args:
        features: [N, D], finite.
        count: neighbours of each image.
        metric: ``cosine`` (of an image whose features are all 0 it is 0), or ``euclidean``.
        apart: int [N]: images with the same number are not each other's neighbours, such as those of one person or one
            fold; None: only an image itself is not.

    Raises:
        InputError: an image has fewer others.
    """
    images = len(features)
    numbers = np.arange(images) if apart is None else np.unique(apart, return_inverse=True)[1]
    others = images - np.bincount(numbers).max()
    if not 1 <= count <= others:
        problem = f"{count} neighbours are asked for, but an image has {others} others to choose from"
        raise InputError(problem, remedy="ask for fewer, or give more images")
    if metric not in METRICS:
        raise InputError(f"unknown distance {metric!r}", remedy=f"choose among {', '.join(METRICS)}")
    candidates = min(count + SPARE, images)
    place = jax.device_put((numbers.astype(np.int32), np.arange(images, dtype=np.int32)))
    return np.asarray(jax.device_get(_nearest(features, *place, count=count, candidates=candidates, metric=metric)))


@partial(jax.jit, static_argnames=("count", "candidates", "metric"))
def _nearest(
    features: jax.Array, apart: jax.Array, rows: jax.Array, count: int, candidates: int, metric: Metric
) -> jax.Array:
    x = features.astype(jnp.float32)
    if metric == "cosine":
        length = jnp.sqrt(jnp.square(x).sum(axis=1, keepdims=True))
        x = x / jnp.where(length > 0, length, 1.0)
        offsets = jnp.zeros(len(x))
    else:
        x = x - x.mean(axis=0, keepdims=True)  # distances stay, and products lose fewer digits
        offsets = 0.5 * jnp.square(x).sum(axis=1)

    rounding = ROUNDING * jnp.square(x).sum(axis=1).max()

    def block(of: jax.Array) -> jax.Array:
        mine, same = x[of], apart[of][:, None] == apart[None]
        nearness = jnp.where(same, -jnp.inf, matmul(mine, x.T) - offsets[None])
        last = jax.lax.top_k(nearness, count)[0][:, -1:]
        nearness = jnp.where(jnp.abs(nearness - last) <= rounding, last, nearness)
        found = jax.lax.top_k(nearness, candidates)[1].astype(jnp.int32)
        there = x[found]
        if metric == "cosine":
            distance = -(mine[:, None] * there).sum(axis=2)
        else:
            distance = jnp.square(mine[:, None] - there).sum(axis=2)
        distance = jnp.where(jnp.take_along_axis(same, found, axis=1), jnp.inf, distance)
        return jax.lax.sort((distance, found), num_keys=2)[1][:, :count]

    padded = jnp.pad(rows, (0, -len(rows) % BLOCK))
    return jax.lax.map(block, padded.reshape(-1, BLOCK)).reshape(-1, count)[: len(rows)]
