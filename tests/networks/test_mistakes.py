"""Mistakes that must show. Each is made in the code or the weights, and the comparison with torchvision must fail."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import converters.torchvision
from bias_jax.errors import InputError
from bias_jax.networks import forward, inception_v3, jit_network
from converters import convert
from tests.networks.parity import TOLERANCE, compare, errors, seeded_case, spoiled_error, worst
from tests.reference import torch_oracle as oracle


@pytest.fixture(scope="session", params=[pytest.param("vgg16", marks=pytest.mark.slow), "resnet50", "inception_v3"])
def case(request):
    return seeded_case(request.param)


@pytest.mark.parametrize("mistake", ["layer", "logits", "nan"])
def test_missing_layers_and_nan_fail(case, mistake):
    values = {layer: np.zeros(shape) for layer, (shape, *_) in case.references[case.other_size].items()}
    values = {layer: values[layer] for layer in case.layers}
    if mistake == "nan":
        values["logits"] = values["logits"] * np.nan
        assert not worst(compare(case, case.other_size, values)) < np.inf
        return
    del values["logits" if mistake == "logits" else case.layers[3]]
    with pytest.raises(AssertionError):
        compare(case, case.other_size, values)


# Mistakes in the code are chosen when the network runs, so that all of them share one compilation.


@cache
def mistaken_network(name: str):
    """(params, images, number of the dropped relu or -1, whether padding is wrong) -> (logits, activations).

    The wrong padding is ``SAME`` at stride 2; in InceptionV3, where that does not fit, it is left out of averages.
    Also what was met on the way: relus, averages, convolutions of stride 2.
    """
    relu, average, convolution = nnx.relu, inception_v3.average_pool_3x3, jax.lax.conv_general_dilated
    met = {"relu": 0, "average": 0, "stride 2": 0}

    def network(params, images, dropped, wrong_padding):
        def forgetful(x):
            met["relu"] += 1
            return jnp.where(dropped == met["relu"] - 1, x, relu(x))

        def excluding(x):
            met["average"] += 1
            bare = nnx.avg_pool(x, (3, 3), (1, 1), [(1, 1), (1, 1)], count_include_pad=False)
            return jnp.where(wrong_padding, bare, average(x))

        def same(x, kernel, strides, padding, **options):
            right = convolution(x, kernel, strides, padding, **options)
            if strides != (2, 2) or kernel.shape[0] == 1 or name == "inception_v3":
                return right
            met["stride 2"] += 1
            return jnp.where(wrong_padding, convolution(x, kernel, strides, "SAME", **options), right)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(nnx, "relu", forgetful)
            patch.setattr(inception_v3, "average_pool_3x3", excluding)
            patch.setattr(jax.lax, "conv_general_dilated", same)
            return forward(name, params, images)

    return jit_network(network), met


def mistaken(case, dropped: int = -1, wrong_padding: bool = False):
    """Worst error of the network with a mistake, and what it met."""
    network, met = mistaken_network(case.name)
    return spoiled_error(case, network=lambda p, x: network(p, x, dropped, wrong_padding)), met


def test_without_a_mistake_all_agree(case):
    assert mistaken(case)[0] < TOLERANCE[case.name]


@pytest.mark.parametrize("depth", ["first", "middle", "last"])
def test_a_dropped_relu_shows(case, depth):
    rectified = {"vgg16": 15, "resnet50": 49, "inception_v3": 94}[case.name]
    error, met = mistaken(case, {"first": 0, "middle": rectified // 2, "last": rectified - 1}[depth])
    assert error > TOLERANCE[case.name]
    assert met["relu"] == rectified


def test_padding_excluded_from_averages_shows(case):
    if case.name != "inception_v3":
        pytest.skip("has no padded average pool")
    error, met = mistaken(case, wrong_padding=True)
    assert error > TOLERANCE[case.name]
    assert met["average"] == 9


def test_same_padding_at_stride_2_shows(case, monkeypatch):
    if case.name == "vgg16":
        pytest.skip("has no convolution of stride 2")
    if case.name == "resnet50":
        error, met = mistaken(case, wrong_padding=True)
        assert error > TOLERANCE[case.name]
        assert met["stride 2"]
        return
    convolution, changed = jax.lax.conv_general_dilated, []

    def same(x, kernel, strides, padding, **options):
        if strides == (2, 2) and kernel.shape[0] > 1:
            changed.append(padding)
            padding = "SAME"
        return convolution(x, kernel, strides, padding, **options)

    monkeypatch.setattr(jax.lax, "conv_general_dilated", same)
    with pytest.raises(TypeError, match="Cannot concatenate arrays with shapes that differ"):  # of the branches
        jax.eval_shape(lambda p, x: forward(case.name, p, x), case.params, oracle.seeded_images(2, case.other_size))
    assert changed


SWAPPED = {
    "vgg16": ("features.12", "features.14"),
    "resnet50": ("layer3.2.conv2", "layer3.3.conv2"),
    "inception_v3": ("Mixed_6c.branch7x7_2.conv", "Mixed_6d.branch7x7_2.conv"),
}


def test_two_swapped_layers_show(case):
    a, b = (f"{layer}.weight" for layer in SWAPPED[case.name])
    swapped = {**case.state_dict, a: case.state_dict[b], b: case.state_dict[a]}
    assert spoiled_error(case, convert(case.name, swapped)) > TOLERANCE[case.name]


def test_negated_channels_show_where_they_are(case):
    layer = SWAPPED[case.name][0]
    kernel = case.state_dict[f"{layer}.weight"].copy()
    kernel[::8] *= -1
    found = errors(case, case.other_size, convert(case.name, {**case.state_dict, f"{layer}.weight": kernel}))
    faulty = [node for node, error in found.items() if error > TOLERANCE[case.name]]
    first = {"vgg16": "features.13", "resnet50": "layer3.2.relu_1", "inception_v3": "Mixed_6c.branch7x7_2"}
    assert faulty[0] == first[case.name] and "logits" in faulty


def test_an_unused_and_a_missing_key_are_refused(case):
    key = f"{SWAPPED[case.name][0]}.weight"
    for state_dict, fault in (
        ({**case.state_dict, "spare.weight": np.zeros(3, np.float32)}, "spare.weight is not part"),
        ({k: v for k, v in case.state_dict.items() if k != key}, f"{key} is missing"),
    ):
        with pytest.raises(InputError, match=fault):
            convert(case.name, state_dict)


@pytest.mark.parametrize("kind", ["convolution", "linear"])
def test_a_transposed_kernel_shows(case, kind, monkeypatch):
    to_flax = converters.torchvision.to_flax_layout

    def transposed(array, *arguments):
        result = to_flax(array, *arguments)
        if kind == "convolution" and result.ndim == 4:
            return result.transpose(1, 0, 2, 3)
        if kind == "linear" and result.ndim == 2 and (case.name != "vgg16" or result.shape == (4096, 4096)):
            return result.T
        return result

    monkeypatch.setattr(converters.torchvision, "to_flax_layout", transposed)
    try:
        params = convert(case.name, case.state_dict)
    except InputError as error:
        assert "has shape" in str(error)
        return
    assert spoiled_error(case, params) > TOLERANCE[case.name]


def test_fc1_read_in_torchs_order_shows(case, monkeypatch):
    if case.name != "vgg16":
        pytest.skip("flattens no grid")
    monkeypatch.setattr(converters.torchvision, "FLATTENED", {})
    params = convert("vgg16", case.state_dict)
    found = errors(case, case.other_size, params)
    assert found["avgpool"] < TOLERANCE["vgg16"] < found["classifier.0"]
