"""SimCLRv2's networks: ResNets of three depths and widths, with or without selective kernels (Chen et al. 2020).

As google-research/simclr builds them for its published checkpoints; selective kernels (Li et al. 2019) come with the
stem and the shortcuts of ResNet-D (He et al. 2019). Convolutions are padded by (k - 1) / 2 whatever their stride.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from bias_jax.networks.definition import IMAGENET_CLASSES, Network, Params, Variant
from bias_jax.networks.layers import (
    Activations,
    adaptive_average_pool,
    batch_norm,
    conv,
    conv_norm,
    convolve,
    linear,
    norm,
)
from bias_jax.networks.resnet import EPSILON, EXPANSION, STAGES, Bottleneck
from bias_jax.networks.unit_images import FORMS, UnitImages

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}  # depth -> blocks of each group
MIXING_RATIO, LEAST_MIXING = 0.0625, 32  # width of the hidden layer that selects kernels
PROJECTIONS, PROJECTION_WIDTH = 3, 128  # layers of the contrastive head, outputs of the last one
POOL, NL_0 = "final_avg_pool", "nl_0"  # where the supervised head may sit


class Architecture(NamedTuple):
    """One network of the grid."""

    depth: int  # 50, 101 or 152
    width: int  # multiple of ResNet's widths
    selective: bool  # whether it has selective kernels

    @property
    def features(self) -> int:
        """Channels behind the last block."""
        return STAGES[-1][0] * self.width * EXPANSION


ARCHITECTURES = {
    f"simclrv2_r{depth}_{width}x_sk{selective}": Architecture(depth, width, bool(selective))
    for depth in BLOCKS
    for width, selective in [(1, 0), (1, 1), (2, 0), (2, 1), *([(3, 1)] if depth == 152 else [])]
}


class SelectiveBottleneck(Bottleneck):
    """The 3x3 convolution has two branches, weighted per image and channel; the shortcut averages before it projects.

    Both branches are halves of one convolution.
    """

    def __init__(self, inputs: int, width: int, stride: int, rngs: nnx.Rngs):
        super().__init__(inputs, width, stride, rngs)
        self.stride = stride
        self.conv2 = conv(width, 2 * width, 3, stride=stride, padding=1, rngs=rngs)
        self.bn2 = norm(2 * width, EPSILON, rngs)
        hidden = mixing_width(width)
        self.mix: Any = nnx.List(
            [conv(width, hidden, 1, rngs=rngs), norm(hidden, EPSILON, rngs), conv(hidden, 2 * width, 1, rngs=rngs)]
        )
        if self.downsample is not None:
            self.downsample[0] = conv(inputs, width * EXPANSION, 1, rngs=rngs)

    def middle(self, y: jax.Array, name: str, activations: Activations) -> jax.Array:
        branches = jnp.split(nnx.relu(conv_norm(self.conv2, self.bn2, y)), 2, axis=-1)
        pooled = adaptive_average_pool(branches[0] + branches[1], 1)
        hidden = nnx.relu(conv_norm(self.mix[0], self.mix[1], pooled))
        weights = jax.nn.softmax(jnp.stack(jnp.split(convolve(self.mix[2], hidden), 2, axis=-1)), axis=0)
        return activations.keep(f"{name}.selected", branches[0] * weights[0] + branches[1] * weights[1])

    def shortcut(self, x: jax.Array) -> jax.Array:
        return x if self.downsample is None else super().shortcut(average_pool_2x2(x, self.stride))


class SimCLR(nnx.Module):
    """Images [N, H, W, 3] in [0, 1] -> (logits [N, C] or None, activations in depth order).

    The last block of a group has the group's name. Weights may lack the contrastive head (`nl_0` to `nl_2`, of which
    the last is called proj_head_output elsewhere) and the supervised one, which sits on the pooled features or, after
    fine-tuning with few labels, on `nl_0`.
    """

    def __init__(self, architecture: Architecture, variant: Variant, rngs: nnx.Rngs):
        depth, wide, selective = architecture
        inputs = STAGES[0][0] * wide
        widths = (3, inputs // 2, inputs // 2, inputs) if selective else (3, inputs)
        size = 3 if selective else 7
        self.stem: Any = nnx.List([
            nnx.List([
                conv(before, after, size, stride=1 if i else 2, padding=size // 2, rngs=rngs),
                norm(after, EPSILON, rngs),
            ])
            for i, (before, after) in enumerate(pairwise(widths))
        ])  # fmt: skip
        kind = SelectiveBottleneck if selective else Bottleneck
        for group, (blocks, (width, stride)) in enumerate(zip(BLOCKS[depth], STAGES, strict=True), start=1):
            found = []
            for block in range(blocks):
                found.append(kind(inputs, width * wide, 1 if block else stride, rngs))
                inputs = width * wide * EXPANSION
            setattr(self, f"block_group{group}", nnx.List(found))
        self.head_contrastive: Any = nnx.Dict()
        for layer in range(variant["projections"]):
            last = layer == variant["projections"] - 1
            outputs = PROJECTION_WIDTH if last else inputs
            self.head_contrastive[f"nl_{layer}"] = nnx.Dict(
                dense=nnx.Linear(inputs, outputs, use_bias=False, rngs=rngs),
                bn=norm(outputs, EPSILON, rngs, bias=not last),
            )
        self.head_supervised: Any = nnx.Dict()
        if variant["classes"]:
            place = NL_0 if variant["classes_on_nl_0"] else POOL
            self.head_supervised[place] = nnx.Linear(inputs, variant["classes"], rngs=rngs)

    def __call__(
        self, x: jax.Array, offsets: Mapping[str, jax.Array] | None = None
    ) -> tuple[jax.Array | None, dict[str, jax.Array]]:
        activations = Activations(offsets)
        *before, (convolution, bn) = self.stem
        for unit in before:
            x = nnx.relu(conv_norm(unit[0], unit[1], x))
        x = activations.keep("initial_conv", convolve(convolution, x))
        x = nnx.relu(batch_norm(bn, x))
        x = activations.keep("initial_max_pool", nnx.max_pool(x, (3, 3), (2, 2), "SAME"))
        for group in range(1, len(STAGES) + 1):
            blocks = getattr(self, f"block_group{group}")
            for name, block in zip(block_names(group, len(blocks)), blocks, strict=True):
                x = block(x, name, activations)
        x = activations.keep(POOL, adaptive_average_pool(x, 1)[:, 0, 0])
        for name, layer in self.head_contrastive.items():
            x = batch_norm(layer["bn"], linear(layer["dense"], x))
            x = activations.keep(name, nnx.relu(x) if layer["bn"].bias is not None else x)
        for place, head in self.head_supervised.items():
            return activations.keep("logits_sup", linear(head, activations[place])), dict(activations)
        return None, dict(activations)


def mixing_width(width: int) -> int:
    """Of the hidden layer that selects kernels, for blocks of this width."""
    return max(int(width * MIXING_RATIO), LEAST_MIXING)


def block_names(group: int, blocks: int) -> list[str]:
    """The last block of a group has the group's name."""
    return [*(f"block_group{group}.{block}" for block in range(blocks - 1)), f"block_group{group}"]


def average_pool_2x2(x: jax.Array, stride: int) -> jax.Array:
    """2x2 average of [N, H, W, U]; what is beyond the end counts as zeros at stride 2, and not at all at stride 1."""
    height, width = x.shape[1:3]
    x = jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
    x = x[:, 0:-1:stride] + x[:, 1::stride][:, : -(-height // stride)]
    x = x[:, :, 0:-1:stride] + x[:, :, 1::stride][:, :, : -(-width // stride)]
    if stride > 1:
        return x / 4
    rows, columns = (jnp.where(jnp.arange(size) == size - 1, 1, 2) for size in (height, width))
    return x / (rows[:, None] * columns[None]).astype(x.dtype)[None, :, :, None]


def _variant(params: Params) -> Variant:
    heads = params.get("head_supervised", {})
    classes = next((head["bias"].shape[0] for head in heads.values()), 0)
    return {
        "classes": classes,
        "classes_on_nl_0": int(NL_0 in heads),
        "projections": len(params.get("head_contrastive", {})),
    }


def _network(architecture: Architecture) -> Network:
    blocks = [name for group, count in enumerate(BLOCKS[architecture.depth], 1) for name in block_names(group, count)]
    return Network(
        build=lambda variant, rngs: SimCLR(architecture, variant, rngs),
        variant=_variant,
        usual={"classes": IMAGENET_CLASSES, "classes_on_nl_0": 0, "projections": PROJECTIONS},
        preparations={form: UnitImages(form) for form in FORMS},
        layers=("initial_max_pool", *blocks, POOL, *(f"nl_{layer}" for layer in range(PROJECTIONS))),
    )


NETWORKS = {name: _network(architecture) for name, architecture in ARCHITECTURES.items()}
