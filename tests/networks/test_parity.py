"""Every layer through the logits against torchvision in float64, with seeded random weights and statistics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from bias_jax.errors import InputError
from bias_jax.networks import NETWORKS, PRECISIONS, forward, inception_v3, resnet, vgg
from bias_jax.networks.convolution import KERNEL_TRANSFORM
from converters import convert
from converters.original import original_activations, original_network
from tests.networks.parity import TOLERANCE, errors, run, worst
from tests.reference import torch_oracle as oracle

REPORTED = {"vgg16": 25, "resnet50": 53, "inception_v3": 110}  # layers, with the logits
CONVOLUTIONS = {"vgg16": 13, "resnet50": 53, "inception_v3": 94}
LIVE_SIZE = {"vgg16": (32, 45), "resnet50": (96, 128), "inception_v3": (75, 90)}


@pytest.mark.parametrize("which", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_every_layer_agrees_with_torchvision(case, which):
    found = errors(case, oracle.SIZES[case.name][which])
    assert len(found) == REPORTED[case.name] and set(NETWORKS[case.name].layers) <= set(found)
    assert worst(found) < TOLERANCE[case.name], max(found, key=found.get)


@pytest.mark.torch
def test_live_against_torchvision_at_its_smallest_size(case):
    if not oracle.importable():
        pytest.skip("torch and torchvision are not both installed")
    images = oracle.seeded_images(2, LIVE_SIZE[case.name])
    logits, original = original_activations(original_network(case.name, case.state_dict), images)
    found = run(case.name, case.params, images)
    assert set(found) == set(case.layers)
    for layer, value in found.items():
        reference = {**original, "logits": logits}[layer]
        assert value.shape == reference.shape
        assert np.abs(value - reference).max() / np.abs(reference).max() < TOLERANCE[case.name], layer


def test_layers_are_in_depth_order(case):
    order = []

    def trace(params, images):
        order.extend(forward(case.name, params, images)[1])

    jax.eval_shape(trace, case.params, oracle.seeded_images(1, LIVE_SIZE[case.name]))
    assert [*order, "logits"] == case.layers  # the hooks fired in this order
    probed = NETWORKS[case.name].layers
    assert [layer for layer in order if layer in probed] == list(probed)


def test_names_and_numbers_of_probed_layers():
    assert {name: len(NETWORKS[name].layers) for name in TOLERANCE} == {"vgg16": 7, "resnet50": 17, "inception_v3": 13}
    convolutions = sum(layer.count(".") == 1 or layer.startswith("Conv") for layer in inception_names())
    assert convolutions == 94


def inception_names():
    return [
        *(step.name for step in inception_v3.STEM if isinstance(step, inception_v3.Unit)),
        *(
            f"{block}.{unit.name}"
            for block, branches in inception_v3.BLOCKS.items()
            for branch in branches
            for step in branch
            for unit in (step.units if isinstance(step, inception_v3.Fork) else (step,))
            if isinstance(unit, inception_v3.Unit)
        ),
    ]


def test_too_small_images_are_refused(case):
    smallest = NETWORKS[case.name].smallest
    if smallest > 1:
        with pytest.raises(InputError, match=f"sides of at least {smallest}"):
            forward(case.name, case.params, jnp.zeros((1, smallest, smallest - 1, 3)))


def test_epsilon_is_torchvisions():
    # an error of 1e-8 here is invisible to any comparison of outputs
    assert vgg.EPSILON == resnet.EPSILON == 1e-5 and inception_v3.EPSILON == 1e-3


def test_auxiliary_head_is_dropped_by_name(case):
    if case.name == "inception_v3":
        auxiliary = [key for key in case.state_dict if key.startswith("AuxLogits.")]
        assert len(auxiliary) == 14
        kept = {key: value for key, value in case.state_dict.items() if key not in auxiliary}
        assert jax.tree.all(jax.tree.map(np.array_equal, convert("inception_v3", kept), case.params))


# Rounding to bfloat16 (8 bits) grows with depth, through random weights without bound, so the comparison ends where it
# still says something. Root mean square of the difference over that of the layer, and where to stop.
BFLOAT16 = {"vgg16": ("features.30", 0.02), "resnet50": ("layer2.3", 0.1), "inception_v3": ("Mixed_5d", 0.15)}


@pytest.mark.slow
def test_bfloat16_is_near_float32(case):
    images = oracle.seeded_images(2, LIVE_SIZE[case.name])
    last, tolerance = BFLOAT16[case.name]
    probed = NETWORKS[case.name].layers
    compared = probed[: probed.index(last) + 1]

    def pick(params, images, precision):
        activations = forward(case.name, params, images, precision=precision)[1]
        return {layer: activations[layer].astype(jnp.float32) for layer in compared}

    picked = jax.jit(pick, static_argnums=2)
    exact, rounded = (jax.device_get(picked(case.params, images, p)) for p in ("float32", "bfloat16"))
    for layer in compared:
        difference = np.sqrt(np.mean((rounded[layer] - exact[layer]) ** 2) / np.mean(exact[layer] ** 2))
        assert 0 < difference < tolerance, layer


def test_every_precision_runs_to_the_logits_in_its_own_arithmetic(case):
    images = oracle.seeded_images(2, LIVE_SIZE[case.name])
    arithmetic = {
        "float32": (jnp.float32, jax.lax.Precision.HIGHEST),
        "tf32": (jnp.float32, jax.lax.Precision.HIGH),
        "bfloat16": (jnp.bfloat16, jax.lax.Precision.DEFAULT),
    }
    assert list(arithmetic) == list(PRECISIONS)
    for precision, (dtype, passes) in arithmetic.items():
        traced = jax.make_jaxpr(lambda p, x, mode=precision: forward(case.name, p, x, precision=mode))
        jaxpr = traced(case.params, images)
        assert all(value.dtype == dtype for value in jaxpr.out_avals)
        convolutions = [e for e in every_equation(jaxpr.jaxpr) if e.primitive.name == "conv_general_dilated"]
        products = [e for e in every_equation(jaxpr.jaxpr) if e.primitive.name == "dot_general"]
        exact = [e for e in products if averages(e) or transforms_kernel(e)]
        products = [e for e in products if e not in exact] + convolutions
        assert len(convolutions) == CONVOLUTIONS[case.name]
        assert all(v.aval.dtype == dtype for e in products for v in e.invars)
        assert {p for e in products for p in e.params["precision"]} == {passes}
        assert {p for e in exact for p in e.params["precision"]} <= {jax.lax.Precision.HIGHEST}


def every_equation(jaxpr):
    """Those of nested programs too, such as the branches of one that is chosen by platform."""
    for equation in jaxpr.eqns:
        yield equation
        for nested in jaxprs_in_params(equation.params):
            yield from every_equation(nested)


def averages(product) -> bool:
    """Only the products of average-pooling go image by image."""
    return bool(product.params["dimension_numbers"][1][0])


def transforms_kernel(product) -> bool:
    return any(v.aval.shape == KERNEL_TRANSFORM.shape for v in product.invars)
