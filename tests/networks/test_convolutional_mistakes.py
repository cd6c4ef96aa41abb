"""Mistakes that must show. Each is made in the code or the weights, and the comparison with torchvision must fail."""

from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest
from flax import nnx

from bias_jax.networks import NETWORKS, convnext, efficientnet, forward, jit_network, layers
from bias_jax.networks.transformer import ACTIVATIONS
from tests.networks import convolutional_case as case_module
from tests.networks.convolutional_case import SIZES, TOLERANCE, errors, registered, state_dict, worst
from tests.reference import convolutional_oracle as oracle

SLOW = pytest.mark.slow
SIZE = oracle.SIZES[1]
SHOWS = 10 * TOLERANCE  # errors are this large at least


@pytest.fixture(scope="module", autouse=True)
def tiny():
    with registered():
        yield


def interleaved(kernel: np.ndarray, groups: int) -> np.ndarray:
    """Outputs of a convolution in groups in the order of which every group has the first, then the second, ..."""
    return kernel.reshape(groups, -1, *kernel.shape[1:]).swapaxes(0, 1).reshape(kernel.shape)


def spoiled(case: str) -> dict[str, tuple[dict[str, np.ndarray], str]]:
    """Mistake -> other weights, and the first layer in which it must show."""
    arrays = state_dict(case)
    if case == "convnext":
        scale, hidden = "features.1.0.layer_scale", "features.3.1.block.3.weight"
        return {
            "no layer scale": ({scale: np.ones_like(arrays[scale])}, "features.1.0"),
            "hidden channels in another order": ({hidden: arrays[hidden][::-1]}, "features.3.1"),
        }
    if case == "efficientnet":
        gate = "features.2.1.block.2.fc2"
        ones = {f"{gate}.weight": arrays[f"{gate}.weight"] * 0, f"{gate}.bias": arrays[f"{gate}.bias"] * 0 + 50}
        return {"no excitation": (ones, "features.2.1.block.2")}
    kernel = "layer3.0.conv2.weight"
    return {"groups interleaved": ({kernel: interleaved(arrays[kernel], 32)}, "layer3.0.relu_1")}


@pytest.mark.parametrize("case", ["convnext", "efficientnet", pytest.param("resnext", marks=SLOW)])
def test_mistakes_in_weights(case):
    for mistake, (arrays, layer) in spoiled(case).items():
        found = errors(case, SIZE, arrays)
        faulty = [name for name, error in found.items() if error > SHOWS]
        assert faulty[0] == layer and "logits" in faulty, mistake


def same_padding(x, kernel, strides, padding, **options):
    """As TensorFlow pads, from where EfficientNet's weights come: more on the right and below at stride 2."""
    padding = "SAME" if kernel.shape[0] > 1 else padding
    return CONVOLUTION(x, kernel, strides, padding, **options)


def rectified_excitation(self, x):
    means = layers.adaptive_average_pool(x, 1)
    return x * nnx.sigmoid(layers.convolve(self.fc2, nnx.relu(layers.convolve(self.fc1, means))))


def hard_excitation(self, x):
    means = layers.adaptive_average_pool(x, 1)
    return x * jax.nn.hard_sigmoid(layers.convolve(self.fc2, nnx.silu(layers.convolve(self.fc1, means))))


CONVOLUTION = jax.lax.conv_general_dilated
CODE = {  # mistake -> (case, what is replaced, by what)
    "norm's epsilon is BatchNorm's": ("convnext", (convnext, "EPSILON"), 1e-5),
    "GELU by tanh": ("convnext", (ACTIVATIONS, "gelu"), ACTIVATIONS["gelu_tanh"]),
    "squeezed by ReLU": ("efficientnet", (efficientnet.SqueezeExcitation, "__call__"), rectified_excitation),
    "excited by a hard sigmoid": ("efficientnet", (efficientnet.SqueezeExcitation, "__call__"), hard_excitation),
    "ReLU": ("efficientnet_v2", (nnx, "silu"), nnx.relu),
    "padded as in TensorFlow": ("efficientnet_v2", (jax.lax, "conv_general_dilated"), same_padding),
}


@SLOW
@pytest.mark.parametrize("mistake", CODE)
def test_mistakes_in_the_code(mistake, monkeypatch):
    case, (place, name), other = CODE[mistake]
    if isinstance(place, dict):
        monkeypatch.setitem(place, name, other)
    else:
        monkeypatch.setattr(place, name, other)
    assert worst(errors(case, SIZE, network=jit_network(partial(forward, f"tiny_{case}")))) > SHOWS


@SLOW
@pytest.mark.parametrize(
    ("case", "wrong"),
    [("efficientnet", {"epsilon": 1e-3}), ("efficientnet_v2", {"epsilon": 1e-5})],
)
def test_another_epsilon(case, wrong, monkeypatch):
    monkeypatch.setitem(SIZES, case, replace(SIZES[case], **wrong))
    monkeypatch.setitem(NETWORKS, f"tiny_{case}", case_module.definition(case))
    assert worst(errors(case, SIZE, network=jit_network(partial(forward, f"tiny_{case}")))) > SHOWS


@SLOW
def test_an_activated_projection(monkeypatch):
    build = efficientnet.Block.__init__

    def without_projection(self, *arguments):
        build(self, *arguments)
        self.projects = False

    monkeypatch.setattr(efficientnet.Block, "__init__", without_projection)
    monkeypatch.setitem(NETWORKS, "tiny_efficientnet", case_module.definition("efficientnet"))
    network = jit_network(partial(forward, "tiny_efficientnet"))
    assert worst(errors("efficientnet", SIZE, network=network)) > SHOWS
