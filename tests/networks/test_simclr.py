"""SimCLRv2 against Google's own graph: every endpoint and block, both heads, names and numbers of all parameters."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bias_jax.networks import NETWORKS, abstract_params, class_count, forward, layer_shapes, random_params
from bias_jax.networks.simclr import ARCHITECTURES, average_pool_2x2
from converters import convert
from converters.simclr import SimclrNaming
from tests.networks import simclr_case as oracle
from tests.networks.simclr_case import TOLERANCE

SLOW = pytest.mark.slow
NAMES = ["r50_1x_sk0", "r50_1x_sk1"]


@pytest.mark.parametrize("name", NAMES)
def test_weights_and_images_are_those_of_the_frozen_values(name, oracles_dir):
    stored, weights = oracle.frozen(oracles_dir), oracle.seeded_variables(name)
    base = {key: value for key, value in weights.items() if key.startswith("base_model/")}
    heads = {key: value for key, value in weights.items() if key.startswith("head_")}
    assert oracle.digest(base) == str(stored[f"{name}/weights_sha256"])
    assert oracle.digest(heads) == str(stored[f"{name}/head_weights_sha256"])
    for size in (64, 65, 224):
        images = oracle.seeded_images(size)
        assert oracle.hashlib.sha256(images.astype("<f4").tobytes()).hexdigest() == str(stored[f"{size}/images_sha256"])


@pytest.mark.parametrize("size", [pytest.param(64, marks=SLOW), 65, pytest.param(224, marks=SLOW)])
@pytest.mark.parametrize("name", NAMES)
def test_every_endpoint_agrees_with_google(name, size, oracles_dir):
    found = oracle.errors(oracle.run(name, size), name, size, oracles_dir)
    assert len(found) == 12 + 16 + 4
    assert np.max(list(found.values())) < TOLERANCE, max(found, key=found.get)


def test_a_supervised_head_on_the_first_projection(oracles_dir):
    name = "r50_1x_sk0"
    params = convert(f"simclrv2_{name}", oracle.seeded_variables(name), options={"supervised-head": "nl_0"})
    assert set(params["head_supervised"]) == {"nl_0"} and class_count(f"simclrv2_{name}", params) == 1000
    stored = oracle.frozen(oracles_dir)
    found = oracle.run(name, 64, params)
    assert np.abs(found["logits"] - stored[f"{name}/64/logits_sup_from_nl_0"]).max() < TOLERANCE
    assert np.array_equal(found["logits"], found["logits_sup"])


# Numbers of the arrays up to the pooled features, of their numbers, of those in the contrastive and supervised head.
COUNTS = {
    "r50_1x_sk0": (265, 23_561_152, 8_667_520, 2_049_000),
    "r50_1x_sk1": (371, 35_277_408, 8_667_520, 2_049_000),
    "r50_2x_sk0": (265, 94_013_312, 34_111_872, 4_097_000),
    "r50_2x_sk1": (371, 140_428_864, 34_111_872, 4_097_000),
    "r101_1x_sk0": (520, 42_605_504, 8_667_520, 2_049_000),
    "r101_1x_sk1": (728, 64_786_144, 8_667_520, 2_049_000),
    "r101_2x_sk0": (520, 169_981_824, 34_111_872, 4_097_000),
    "r101_2x_sk1": (728, 257_377_984, 34_111_872, 4_097_000),
    "r152_1x_sk0": (775, 58_295_232, 8_667_520, 2_049_000),
    "r152_1x_sk1": (1085, 89_119_584, 8_667_520, 2_049_000),
    "r152_2x_sk0": (775, 232_556_416, 34_111_872, 4_097_000),
    "r152_2x_sk1": (1085, 353_752_896, 34_111_872, 4_097_000),
    "r152_3x_sk1": (1085, 795_235_360, 76_333_440, 6_145_000),
}


def test_the_published_grid():
    assert list(ARCHITECTURES) == [f"simclrv2_{name}" for name in COUNTS] and ARCHITECTURES.keys() <= NETWORKS.keys()


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name.startswith("r50") else SLOW) for name in COUNTS])
def test_parameters_of_the_whole_grid(name):
    """Every parameter has a variable of its own, in its shape; and as many numbers as Google's networks."""
    leaves = jax.tree_util.tree_leaves_with_path(abstract_params(f"simclrv2_{name}"))
    naming = SimclrNaming(f"simclrv2_{name}", "tensorflow", "final_avg_pool")
    assert {naming.key(path): leaf.shape for path, leaf in leaves} == naming.shapes and len(leaves) == len(
        naming.shapes
    )
    sizes = {part: [int(np.prod(leaf.shape)) for path, leaf in leaves if path[0].key.startswith(part)]
             for part in ("stem", "block", "head_contrastive", "head_supervised")}  # fmt: skip
    base = sizes["stem"] + sizes["block"]
    assert (len(base), sum(base), sum(sizes["head_contrastive"]), sum(sizes["head_supervised"])) == COUNTS[name]


def test_names_and_shapes_of_variables(oracles_dir):
    stored = json.loads((oracles_dir / "simclrv2_variables.json").read_text())
    assert stored
    for name, variables in stored.items():
        assert oracle.variables(name) == {key: tuple(shape) for key, shape in variables.items()}, name


@pytest.mark.parametrize("name", ["r50_1x_sk1", pytest.param("r101_2x_sk0", marks=SLOW)])
def test_layers_are_in_depth_order_and_the_default_ones_are_there(name):
    name = f"simclrv2_{name}"
    shapes = layer_shapes(name, abstract_params(name), (1, 224, 224, 3))
    probed = NETWORKS[name].layers
    assert [layer for layer in shapes if layer in probed] == list(probed)
    endpoints = ["initial_conv", "initial_max_pool", *oracle.GROUPS, "final_avg_pool", "nl_0", "nl_1", "nl_2",
                 "logits_sup"]  # fmt: skip
    assert [layer for layer in shapes if layer in endpoints] == endpoints
    width = ARCHITECTURES[name].width
    sides = [shapes[layer][1:] for layer in endpoints[:6]]
    assert sides == [(112, 112, 64 * width), (56, 56, 64 * width), (56, 56, 256 * width), (28, 28, 512 * width),
                     (14, 14, 1024 * width), (7, 7, 2048 * width)]  # fmt: skip
    assert shapes["nl_2"] == (1, 128) and shapes["final_avg_pool"] == (1, 2048 * width)


def test_weights_without_heads_have_neither_output_nor_projections():
    name = "simclrv2_r50_1x_sk0"
    params = abstract_params(name, {"classes": 0, "classes_on_nl_0": 0, "projections": 0})
    assert class_count(name, params) == 0
    order = []

    def trace(params, images):
        output, activations = forward(name, params, images)
        order.extend(activations)
        return output

    assert jax.eval_shape(trace, params, jnp.zeros((1, 32, 32, 3))) is None
    assert order[-1] == "final_avg_pool"


def test_an_image_gets_the_same_features_alone_and_among_others():
    name, images = "r50_1x_sk1", oracle.seeded_images(64)
    both, alone = (oracle.program(name)(oracle.params(name), batch)[1]["nl_2"] for batch in (images, images[[1, 1]]))
    np.testing.assert_allclose(both[1], alone[0], atol=TOLERANCE)


@pytest.mark.parametrize("name", NAMES)
def test_every_layer_is_in_the_arithmetic_that_was_asked_for(name):
    name, images = f"simclrv2_{name}", jnp.zeros((1, 65, 65, 3))
    for precision, dtype in (("bfloat16", jnp.bfloat16), ("tf32", jnp.float32)):
        found = jax.eval_shape(
            lambda p, x, mode=precision: forward(name, p, x, precision=mode), abstract_params(name), images
        )
        assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype(dtype)}


def test_averages_of_two_by_two():
    x = jnp.arange(4.0).reshape(1, 2, 2, 1)
    assert average_pool_2x2(x, 1)[0, :, :, 0].tolist() == [[1.5, 2.0], [2.5, 3.0]]  # what is beyond does not count
    assert average_pool_2x2(x, 2).ravel().tolist() == [1.5]
    odd = average_pool_2x2(jnp.ones((1, 3, 5, 1)), 2)[0, :, :, 0]
    assert odd.tolist() == [[1.0, 1.0, 0.5], [0.5, 0.5, 0.25]]  # zeros do


def test_random_weights_are_calibrated_and_have_both_heads():
    name, images = "simclrv2_r50_1x_sk0", oracle.seeded_images(64)
    params = random_params(name, 0, images)
    assert jax.tree.map(lambda x: x.shape, params) == jax.tree.map(lambda x: x.shape, abstract_params(name))
    found = jax.device_get(oracle.program("r50_1x_sk0")(params, images))[1]
    for layer in ("block_group4", "final_avg_pool", "nl_0", "nl_2", "logits_sup"):
        assert 1e-2 < np.abs(found[layer]).max() < 1e3, layer
