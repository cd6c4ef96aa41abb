"""iGPT: a transformer that predicts a picture's next pixel, in raster order, out of 512 colours (Chen et al. 2020).

The published networks of 32 x 32 pixels. A start token stands before the first pixel, and the last pixel is never fed:
the logits at position i predict pixel i from the pixels before it. There are no biases; the norm divides by the root of
the mean square and takes no mean off; the matrix of the output is not that of the input.

All blocks have one shape: inside a program their parameters are stacked, and one block is compiled for all.
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

from bias_jax.errors import InputError
from bias_jax.networks.definition import Network, Params, Variant
from bias_jax.networks.layers import quick_gelu
from bias_jax.networks.tokens import COLOURS, SIDE, Tokens

EPSILON = 1e-5  # of the norm
float_einsum = partial(jnp.einsum, preferred_element_type=jnp.float32)  # sums are float32, whatever the operands are
QUERIES = 256  # positions that attend at once: later keys are not looked at, and scores stay few

# rms: x / sqrt(mean(x ** 2) + eps), as published; variance: x / sqrt(var(x) + eps) in every norm, as the published
# association tests (Steed & Caliskan 2021) computed it with the same weights
Norm = Literal["rms", "variance"]
Attend = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]  # queries, keys, values [N, n, heads, e] -> [N, n, d]


@dataclass(frozen=True)
class Size:
    """Shape of one network."""

    blocks: int  # L
    width: int  # d of the states
    heads: int  # of attention; each has d / heads channels
    side: int = SIDE  # pixels of the picture's side
    colours: int = COLOURS
    ieat_layer: int = 20  # l of the published association tests: the states that enter block l, with the gain of l + 1

    @property
    def context(self) -> int:
        """Pixels n of a picture."""
        return self.side**2


SIZES = {"igpt_s": Size(24, 512, 8), "igpt_m": Size(36, 1024, 8), "igpt_l": Size(48, 1536, 16)}


class Block(nnx.Module):
    """Parameters of one block; matrices are [in, out]."""

    def __init__(self, d: int):
        self.ln_1, self.ln_2 = _parameter(d), _parameter(d)
        self.attn: Any = nnx.Dict({f"{which}_proj": _parameter(d, d) for which in "qkvc"})
        self.mlp: Any = nnx.Dict({"c_fc": _parameter(d, 4 * d), "c_proj": _parameter(4 * d, d)})


class IGPT(nnx.Module):
    """Colours int [N, n], numbers of clusters in raster order -> (None: it has no classes, activations).

    Activations are [N, d], in depth order: ``h.i``, the mean over positions of what block i gives out; behind block
    l - 1 ``h.{l-1}.ieat``, its states normed with the gain of block l + 1, then averaged, which is what the published
    association tests read (l = 20); ``ln_f``, the mean of the last norm; and, if the weights have the matrix of the
    output, ``logits`` [N, 512] of the last position, their other embedding.
    """

    def __init__(self, size: Size, variant: Variant):
        self.size, self.norm = size, _norm(variant)
        d = size.width
        self.sos, self.wte, self.wpe = _parameter(d), _parameter(size.colours, d), _parameter(size.context, d)
        self.h: Any = nnx.Dict({str(i): Block(d) for i in range(size.blocks)})
        # Weights say by this name which network they belong to.
        self.ln_f: Any = nnx.Dict({self.norm: _parameter(d)})
        if variant["head"]:
            self.wtet = _parameter(size.colours, d)

    def __call__(
        self, tokens: jax.Array, offsets: Mapping[str, jax.Array] | None = None
    ) -> tuple[None, dict[str, jax.Array]]:
        if offsets:
            raise InputError("layers of iGPT are means over positions: nothing can be added", remedy="use a ResNet")
        params, size, norm = nnx.to_pure_dict(nnx.state(self)), self.size, self.norm
        blocks, middle = stacked(params), min(size.ieat_layer, size.blocks)
        x, means = advance(blocks, embed(params, tokens), 0, middle, size, norm)
        found = {f"h.{i}": means[i] for i in range(middle)}
        if size.ieat_layer + 1 < size.blocks:
            feature = normed(x, params["h"][str(size.ieat_layer + 1)]["ln_1"], norm)
            found[f"h.{middle - 1}.ieat"] = feature.mean(axis=1)
        x, means = advance(blocks, x, middle, size.blocks, size, norm)
        found |= {f"h.{middle + i}": means[i] for i in range(size.blocks - middle)}
        x = normed(x, params["ln_f"][norm], norm)
        found["ln_f"] = x.mean(axis=1)
        if "wtet" in params:
            found["logits"] = logits(params, x[:, -1])
        return None, found


def _parameter(*shape: int) -> nnx.Param:
    return nnx.Param(jnp.zeros(shape))


def _norm(variant: Variant) -> Norm:
    return "variance" if variant["variance"] else "rms"


def variant_of(params: Params) -> Variant:
    """Which norm, and whether there is the matrix of the output."""
    return {"classes": 0, "variance": int("variance" in params["ln_f"]), "head": int("wtet" in params)}


def norm_of(params: Params) -> Norm:
    """The norm that weights belong to."""
    return _norm(variant_of(params))


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


def stacked(params: Params) -> dict[str, jax.Array]:
    """The parameters of all blocks, by leaf, with an axis for the blocks in front; queries, keys, values are one."""
    found = [joined(params["h"][str(i)]) for i in range(len(params["h"]))]
    return {leaf: jnp.stack([own[leaf] for own in found]) for leaf in found[0]}


def joined(own: Mapping[str, Any]) -> dict[str, jax.Array]:
    """The parameters of one block as `block` takes them."""
    attention = own["attn"]
    return {
        "ln_1": own["ln_1"], "c_attn": jnp.concatenate([attention[f"{which}_proj"] for which in "qkv"], axis=1),
        "c_proj": attention["c_proj"], "ln_2": own["ln_2"], "c_fc": own["mlp"]["c_fc"], "c_out": own["mlp"]["c_proj"],
    }  # fmt: skip


def advance(
    blocks: Mapping[str, jax.Array], x: jax.Array, first: int, last: int, size: Size, norm: Norm
) -> tuple[jax.Array, jax.Array]:
    """States [N, n, d] through the blocks `first` to `last` - 1, and the mean of what each gave out [blocks, N, d]."""

    def one(x: jax.Array, number: jax.Array) -> tuple[jax.Array, jax.Array]:
        x = block(x, at(blocks, number), size, norm, causal)
        return x, x.mean(axis=1)

    return jax.lax.scan(one, x, jnp.arange(first, last))


def at(blocks: Mapping[str, jax.Array], number: jax.Array | int) -> dict[str, jax.Array]:
    """One block of `stacked` ones."""
    return {leaf: jax.lax.dynamic_index_in_dim(own, number, keepdims=False) for leaf, own in blocks.items()}


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
        scores = float_einsum("nqhe,nkhe->nhqk", q[:, first:last], k[:, :last]) / math.sqrt(q.shape[-1])
        seen = np.arange(last)[None] <= np.arange(first, last)[:, None]
        weights = jax.nn.softmax(jnp.where(seen[None, None], scores, -jnp.inf), axis=-1)
        found.append(jnp.einsum("nhqk,nkhe->nqhe", weights.astype(v.dtype), v[:, :last]))
    return jnp.concatenate(found, axis=1).reshape(*q.shape[:2], -1)


def normed(x: jax.Array, gain: jax.Array, norm: Norm) -> jax.Array:
    """States [..., d] divided by their size, times a gain [d]; no mean is taken off, in neither kind of norm."""
    spread = jnp.square(x).mean(axis=-1, keepdims=True) if norm == "rms" else x.var(axis=-1, keepdims=True)
    return x * jax.lax.rsqrt(spread + EPSILON) * gain.reshape((1,) * (x.ndim - 1) + (-1,))


def logits(params: Params, x: jax.Array) -> jax.Array:
    """Of the colours, [..., 512], from states behind the last norm [..., d]."""
    return x @ params["wtet"].T


def _draw(size: Size, path: tuple[str, ...], shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Weights as training begins with them in OpenAI's code.

    One difference: the matrix of the output begins with zeros there, so that every logit would be 0; here it is drawn
    as that of the input.
    """
    leaf, d = path[-1], size.width
    deviations = {"sos": 0.02, "wte": 0.02, "wtet": 0.02, "wpe": 0.01, "c_fc": 0.02}
    deviations |= {f"{which}_proj": d**-0.5 for which in "qkv"}
    deviations["c_proj"] = 0.02 if "mlp" in path else (d * size.blocks) ** -0.5
    if leaf not in deviations:  # gains
        return np.ones(shape, np.float32)
    return rng.standard_normal(shape, np.float32) * np.float32(deviations[leaf])


def definition(size: Size) -> Network:
    """One size for the registry."""
    layers = [f"h.{i}" for i in range(size.blocks)]
    if size.ieat_layer + 1 < size.blocks:
        layers.insert(size.ieat_layer, f"h.{size.ieat_layer - 1}.ieat")
    return Network(
        build=lambda variant, rngs: IGPT(size, variant),
        variant=variant_of,
        usual={"classes": 0, "variance": 0, "head": 1},
        preparations={"ieat": Tokens("square", side=size.side), "transformers": Tokens("squeezed", side=size.side)},
        layers=(*layers, "ln_f"),
        draw=partial(_draw, size),
    )


NETWORKS = {name: definition(size) for name, size in SIZES.items()}
