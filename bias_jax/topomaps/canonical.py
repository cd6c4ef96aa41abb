"""An order of rows that depends on what they hold, not on how they came."""

import jax
import jax.numpy as jnp
import numpy as np


@jax.jit
def canonical_order(x: jax.Array) -> jax.Array:
    """Row numbers int32 [N] that sort x [N, D] by a 64-bit hash of each row.

    Sums in float32 depend on their order, and a draw of rows on their numbers. Put into this order first, permuted
    rows give the same bits. Only equal rows stay in the order in which they came, and they are interchangeable. The
    hash is integer arithmetic, hence exact however it is compiled; two of 4,096 rows collide with probability 1e-12.
    """
    bits = jax.lax.bitcast_convert_type(x.astype(jnp.float32) + 0.0, jnp.uint32)  # + 0.0 turns -0.0 into 0.0
    bits = (bits ^ (bits >> 15)) * jnp.uint32(0x2C1B3C6D)  # low and high bits into each other
    bits = bits ^ (bits >> 13)
    factors = np.random.default_rng(0).integers(0, 2**31, (2, x.shape[1]), dtype=np.uint32) * 2 + 1
    first, second = ((bits * factor).sum(axis=1, dtype=jnp.uint32) for factor in jnp.asarray(factors))
    return jnp.lexsort((first, second)).astype(jnp.int32)
