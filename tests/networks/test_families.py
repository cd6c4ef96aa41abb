"""The sizes of ResNet and VGG against torchvision: names and shapes of all, layer by layer of some, in float64."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from bias_jax.networks import NETWORKS, abstract_params, layer_shapes, resnet, vgg
from bias_jax.networks.layers import conv, conv_norm, norm
from converters import convert
from converters.names import shapes, training_only
from converters.original import original_activations, original_network
from tests.networks.parity import Case, run
from tests.reference import torch_oracle as oracle

ALL = (*vgg.NETWORKS, *resnet.NETWORKS)
FROZEN = ["resnet18", pytest.param("vgg11_bn", marks=pytest.mark.slow)]
LIVE = ("resnet34", "wide_resnet50_2", "resnext50_32x4d", "vgg19_bn")
TOLERANCE = 1e-4


def reported(name, layers):
    """torchvision's modules that we compute by themselves, in depth order."""
    if name in resnet.NETWORKS:
        last = "relu_2" if resnet.SIZES[name].bottleneck else "relu_1"  # a block's own output
        inner = rf"(.*\.)?(conv|bn)\d|.*\.downsample(\.\d)?|.*\.{last}|layer\d"
        return [layer for layer in layers if not re.fullmatch(inner, layer)]
    normed = name.endswith("_bn")
    steps = vgg._steps(vgg.CONVOLUTIONS[name.removesuffix("_bn")], normed)
    inner = {"features", "classifier", "classifier.2", "classifier.5"}
    inner |= {f"features.{index + k}" for kind, index, _ in steps if kind == "conv" for k in range(1 + normed)}
    return [layer for layer in layers if layer not in inner]


@pytest.mark.parametrize("name", FROZEN)
def test_every_layer_agrees_with_frozen_values(name):
    names, references = oracle.frozen(name)
    (size,) = oracle.SIZES[name]
    state_dict = oracle.seeded_state_dict(names)
    case = Case(name, state_dict, convert(name, state_dict), references)
    found = run(name, case.params, oracle.seeded_images(2, size))
    assert set(found) == set(reported(name, references[size]))
    for layer, value in found.items():
        shape, largest, expected = references[size][layer]
        assert value.shape == shape
        sampled = value.reshape(-1)[oracle.sample_positions(layer, value.size)]
        assert np.abs(sampled - expected).max() / largest < TOLERANCE, layer


@pytest.mark.torch
@pytest.mark.parametrize("name", LIVE)
def test_live_against_torchvision(name):
    if not oracle.importable():
        pytest.skip("torch and torchvision are not both installed")
    state_dict = oracle.seeded_state_dict(oracle.published_shapes(name))
    images = oracle.seeded_images(2, (32, 45) if name in vgg.NETWORKS else (64, 96))
    logits, original = original_activations(original_network(name, state_dict).double(), images)
    original["logits"] = logits
    found = run(name, convert(name, state_dict), images)
    assert set(found) == set(reported(name, original))
    for layer, value in found.items():
        reference = original[layer]
        assert value.shape == reference.shape
        error = np.abs(value - reference).max() / np.abs(reference).max()
        assert error < TOLERANCE, layer


@pytest.mark.torch
def test_names_and_shapes_of_all_are_torchvisions():
    if not oracle.importable():
        pytest.skip("torch and torchvision are not both installed")
    for name in ALL:
        theirs = {key: tuple(shape) for key, shape in oracle.published_shapes(name).items()}
        assert shapes(name) == {key: shape for key, shape in theirs.items() if not training_only(name, key)}, name


def test_default_layers_are_in_depth_order_and_there():
    for name in ("resnet18", "wide_resnet50_2", "vgg11_bn"):
        probed, order = NETWORKS[name].layers, list(layer_shapes(name, abstract_params(name), (1, 64, 64, 3)))
        assert [layer for layer in order if layer in probed] == list(probed), name
    counts = {name: len(NETWORKS[name].layers) for name in ALL}
    assert counts["resnet18"] == 9 and counts["resnet34"] == counts["resnet50"] == counts["wide_resnet50_2"] == 17
    assert counts["resnet101"] == 34 and counts["resnet152"] == 51 and counts["vgg11_bn"] == counts["vgg19"] == 7


def test_batch_norm_is_folded_into_a_convolution_with_bias(rng):
    convolution, bn = conv(3, 4, 3, padding=1, bias=True, rngs=nnx.Rngs(0)), norm(4, 1e-5, nnx.Rngs(0))
    draw = {"scale": rng.uniform(0.5, 2, 4), "bias": rng.normal(size=4), "mean": rng.normal(size=4)}
    for leaf, values in {**draw, "var": rng.uniform(0.5, 2, 4)}.items():
        getattr(bn, leaf).set_value(jnp.asarray(values, jnp.float32))
    convolution.bias.set_value(jnp.asarray(rng.normal(size=4), jnp.float32))
    x = jnp.asarray(rng.normal(size=(2, 6, 5, 3)), jnp.float32)
    with jax.default_matmul_precision("highest"), jax.numpy_rank_promotion("allow"):
        np.testing.assert_allclose(conv_norm(convolution, bn, x), bn(convolution(x)), rtol=1e-4, atol=1e-5)
