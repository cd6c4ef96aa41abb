"""Random subsets of a fixed size, fast: eight images are decided by one random word and one table look-up.

Images are taken in chunks of eight. Given how many are still needed, the 256 patterns of a chunk have known
probabilities: C(rest, needed - n) / C(rest + 8, needed) for a pattern with n images. Walker's alias method (1974)
draws from them with one 32-bit word: eight bits choose a cell, 24 bits decide between the cell and its alias. The
probabilities are rounded to multiples of 2^-32; impossible patterns keep probability 0, so every subset has its size.
"""

import math
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np

CHUNK = 8
LARGEST = 640  # images; the tables grow with N^2 (50 MB here)


@lru_cache(maxsize=32)
def alias_tables(total: int, size: int) -> np.ndarray:
    """Packed alias tables for drawing `size` of `total` images.

    Returns:
        uint32 [chunks, rows * 256]: for each chunk, number of images still needed and cell, the threshold in the upper
        24 bits and the alias in the lower 8. Chunks are filled up to an even number (nothing is drawn from the last),
        rows to a multiple of 16, so that fewer programs are compiled.

    Raises:
        ValueError: if `total` is above `LARGEST`.
    """
    if not 0 < size < total:
        raise ValueError(f"cannot draw {size} of {total} images in more than one way")
    if total > LARGEST:
        raise ValueError(f"{total} images are too many for sampled relabellings (at most {LARGEST})")
    chunks = -(-total // (2 * CHUNK)) * 2
    rows = -(-(size + 1) // 16) * 16
    counts = np.array([bin(pattern).count("1") for pattern in range(256)])
    tables = np.zeros((chunks, rows, 256), np.uint32)
    for chunk in range(chunks):
        remaining = max(0, total - CHUNK * chunk)
        width = min(CHUNK, remaining)
        rest = remaining - width
        possible = np.arange(256) < 2**width
        weights = np.zeros((size + 1, 256), np.int64)
        for needed in range(size + 1):
            ways = math.comb(rest + width, needed)
            if ways == 0:  # this state cannot be reached
                weights[needed, 0] = 2**32
                continue
            share = [round((math.comb(rest, needed - n) << 32) / ways) if n <= needed else 0 for n in range(CHUNK + 1)]
            weights[needed] = np.where(possible, np.array(share)[counts], 0)
            weights[needed, weights[needed].argmax()] += 2**32 - weights[needed].sum()
        tables[chunk, : size + 1] = _alias(weights)
    return tables.reshape(chunks, rows * 256)


def _alias(weights: np.ndarray) -> np.ndarray:
    """Alias tables [T, 256] of integer weights [T, 256] that sum to 2^32: the fullest cell fills the emptiest."""
    room = 2**24
    left = weights.copy()
    packed = np.zeros(weights.shape, np.uint32)
    open_cells = np.ones(weights.shape, bool)
    row = np.arange(len(weights))
    for _ in range(256):
        emptiest = np.where(open_cells, left, np.iinfo(np.int64).max).argmin(axis=1)
        open_cells[row, emptiest] = False
        have = left[row, emptiest]
        fullest = np.where(open_cells, left, -1).argmax(axis=1)
        full = have == room  # nothing to borrow; always so for the last cell
        alias = np.where(full, emptiest, fullest)
        packed[row, emptiest] = (np.where(full, 0, have) << 8) | alias
        left[row, fullest] -= np.where(full, 0, room - have)
    return packed


State = tuple[jax.Array, jax.Array, jax.Array, jax.Array]


def generator_state(key: jax.Array, lanes: int) -> State:
    """State of one random number generator per lane, four uint32 [lanes]."""
    a, b, c, d = jax.random.bits(key, (4, lanes), jnp.uint32)
    return a, b, c, d | 1  # all zeros would stay zeros


def next_words(state: State) -> tuple[jax.Array, State]:
    """One uint32 per lane by xoshiro128++ (Blackman & Vigna 2021).

    JAX's own generators take 4 to 15 ns a word on a CPU, ten times as much; they only seed the lanes.
    """
    a, b, c, d = state
    word = _rotate(a + d, 7) + a
    shifted = b << 9
    c, d = c ^ a, d ^ b
    return word, (a ^ d, b ^ c, c ^ shifted, _rotate(d, 11))


def _rotate(x: jax.Array, bits: int) -> jax.Array:
    return (x << bits) | (x >> (32 - bits))


def draw_patterns(tables: jax.Array, size: jax.Array, state: State) -> tuple[jax.Array, State]:
    """One random subset per lane.

    Args:
        tables: of `alias_tables`, uint32 [chunks, rows * 256].
        size: uint32 scalar.
        state: of the generators.

    Returns:
        uint32 [chunks, lanes], bit b of chunk c telling whether image 8 c + b is chosen; and the new state.
    """

    # A loop, not unrolled code: fused, every chunk would compute all chunks before it again.
    def step(carry, table):
        state, needed = carry
        word, state = next_words(state)
        cell = word >> 24
        entry = table.at[(needed << 8) | cell].get(mode="promise_in_bounds")
        pattern = jnp.where((word & 0xFFFFFF) < (entry >> 8), cell, entry & 0xFF)
        return (state, needed - jax.lax.population_count(pattern)), pattern

    start = (state, jnp.broadcast_to(size, state[0].shape))
    (state, _), patterns = jax.lax.scan(step, start, tables)
    return patterns, state


def unpack(patterns: jax.Array) -> jax.Array:
    """Patterns [chunks, lanes] as zeros and ones, float32 [8 * chunks, lanes]."""
    bits = (patterns[:, None, :] >> jnp.arange(CHUNK, dtype=jnp.uint32)[None, :, None]) & 1
    return bits.astype(jnp.float32).reshape(-1, patterns.shape[1])
