"""The two principal axes of a table, by subspace iteration: matrix products only."""

from functools import partial

import jax
import jax.numpy as jnp

COLUMNS = 8  # iterated together: the first two converge as (8th / 2nd eigenvalue), not as (3rd / 2nd)


@partial(jax.jit, static_argnames="iterations")
def principal_axes(x: jax.Array, key: jax.Array, iterations: int = 30) -> jax.Array:
    """Orthonormal principal axes of x [N, D], float32 [D, 2]; the largest entry of each is positive.

    Where x has fewer than two axes, what is missing is zero.
    """
    columns = min(COLUMNS, *x.shape)
    centred = x - x.mean(axis=0)
    product = partial(jnp.matmul, precision="highest")

    def multiply(axes: jax.Array, _: None) -> tuple[jax.Array, None]:
        return jnp.linalg.qr(product(centred.T, product(centred, axes)))[0], None

    start = jax.random.normal(key, (x.shape[1], columns))
    axes, _ = jax.lax.scan(multiply, start, None, length=iterations)
    scores = product(centred, axes)
    _, turned = jnp.linalg.eigh(product(scores.T, scores))
    axes = product(axes, turned[:, ::-1])[:, :2]
    strongest = jnp.abs(axes).argmax(axis=0)
    axes = axes * jnp.sign(jnp.take_along_axis(axes, strongest[None], axis=0))
    return jnp.pad(axes, ((0, 0), (0, 2 - axes.shape[1])))
