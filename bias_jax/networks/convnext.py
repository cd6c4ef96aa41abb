"""ConvNeXts as torchvision builds them (Liu et al. 2022): residual blocks of a 7x7 depthwise convolution and a
perceptron, with layer norms over the channels.

Blocks are shared with transformers but for what mixes the places: a convolution in the place of attention.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from flax import nnx

from bias_jax.networks.convolution import conv2d
from bias_jax.networks.definition import Network, image_classifier
from bias_jax.networks.layers import Activations, adaptive_average_pool
from bias_jax.networks.transformer import (
    ACTIVATIONS,
    Own,
    dense,
    dense_parameters,
    layer_norm,
    norm_parameters,
    parameter,
)
from bias_jax.networks.transforms import Transform

EPSILON = 1e-6  # of every layer norm
PATCH = 4  # side of the squares of pixels that the first convolution takes, without overlap
SMALLEST = 32  # sides of pictures of which one place is left in the last stage
DEVIATION = 0.02  # of random kernels


@dataclass(frozen=True)
class Size:
    """What distinguishes one network from another."""

    blocks: tuple[int, ...]  # of each stage
    widths: tuple[int, ...]  # channels of each stage
    resize: int  # shorter side, in pixels, to which torchvision resizes pictures


SIZES = {
    "convnext_tiny": Size((3, 3, 9, 3), (96, 192, 384, 768), 236),
    "convnext_small": Size((3, 3, 27, 3), (96, 192, 384, 768), 230),
    "convnext_base": Size((3, 3, 27, 3), (128, 256, 512, 1024), 232),
    "convnext_large": Size((3, 3, 27, 3), (192, 384, 768, 1536), 232),
}


class ConvNeXt(nnx.Module):
    """Images [N, H, W, 3], sides >= 32 -> (logits [N, C], activations by torchvision's node names, in depth order).

    Parts keep the numbers of torchvision's sequences: ``features.0`` is the stem, ``features.1`` the first stage,
    ``features.2`` halves the sides before the next, ``features.3``, and so on.
    """

    def __init__(self, size: Size, classes: int, rngs: nnx.Rngs):
        first, *_, last = size.widths
        features: dict[str, Any] = {"0": nnx.Dict({"0": _conv(3, first, PATCH), "1": norm_parameters(first)})}
        for stage, (blocks, width) in enumerate(zip(size.blocks, size.widths, strict=True)):
            if stage:
                before = size.widths[stage - 1]
                features[str(2 * stage)] = nnx.Dict({"0": norm_parameters(before), "1": _conv(before, width, 2)})
            features[str(2 * stage + 1)] = nnx.Dict({str(i): _block_parameters(width) for i in range(blocks)})
        self.features: Any = nnx.Dict(features)
        self.classifier: Any = nnx.Dict({"0": norm_parameters(last), "2": dense_parameters(last, classes)})

    def __call__(
        self, x: jax.Array, offsets: Mapping[str, jax.Array] | None = None
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        own, activations = nnx.to_pure_dict(nnx.state(self)), Activations(offsets)
        features, classifier = own["features"], own["classifier"]
        for number in range(len(features)):
            part, name = features[str(number)], f"features.{number}"
            if number % 2:
                for block in range(len(part)):
                    x = activations.keep(f"{name}.{block}", _block(part[str(block)], x))
            elif number:
                x = activations.keep(name, _convolve(part["1"], layer_norm(part["0"], x, EPSILON), stride=2))
            else:
                x = activations.keep(name, layer_norm(part["1"], _convolve(part["0"], x, stride=PATCH), EPSILON))
        x = activations.keep("avgpool", adaptive_average_pool(x, 1))
        x = activations.keep("classifier.0", layer_norm(classifier["0"], x, EPSILON))
        logits = activations.keep("classifier.2", dense(classifier["2"], x[:, 0, 0]))
        return logits, dict(activations)


def _conv(inputs: int, outputs: int, size: int) -> Any:
    return nnx.Dict(kernel=parameter(size, size, inputs, outputs), bias=parameter(outputs))


def _convolve(own: Own, x: jax.Array, stride: int = 1, padding: int = 0, groups: int = 1) -> jax.Array:
    y = conv2d(x, own["kernel"].astype(x.dtype), stride, (padding, padding), groups)
    return y + own["bias"].astype(x.dtype)[None, None, None]


def _block_parameters(width: int) -> Any:
    """Of a block, whose parts have the numbers of torchvision's sequence."""
    parts = {"0": _conv(1, width, 7), "2": norm_parameters(width)}
    parts |= {"3": dense_parameters(width, 4 * width), "5": dense_parameters(4 * width, width)}
    return nnx.Dict(block=nnx.Dict(parts), layer_scale=parameter(1, 1, width))


def _block(own: Own, x: jax.Array) -> jax.Array:
    parts = own["block"]
    y = layer_norm(parts["2"], _convolve(parts["0"], x, padding=3, groups=x.shape[-1]), EPSILON)
    y = dense(parts["5"], ACTIVATIONS["gelu"](dense(parts["3"], y)))
    return x + y * own["layer_scale"].astype(x.dtype)[None]


def draw(path: tuple[str, ...], shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """One random parameter, float32, as training begins, but for layer scales, which are 1.

    Training begins with a millionth of what a block adds, so all blocks of a stage would give out the same.
    """
    if path[-1] == "kernel":
        return rng.standard_normal(shape, np.float32) * np.float32(DEVIATION)
    return np.full(shape, 1.0 if path[-1] in ("scale", "layer_scale") else 0.0, np.float32)


def _network(size: Size) -> Network:
    blocks = (f"features.{2 * stage + 1}.{i}" for stage, number in enumerate(size.blocks) for i in range(number))
    return image_classifier(
        partial(ConvNeXt, size),
        last=("classifier", "2"),
        preparation=Transform(size.resize, 224),
        layers=("features.0", *blocks, "classifier.0"),
        smallest=SMALLEST,
        draw=draw,
    )


NETWORKS = {name: _network(size) for name, size in SIZES.items()}
