"""What the comparison with torchvision's frozen values is made of; tests, and tests of the tests, share it.

Tolerance: largest difference over largest magnitude of a layer. Random weights amplify rounding, most of all through
InceptionV3's 94 convolutions without a shortcut.
"""

import dataclasses
import re
from collections.abc import Callable
from functools import cache, partial

import jax
import numpy as np

from bias_jax.networks import forward, jit_network
from converters import convert
from tests.reference import torch_oracle as oracle

TOLERANCE = {"vgg16": 1e-4, "resnet50": 1e-4, "inception_v3": 5e-4}
# torchvision's modules that our networks compute together with the next one, or that pass on what they get.
UNREPORTED = {
    "vgg16": r"features|features\.(0|2|5|7|10|12|14|17|19|21|24|26|28)|classifier|classifier\.(2|5)",
    "resnet50": r"(.*\.)?(conv|bn)\d|.*\.downsample(\.\d)?|.*\.relu_2|layer\d",
    "inception_v3": r".*\.(conv|bn)|dropout",
}


@dataclasses.dataclass(frozen=True)
class Case:
    """One network with its seeded weights and frozen values."""

    name: str
    state_dict: dict
    params: dict
    references: dict  # image size -> layer -> (shape, largest, sampled values)

    @property
    def other_size(self) -> tuple[int, int]:
        return oracle.SIZES[self.name][1]

    @property
    def layers(self) -> list[str]:
        """Every layer that must be reported, in depth order, then the logits."""
        names = self.references[self.other_size]
        return [layer for layer in names if not re.fullmatch(UNREPORTED[self.name], layer)]


def seeded_case(name: str) -> Case:
    shapes, references = oracle.frozen(name)
    state_dict = oracle.seeded_state_dict(shapes)
    return Case(name, state_dict, convert(name, state_dict), references)


@cache
def program(name: str) -> Callable:
    """(params, images) -> (logits, activations); weights of any values share one compilation for each image size."""
    return jit_network(partial(forward, name))


def run(name, params, images, network=None) -> dict[str, np.ndarray]:
    logits, activations = jax.device_get((network or program(name))(params, images))
    return {**activations, "logits": logits}


def errors(case, size, params=None, network=None) -> dict[str, float]:
    """Relative error of every layer, of other weights or of another network where they are given."""
    params = case.params if params is None else params
    return compare(case, size, run(case.name, params, oracle.seeded_images(2, size), network))


def compare(case, size, found) -> dict[str, float]:
    result = {}
    assert set(found) == set(case.layers)
    for layer in case.layers:
        value, (shape, largest, expected) = found[layer], case.references[size][layer]
        if value.shape != shape:
            result[layer] = np.inf
            continue
        result[layer] = np.abs(value.reshape(-1)[oracle.sample_positions(layer, value.size)] - expected).max() / largest
    return result


def spoiled_error(case, params=None, network=None) -> float:
    """Worst relative error after a mistake; infinite if a shape changes, NaN (which no test accepts) if a value is."""
    return worst(errors(case, case.other_size, params, network))


def worst(found: dict[str, float]) -> float:
    return np.max(list(found.values()))  # keeps NaN, unlike Python's max
