"""Tiny copies of the registry's ResNeXts, ConvNeXts and EfficientNets, with the seeded weights of the frozen values."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial

import jax
import numpy as np
import pytest

from bias_jax.networks import NETWORKS, Network, convnext, efficientnet, forward, jit_network, resnet
from bias_jax.networks.efficientnet import Stage
from bias_jax.networks.transforms import bicubic
from converters import convert
from converters.families import FAMILIES
from converters.torchvision import FAMILY
from tests.reference import convolutional_oracle as oracle
from tests.reference.torch_oracle import sample_positions, seeded_images

TOLERANCE = 1e-5  # of the largest magnitude of a layer
SIZES = {
    "resnext": resnet.Size((1, 1, 1, 1), bottleneck=True, wide=2, groups=32),
    "convnext": convnext.Size((1, 2), (8, 16), 36),
    "efficientnet": efficientnet.Size(16, (Stage(1, 8, 3, 1, 1), Stage(2, 16, 5, 2, 6)), 64, 1e-5, bicubic(36, 32)),
    "efficientnet_v2": efficientnet.Size(
        8, (Stage(1, 8, 3, 1, 1, fused=True), Stage(1, 16, 3, 2, 4, fused=True), Stage(1, 24, 3, 2, 4)), 40, 1e-3,
        bicubic(36, 32),
    ),
}  # fmt: skip


def definition(case: str) -> Network:
    """As the registry's."""
    module = {"resnext": resnet, "convnext": convnext}.get(case, efficientnet)
    return module._network(SIZES[case])


@contextmanager
def registered() -> Iterator[None]:
    """All of them, as ``tiny_CASE``, meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        for case in SIZES:
            patch.setitem(NETWORKS, f"tiny_{case}", definition(case))
            patch.setitem(FAMILIES, f"tiny_{case}", FAMILY)
        yield


@cache
def state_dict(case: str) -> dict[str, np.ndarray]:
    return oracle.seeded_state_dict(oracle.frozen(case)[0])


@cache
def program(case: str) -> Callable:
    """Weights of any values share one compilation for each image size."""
    return jit_network(partial(forward, f"tiny_{case}"))


def run(case: str, size: tuple[int, int], arrays=None, network=None) -> dict[str, np.ndarray]:
    params = convert(f"tiny_{case}", {**state_dict(case), **(arrays or {})})
    logits, activations = jax.device_get((network or program(case))(params, seeded_images(2, size)))
    return {**activations, "logits": logits}


def errors(case: str, size: tuple[int, int], arrays=None, network=None) -> dict[str, float]:
    """Relative error of every layer at the sampled positions, in depth order.

    Args:
        case: of the oracle.
        size: of the images.
        arrays: in the place of those of the state dict.
        network: in the place of the registry's.
    """
    found, expected = run(case, size, arrays, network), oracle.frozen(case)[1][size]
    assert set(found) == set(expected)
    result = {}
    for layer, (shape, largest, values) in expected.items():
        assert found[layer].shape == shape, layer
        sampled = found[layer].reshape(-1)[sample_positions(layer, found[layer].size)]
        result[layer] = np.abs(sampled - values).max() / largest
    return result


def worst(found: dict[str, float]) -> float:
    return np.max(list(found.values()))  # keeps NaN, unlike Python's max
