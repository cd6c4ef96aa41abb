"""EfficientNets of both versions as torchvision builds them (Tan & Le 2019, 2021): inverted residual blocks, which are
wider inside than outside, with squeeze-and-excitation (Hu et al. 2018).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
from flax import nnx

from bias_jax.networks.definition import Network, image_classifier
from bias_jax.networks.layers import Activations, adaptive_average_pool, conv, conv_norm, convolve, linear, norm
from bias_jax.networks.transforms import ONE_HALF, Transform, bicubic

DIVISOR = 8  # of every number of channels
SQUEEZE = 4  # channels before a block over those that squeeze-and-excitation leaves


class Stage(NamedTuple):
    """Blocks of one width."""

    blocks: int
    width: int  # channels between blocks
    kernel: int  # side
    stride: int  # of the first block
    expansion: int  # channels inside a block over those before it
    fused: bool = False  # whether one convolution takes the place of expansion, depthwise one and squeeze-excitation


@dataclass(frozen=True)
class Size:
    """What distinguishes one network from another."""

    stem: int  # channels of the first convolution
    stages: tuple[Stage, ...]
    last: int  # channels of the last convolution
    epsilon: float  # of every batch norm
    images: Transform


def scaled(wide: float, deep: float, images: Transform, epsilon: float = 1e-5) -> Size:
    """One of the first version: multiples of B0's channels and blocks.

    Channels are rounded to a multiple of 8, by no more than a tenth down; blocks are rounded up.
    """

    def channels(width: int) -> int:
        nearest = max(DIVISOR, int(width * wide + DIVISOR / 2) // DIVISOR * DIVISOR)
        return nearest + DIVISOR if nearest < 0.9 * width * wide else nearest

    stages = [stage._replace(blocks=math.ceil(stage.blocks * deep), width=channels(stage.width)) for stage in B0]
    return Size(channels(32), tuple(stages), 4 * stages[-1].width, epsilon, images)


B0 = (
    Stage(1, 16, 3, 1, 1), Stage(2, 24, 3, 2, 6), Stage(2, 40, 5, 2, 6), Stage(3, 80, 3, 2, 6), Stage(3, 112, 5, 1, 6),
    Stage(4, 192, 5, 2, 6), Stage(1, 320, 3, 1, 6),
)  # fmt: skip
V2_S = (
    Stage(2, 24, 3, 1, 1, fused=True), Stage(4, 48, 3, 2, 4, fused=True), Stage(4, 64, 3, 2, 4, fused=True),
    Stage(6, 128, 3, 2, 4), Stage(9, 160, 3, 1, 6), Stage(15, 256, 3, 2, 6),
)  # fmt: skip
V2_M = (
    Stage(3, 24, 3, 1, 1, fused=True), Stage(5, 48, 3, 2, 4, fused=True), Stage(5, 80, 3, 2, 4, fused=True),
    Stage(7, 160, 3, 2, 4), Stage(14, 176, 3, 1, 6), Stage(18, 304, 3, 2, 6), Stage(5, 512, 3, 1, 6),
)  # fmt: skip
V2_L = (
    Stage(4, 32, 3, 1, 1, fused=True), Stage(7, 64, 3, 2, 4, fused=True), Stage(7, 96, 3, 2, 4, fused=True),
    Stage(10, 192, 3, 2, 4), Stage(19, 224, 3, 1, 6), Stage(25, 384, 3, 2, 6), Stage(7, 640, 3, 1, 6),
)  # fmt: skip

SIZES = {
    "efficientnet_b0": scaled(1.0, 1.0, bicubic(256, 224)),
    "efficientnet_b1": scaled(1.0, 1.1, bicubic(256, 240)),
    "efficientnet_b2": scaled(1.1, 1.2, bicubic(288, 288)),
    "efficientnet_b3": scaled(1.2, 1.4, bicubic(320, 300)),
    "efficientnet_b4": scaled(1.4, 1.8, bicubic(384, 380)),
    "efficientnet_b5": scaled(1.6, 2.2, bicubic(456, 456), 1e-3),
    "efficientnet_b6": scaled(1.8, 2.6, bicubic(528, 528), 1e-3),
    "efficientnet_b7": scaled(2.0, 3.1, bicubic(600, 600), 1e-3),
    "efficientnet_v2_s": Size(24, V2_S, 1280, 1e-3, Transform(384, 384)),
    "efficientnet_v2_m": Size(24, V2_M, 1280, 1e-3, Transform(480, 480)),
    "efficientnet_v2_l": Size(32, V2_L, 1280, 1e-3, bicubic(480, 480, ONE_HALF, ONE_HALF)),
}


def _unit(
    inputs: int, outputs: int, kernel: int, epsilon: float, rngs: nnx.Rngs, stride: int = 1, groups: int = 1
) -> Any:
    """Convolution and batch norm."""
    padding = (kernel - 1) // 2
    return nnx.List([
        conv(inputs, outputs, kernel, stride=stride, padding=padding, groups=groups, rngs=rngs),
        norm(outputs, epsilon, rngs),
    ])  # fmt: skip


class SqueezeExcitation(nnx.Module):
    """Every channel is multiplied by a number between 0 and 1, which follows from the means of all channels."""

    def __init__(self, channels: int, squeezed: int, rngs: nnx.Rngs):
        self.fc1 = conv(channels, squeezed, 1, bias=True, rngs=rngs)
        self.fc2 = conv(squeezed, channels, 1, bias=True, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        means = adaptive_average_pool(x, 1)
        return x * nnx.sigmoid(convolve(self.fc2, nnx.silu(convolve(self.fc1, means))))


class Block(nnx.Module):
    """Expand, convolve each channel, squeeze and excite, project; or, fused, convolve and project.

    Parts have the numbers of torchvision's sequence; without an expansion, its part is not there, and a fused block is
    one convolution. The projection has no activation function. What a block gets is added where shapes allow it.
    """

    def __init__(self, inputs: int, stage: Stage, stride: int, epsilon: float, rngs: nnx.Rngs):
        self.residual = stride == 1 and inputs == stage.width
        inner = inputs * stage.expansion
        unit = partial(_unit, epsilon=epsilon, rngs=rngs)
        parts: list[Any] = []
        if stage.fused:
            parts.append(unit(inputs, stage.width if inner == inputs else inner, stage.kernel, stride=stride))
        else:
            if inner != inputs:
                parts.append(unit(inputs, inner, 1))
            parts.append(unit(inner, inner, stage.kernel, stride=stride, groups=inner))
            parts.append(SqueezeExcitation(inner, max(1, inputs // SQUEEZE), rngs))
        self.projects = not stage.fused or inner != inputs
        if self.projects:
            parts.append(unit(inner, stage.width, 1))
        self.block = nnx.List(parts)

    def __call__(self, x: jax.Array, name: str, activations: Activations) -> jax.Array:
        y, last = x, len(self.block) - 1
        for number, part in enumerate(self.block):
            if isinstance(part, SqueezeExcitation):
                y = part(y)
            elif number == last and self.projects:
                y = conv_norm(part[0], part[1], y)
            else:
                y = nnx.silu(conv_norm(part[0], part[1], y))
            if number < last:
                y = activations.keep(f"{name}.block.{number}", y)
        return activations.keep(name, x + y if self.residual else y)


class EfficientNet(nnx.Module):
    """Images [N, H, W, 3] -> (logits [N, C], activations by torchvision's node names, in depth order).

    ``features.0`` is the stem; ``features.1``, ``features.2``, ... are the stages; the last of ``features`` is the
    convolution before the pool.
    """

    def __init__(self, size: Size, classes: int, rngs: nnx.Rngs):
        unit = partial(_unit, epsilon=size.epsilon, rngs=rngs)
        features, inputs = [unit(3, size.stem, 3, stride=2)], size.stem
        for stage in size.stages:
            blocks = []
            for block in range(stage.blocks):
                blocks.append(Block(inputs, stage, 1 if block else stage.stride, size.epsilon, rngs))
                inputs = stage.width
            features.append(nnx.List(blocks))
        self.features = nnx.List([*features, unit(inputs, size.last, 1)])
        self.classifier: Any = nnx.Dict({"1": nnx.Linear(size.last, classes, rngs=rngs)})

    def __call__(
        self, x: jax.Array, offsets: Mapping[str, jax.Array] | None = None
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        activations = Activations(offsets)
        last = len(self.features) - 1
        for number, part in enumerate(self.features):
            name = f"features.{number}"
            if number in (0, last):
                x = activations.keep(name, nnx.silu(conv_norm(part[0], part[1], x)))
                continue
            for block, module in enumerate(part):
                x = module(x, f"{name}.{block}", activations)
        x = activations.keep("avgpool", adaptive_average_pool(x, 1))
        logits = activations.keep("classifier.1", linear(self.classifier["1"], x[:, 0, 0]))
        return logits, dict(activations)


def _network(size: Size) -> Network:
    blocks = (f"features.{number}.{block}" for number, stage in enumerate(size.stages, 1)
              for block in range(stage.blocks))  # fmt: skip
    return image_classifier(
        partial(EfficientNet, size),
        last=("classifier", "1"),
        preparation=size.images,
        layers=("features.0", *blocks, "avgpool"),
    )


NETWORKS = {name: _network(size) for name, size in SIZES.items()}
