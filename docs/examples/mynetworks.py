"""Networks of one's own for an audit: copy what is like yours.

python -m experiments.sweep --models mynetworks:jax_function --instruments variance,predictions
"""

import jax
import jax.numpy as jnp
from flax import nnx

from bias_jax.audit import own_network, torch_network
from bias_jax.networks import Transform

SMALL = Transform(resize=64, crop=64)  # ImageNet's mean and standard deviation, unless others are given


def jax_function():
    """A function of parameters and images that answers (output, {layer: array})."""
    keys = jax.random.split(jax.random.key(0), 2)
    params = {"conv": jax.random.normal(keys[0], (3, 3, 3, 16)) * 0.2, "head": jax.random.normal(keys[1], (16, 10))}

    def forward(params, images):  # float32 [N, 64, 64, 3]
        layout = ("NHWC", "HWIO", "NHWC")
        maps = jax.lax.conv_general_dilated(images, params["conv"], (2, 2), "SAME", dimension_numbers=layout)
        maps = jax.nn.relu(maps)
        pooled = maps.mean(axis=(1, 2))
        return pooled @ params["head"], {"conv": maps, "pooled": pooled}

    return own_network(forward, params=params, name="jax-function", preparation=SMALL)


class Classifier(nnx.Module):
    """Returns logits; its layers are the outputs of the modules in it."""

    def __init__(self, rngs: nnx.Rngs):
        self.stem = nnx.Conv(3, 16, (3, 3), strides=2, rngs=rngs)
        self.blocks = nnx.List([nnx.Conv(16, 16, (3, 3), rngs=rngs) for _ in range(2)])
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.head = nnx.Linear(16, 10, rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        x = nnx.relu(self.stem(images))
        for block in self.blocks:
            x = nnx.relu(block(x))
        return self.head(self.drop(jnp.mean(x, axis=(1, 2))))


def flax_module():
    """A module of Flax NNX; a second one, with other random weights, is the untrained control."""
    return own_network(Classifier(nnx.Rngs(0)), preparation=SMALL, untrained=Classifier(nnx.Rngs(1)))


def torch_module():
    """A torch module, its layers by their names."""
    import torch
    from torch import nn

    torch.manual_seed(0)  # other weights would be another network
    module = nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2), nn.BatchNorm2d(16), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(16, 10),
    )  # fmt: skip
    return torch_network(module, name="torch-module", preparation=SMALL, layers=["2", "5"])
