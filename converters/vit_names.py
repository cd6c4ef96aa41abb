"""How frameworks name and lay out the arrays of vision transformers.

Our parameters have timm's names, but for queries, keys and values, which are apart. Every other framework is a table of
what its modules are called.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from converters.names import to_torch_shape
from converters.naming import Shape

Path = tuple[str, ...]
FUSED = ("q", "k", "v")
LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "gamma": "gamma"}


class Source(NamedTuple):
    """Where in a file one parameter is."""

    name: str
    shape: Shape  # of the whole array
    part: int = 0  # which of several layers of equal size in one array, along its first axis
    parts: int = 1
    as_is: bool = False  # whether a matrix is [in, out] there too


def own_part(source: Source, array: np.ndarray) -> np.ndarray:
    """The rows of an array that are this parameter's; all of one that has another shape, which is told by it."""
    if source.parts == 1 or array.shape != source.shape:
        return array
    rows = len(array) // source.parts
    return array[source.part * rows : (source.part + 1) * rows]


@dataclass(frozen=True, eq=False)
class Dialect:
    """One framework."""

    block: str  # what stands before the names inside a block
    inner: Mapping[str, str]  # modules inside a block; an underscore or a dot at the end is not doubled
    outer: Mapping[str, str]  # the other modules and tokens
    start: str = ""  # before all names but those of `beside`
    beside: Mapping[str, str] = field(default_factory=dict)  # what does not lie behind `start`, whole names
    batched: bool = False  # whether tokens are [1, n, d], also a single one
    transposed: tuple[str, ...] = ()  # matrices that are [in, out]
    others: str = "$^"  # pattern, at the start of a name, of what files hold besides: text towers, decoders

    def source(self, path: Path, shape: Shape) -> Source:
        """Of the parameter at a path of our tree, of this shape."""
        if path[0] == "blocks":
            start, module, leaf = self.start + self.block.format(path[1]), path[2:-1], path[-1]
            return self._module(start, self.inner, module, leaf, shape)
        if len(path) == 1 or path[-1] == "latent":  # tokens and positions
            key = ".".join(path)
            whole = (1,) * (3 - len(shape)) + shape if self.batched or path[-1] == "latent" else shape
            return Source(self.start + self.outer.get(key, key), whole)
        return self._module(self.start, self.outer, path[:-1], path[-1], shape)

    def _module(self, start: str, table: Mapping[str, str], module: Path, leaf: str, shape: Shape) -> Source:
        name = ".".join(module)
        if (whole := f"{name}.{LEAVES[leaf]}") in self.beside:
            return Source(self.beside[whole], to_torch_shape(shape))
        if whole in table:  # an array of its own
            as_is = whole in self.transposed
            return Source(start + table[whole], shape if as_is else to_torch_shape(shape), as_is=as_is)
        part, parts, found = 0, 1, table.get(name)
        if found is None and module[-1] in FUSED:
            joint = next((own for own in ("qkv", "kv") if module[-1] in own and _join(module, own) in table), None)
            if joint:
                found, part, parts = table[_join(module, joint)], joint.index(module[-1]), len(joint)
        found = name if found is None else found
        full = found + LEAVES[leaf] if found.endswith("_") else f"{found}.{LEAVES[leaf]}"
        rows, *rest = to_torch_shape(shape)
        return Source(start + full, (rows * parts, *rest), part, parts)


def _join(module: Path, joint: str) -> str:
    return ".".join((*module[:-1], joint))


_MLP = {"mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2"}
TIMM = Dialect(
    block="blocks.{}.",
    inner={"attn.qkv": "attn.qkv"},
    outer={"patch_embed": "patch_embed.proj", "attn_pool.kv": "attn_pool.kv"},
    batched=True,
    others=r"(.*\.)?(mask_token|decoder_\w+.*|text\.(.*)|logit_scale|logit_bias)$",
)
TORCHVISION = Dialect(
    block="encoder.layers.encoder_layer_{}.",
    inner={"norm1": "ln_1", "attn.qkv": "self_attention.in_proj_", "attn.proj": "self_attention.out_proj",
           "norm2": "ln_2", "mlp.fc1": "mlp.0", "mlp.fc2": "mlp.3"},
    outer={"patch_embed": "conv_proj", "cls_token": "class_token", "pos_embed": "encoder.pos_embedding",
           "norm": "encoder.ln", "head": "heads.head"},
    batched=True,
)  # fmt: skip
OPENAI = Dialect(
    block="transformer.resblocks.{}.",
    inner={"norm1": "ln_1", "attn.qkv": "attn.in_proj_", "attn.proj": "attn.out_proj", "norm2": "ln_2",
           "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"},
    outer={"patch_embed": "conv1", "cls_token": "class_embedding", "pos_embed": "positional_embedding",
           "norm_pre": "ln_pre", "norm": "ln_post", "head.weight": "proj"},
    transposed=("head.weight",),
)  # fmt: skip
CLIP = Dialect(
    block="encoder.layers.{}.",
    inner={"norm1": "layer_norm1", "norm2": "layer_norm2", "attn.q": "self_attn.q_proj", "attn.k": "self_attn.k_proj",
           "attn.v": "self_attn.v_proj", "attn.proj": "self_attn.out_proj", **_MLP},
    outer={"patch_embed": "embeddings.patch_embedding", "cls_token": "embeddings.class_embedding",
           "pos_embed": "embeddings.position_embedding.weight", "norm_pre": "pre_layrnorm", "norm": "post_layernorm",
           "attn_pool.latent": "head.probe", "attn_pool.qkv": "head.attention.in_proj_",
           "attn_pool.proj": "head.attention.out_proj", "attn_pool.norm": "head.layernorm",
           "attn_pool.mlp.fc1": "head.mlp.fc1", "attn_pool.mlp.fc2": "head.mlp.fc2"},
    beside={"head.weight": "visual_projection.weight"},
    others=r"embeddings\.position_ids$",
)  # fmt: skip
# Of whole models, with a text tower beside the one for images.
OPENAI_WHOLE = replace(
    OPENAI, start="visual.",
    others=r"(transformer|token_embedding|ln_final)\.|(positional_embedding|text_projection|logit_scale|logit_bias|"
           r"input_resolution|context_length|vocab_size)$",
)  # fmt: skip
CLIP_WHOLE = replace(
    CLIP, start="vision_model.", others=r"(text_model|text_projection)\.|(logit_scale|logit_bias)$|.*position_ids$"
)
