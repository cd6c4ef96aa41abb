"""iGPT: a transformer that predicts a picture's next pixel, in raster order, out of 512 colours (Chen et al. 2020).

The published networks of 32 x 32 pixels. A start token stands before the first pixel, and the last pixel is never fed:
the logits at position i predict pixel i from the pixels before it. There are no biases; the norm divides by the root of
the mean square and takes no mean off; the matrix of the output is not that of the input.

All blocks have one shape, so their parameters are stacked, and one block is compiled for all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from bias_jax.errors import InputError
from bias_jax.randomness import stable_hash

EPSILON = 1e-5  # of the norm
QUERIES = 256  # positions that attend at once: later keys are not looked at, and scores stay few

# rms: x / sqrt(mean(x ** 2) + eps), as published; var: x / sqrt(var(x) + eps), as the association tests of Steed &
# Caliskan 2021 computed it, in every norm of the network
Norm = Literal["rms", "var"]
Params = Mapping[str, Any]
Attend = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]  # queries, keys, values [N, n, heads, e] -> [N, n, d]


@dataclass(frozen=True)
class Size:
    """Shape of one network."""

    blocks: int  # L
    width: int  # d of the states
    heads: int  # of attention; each has d / heads channels
    side: int = 32  # pixels of the picture's side
    colours: int = 512
    ieat_layer: int = 20  # l of the published association tests: the states that enter block l, with the gain of l + 1

    @property
    def context(self) -> int:
        """Pixels n of a picture."""
        return self.side**2

    @property
    def shapes(self) -> dict[str, Any]:
        """Parameters as a nested dict of shapes; matrices are [in, out], those of the blocks have L in front."""
        d, blocks = self.width, self.blocks
        return {
            "sos": (d,), "wte": (self.colours, d), "wpe": (self.context, d),
            "h": {
                "ln_1": (blocks, d), "c_attn": (blocks, d, 3 * d), "c_proj": (blocks, d, d),
                "ln_2": (blocks, d), "c_fc": (blocks, d, 4 * d), "c_out": (blocks, 4 * d, d),
            },
            "ln_f": (d,), "wtet": (self.colours, d),
        }  # fmt: skip


SIZES = {"igpt_s": Size(24, 512, 8), "igpt_m": Size(36, 1024, 8), "igpt_l": Size(48, 1536, 16)}


class IGPT(nnx.Module):
    """Colours int [N, n], numbers of clusters in raster order -> (logits of the last pixel [N, 512], activations).

    Activations are [N, d], in depth order: ``h.i``, the mean over positions of what block i gives out; behind block
    l - 1 ``h.{l-1}.ieat``, its states normed with the gain of block l + 1, then averaged, which is what the published
    association tests read (Steed & Caliskan 2021; l = 20); ``ln_f``, the mean of the last norm; and ``logits`` [N, 512]
    of the last position, their other embedding.
    """

    def __init__(self, size: Size, norm: Norm = "rms"):
        self.size, self.norm = size, norm
        for name, shape in size.shapes.items():
            inner = {leaf: nnx.Param(jnp.zeros(s)) for leaf, s in shape.items()} if isinstance(shape, dict) else None
            setattr(self, name, nnx.Param(jnp.zeros(shape)) if inner is None else nnx.Dict(inner))

    def __call__(
        self, tokens: jax.Array, offsets: Mapping[str, jax.Array] | None = None
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        if offsets:
            raise InputError("layers of iGPT are means over positions: there is no map of them", remedy="use a ResNet")
        params, size, norm = nnx.to_pure_dict(nnx.state(self)), self.size, self.norm
        middle = min(size.ieat_layer, size.blocks)
        x, means = advance(params, embed(params, tokens), 0, middle, size, norm)
        found = {f"h.{i}": means[i] for i in range(middle)}
        if size.ieat_layer + 1 < size.blocks:
            gain = params["h"]["ln_1"][size.ieat_layer + 1]
            found[f"h.{middle - 1}.ieat"] = normed(x, gain, norm).mean(axis=1)
        x, means = advance(params, x, middle, size.blocks, size, norm)
        found |= {f"h.{middle + i}": means[i] for i in range(size.blocks - middle)}
        x = normed(x, params["ln_f"], norm)
        found["ln_f"] = x.mean(axis=1)
        found["logits"] = logits(params, x[:, -1])
        return found["logits"], found


def layer_names(size: Size) -> tuple[str, ...]:
    """The outputs of the blocks, in depth order."""
    return tuple(f"h.{i}" for i in range(size.blocks))


def embed(params: Params, tokens: jax.Array) -> jax.Array:
    """States [N, n, d] that enter the first block where n colours [N, n] are predicted: before them stands the start
    token, and the last of them is not fed.

    Raises:
        InputError: they are more than the network has positions for.
    """
    wpe = params["wpe"]
    if tokens.shape[1] > len(wpe):
        problem = f"{tokens.shape[1]} pixels are more than the {len(wpe)} of the network"
        raise InputError(problem, remedy="make the pictures smaller")
    start = jnp.broadcast_to(params["sos"], (len(tokens), 1, wpe.shape[1]))
    return jnp.concatenate([start, params["wte"][tokens[:, :-1]]], axis=1) + wpe[None, : tokens.shape[1]]


def advance(params: Params, x: jax.Array, first: int, last: int, size: Size, norm: Norm) -> tuple[jax.Array, jax.Array]:
    """States [N, n, d] through the blocks `first` to `last` - 1, and the mean of what each gave out [blocks, N, d]."""

    def one(x: jax.Array, number: jax.Array) -> tuple[jax.Array, jax.Array]:
        x = block(x, block_params(params, number), size, norm, causal)
        return x, x.mean(axis=1)

    return jax.lax.scan(one, x, np.arange(first, last, dtype=np.int32))


def block_params(params: Params, number: jax.Array | int) -> dict[str, jax.Array]:
    """The parameters of one block."""
    return {leaf: jax.lax.dynamic_index_in_dim(own, number, keepdims=False) for leaf, own in params["h"].items()}


def block(x: jax.Array, own: Mapping[str, jax.Array], size: Size, norm: Norm, attend: Attend) -> jax.Array:
    """One block on states [N, n, d]; `attend` is `causal`, or another that also looks at keys of before."""
    heads = (*x.shape[:2], size.heads, size.width // size.heads)
    q, k, v = (part.reshape(heads) for part in jnp.split(normed(x, own["ln_1"], norm) @ own["c_attn"], 3, axis=-1))
    x = x + attend(q, k, v) @ own["c_proj"]
    return x + quick_gelu(normed(x, own["ln_2"], norm) @ own["c_fc"]) @ own["c_out"]


def causal(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """Attention of each position to itself and those before it: queries, keys, values [N, n, heads, e] -> [N, n, d]."""
    found = []
    for first in range(0, q.shape[1], QUERIES):
        last = min(first + QUERIES, q.shape[1])
        scores = jnp.einsum("nqhe,nkhe->nhqk", q[:, first:last], k[:, :last]) / np.float32(np.sqrt(q.shape[-1]))
        seen = np.arange(last)[None] <= np.arange(first, last)[:, None]
        weights = jax.nn.softmax(jnp.where(seen[None, None], scores, -jnp.inf), axis=-1)
        found.append(jnp.einsum("nhqk,nkhe->nqhe", weights, v[:, :last]))
    return jnp.concatenate(found, axis=1).reshape(*q.shape[:2], -1)


def normed(x: jax.Array, gain: jax.Array, norm: Norm) -> jax.Array:
    """States [..., d] divided by their size, times a gain [d]; no mean is taken off, in neither kind of norm."""
    spread = jnp.square(x).mean(axis=-1, keepdims=True) if norm == "rms" else x.var(axis=-1, keepdims=True)
    return x * jax.lax.rsqrt(spread + EPSILON) * gain.reshape((1,) * (x.ndim - 1) + (-1,))


def quick_gelu(x: jax.Array) -> jax.Array:
    """The activation function x sigmoid(1.702 x)."""
    return x * jax.nn.sigmoid(1.702 * x)


def logits(params: Params, x: jax.Array) -> jax.Array:
    """Of the colours, [..., 512], from states behind the last norm [..., d]."""
    return x @ params["wtet"].T


def initial_weights(name: str, size: Size, seed: int) -> dict[str, Any]:
    """Weights as training begins with them (Chen et al. 2020's code), drawn on the host: the untrained control.

    One difference: the matrix of the output begins with zeros there, so that every logit would be 0; here it is drawn
    as that of the input.
    """
    d, blocks = size.width, size.blocks
    deviations = {
        "sos": 0.02, "wte": 0.02, "wpe": 0.01, "wtet": 0.02, "c_attn": d**-0.5, "c_proj": (d * blocks) ** -0.5,
        "c_fc": 0.02, "c_out": 0.02,
    }  # fmt: skip

    def draw(leaf: str, shape: Any) -> Any:
        if isinstance(shape, dict):
            return {inner: draw(inner, own) for inner, own in shape.items()}
        if leaf not in deviations:  # gains
            return np.ones(shape, np.float32)
        rng = np.random.default_rng(stable_hash(seed, "random weights", name, leaf))
        return rng.standard_normal(shape, np.float32) * np.float32(deviations[leaf])

    return {leaf: draw(leaf, shape) for leaf, shape in size.shapes.items()}
