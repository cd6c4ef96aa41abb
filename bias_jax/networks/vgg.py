"""VGGs as torchvision builds them (Simonyan & Zisserman 2015, configurations A, B, D, E), also with batch norm."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import jax
from flax import nnx

from bias_jax.networks.definition import Network, image_classifier
from bias_jax.networks.layers import (
    Activations,
    adaptive_average_pool,
    conv,
    conv_norm,
    convolve,
    linear,
    max_pool,
    norm,
)
from bias_jax.networks.transforms import Transform

WIDTHS = (64, 128, 256, 512, 512)  # of the 3x3 convolutions of each stage, which ends in a 2x2 pool
CONVOLUTIONS = {"vgg11": (1, 1, 2, 2, 2), "vgg13": (2, 2, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
EPSILON = 1e-5  # of every batch norm
GRID = 7  # side of the grid that the classifier sees, whatever the image size
HIDDEN = 4096


class VGG(nnx.Module):
    """Images [N, H, W, 3], sides >= 32 -> (logits [N, C], activations by torchvision's node names, in depth order).

    Modules keep the numbers that they have in torchvision's two sequences: convolution i is followed by its batch norm,
    if there is one, and its ReLU, the last ReLU of a stage by the pool. The first fully connected layer takes the grid
    with channels running fastest.
    """

    def __init__(self, convolutions: tuple[int, ...], normed: bool, classes: int, rngs: nnx.Rngs):
        self.features: Any = nnx.Dict()
        self.steps = tuple(_steps(convolutions, normed))
        inputs = 3
        for kind, index, width in self.steps:
            if kind == "conv":
                self.features[str(index)] = conv(inputs, width, 3, padding=1, bias=True, rngs=rngs)
                inputs = width
                if normed:
                    self.features[str(index + 1)] = norm(width, EPSILON, rngs)
        self.classifier: Any = nnx.Dict()
        self.classifier["0"] = nnx.Linear(inputs * GRID * GRID, HIDDEN, rngs=rngs)
        self.classifier["3"] = nnx.Linear(HIDDEN, HIDDEN, rngs=rngs)
        self.classifier["6"] = nnx.Linear(HIDDEN, classes, rngs=rngs)

    def __call__(
        self, x: jax.Array, offsets: Mapping[str, jax.Array] | None = None
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        activations = Activations(offsets)
        for kind, index, _ in self.steps:
            if kind == "pool":
                x = activations.keep(f"features.{index}", max_pool(x, 2, 2))
                continue
            convolution, after = self.features[str(index)], self.features.get(str(index + 1))
            y = convolve(convolution, x) if after is None else conv_norm(convolution, after, x)
            x = activations.keep(f"features.{index + (1 if after is None else 2)}", nnx.relu(y))
        x = activations.keep("avgpool", adaptive_average_pool(x, GRID))
        x = activations.keep("classifier.0", linear(self.classifier["0"], x.reshape(len(x), -1)))
        x = activations.keep("classifier.1", nnx.relu(x))
        x = activations.keep("classifier.3", linear(self.classifier["3"], x))
        x = activations.keep("classifier.4", nnx.relu(x))
        logits = activations.keep("classifier.6", linear(self.classifier["6"], x))
        return logits, dict(activations)


def _steps(convolutions: tuple[int, ...], normed: bool) -> Iterator[tuple[str, int, int]]:
    """(``conv`` or ``pool``, its number in torchvision's sequence, width) of all convolutions and pools."""
    index = 0
    for number, width in zip(convolutions, WIDTHS, strict=True):
        for _ in range(number):
            yield "conv", index, width
            index += 3 if normed else 2
        yield "pool", index, width
        index += 1


def _network(convolutions: tuple[int, ...], normed: bool) -> Network:
    pools = (f"features.{index}" for kind, index, _ in _steps(convolutions, normed) if kind == "pool")
    return image_classifier(
        partial(VGG, convolutions, normed),
        last=("classifier", "6"),
        preparation=Transform(256, 224),
        smallest=32,
        layers=(*pools, "classifier.1", "classifier.4"),
    )


NETWORKS = {
    f"{name}_bn" if normed else name: _network(convolutions, normed)
    for name, convolutions in CONVOLUTIONS.items()
    for normed in (False, True)
}
