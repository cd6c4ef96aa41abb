"""A batch of completions from its first pixel to its last, and how much memory it takes."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.completions.sampling import Drawing, Memory, draw, remember
from bias_jax.errors import InputError
from bias_jax.networks import Params
from bias_jax.networks.igpt import Size

# All of a memory is looked at for every pixel, also what is not filled yet: a long one grows in so many steps.
GROWTH, LONG = 2, 128
AT_ONCE = 32  # pixels between two signs of life


class Span(NamedTuple):
    """Which pixels are drawn one by one: those before are given, and those behind."""

    first: int
    last: int  # behind the last one


def span_of(given: np.ndarray) -> Span:
    """Of pixels that are given, bool [n].

    >>> span_of(np.array([True, True, False, True, False, True]))
    Span(first=2, last=5)

    Raises:
        InputError: all are.
    """
    drawn = np.flatnonzero(~given)
    if not len(drawn):
        raise InputError("all pixels are given: nothing is left to be drawn", remedy="give fewer")
    return Span(int(drawn[0]), int(drawn[-1]) + 1)


def sequence_bytes(size: Size, positions: int) -> int:
    """Keys and values of so many positions of one sequence, float32."""
    return 4 * 2 * size.blocks * size.width * positions


def batch_bytes(size: Size, span: Span, samples: int) -> int:
    """What the memory of one picture and its samples takes, float32; one that grows is there twice meanwhile."""
    drawn = span.last - span.first
    grown = drawn + max([0, *(room for room in rooms(drawn)[:-1])])
    return sequence_bytes(size, span.first) + samples * sequence_bytes(size, grown)


def rooms(drawn: int) -> list[int]:
    """Lengths of a memory for so many pixels, rising."""
    if drawn < LONG:
        return [drawn]
    return sorted({-(-drawn * step // GROWTH) for step in range(1, GROWTH + 1)})


def complete(
    params: Params, size: Size, tokens: np.ndarray, given: np.ndarray, keys: jax.Array, drawing: Drawing,
    *, precision: str = "float32", done: Callable[[int], object] = lambda pixels: None,
) -> np.ndarray:  # fmt: skip
    """Draw pixels that are not given.

    Args:
        params: of an iGPT with the matrix of its output.
        size: of the network.
        tokens: colours of N pictures, int32 [N, n]; what is not given does not matter.
        given: which pixels are, bool [n].
        keys: of random numbers [N, S], one for each sample; a sample depends on nothing else of the batch, but for the
            rounding of products of another shape.
        drawing: how pixels are drawn.
        precision: of the network, a key of `networks.PRECISIONS`.
        done: called with a number of pixels as soon as all samples have so many more.

    Returns:
        Colours int32 [N, S, n].

    Raises:
        InputError: the weights have no output, a way to draw does not exist, or all pixels are given.
    """
    check(params, drawing)
    if precision == "bfloat16":  # colours become vectors by looking parameters up
        params = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    first, last = span_of(given)
    count, samples = keys.shape
    prefix = _prefix(params, size, tokens[:, :first], precision)
    drawn = jax.device_put(np.repeat(tokens[:, None], samples, axis=1).astype(np.int32))
    mask, temperature = jax.device_put(given), jax.device_put(np.float32(drawing.temperature))
    memory, at = _empty(size, count, samples, prefix[0][0].dtype), first
    for room in rooms(last - first):
        memory = _grown(memory, room)
        while at < first + room:
            end = min(at + AT_ONCE, first + room)
            places = jax.device_put((np.int32(at), np.int32(end)))
            memory, drawn = draw(
                params, prefix, memory, drawn, mask, keys, temperature, *places, size=size,
                greedy=drawing.temperature == 0, top_k=drawing.top_k, precision=precision,
            )  # fmt: skip
            jax.block_until_ready(drawn)
            done(end - at)
            at = end
    return jax.device_get(drawn)


def check(params: Params, drawing: Drawing) -> None:
    """Refuse what cannot be drawn with.

    Raises:
        InputError: says what.
    """
    if "wtet" not in params:
        raise InputError("the weights have no output: no colour can be drawn", remedy="use weights with a head")
    if not 0 <= drawing.temperature < float("inf"):
        raise InputError(f"temperature {drawing.temperature:g} is not 0 or more", remedy="1 is that of training")
    if not drawing.top_k >= 0:
        raise InputError(f"top-k {drawing.top_k} is negative", remedy="0 draws from all colours")


def sample_keys(pictures: Sequence[jax.Array], samples: int) -> jax.Array:
    """Keys [N, S] from one key a picture."""
    numbers = jnp.arange(samples)
    return jax.vmap(lambda key: jax.vmap(lambda i: jax.random.fold_in(key, i))(numbers))(jnp.stack(list(pictures)))


def _prefix(params: Params, size: Size, tokens: np.ndarray, precision: str) -> Memory:
    count, length = tokens.shape
    if length:
        return remember(params, jax.device_put(tokens.astype(np.int32)), size=size, precision=precision)
    channels, dtype = size.width // size.heads, params["wpe"].dtype
    empty = jnp.zeros((count, size.heads, 0, channels), dtype), jnp.zeros((count, size.heads, channels, 0), dtype)
    return (empty,) * size.blocks


def _empty(size: Size, count: int, samples: int, dtype: jnp.dtype) -> Memory:
    shape = (count, samples, size.heads, 0, size.width // size.heads)
    return tuple((jnp.zeros(shape, dtype), jnp.zeros(shape, dtype)) for _ in range(size.blocks))


def _grown(memory: Memory, room: int) -> Memory:
    """With so many positions, block by block: not all of it is there twice."""
    found, left = [], list(memory)
    del memory
    while left:
        keys, values = left.pop(0)
        found.append((_pad(keys, room), _pad(values, room)))
    return tuple(found)


def _pad(part: jax.Array, room: int) -> jax.Array:
    return jnp.pad(part, ((0, 0), (0, 0), (0, 0), (0, room - part.shape[3]), (0, 0)))
