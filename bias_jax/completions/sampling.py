"""Completions: what iGPT draws where pixels of a picture are not given.

Pixels are drawn in raster order, each from the distribution that the network gives it after those before it. Keys and
values of attention are kept, so that a pixel costs one position and not all. Pictures and their samples are one batch;
what the samples of a picture share, the keys and values of the pixels given at its beginning, is there once.
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from bias_jax.networks import PRECISIONS, Params, igpt, jit_network
from bias_jax.networks.igpt import Size, float_einsum

Memory = tuple[tuple[jax.Array, jax.Array], ...]  # of each block keys and values


class Drawing(NamedTuple):
    """How pixels are drawn."""

    temperature: float = 1.0  # by which logits are divided; 0: the most likely colour, the first of equals
    top_k: int = 0  # only of so many most likely colours, and of those as likely as the last of them; 0: of all


@partial(jit_network, static_argnames=("size", "precision"))
def remember(params: Params, tokens: jax.Array, *, size: Size, precision: str) -> Memory:
    """Keys [N, heads, p, e] and values [N, heads, e, p] of the first p positions, from the p pixels [N, p] that are
    predicted there; in these layouts nothing is transposed later.
    """
    blocks, norm = igpt.stacked(params), igpt.norm_of(params)

    def one(x: jax.Array, number: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        kept = []

        def attend(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
            kept.extend([k.transpose(0, 2, 1, 3), v.transpose(0, 2, 3, 1)])
            return igpt.causal(q, k, v)

        x = igpt.block(x, igpt.at(blocks, number), size, norm, attend)
        return x, (kept[0], kept[1])

    with jax.default_matmul_precision(PRECISIONS[precision]):
        _, (keys, values) = jax.lax.scan(one, igpt.embed(params, tokens), jnp.arange(size.blocks))
    return tuple((keys[i], values[i]) for i in range(size.blocks))


def next_logits(
    params: Params, prefix: Memory, memory: Memory, tokens: jax.Array, t: jax.Array, size: Size
) -> tuple[jax.Array, Memory]:
    """Logits of pixel t of all samples [N, S, 512], and the memory with position t.

    Args:
        params: of the network.
        prefix: of the first p positions, see `remember`; shared by the samples of a picture.
        memory: keys and values [N, S, heads, m, e] of the positions from p on, of which those before t are filled.
        tokens: colours int32 [N, S, n], those before t valid.
        t: at most p + m - 1.
        size: of the network.
    """
    count, samples, _ = tokens.shape
    start, norm = prefix[0][0].shape[2], igpt.norm_of(params)
    before = jax.lax.dynamic_index_in_dim(tokens, jnp.maximum(t - 1, 0), 2, keepdims=False).reshape(-1)
    x = jnp.where(t == 0, params["sos"][None], params["wte"][before])
    x = (x + jax.lax.dynamic_index_in_dim(params["wpe"], t))[:, None]
    kept: list[tuple[jax.Array, jax.Array]] = []
    for i, (shared, past) in enumerate(zip(prefix, memory, strict=True)):
        attend = partial(_attend, shared, past, t - start, kept)
        x = igpt.block(x, igpt.joined(params["h"][str(i)]), size, norm, attend)
    logits = igpt.logits(params, igpt.normed(x[:, 0], params["ln_f"][norm], norm))
    return logits.reshape(count, samples, -1), tuple(kept)


def _attend(
    shared: tuple[jax.Array, jax.Array], past: tuple[jax.Array, jax.Array], place: jax.Array,
    kept: list[tuple[jax.Array, jax.Array]], q: jax.Array, k: jax.Array, v: jax.Array,
) -> jax.Array:  # fmt: skip
    """Attention of one position a sample [N S, 1, heads, e] to the shared ones, its own past ones and itself; what is
    kept of it is appended.
    """
    count, samples, heads, room, channels = past[0].shape
    length = shared[0].shape[2]
    q, k, v = (part.reshape(count, samples, heads, channels) for part in (q, k, v))
    filled = (jnp.arange(room) < place)[None, None, None]
    before = jnp.where(filled, float_einsum("nshe,nshme->nshm", q, past[0]), -jnp.inf)
    itself = (q * k).sum(axis=-1, keepdims=True).astype(jnp.float32)
    scores = jnp.concatenate([float_einsum("nshe,nhpe->nshp", q, shared[0]), before, itself], axis=-1)
    weights = jax.nn.softmax(scores / math.sqrt(channels), axis=-1).astype(v.dtype)
    found = jnp.einsum("nshp,nhep->nshe", weights[..., :length], shared[1])
    found = found + jnp.einsum("nshm,nshme->nshe", weights[..., length:-1], past[1]) + weights[..., -1:] * v
    after = 0.0 * found  # what is read above must be read before it is written: then nothing is copied
    kept.append(
        (
            jax.lax.dynamic_update_slice(past[0], (k + after)[..., None, :], (0, 0, 0, place, 0)),
            jax.lax.dynamic_update_slice(past[1], (v + after)[..., None, :], (0, 0, 0, place, 0)),
        )
    )
    return found.reshape(count * samples, 1, -1)


@partial(
    jit_network,
    static_argnames=("size", "greedy", "top_k", "precision"),
    donate_argnames=("memory", "tokens"),
)
def draw(
    params: Params, prefix: Memory, memory: Memory, tokens: jax.Array, given: jax.Array, keys: jax.Array,
    temperature: jax.Array, first: jax.Array, last: jax.Array, *, size: Size, greedy: bool, top_k: int, precision: str,
) -> tuple[Memory, jax.Array]:  # fmt: skip
    """Pixels `first` to `last` - 1 of all samples.

    Args:
        params, prefix, memory: see `next_logits`; memory is donated.
        tokens: colours int32 [N, S, n], those before `first` valid, and those that are given; donated.
        given: which pixels are given, bool [n]; the others are drawn.
        keys: of random numbers [N, S].
        temperature, top_k: see `Drawing`; the former is not looked at if `greedy`.
        first, last: int32.
        size, precision: of the network.
        greedy: take the most likely colour.
    """

    def one(t: jax.Array, state: tuple[Memory, jax.Array]) -> tuple[Memory, jax.Array]:
        memory, tokens = state
        logits, memory = next_logits(params, prefix, memory, tokens, t, size)
        chosen = choose(logits, keys, t, temperature, greedy, top_k)
        old = jax.lax.dynamic_slice(tokens, (0, 0, t), (*tokens.shape[:2], 1))
        kept = jnp.where(given[t], old, chosen[..., None])
        return memory, jax.lax.dynamic_update_slice(tokens, kept, (0, 0, t))

    with jax.default_matmul_precision(PRECISIONS[precision]):
        return jax.lax.fori_loop(first, last, one, (memory, tokens))


def choose(
    logits: jax.Array, keys: jax.Array, t: jax.Array, temperature: jax.Array, greedy: bool, top_k: int
) -> jax.Array:
    """Colours int32 [N, S] from logits [N, S, C]; the random numbers depend on key and position alone."""
    if greedy:
        return jnp.argmax(logits, axis=-1).astype(jnp.int32)
    logits = logits.astype(jnp.float32) / temperature
    if 0 < top_k < logits.shape[-1]:
        least = jax.lax.top_k(logits, top_k)[0][..., -1:]
        logits = jnp.where(logits >= least, logits, -jnp.inf)
    each = jax.vmap(jax.vmap(lambda key, own: jax.random.categorical(jax.random.fold_in(key, t), own)))
    return each(keys, logits).astype(jnp.int32)
