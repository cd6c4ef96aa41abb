"""ResNets as torchvision builds them (He et al. 2016, "v1.5": the stride sits on the 3x3 convolution), wide ones
(Zagoruyko & Komodakis 2016), whose 3x3 convolutions have twice the channels, and ResNeXts (Xie et al. 2017), where they
are in groups.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
from flax import nnx

from bias_jax.networks.definition import Network, image_classifier
from bias_jax.networks.layers import Activations, adaptive_average_pool, conv, conv_norm, linear, max_pool, norm
from bias_jax.networks.transforms import Transform

EPSILON = 1e-5  # of every batch norm
STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))  # width, stride of the first block
EXPANSION = 4  # of the width by a bottleneck


@dataclass(frozen=True)
class Size:
    """What distinguishes one network from another."""

    blocks: tuple[int, ...]  # of each stage
    bottleneck: bool  # whether they are bottlenecks, or pairs of 3x3 convolutions
    wide: int = 1  # factor of the channels of a bottleneck's 3x3 convolution
    groups: int = 1  # of these channels; ResNeXt's names say how many, and the channels of one in the first stage


SIZES = {
    "resnet18": Size((2, 2, 2, 2), bottleneck=False),
    "resnet34": Size((3, 4, 6, 3), bottleneck=False),
    "resnet50": Size((3, 4, 6, 3), bottleneck=True),
    "resnet101": Size((3, 4, 23, 3), bottleneck=True),
    "resnet152": Size((3, 8, 36, 3), bottleneck=True),
    "wide_resnet50_2": Size((3, 4, 6, 3), bottleneck=True, wide=2),
    "wide_resnet101_2": Size((3, 4, 23, 3), bottleneck=True, wide=2),
    "resnext50_32x4d": Size((3, 4, 6, 3), bottleneck=True, wide=2, groups=32),
    "resnext101_32x8d": Size((3, 4, 23, 3), bottleneck=True, wide=4, groups=32),
    "resnext101_64x4d": Size((3, 4, 23, 3), bottleneck=True, wide=4, groups=64),
}


class Block(nnx.Module):
    """Two 3x3 convolutions, the first with the stride; ReLU after the addition."""

    def __init__(self, inputs: int, width: int, stride: int, rngs: nnx.Rngs):
        self.conv1 = conv(inputs, width, 3, stride=stride, padding=1, rngs=rngs)
        self.bn1 = norm(width, EPSILON, rngs)
        self.conv2 = conv(width, width, 3, padding=1, rngs=rngs)
        self.bn2 = norm(width, EPSILON, rngs)
        self.downsample: Any = _projection(inputs, width, stride, rngs)

    def __call__(self, x: jax.Array, name: str, activations: Activations) -> jax.Array:
        y = activations.keep(f"{name}.relu", nnx.relu(conv_norm(self.conv1, self.bn1, x)))
        y = conv_norm(self.conv2, self.bn2, y)
        return activations.keep(name, nnx.relu(y + _shortcut(self.downsample, x)))


class Bottleneck(nnx.Module):
    """1x1 reduce, 3x3 (stride), 1x1 expand; ReLU after the addition."""

    def __init__(
        self, inputs: int, width: int, stride: int, rngs: nnx.Rngs, outputs: int | None = None, groups: int = 1
    ):
        outputs = outputs or width * EXPANSION
        self.conv1 = conv(inputs, width, 1, rngs=rngs)
        self.bn1 = norm(width, EPSILON, rngs)
        self.conv2 = conv(width, width, 3, stride=stride, padding=1, groups=groups, rngs=rngs)
        self.bn2 = norm(width, EPSILON, rngs)
        self.conv3 = conv(width, outputs, 1, rngs=rngs)
        self.bn3 = norm(outputs, EPSILON, rngs)
        self.downsample: Any = _projection(inputs, outputs, stride, rngs)

    def __call__(self, x: jax.Array, name: str, activations: Activations) -> jax.Array:
        y = activations.keep(f"{name}.relu", nnx.relu(conv_norm(self.conv1, self.bn1, x)))
        y = self.middle(y, name, activations)
        y = conv_norm(self.conv3, self.bn3, y)
        return activations.keep(name, nnx.relu(y + self.shortcut(x)))

    def middle(self, y: jax.Array, name: str, activations: Activations) -> jax.Array:
        return activations.keep(f"{name}.relu_1", nnx.relu(conv_norm(self.conv2, self.bn2, y)))

    def shortcut(self, x: jax.Array) -> jax.Array:
        return _shortcut(self.downsample, x)


def _projection(inputs: int, outputs: int, stride: int, rngs: nnx.Rngs) -> Any:
    """1x1 convolution with batch norm beside a block that changes the shape; None beside others."""
    if stride == 1 and inputs == outputs:
        return None
    return nnx.List([conv(inputs, outputs, 1, stride=stride, rngs=rngs), norm(outputs, EPSILON, rngs)])


def _shortcut(projection: Any, x: jax.Array) -> jax.Array:
    return x if projection is None else conv_norm(projection[0], projection[1], x)


class ResNet(nnx.Module):
    """Images [N, H, W, 3] -> (logits [N, C], activations by torchvision's node names, in depth order)."""

    def __init__(self, size: Size, classes: int, rngs: nnx.Rngs):
        self.conv1 = conv(3, 64, 7, stride=2, padding=3, rngs=rngs)
        self.bn1 = norm(64, EPSILON, rngs)
        inputs = 64
        for number, (blocks, (width, stride)) in enumerate(zip(size.blocks, STAGES, strict=True), start=1):
            stage: list[Block | Bottleneck] = []
            for block in range(blocks):
                first = stride if block == 0 else 1
                if size.bottleneck:
                    outputs = width * EXPANSION
                    stage.append(Bottleneck(inputs, width * size.wide, first, rngs, outputs, size.groups))
                else:
                    outputs = width
                    stage.append(Block(inputs, width, first, rngs))
                inputs = outputs
            setattr(self, f"layer{number}", nnx.List(stage))
        self.fc = nnx.Linear(inputs, classes, rngs=rngs)

    def __call__(
        self, x: jax.Array, offsets: Mapping[str, jax.Array] | None = None
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        activations = Activations(offsets)
        x = activations.keep("relu", nnx.relu(conv_norm(self.conv1, self.bn1, x)))
        x = activations.keep("maxpool", max_pool(x, 3, 2, padding=1))
        for number in range(1, len(STAGES) + 1):
            for block, module in enumerate(getattr(self, f"layer{number}")):
                x = module(x, f"layer{number}.{block}", activations)
        x = activations.keep("avgpool", adaptive_average_pool(x, 1))
        logits = activations.keep("fc", linear(self.fc, x[:, 0, 0]))
        return logits, dict(activations)


def _network(size: Size) -> Network:
    blocks = (f"layer{stage}.{block}" for stage, number in enumerate(size.blocks, 1) for block in range(number))
    return image_classifier(
        partial(ResNet, size), last=("fc",), preparation=Transform(256, 224), layers=("maxpool", *blocks)
    )


NETWORKS = {name: _network(size) for name, size in SIZES.items()}
