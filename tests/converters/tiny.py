"""A network of the registry that converts in no time, and its weights under torchvision's names."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
from flax import nnx

from bias_jax.networks import NETWORKS, Transform, image_classifier
from bias_jax.networks.layers import Activations, conv, conv_norm, linear, norm
from converters.families import FAMILIES
from converters.torchvision import FAMILY
from tests.reference import torch_oracle as oracle


class Tiny(nnx.Module):
    """Named like a ResNet."""

    def __init__(self, classes: int, rngs: nnx.Rngs):
        self.conv1 = conv(3, 2, 3, rngs=rngs)
        self.bn1 = norm(2, 1e-5, rngs)
        self.layer1 = nnx.List([conv(2, 4, 1, rngs=rngs), conv(4, 4, 1, rngs=rngs)])
        self.fc = nnx.Linear(4, classes, rngs=rngs)

    def __call__(self, x, offsets=None):
        activations = Activations(offsets)
        x = activations.keep("conv1", nnx.relu(conv_norm(self.conv1, self.bn1, x)))
        for layer in self.layer1:
            x = layer(x)
        logits = activations.keep("fc", linear(self.fc, x.mean(axis=(1, 2))))
        return logits, dict(activations)


SHAPES = {"conv1.weight": [2, 3, 3, 3], "layer1.0.weight": [4, 2, 1, 1], "layer1.1.weight": [4, 4, 1, 1]}
SHAPES |= {f"bn1.{leaf}": [2] for leaf in ("weight", "bias", "running_mean", "running_var")}
SHAPES |= {"bn1.num_batches_tracked": [], "fc.weight": [3, 4], "fc.bias": [3]}


@contextmanager
def tiny_network() -> Iterator[dict[str, np.ndarray]]:
    """Registered as ``tiny`` meanwhile; gives its weights."""
    network = image_classifier(Tiny, last=("fc",), preparation=Transform(8, 8), layers=("conv1",))
    with patch.dict(NETWORKS, {"tiny": network}), patch.dict(FAMILIES, {"tiny": FAMILY}):
        yield oracle.seeded_state_dict(SHAPES)


def under(prefix: str, arrays: dict) -> dict:
    """The same arrays with something before every name."""
    return {f"{prefix}{key}": value for key, value in arrays.items()}
