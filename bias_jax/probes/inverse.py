"""Inverses of small symmetric positive definite matrices, by elimination alone.

LAPACK's are slower for a few matrices of 100 rows, take longer to compile, and can stand still: jaxlib lets a batch of
decompositions wait, inside a thread of XLA's pool, for other threads of the same pool, and where as many devices or
operations do so as there are threads, all of them wait for good.
"""

import jax
import jax.numpy as jnp

from bias_jax.arithmetic import einsum

BLOCK = 16  # rows that are eliminated together, where there are many


def positive_inverse(matrices: jax.Array) -> jax.Array:
    """Inverses [P, C, C] of symmetric positive definite matrices, in place by Gauss and Jordan (Goodnight 1979).

    Without pivots, which such matrices do not need (Higham 2002, chapter 10).
    """
    size = matrices.shape[1]
    if size <= 4 * BLOCK or size % BLOCK:
        return jax.lax.fori_loop(0, size, _eliminate_row, matrices)
    return jax.lax.fori_loop(0, size // BLOCK, _eliminate_block, matrices)


def _eliminate_row(k: jax.Array, a: jax.Array) -> jax.Array:
    """Solve the equations a x = y for x[k], and exchange x[k] and y[k]."""
    row, column = (jax.lax.dynamic_index_in_dim(a, k, axis, keepdims=False) for axis in (1, 2))
    pivot = jax.lax.dynamic_index_in_dim(row, k, 1)
    row = row / pivot
    here = jnp.arange(a.shape[1])[None] == k
    rest = a - column[:, :, None] * row[:, None]
    crossed = jnp.where(here, 1.0, -column) / pivot
    return jnp.where(here[:, None], crossed[:, :, None], jnp.where(here[:, :, None], row[:, None], rest))


def _eliminate_block(k: jax.Array, a: jax.Array) -> jax.Array:
    """`_eliminate_row` for a block of rows, whose pivot is a matrix."""
    start = k * BLOCK
    rows, columns = (jax.lax.dynamic_slice_in_dim(a, start, BLOCK, axis) for axis in (1, 2))
    pivot = positive_inverse(jax.lax.dynamic_slice_in_dim(rows, start, BLOCK, 2))
    solved = einsum("pij,pjc->pic", pivot, rows)
    crossed = jax.lax.dynamic_update_slice_in_dim(-einsum("pci,pij->pcj", columns, pivot), pivot, start, 1)
    rest = jax.lax.dynamic_update_slice_in_dim(a - einsum("pci,pid->pcd", columns, solved), solved, start, 1)
    return jax.lax.dynamic_update_slice_in_dim(rest, crossed, start, 2)
