"""Blocks of a transformer: attention, then a perceptron of two layers, each behind a layer norm and added to its input.

For pictures and, with a causal mask or without, for texts. All blocks of a network have one shape: inside a program
their parameters are stacked, and one block is compiled for all.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from bias_jax.networks.layers import quick_gelu

Activation = Literal["gelu", "gelu_tanh", "quick_gelu"]
ACTIVATIONS: dict[Activation, Callable[[jax.Array], jax.Array]] = {
    "gelu": partial(jax.nn.gelu, approximate=False),
    "gelu_tanh": partial(jax.nn.gelu, approximate=True),
    "quick_gelu": quick_gelu,
}
QUERIES = 512  # positions that attend at once, so that there are never too many scores
Own = Mapping[str, Any]  # parameters of one part, by their names


@dataclass(frozen=True)
class Blocks:
    """What all blocks of one network share."""

    count: int  # L
    width: int  # d of the states
    heads: int  # of attention; each has e = d / heads channels
    epsilon: float = 1e-6  # of the layer norms
    activation: Activation = "gelu"
    layer_scale: bool = False  # whether what attention and perceptron add is scaled, channel by channel
    causal: bool = False  # whether a position attends to itself and those before it only


def parameter(*shape: int) -> nnx.Param:
    """Zeros, to be replaced."""
    return nnx.Param(jnp.zeros(shape))


def norm_parameters(width: int) -> Any:
    """Of a layer norm."""
    return nnx.Dict(scale=parameter(width), bias=parameter(width))


def dense_parameters(inputs: int, outputs: int, *, bias: bool = True) -> Any:
    """Of a linear layer; its matrix is [in, out]."""
    return nnx.Dict(kernel=parameter(inputs, outputs), **({"bias": parameter(outputs)} if bias else {}))


def perceptron_parameters(width: int) -> Any:
    """Of two linear layers with 4 d channels between them."""
    return nnx.Dict(fc1=dense_parameters(width, 4 * width), fc2=dense_parameters(4 * width, width))


def attention_parameters(width: int) -> Any:
    """Of queries, keys, values and what is made of them."""
    return nnx.Dict({part: dense_parameters(width, width) for part in ("q", "k", "v", "proj")})


def block_parameters(spec: Blocks) -> Any:
    """Of all blocks, by number."""

    def one() -> Any:
        scales = {name: nnx.Dict(gamma=parameter(spec.width)) for name in ("ls1", "ls2") if spec.layer_scale}
        return nnx.Dict(
            norm1=norm_parameters(spec.width), attn=attention_parameters(spec.width),
            norm2=norm_parameters(spec.width), mlp=perceptron_parameters(spec.width), **scales,
        )  # fmt: skip

    return nnx.Dict({str(i): one() for i in range(spec.count)})


def layer_norm(own: Own, x: jax.Array, epsilon: float) -> jax.Array:
    """States [..., d] without mean and of variance 1 over d, times a gain, plus a bias; float32 inside."""
    y = x.astype(jnp.float32)
    y = y - y.mean(axis=-1, keepdims=True)
    y = y * jax.lax.rsqrt(jnp.square(y).mean(axis=-1, keepdims=True) + epsilon)
    scale, bias = (own[leaf].astype(jnp.float32).reshape((1,) * (x.ndim - 1) + (-1,)) for leaf in ("scale", "bias"))
    return (y * scale + bias).astype(x.dtype)


def dense(own: Own, x: jax.Array) -> jax.Array:
    """Linear layer [..., in] -> [..., out], with its bias if it has one, in the precision of x."""
    y = x @ own["kernel"].astype(x.dtype)
    return y if "bias" not in own else y + own["bias"].astype(x.dtype).reshape((1,) * (x.ndim - 1) + (-1,))


def perceptron(own: Own, x: jax.Array, activation: Activation) -> jax.Array:
    """Two linear layers."""
    return dense(own["fc2"], ACTIVATIONS[activation](dense(own["fc1"], x)))


def attend(q: jax.Array, k: jax.Array, v: jax.Array, *, causal: bool = False) -> jax.Array:
    """Attention of queries [N, n, h, e] to keys and values [N, m, h, e] -> [N, n, h * e].

    Scores and their softmax are float32. With a causal mask n = m, and keys behind all queries are not looked at.
    """
    found = []
    for first in range(0, q.shape[1], QUERIES):
        last = min(first + QUERIES, q.shape[1])
        seen = last if causal else k.shape[1]
        scores = jnp.einsum("nqhe,nkhe->nhqk", q[:, first:last], k[:, :seen], preferred_element_type=jnp.float32)
        scores = scores * (1.0 / math.sqrt(q.shape[-1]))
        if causal:
            visible = np.arange(seen)[None] <= np.arange(first, last)[:, None]
            scores = jnp.where(visible[None, None], scores, -jnp.inf)
        shares = jax.nn.softmax(scores, axis=-1).astype(v.dtype)
        found.append(jnp.einsum("nhqk,nkhe->nqhe", shares, v[:, :seen]))
    one = found[0] if len(found) == 1 else jnp.concatenate(found, axis=1)
    return one.reshape(*q.shape[:2], -1)


def block(own: Own, x: jax.Array, spec: Blocks) -> jax.Array:
    """One block, of parameters as `stacked` has them, on states [N, n, d]."""
    heads = (*x.shape[:2], spec.heads, spec.width // spec.heads)
    joint = dense(own["attn"]["qkv"], layer_norm(own["norm1"], x, spec.epsilon))
    q, k, v = (part.reshape(heads) for part in jnp.split(joint, 3, axis=-1))
    added = dense(own["attn"]["proj"], attend(q, k, v, causal=spec.causal))
    x = x + _scaled(own.get("ls1"), added)
    added = perceptron(own["mlp"], layer_norm(own["norm2"], x, spec.epsilon), spec.activation)
    return x + _scaled(own.get("ls2"), added)


def _scaled(own: Own | None, x: jax.Array) -> jax.Array:
    return x if own is None else x * own["gamma"].astype(x.dtype)[None, None]


def stacked(blocks: Own) -> Own:
    """The parameters of all blocks with an axis for the blocks in front; queries, keys and values are one layer."""
    found = [joined(blocks[str(i)]) for i in range(len(blocks))]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *found)


def joined(own: Own) -> dict[str, Any]:
    """The parameters of one block as `block` takes them."""
    attention = own["attn"]
    joint = {leaf: jnp.concatenate([attention[part][leaf] for part in "qkv"], axis=-1) for leaf in ("kernel", "bias")}
    return {**own, "attn": {"qkv": joint, "proj": attention["proj"]}}


def advance(
    blocks: Own, x: jax.Array, first: int, last: int, spec: Blocks, keep: Callable[[jax.Array], Any]
) -> tuple[jax.Array, Any]:
    """States [N, n, d] through the blocks `first` to `last` - 1 of `stacked` ones.

    Returns:
        The last states; and what `keep` makes of the states behind each block, [last - first, ...].
    """

    def one(x: jax.Array, own: Own) -> tuple[jax.Array, Any]:
        x = block(own, x, spec)
        return x, keep(x)

    return jax.lax.scan(one, x, jax.tree.map(lambda leaf: leaf[first:last], blocks))
