"""Vision transformers: torchvision's ViT, DeiT, MAE, DINOv2 and the image towers of CLIP and SigLIP in one definition.

A picture is cut into patches; a patch is a token. Before them stand a class token, if there is one, and registers. What
every block gives out is two layers: the class token, and the patches as a map, pooled like that of a convolution.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from bias_jax.errors import InputError
from bias_jax.networks.definition import Params, Variant
from bias_jax.networks.layers import Activations
from bias_jax.networks.position import Resampling, resampled
from bias_jax.networks.transformer import (
    Blocks,
    advance,
    attend,
    attention_parameters,
    block_parameters,
    dense,
    dense_parameters,
    layer_norm,
    norm_parameters,
    parameter,
    perceptron,
    perceptron_parameters,
    stacked,
)


@dataclass(frozen=True)
class LayerNames:
    """How the original framework calls what is reported."""

    block: str = "blocks.{}"
    norm: str = "norm"
    pool: str = "attn_pool"
    head: str = "head"


TIMM = LayerNames()
TORCHVISION = LayerNames("encoder.layers.encoder_layer_{}", "encoder.ln", head="heads.head")
CLASS, PATCHES = "class", "patches"  # ends of names: of the class token, and of the map of patches


@dataclass(frozen=True)
class Architecture:
    """One network."""

    blocks: Blocks
    patch: int  # side of a patch, pixels
    grid: int = 14  # patches a side for which positions were learnt, usually; weights may have another grid
    class_token: bool = True
    class_position: bool = True  # whether the class token has a learnt position too
    registers: int = 0  # further tokens that stand for nothing, behind the class token
    pre_norm: bool = False  # whether there is a layer norm before the first block; patches then have no bias
    attention_pool: bool = False  # whether a learnt query looks at all patches in the end, in place of a class token
    resampling: Resampling = "antialiased"  # of positions, for another grid
    names: LayerNames = TIMM

    @property
    def before(self) -> int:
        """Tokens before the patches."""
        return self.class_token + self.registers

    @property
    def learnt(self) -> int:
        """Positions before those of the patches."""
        return int(self.class_token and self.class_position)


class ViT(nnx.Module):
    """Pictures [N, H, W, 3] -> (logits [N, C], or None without a classifier; activations in depth order).

    Of block i, by its original name: ``NAME.class``, its class token [N, d], where there is one, and ``NAME.patches``
    [N, h, w, d], the map of patches without class token and registers; likewise of the last norm. Then the attention
    pool [N, d], if there is one, and the head: logits, or the projection [N, E] into the space shared with texts. A
    picture whose sides are no multiples of the patch loses the rest on the right and below.
    """

    def __init__(self, architecture: Architecture, variant: Variant):
        self.architecture = architecture
        d, p = architecture.blocks.width, architecture.patch
        bias = {} if architecture.pre_norm else {"bias": parameter(d)}
        self.patch_embed: Any = nnx.Dict(kernel=parameter(p, p, 3, d), **bias)
        if architecture.class_token:
            self.cls_token = parameter(d)
        if architecture.registers:
            self.reg_token = parameter(architecture.registers, d)
        self.pos_embed = parameter(architecture.learnt + variant["grid"] ** 2, d)
        if architecture.pre_norm:
            self.norm_pre = norm_parameters(d)
        self.blocks = block_parameters(architecture.blocks)
        self.norm = norm_parameters(d)
        if architecture.attention_pool:
            self.attn_pool: Any = nnx.Dict(
                latent=parameter(d), **attention_parameters(d), norm=norm_parameters(d), mlp=perceptron_parameters(d)
            )
        if variant["classes"] and variant["projection"]:
            raise InputError("a network has either classes or a projection", remedy="set one of them to 0")
        if outputs := variant["classes"] or variant["projection"]:
            self.head = dense_parameters(d, outputs, bias=not variant["projection"])

    def __call__(
        self, images: jax.Array, offsets: Mapping[str, jax.Array] | None = None
    ) -> tuple[jax.Array | None, dict[str, jax.Array]]:
        own, architecture, found = nnx.to_pure_dict(nnx.state(self)), self.architecture, Activations(offsets)
        names, spec = architecture.names, architecture.blocks
        x, grid = embed(own, images, architecture)
        layers = [names.block.format(i) for i in range(spec.count)]
        # The states are changed behind blocks that have an offset only, so the blocks between are one loop.
        changed = [
            i for i, layer in enumerate(layers) if {f"{layer}.{CLASS}", f"{layer}.{PATCHES}"} & set(offsets or ())
        ]
        blocks, first = stacked(own["blocks"]), 0
        for last in sorted({*(i + 1 for i in changed), spec.count}):
            x, states = advance(blocks, x, first, last, spec, lambda x: _parts(x, grid, architecture))
            for i in range(first, last):
                kept = {part: found.keep(f"{layers[i]}.{part}", states[part][i - first]) for part in states}
                if i in changed:  # the last of the loop
                    x = _joined(kept, x, architecture)
            first = last
        x = layer_norm(own["norm"], x, spec.epsilon)
        parts = {part: found.keep(f"{names.norm}.{part}", y) for part, y in _parts(x, grid, architecture).items()}
        if architecture.attention_pool:
            tokens = parts[PATCHES].reshape(len(x), -1, spec.width)
            pooled = found.keep(names.pool, attention_pool(own["attn_pool"], tokens, spec))
        else:
            pooled = parts[CLASS]
        if "head" not in own:
            return None, dict(found)
        output = found.keep(names.head, dense(own["head"], pooled))
        return output if "bias" in own["head"] else None, dict(found)


def embed(own: Mapping[str, Any], images: jax.Array, architecture: Architecture) -> tuple[jax.Array, tuple[int, int]]:
    """Pictures [N, H, W, 3] -> what enters the first block, [N, n, d]; and rows and columns of patches."""
    p, learnt = architecture.patch, architecture.learnt
    rows, columns = (side // p for side in images.shape[1:3])
    pixels = images[:, : rows * p, : columns * p].reshape(len(images), rows, p, columns, p, 3)
    flat = pixels.transpose(0, 1, 3, 2, 4, 5).reshape(len(images), rows * columns, p * p * 3)
    kernel = own["patch_embed"]["kernel"]
    x = dense({**own["patch_embed"], "kernel": kernel.reshape(-1, kernel.shape[-1])}, flat)
    positions = own["pos_embed"]
    x = x + resampled(positions[learnt:], (rows, columns), architecture.resampling).astype(x.dtype)[None]
    before = []
    if architecture.class_token:
        token = own["cls_token"][None]
        before.append(token + positions[:1] if architecture.class_position else token)
    if architecture.registers:
        before.append(own["reg_token"])
    if before:
        tokens = jnp.concatenate(before).astype(x.dtype)
        x = jnp.concatenate([jnp.broadcast_to(tokens[None], (len(x), *tokens.shape)), x], axis=1)
    if architecture.pre_norm:
        x = layer_norm(own["norm_pre"], x, architecture.blocks.epsilon)
    return x, (rows, columns)


def attention_pool(own: Mapping[str, Any], x: jax.Array, spec: Blocks) -> jax.Array:
    """What a learnt query finds in the patches [N, n, d], and a perceptron makes of it: [N, d]."""
    heads = (spec.heads, spec.width // spec.heads)
    query = jnp.broadcast_to(own["latent"].astype(x.dtype)[None, None], (len(x), 1, spec.width))
    q, k, v = (dense(own[part], y).reshape(len(x), -1, *heads) for part, y in (("q", query), ("k", x), ("v", x)))
    found = dense(own["proj"], attend(q, k, v))
    return (found + perceptron(own["mlp"], layer_norm(own["norm"], found, spec.epsilon), spec.activation))[:, 0]


def _parts(x: jax.Array, grid: tuple[int, int], architecture: Architecture) -> dict[str, jax.Array]:
    """Class token [N, d], if there is one, and map of patches [N, h, w, d] of states [N, n, d]."""
    patches = x[:, architecture.before :].reshape(len(x), *grid, x.shape[-1])
    return {**({CLASS: x[:, 0]} if architecture.class_token else {}), PATCHES: patches}


def _joined(parts: Mapping[str, jax.Array], x: jax.Array, architecture: Architecture) -> jax.Array:
    """States of which class token and patches are these."""
    first = [parts[CLASS][:, None]] if architecture.class_token else []
    registers = x[:, architecture.class_token : architecture.before]
    return jnp.concatenate([*first, registers, parts[PATCHES].reshape(len(x), -1, x.shape[-1])], axis=1)


def variant_of(params: Params, architecture: Architecture) -> Variant:
    """Classes or width of the projection, and the grid for which positions were learnt."""
    head = params.get("head")
    outputs = 0 if head is None else head["kernel"].shape[1]
    classes = outputs if head is not None and "bias" in head else 0
    positions = params["pos_embed"].shape[0] - architecture.learnt
    return {"classes": classes, "projection": outputs - classes, "grid": round(float(np.sqrt(positions)))}


def layer_names(architecture: Architecture, *, projection: bool) -> tuple[str, ...]:
    """What is probed: every block, what the head sees, and a projection; a classifier's logits are not."""
    names = architecture.names
    ends = (CLASS, PATCHES) if architecture.class_token else (PATCHES,)
    blocks = [f"{names.block.format(i)}.{end}" for i in range(architecture.blocks.count) for end in ends]
    last = names.pool if architecture.attention_pool else f"{names.norm}.{CLASS}"
    return (*blocks, last, *([names.head] if projection else []))
