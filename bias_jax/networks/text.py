"""Text towers of CLIP and SigLIP: prompts, as tokens, to the space that they share with pictures.

CLIP looks back only (a causal mask) and reads the state at the end of the text; SigLIP looks at all tokens, padding
included, and reads the last one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from bias_jax.networks.definition import Params
from bias_jax.networks.registry import jit_network
from bias_jax.networks.transformer import (
    Blocks,
    advance,
    block_parameters,
    dense,
    dense_parameters,
    layer_norm,
    norm_parameters,
    parameter,
    stacked,
)

TOGETHER = 64  # texts in one call of the program, so that one is compiled for any number of them


@dataclass(frozen=True)
class TextArchitecture:
    """One tower."""

    blocks: Blocks
    # Which state is read: at the end of the text, where the largest token is (of equal ones the first), or the last.
    pooling: Literal["end", "last"] = "end"
    head_bias: bool = False


class TextSizes(NamedTuple):
    """In what weights of one architecture may differ."""

    vocabulary: int  # tokens V
    context: int  # tokens of a text n
    projection: int  # width E of the space shared with pictures


class TextTower(nnx.Module):
    """Tokens int32 [N, n] -> embeddings [N, E], as they are: of any length."""

    def __init__(self, architecture: TextArchitecture, sizes: TextSizes):
        self.architecture = architecture
        d = architecture.blocks.width
        self.token_embed = parameter(sizes.vocabulary, d)
        self.pos_embed = parameter(sizes.context, d)
        self.blocks = block_parameters(architecture.blocks)
        self.norm = norm_parameters(d)
        self.head = dense_parameters(d, sizes.projection, bias=architecture.head_bias)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        own: Mapping[str, Any] = nnx.to_pure_dict(nnx.state(self))
        spec = self.architecture.blocks
        x = own["token_embed"][tokens] + own["pos_embed"][None, : tokens.shape[1]]
        x, _ = advance(stacked(own["blocks"]), x, 0, spec.count, spec, lambda x: None)
        x = layer_norm(own["norm"], x, spec.epsilon)
        return dense(own["head"], pooled(x, tokens, self.architecture.pooling))


def pooled(x: jax.Array, tokens: jax.Array, pooling: str) -> jax.Array:
    """The state [N, d] that stands for the whole text, of states [N, n, d]."""
    if pooling == "last":
        return x[:, -1]
    return jnp.take_along_axis(x, jnp.argmax(tokens, axis=1)[:, None, None], axis=1)[:, 0]


def abstract_text_params(architecture: TextArchitecture, sizes: TextSizes) -> dict[str, Any]:
    """Shapes and dtypes of the parameters, nested dicts of `jax.ShapeDtypeStruct`."""
    return nnx.to_pure_dict(nnx.state(nnx.eval_shape(lambda: TextTower(architecture, sizes))))


def text_sizes(params: Params) -> TextSizes:
    """Of given parameters."""
    return TextSizes(len(params["token_embed"]), len(params["pos_embed"]), params["head"]["kernel"].shape[1])


def embed_tokens(architecture: TextArchitecture, params: Params, tokens: np.ndarray) -> np.ndarray:
    """Embeddings float32 [N, E] of tokens int [N, n], n at most the context, all of one length."""
    found = []
    for first in range(0, len(tokens), TOGETHER):
        some = np.asarray(tokens[first : first + TOGETHER], np.int32)
        padded = np.concatenate([some, np.repeat(some[-1:], TOGETHER - len(some), axis=0)])
        found.append(jax.device_get(_embed(architecture, params, padded))[: len(some)])
    return np.concatenate(found)


@partial(jit_network, static_argnums=0)
def _embed(architecture: TextArchitecture, params: Params, tokens: jax.Array) -> jax.Array:
    graph, state = nnx.split(nnx.eval_shape(lambda: TextTower(architecture, text_sizes(params))))
    nnx.replace_by_pure_dict(state, dict(params))
    with jax.default_matmul_precision("highest"):
        return nnx.merge(graph, state)(tokens)
