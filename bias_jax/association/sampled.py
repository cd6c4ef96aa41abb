"""Sampled relabellings for many layers at once, on the device.

The same random subset relabels all layers: the sums of all layers over a block of draws are one matrix product
[L, N] x [N, draws]. So the largest effect size over layers comes with every draw, and with it p-values that are
corrected for looking at many layers (max-T, Westfall & Young 1993).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.arithmetic import matmul
from bias_jax.association.draws import CHUNK, State, alias_tables, draw_patterns, generator_state, unpack

# Draws that are held at once: on a CPU they should fit into its second-level cache, an accelerator wants many.
LANES = {"cpu": 2**13}
LANES_ACCELERATOR = 2**17
MOST_DRAWS = 2**30  # counts are int32


class Hits(NamedTuple):
    """How many of the sampled relabellings reach each layer's observed effect size, int64 [L]."""

    own: np.ndarray  # by the layer's own relabelled effect size
    largest: np.ndarray  # by the largest of all layers


def count_hits(rows: np.ndarray, size: int, draws: int, key: jax.Array, *, two_sided: bool) -> Hits:
    """Relabel all layers `draws` times.

    Args:
        rows: values of the images per layer, [L, N], the first `size` belonging to X; scaled so that sums over X are
            effect sizes, if the largest over layers is to mean anything.
        size: |X|.
        draws: number of relabellings.
        key: random key.
        two_sided: compare absolute values; the rows must then have mean 0.

    Returns:
        Counts without the observed labelling; sums within float32 rounding of the observed one count.
    """
    if not 0 < draws <= MOST_DRAWS:
        raise ValueError(f"draws must be from 1 to {MOST_DRAWS}")
    layers, total = np.shape(rows)
    tables = alias_tables(total, size)
    padded = np.zeros((layers, CHUNK * len(tables)), np.float32)
    padded[:, :total] = rows
    observed = padded[:, :size].sum(axis=1, dtype=np.float64)
    observed = np.abs(observed) if two_sided else observed
    slack = 4.0 * np.finfo(np.float32).eps * size * np.abs(padded).max(axis=1)
    arrays = jax.device_put((padded, tables, np.uint32(size), (observed - slack).astype(np.float32), np.int32(draws)))
    lanes = LANES.get(jax.default_backend(), LANES_ACCELERATOR)
    own, largest = jax.device_get(_count(*arrays, key, lanes=lanes, two_sided=two_sided))
    return Hits(own.astype(np.int64), largest.astype(np.int64))


@partial(jax.jit, static_argnames=("lanes", "two_sided"))
def _count(
    rows: jax.Array,
    tables: jax.Array,
    size: jax.Array,
    thresholds: jax.Array,
    draws: jax.Array,
    key: jax.Array,
    *,
    lanes: int,
    two_sided: bool,
) -> tuple[jax.Array, jax.Array]:
    def block(carry: tuple[jax.Array, State, jax.Array, jax.Array]):
        start, state, own, largest = carry
        patterns, state = draw_patterns(tables, size, state)
        sums = matmul(rows, unpack(patterns))  # [L, lanes]
        sums = jnp.abs(sums) if two_sided else sums
        wanted = jnp.arange(lanes, dtype=jnp.int32) < draws - start  # the last block is cut
        own += ((sums >= thresholds[:, None]) & wanted[None]).astype(jnp.int32)
        reached = sums.max(axis=0, keepdims=True) >= thresholds[:, None]
        largest += (reached & wanted[None]).astype(jnp.int32)
        return start + lanes, state, own, largest

    # One counter per lane: adding up within the loop would cost more than the draws.
    zeros = jnp.zeros((rows.shape[0], lanes), jnp.int32)
    start = (jnp.zeros((), jnp.int32), generator_state(key, lanes), zeros, zeros)
    _, _, own, largest = jax.lax.while_loop(lambda carry: carry[0] < draws, block, start)
    return own.sum(axis=1), largest.sum(axis=1)
