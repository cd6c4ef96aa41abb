"""Every layer through the logits against torchvision in float64, with seeded random weights and statistics.

Tolerance: largest difference over largest magnitude of a layer, 1e-4; measured differences are near 1e-6.
"""

import json

import jax
import numpy as np
import pytest

from bias_jax.networks import NETWORKS, forward
from bias_jax.networks.resnet50 import EPSILON
from converters import convert
from tests.reference import torch_oracle as oracle

TOLERANCE = {"resnet50": 1e-4}


@pytest.fixture(scope="module", params=list(NETWORKS))
def frozen(request):
    name = request.param
    stored = dict(np.load(oracle.HERE / f"{name}.npz"))
    state_dict = oracle.seeded_state_dict(json.loads(str(stored.pop("shapes"))))
    return name, convert(name, state_dict), stored, state_dict


def run(name, params, size):
    outputs = jax.jit(lambda p, x: forward(name, p, x))(params, oracle.seeded_images(2, size))
    return jax.device_get(outputs)


def worst_error(name, params, stored, size) -> dict[str, float]:
    logits, activations = run(name, params, size)
    errors = {}
    for layer, value in {**activations, "logits": logits}.items():
        key = f"{size[0]}x{size[1]}/{layer}"
        assert value.shape == tuple(stored[f"{key}/shape"]), layer
        picked = value.reshape(-1)[oracle.sample_positions(layer, value.size)]
        errors[layer] = np.abs(picked - stored[f"{key}/values"]).max() / stored[f"{key}/largest"]
    return errors


@pytest.mark.parametrize("which", [0, 1])
def test_every_layer_agrees_with_torchvision(frozen, which):
    name, params, stored, _ = frozen
    errors = worst_error(name, params, stored, oracle.SIZES[name][which])
    assert set(NETWORKS[name].layers) <= set(errors)
    assert max(errors.values()) < TOLERANCE[name], max(errors, key=errors.get)


def test_live_against_torchvision(frozen):
    if not oracle.importable():
        pytest.skip("torch and torchvision are not both installed")
    name, params, _, state_dict = frozen
    images = oracle.seeded_images(2, (96, 128))
    found, expected = oracle.torch_activations(name, state_dict, images)
    logits, activations = jax.device_get(jax.jit(lambda p, x: forward(name, p, x))(params, images))
    for layer, value in {**activations, "logits": logits}.items():
        reference = {**found, "logits": expected}[layer]
        assert np.abs(value - reference).max() / np.abs(reference).max() < TOLERANCE[name], layer


def test_a_test_that_can_fail(frozen):
    """Small mistakes must show: one channel of one kernel negated, two batch norms swapped."""
    name, _, stored, state_dict = frozen
    key = "layer3.2.conv2.weight"
    spoiled = {**state_dict, key: state_dict[key] * np.where(np.arange(256) == 3, -1, 1)[:, None, None, None]}
    errors = worst_error(name, convert(name, spoiled), stored, oracle.SIZES[name][1])
    assert errors["layer3.1"] < 1e-4 < errors["layer3.2"] and errors["logits"] > 1e-4
    a, b = "layer2.1.bn1.running_mean", "layer2.2.bn1.running_mean"
    swapped = {**state_dict, a: state_dict[b], b: state_dict[a]}
    assert worst_error(name, convert(name, swapped), stored, oracle.SIZES[name][1])["layer2.1"] > 1e-4


def test_epsilon_is_torchvisions():
    assert EPSILON == 1e-5  # an error of 1e-8 here is invisible to any comparison of outputs


def test_activations_are_in_depth_order_and_blocks_are_probed():
    layers = NETWORKS["resnet50"].layers
    assert len(layers) == 17 and layers[0] == "maxpool" and layers[-1] == "layer4.2"
