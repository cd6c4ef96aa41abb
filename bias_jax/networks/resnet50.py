"""ResNet50 as torchvision builds it (He et al. 2016, "v1.5": the stride sits on the 3x3 convolution)."""

from collections.abc import Mapping
from typing import Any

import jax
from flax import nnx

from bias_jax.networks.definition import image_classifier
from bias_jax.networks.layers import Activations, adaptive_average_pool, conv, conv_norm, linear, max_pool, norm
from bias_jax.networks.transforms import Transform

EPSILON = 1e-5  # of every batch norm
STAGES = ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2))  # blocks, mid width, stride of the first block
EXPANSION = 4


class Bottleneck(nnx.Module):
    """1x1 reduce, 3x3 (stride), 1x1 expand; ReLU after the addition."""

    def __init__(self, inputs: int, width: int, stride: int, rngs: nnx.Rngs):
        outputs = width * EXPANSION
        self.conv1 = conv(inputs, width, 1, rngs=rngs)
        self.bn1 = norm(width, EPSILON, rngs)
        self.conv2 = conv(width, width, 3, stride=stride, padding=1, rngs=rngs)
        self.bn2 = norm(width, EPSILON, rngs)
        self.conv3 = conv(width, outputs, 1, rngs=rngs)
        self.bn3 = norm(outputs, EPSILON, rngs)
        projects = stride != 1 or inputs != outputs
        shortcut = (conv(inputs, outputs, 1, stride=stride, rngs=rngs), norm(outputs, EPSILON, rngs))
        self.downsample: Any = nnx.List(shortcut) if projects else None

    def __call__(self, x: jax.Array, name: str, activations: Activations) -> jax.Array:
        y = activations.keep(f"{name}.relu", nnx.relu(conv_norm(self.conv1, self.bn1, x)))
        y = self.middle(y, name, activations)
        y = conv_norm(self.conv3, self.bn3, y)
        return activations.keep(name, nnx.relu(y + self.shortcut(x)))

    def middle(self, y: jax.Array, name: str, activations: Activations) -> jax.Array:
        return activations.keep(f"{name}.relu_1", nnx.relu(conv_norm(self.conv2, self.bn2, y)))

    def shortcut(self, x: jax.Array) -> jax.Array:
        return x if self.downsample is None else conv_norm(self.downsample[0], self.downsample[1], x)


class ResNet50(nnx.Module):
    """Images [N, H, W, 3] -> (logits [N, C], activations by torchvision's node names, in depth order)."""

    def __init__(self, classes: int, rngs: nnx.Rngs):
        self.conv1 = conv(3, 64, 7, stride=2, padding=3, rngs=rngs)
        self.bn1 = norm(64, EPSILON, rngs)
        inputs = 64
        for number, (blocks, width, stride) in enumerate(STAGES, start=1):
            stage = []
            for block in range(blocks):
                stage.append(Bottleneck(inputs, width, stride if block == 0 else 1, rngs))
                inputs = width * EXPANSION
            setattr(self, f"layer{number}", nnx.List(stage))
        self.fc = nnx.Linear(inputs, classes, rngs=rngs)

    def __call__(
        self, x: jax.Array, offsets: Mapping[str, jax.Array] | None = None
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        activations = Activations(offsets)
        x = activations.keep("relu", nnx.relu(conv_norm(self.conv1, self.bn1, x)))
        x = activations.keep("maxpool", max_pool(x, 3, 2, padding=1))
        for number in range(1, len(STAGES) + 1):
            for block, bottleneck in enumerate(getattr(self, f"layer{number}")):
                x = bottleneck(x, f"layer{number}.{block}", activations)
        x = activations.keep("avgpool", adaptive_average_pool(x, 1))
        logits = activations.keep("fc", linear(self.fc, x[:, 0, 0]))
        return logits, dict(activations)


RESNET50 = image_classifier(
    ResNet50,
    last=("fc",),
    preparation=Transform(256, 224),
    layers=("maxpool", *(f"layer{s}.{b}" for s, (blocks, *_) in enumerate(STAGES, 1) for b in range(blocks))),
)
