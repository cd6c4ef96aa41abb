"""Bootstrap intervals over images, stratified by intersectional group, on the device."""

from collections.abc import Iterable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.arithmetic import matmul
from bias_jax.statistics.persons import home_groups

KEPT = 2**26  # bytes of drawn weights that are kept at most: drawing costs more than the sums they are for
_kept: dict[tuple, tuple[jax.Array, ...]] = {}


def stratified_bootstrap(
    values: np.ndarray, strata: np.ndarray, *, draws: int, key: jax.Array, block: int = 250
) -> np.ndarray:
    """Bootstrap distribution of ``sum over images of values``, for many statistics on the same draws.

    Metrics that weigh images by group sizes (accuracy, balanced accuracy, bits) are such sums, because a stratified
    draw keeps every group's size. Within a group of n images, n - 1 are drawn with replacement and weighted by
    n / (n - 1) (Rao & Wu 1988): drawing n would understate the variance by (n - 1) / n, which shows at n = 10.
    A group of one image keeps it in every draw, so its own uncertainty cannot show.

    Args:
        values: [M, N], one row per statistic.
        strata: group of each image, int [N].
        draws: number of bootstrap draws P.
        key: random key.
        block: draws held at once, memory [block, N].

    Returns:
        [P, M] float32.
    """
    order, arrays = _strata(strata)
    rows = jax.device_put(np.asarray(values, np.float32)[:, order])
    drawn = [jax.device_get(_sums(counts, rows)) for counts in _all_counts(arrays, draws, key, block)]
    return np.concatenate(drawn)[:draws]


def bootstrap_weights(
    strata: np.ndarray, *, draws: int, key: jax.Array, block: int = 250, people: np.ndarray | None = None
) -> np.ndarray:
    """Weight of every image in every draw of `stratified_bootstrap`, for statistics that are no sums.

    Args:
        strata: group of each image, int [N].
        draws, key, block: as in `stratified_bootstrap`; the same key gives the same draws.
        people: person of each image, int [N]: persons are drawn, with all their images.

    Returns:
        [P, N] float32; the weights of a group sum to its number of images (with `people`, of its persons to theirs).
    """
    if people is not None:
        return bootstrap_weights(home_groups(strata, people), draws=draws, key=key, block=block)[:, people]
    order, arrays = _strata(strata)
    drawn = np.concatenate([jax.device_get(counts) for counts in _all_counts(arrays, draws, key, block)])[:draws]
    result = np.empty_like(drawn)
    result[:, order] = drawn
    return result


def _strata(strata: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Order that sorts the images by stratum; and in this order first image, size and weight of a drawn image."""
    order = np.argsort(strata, kind="stable")
    _, first, sizes = np.unique(np.asarray(strata)[order], return_index=True, return_counts=True)
    member = np.arange(len(order)) - np.repeat(first, sizes)  # number of the image within its stratum
    drawn = (member < np.repeat(sizes - 1, sizes)) | (np.repeat(sizes, sizes) == 1)
    weight = np.where(np.repeat(sizes, sizes) > 1, np.repeat(sizes / np.maximum(sizes - 1, 1), sizes), 1.0)
    return order, (
        np.repeat(first, sizes).astype(np.int32),
        np.repeat(sizes, sizes).astype(np.int32),
        np.where(drawn, weight, 0.0).astype(np.float32),
    )


def _all_counts(arrays: tuple[np.ndarray, ...], draws: int, key: jax.Array, block: int) -> Iterable[jax.Array]:
    """Weights of all images, block by block of draws [block, N]; kept for the next call where they are small."""
    if 4 * draws * len(arrays[0]) > KEPT:
        return _draw_counts(arrays, draws, key, block)
    name = (*(a.tobytes() for a in arrays), draws, jax.device_get(jax.random.key_data(key)).tobytes(), block)
    if name not in _kept:
        _kept.clear()  # one set of images and draws at a time serves hundreds of statistics
        _kept[name] = tuple(_draw_counts(arrays, draws, key, block))
    return _kept[name]


def _draw_counts(arrays: tuple[np.ndarray, ...], draws: int, key: jax.Array, block: int) -> Iterator[jax.Array]:
    arrays, numbers = jax.device_put((arrays, list(range(-(-draws // block)))))
    for number in numbers:
        yield _counts(*arrays, key, number, block)


@jax.jit
def _sums(counts: jax.Array, values: jax.Array) -> jax.Array:
    """Weighted sums [block, M]; a program of its own, because M changes from call to call and drawing is large."""
    return matmul(counts, values.T)


@partial(jax.jit, static_argnames="block")
def _counts(
    first: jax.Array, sizes: jax.Array, weight: jax.Array, key: jax.Array, number: jax.Array, block: int
) -> jax.Array:
    key = jax.random.fold_in(key, number)
    images = len(first)
    within = jax.random.uniform(key, (block, images)) * sizes.astype(jnp.float32)[None]
    chosen = first[None] + within.astype(jnp.int32)
    chosen = jnp.minimum(chosen, (first + sizes - 1)[None])  # u * size can round up to size
    rows = jnp.arange(block)[:, None]
    return jnp.zeros((block, images), jnp.float32).at[rows, chosen].add(weight[None])


def percentile_interval(draws: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper percentile of [P, M] bootstrap draws, each [M]."""
    tail = 100.0 * (1.0 - level) / 2.0
    low, high = np.percentile(draws, (tail, 100.0 - tail), axis=0)
    return low, high
