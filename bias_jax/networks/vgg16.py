"""VGG16 as torchvision builds it (Simonyan & Zisserman 2015, configuration D, without batch norm)."""

from collections.abc import Mapping
from typing import Any

import jax
from flax import nnx

from bias_jax.networks.definition import image_classifier
from bias_jax.networks.layers import Activations, adaptive_average_pool, conv, convolve, linear, max_pool
from bias_jax.networks.transforms import Transform

STAGES = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))  # 3x3 convolutions and their width; a 2x2 pool after each
GRID = 7  # side of the grid that the classifier sees, whatever the image size
HIDDEN = 4096


class VGG16(nnx.Module):
    """Images [N, H, W, 3], sides >= 32 -> (logits [N, C], activations by torchvision's node names, in depth order).

    Modules keep the numbers that they have in torchvision's two sequences: convolution i is followed by its ReLU i + 1,
    the last ReLU of a stage by the pool. The first fully connected layer takes the grid with channels running fastest.
    """

    def __init__(self, classes: int, rngs: nnx.Rngs):
        self.features: Any = nnx.Dict()
        inputs, index = 3, 0
        for convolutions, width in STAGES:
            for _ in range(convolutions):
                self.features[str(index)] = conv(inputs, width, 3, padding=1, bias=True, rngs=rngs)
                inputs, index = width, index + 2
            index += 1
        self.classifier: Any = nnx.Dict()
        self.classifier["0"] = nnx.Linear(inputs * GRID * GRID, HIDDEN, rngs=rngs)
        self.classifier["3"] = nnx.Linear(HIDDEN, HIDDEN, rngs=rngs)
        self.classifier["6"] = nnx.Linear(HIDDEN, classes, rngs=rngs)

    def __call__(
        self, x: jax.Array, offsets: Mapping[str, jax.Array] | None = None
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        activations = Activations(offsets)
        index = 0
        for convolutions, _ in STAGES:
            for _ in range(convolutions):
                x = activations.keep(f"features.{index + 1}", nnx.relu(convolve(self.features[str(index)], x)))
                index += 2
            x = activations.keep(f"features.{index}", max_pool(x, 2, 2))
            index += 1
        x = activations.keep("avgpool", adaptive_average_pool(x, GRID))
        x = activations.keep("classifier.0", linear(self.classifier["0"], x.reshape(len(x), -1)))
        x = activations.keep("classifier.1", nnx.relu(x))
        x = activations.keep("classifier.3", linear(self.classifier["3"], x))
        x = activations.keep("classifier.4", nnx.relu(x))
        logits = activations.keep("classifier.6", linear(self.classifier["6"], x))
        return logits, dict(activations)


VGG_16 = image_classifier(
    VGG16,
    last=("classifier", "6"),
    preparation=Transform(256, 224),
    smallest=32,
    layers=(*(f"features.{pool}" for pool in (4, 9, 16, 23, 30)), "classifier.1", "classifier.4"),
)
