"""Every layer through the logits against torchvision in float64, with seeded random weights and statistics.

Tolerance: largest difference over largest magnitude of a layer. Random weights amplify rounding, most of all through
InceptionV3's 94 convolutions without a shortcut.
"""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.extend.core import jaxprs_in_params

import converters.torchvision
from bias_jax.errors import InputError
from bias_jax.networks import NETWORKS, PRECISIONS, forward, inception_v3, jit_network, resnet50
from bias_jax.networks.convolution import KERNEL_TRANSFORM
from converters import convert
from converters.original import original_activations, original_network
from tests.reference import torch_oracle as oracle

TOLERANCE = {"vgg16": 1e-4, "resnet50": 1e-4, "inception_v3": 5e-4}
# torchvision's modules that our networks compute together with the next one, or that pass on what they get.
UNREPORTED = {
    "vgg16": r"features|features\.(0|2|5|7|10|12|14|17|19|21|24|26|28)|classifier|classifier\.(2|5)",
    "resnet50": r"(.*\.)?(conv|bn)\d|.*\.downsample(\.\d)?|.*\.relu_2|layer\d",
    "inception_v3": r".*\.(conv|bn)|dropout",
}
REPORTED = {"vgg16": 25, "resnet50": 53, "inception_v3": 110}  # the others, with the logits
CONVOLUTIONS = {"vgg16": 13, "resnet50": 53, "inception_v3": 94}
LIVE_SIZE = {"vgg16": (32, 45), "resnet50": (96, 128), "inception_v3": (75, 90)}


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


@pytest.fixture(scope="module", params=list(NETWORKS))
def case(request):
    shapes, references = oracle.frozen(request.param)
    state_dict = oracle.seeded_state_dict(shapes)
    return Case(request.param, state_dict, convert(request.param, state_dict), references)


def run(name, params, images):
    outputs = jit_network(lambda p, x: forward(name, p, x))(params, images)
    logits, activations = jax.device_get(outputs)
    return {**activations, "logits": logits}


def errors(case, size, params=None) -> dict[str, float]:
    found = run(case.name, case.params if params is None else params, oracle.seeded_images(2, size))
    result = {}
    assert set(found) == set(case.layers)
    for layer in case.layers:
        value, (shape, largest, expected) = found[layer], case.references[size][layer]
        if value.shape != shape:
            result[layer] = np.inf
            continue
        result[layer] = np.abs(value.reshape(-1)[oracle.sample_positions(layer, value.size)] - expected).max() / largest
    return result


def spoiled_error(case, params=None) -> float:
    """Worst relative error after a mistake; infinite if a shape changes, NaN (which no test accepts) if a value is."""
    return worst(errors(case, case.other_size, params))


def worst(found: dict[str, float]) -> float:
    return np.max(list(found.values()))  # keeps NaN, unlike Python's max


@pytest.mark.parametrize("which", [0, 1])
def test_every_layer_agrees_with_torchvision(case, which):
    found = errors(case, oracle.SIZES[case.name][which])
    assert len(found) == REPORTED[case.name] and set(NETWORKS[case.name].layers) <= set(found)
    assert worst(found) < TOLERANCE[case.name], max(found, key=found.get)


@pytest.mark.parametrize("mistake", ["layer", "logits", "nan"])
def test_missing_layers_and_nan_fail(case, mistake, monkeypatch):
    values = {layer: np.zeros(shape) for layer, (shape, *_) in case.references[case.other_size].items()}
    values = {layer: values[layer] for layer in case.layers}
    monkeypatch.setitem(globals(), "run", lambda *_: values)
    if mistake == "nan":
        values["logits"] = values["logits"] * np.nan
        assert not spoiled_error(case) < np.inf
        return
    del values["logits" if mistake == "logits" else case.layers[3]]
    with pytest.raises(AssertionError):
        errors(case, case.other_size)


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
    assert {name: len(net.layers) for name, net in NETWORKS.items()} == {"vgg16": 7, "resnet50": 17, "inception_v3": 13}
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
    assert resnet50.EPSILON == 1e-5 and inception_v3.EPSILON == 1e-3


def test_auxiliary_head_is_dropped_by_name(case):
    if case.name == "inception_v3":
        auxiliary = [key for key in case.state_dict if key.startswith("AuxLogits.")]
        assert len(auxiliary) == 14
        kept = {key: value for key, value in case.state_dict.items() if key not in auxiliary}
        assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), convert("inception_v3", kept), case.params))


# Rounding to bfloat16 (8 bits) grows with depth, through random weights without bound, so the comparison ends where it
# still says something. Root mean square of the difference over that of the layer, and where to stop.
BFLOAT16 = {"vgg16": ("features.30", 0.02), "resnet50": ("layer2.3", 0.1), "inception_v3": ("Mixed_5d", 0.15)}


def test_bfloat16_is_near_float32(case):
    images = oracle.seeded_images(2, LIVE_SIZE[case.name])
    last, tolerance = BFLOAT16[case.name]
    probed = NETWORKS[case.name].layers
    compared = probed[: probed.index(last) + 1]

    def pick(params, images, precision):
        activations = forward(case.name, params, images, precision=precision)[1]
        return {layer: activations[layer].astype(jnp.float32) for layer in compared}

    exact, rounded = (jax.jit(pick, static_argnums=2)(case.params, images, p) for p in ("float32", "bfloat16"))
    for layer in compared:
        difference = jnp.sqrt(jnp.mean((rounded[layer] - exact[layer]) ** 2) / jnp.mean(exact[layer] ** 2))
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


# Mistakes that must show. Each is made in the code or the weights, and the comparison above must then fail.


@pytest.mark.parametrize("depth", ["first", "middle", "last"])
def test_a_dropped_relu_shows(case, depth, monkeypatch):
    relu, calls = nnx.relu, []
    rectified = {"vgg16": 15, "resnet50": 49, "inception_v3": 94}[case.name]
    dropped = {"first": 0, "middle": rectified // 2, "last": rectified - 1}[depth]

    def forgetful(x):
        calls.append(len(calls))
        return x if calls[-1] == dropped else relu(x)

    monkeypatch.setattr(nnx, "relu", forgetful)
    assert spoiled_error(case) > TOLERANCE[case.name]
    assert len(calls) == rectified


def test_padding_excluded_from_averages_shows(case, monkeypatch):
    if case.name != "inception_v3":
        pytest.skip("has no padded average pool")

    calls = []

    def excluding(x):
        calls.append(x.shape)
        return nnx.avg_pool(x, (3, 3), (1, 1), [(1, 1), (1, 1)], count_include_pad=False)

    monkeypatch.setattr(inception_v3, "average_pool_3x3", excluding)
    assert spoiled_error(case) > TOLERANCE[case.name]
    assert len(calls) == 9


def test_same_padding_at_stride_2_shows(case, monkeypatch):
    if case.name == "vgg16":
        pytest.skip("has no convolution of stride 2")
    convolution, changed = jax.lax.conv_general_dilated, []

    def same(x, kernel, strides, padding, **options):
        if strides == (2, 2) and kernel.shape[0] > 1:
            changed.append(padding)
            padding = "SAME"
        return convolution(x, kernel, strides, padding, **options)

    monkeypatch.setattr(jax.lax, "conv_general_dilated", same)
    if case.name == "inception_v3":  # the branches no longer fit together
        with pytest.raises(TypeError, match="Cannot concatenate arrays with shapes that differ"):
            spoiled_error(case)
    else:
        assert spoiled_error(case) > TOLERANCE[case.name]
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
