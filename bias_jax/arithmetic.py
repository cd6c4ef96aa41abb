"""How exactly products are computed: in float32 to the last bit it has, and on request faster where that is enough.

An accelerator left alone multiplies float32 in TF32, with ten bits of mantissa. Everything that is reported needs all
24; only what an exact computation checks afterwards may be faster, such as the steps of conjugate gradients.
"""

from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

# float32; tf32: a product of tensor cores, ten bits of mantissa; bfloat16_x3: three of them, about 16 bits
Fast = Literal["float32", "tf32", "bfloat16_x3"]
TF32_BITS, BFLOAT16_BITS = 10, 7  # of mantissa


def matmul(a: jax.Array, b: jax.Array, **options: Any) -> jax.Array:
    """`jax.numpy.matmul` in full float32."""
    return jnp.matmul(a, b, precision="highest", **options)


def einsum(subscripts: str, *operands: Any, **options: Any) -> jax.Array:
    """`jax.numpy.einsum` in full float32."""
    return jnp.einsum(subscripts, *operands, precision="highest", **options)


def fast_einsum(subscripts: str, a: jax.Array, b: jax.Array, arithmetic: Fast) -> jax.Array:
    """Product of two float32 arrays, summed in float32.

    A CPU has no tensor cores: there operands are rounded as they would, so that it takes the same steps, not less time.

    Raises:
        ValueError: no such arithmetic.
    """
    check_fast(arithmetic)
    if arithmetic == "float32":
        return einsum(subscripts, a, b)
    if jax.default_backend() != "cpu":
        preset = {"tf32": "TF32_TF32_F32", "bfloat16_x3": "BF16_BF16_F32_X3"}[arithmetic]
        return jnp.einsum(subscripts, a, b, precision=preset)
    if arithmetic == "tf32":
        return einsum(subscripts, rounded(a, TF32_BITS), rounded(b, TF32_BITS))
    (high, low), (top, rest) = _split(a), _split(b)
    return einsum(subscripts, high, top) + (einsum(subscripts, high, rest) + einsum(subscripts, low, top))


def check_fast(arithmetic: str) -> None:
    """Refuse what is none.

    Raises:
        ValueError: lists those there are.
    """
    if arithmetic not in get_args(Fast):
        raise ValueError(f"arithmetic must be one of {', '.join(get_args(Fast))}, got {arithmetic!r}")


def rounded(x: jax.Array, bits: int) -> jax.Array:
    """float32 with so many bits of mantissa, to the nearest."""
    return jax.lax.reduce_precision(x, exponent_bits=8, mantissa_bits=bits)


def _split(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Two numbers of bfloat16's precision that sum to x, nearly."""
    high = rounded(x, BFLOAT16_BITS)
    return high, rounded(x - high, BFLOAT16_BITS)
