"""What a network is: how to build it, how its images are prepared, and which of its layers are probed."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from flax import nnx

from bias_jax.networks.preparation import Preparation

Params = Mapping[str, Any]  # nested dict of arrays, Flax layouts, by the names of the network's modules
# In what weights of one network differ from each other: "classes", the number of classes of the output (0: there is
# none), and whatever else a family says of its parts, e.g. which heads there are.
Variant = Mapping[str, int]
IMAGENET_CLASSES = 1000


def he_normal(path: tuple[str, ...], shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Kernels as by He et al. 2015 with fan-out; scales and variances are 1, all else is 0. float32."""
    if path[-1] == "kernel":
        fan_out = math.prod(shape) // shape[-2]
        return rng.standard_normal(shape, np.float32) * np.float32(math.sqrt(2.0 / fan_out))
    return np.full(shape, 1.0 if path[-1] in ("scale", "var") else 0.0, np.float32)


@dataclass(frozen=True, eq=False)
class Network:
    """One architecture.

    Its module is called with prepared images [N, ...] and with offsets (see `layers.Activations`), and gives its
    output [N, classes], or None where its weights have no classifier, and its activations by name, in depth order:
    [N, H, W, U] or [N, U].
    """

    build: Callable[[Variant, nnx.Rngs], nnx.Module]
    variant: Callable[[Params], Variant]  # of given parameters, which may be abstract
    usual: Variant  # of random weights
    preparations: Mapping[str, Preparation]  # by name; the first is the usual one
    layers: tuple[str, ...]  # probed by default if the weights have them, in depth order
    smallest: int = 1  # side of the smallest picture it accepts
    draw: Callable[[tuple[str, ...], tuple[int, ...], np.random.Generator], np.ndarray] = he_normal  # random weights

    @property
    def preparation(self) -> Preparation:
        """The usual one."""
        return next(iter(self.preparations.values()))


def image_classifier(
    build: Callable[[int, nnx.Rngs], nnx.Module], *, last: tuple[str, ...], preparation: Preparation,
    layers: tuple[str, ...], smallest: int = 1,
    draw: Callable[[tuple[str, ...], tuple[int, ...], np.random.Generator], np.ndarray] = he_normal,
) -> Network:  # fmt: skip
    """A network that ends in one linear layer with bias, and differs in nothing but its number of classes.

    Args:
        build: (classes, rngs) -> module.
        last: path of that layer.
        preparation, layers, smallest, draw: of the network.
    """

    def variant(params: Params) -> Variant:
        leaf: Any = params
        for key in last:
            leaf = leaf[key]
        return {"classes": leaf["bias"].shape[0]}

    return Network(
        build=lambda variant, rngs: build(variant["classes"], rngs),
        variant=variant,
        usual={"classes": IMAGENET_CLASSES},
        preparations={"torchvision": preparation},
        layers=layers,
        smallest=smallest,
        draw=draw,
    )
