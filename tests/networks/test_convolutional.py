"""ResNeXt, ConvNeXt and EfficientNets against torchvision in float64: every layer of tiny copies, whole networks live,
from pictures to logits.
"""

from functools import partial

import jax
import numpy as np
import pytest

from bias_jax.errors import InputError
from bias_jax.networks import (
    NETWORKS,
    abstract_params,
    convnext,
    efficientnet,
    forward,
    jit_network,
    layer_shapes,
    random_params,
    resnet,
)
from converters import convert
from converters.original import original_activations, original_network
from converters.published import PUBLISHED
from converters.verification import TOLERANCE as LIVE_TOLERANCE
from tests.networks.convolutional_case import SIZES, TOLERANCE, errors, program, registered, state_dict, worst
from tests.reference import convolutional_oracle as oracle
from tests.reference import torch_oracle

ALL = (*convnext.NETWORKS, *efficientnet.NETWORKS)
FROZEN = [pytest.param(case, size, marks=pytest.mark.slow if size != oracle.SIZES[1] or case == "resnext" else ())
          for case in SIZES for size in oracle.SIZES]  # fmt: skip
# Blocks, stems and what the classifier sees; then numbers of parameters, as torchvision states them.
MEMBERS = {
    "convnext_tiny": (18 + 2, 28_589_128), "convnext_small": (36 + 2, 50_223_688),
    "convnext_base": (36 + 2, 88_591_464), "convnext_large": (36 + 2, 197_767_336),
    "efficientnet_b0": (16 + 2, 5_288_548), "efficientnet_b1": (23 + 2, 7_794_184),
    "efficientnet_b2": (23 + 2, 9_109_994), "efficientnet_b3": (26 + 2, 12_233_232),
    "efficientnet_b4": (32 + 2, 19_341_616), "efficientnet_b5": (39 + 2, 30_389_784),
    "efficientnet_b6": (45 + 2, 43_040_704), "efficientnet_b7": (55 + 2, 66_347_960),
    "efficientnet_v2_s": (40 + 2, 21_458_488), "efficientnet_v2_m": (57 + 2, 54_139_356),
    "efficientnet_v2_l": (79 + 2, 118_515_272),
    "resnext50_32x4d": (16 + 1, 25_028_904), "resnext101_32x8d": (33 + 1, 88_791_336),
    "resnext101_64x4d": (33 + 1, 83_455_272),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def tiny():
    with registered():
        yield


@pytest.fixture
def needs_torchvision():
    if not torch_oracle.importable():
        pytest.skip("torch and torchvision are not both installed")


@pytest.mark.parametrize(("case", "size"), FROZEN)
def test_every_layer_agrees_with_frozen_values(case, size):
    found = errors(case, size)
    assert list(found) == oracle.LAYERS[case].split()
    assert worst(found) < TOLERANCE, max(found, key=found.get)


def live_state_dict(name):
    return oracle.seeded_state_dict(torch_oracle.published_shapes(name))


@pytest.mark.torch
@pytest.mark.parametrize("size", [(64, 96), (47, 65)])
@pytest.mark.parametrize("name", ["resnext50_32x4d", "convnext_tiny", "efficientnet_b0", "efficientnet_v2_s"])
def test_live_against_torchvision(name, size, needs_torchvision):
    arrays, images = live_state_dict(name), torch_oracle.seeded_images(2, size)
    logits, original = original_activations(original_network(name, arrays).double(), images)
    original["logits"] = logits
    found = jit_network(partial(forward, name))(convert(name, arrays), images)
    found = jax.device_get({**found[1], "logits": found[0]})
    order = list(layer_shapes(name, abstract_params(name), images.shape))
    assert [*order, "logits"] == [layer for layer in original if layer in found]  # hooks fire in depth order
    for layer, value in found.items():
        assert value.shape == original[layer].shape
        error = np.abs(value - original[layer]).max() / np.abs(original[layer]).max()
        assert error < LIVE_TOLERANCE[name], layer


@pytest.mark.torch
@pytest.mark.parametrize(
    ("name", "entry"),
    [("resnext50_32x4d", "IMAGENET1K_V2"), ("convnext_tiny", "IMAGENET1K_V1"), ("efficientnet_b0", "IMAGENET1K_V1"),
     ("efficientnet_b1", "IMAGENET1K_V2")],
)  # fmt: skip
def test_from_a_picture_to_logits(name, entry, needs_torchvision, rng):
    """torchvision's own transform and network against ours, on one picture, prepared on the device."""
    import torch
    from PIL import Image
    from torchvision.models import get_model_weights

    picture = Image.fromarray(rng.integers(0, 255, (9, 7, 3), dtype=np.uint8)).resize((301, 262), Image.Resampling.BOX)
    arrays = live_state_dict(name)
    with torch.no_grad():
        prepared = get_model_weights(name)[entry].transforms()(picture)[None]
        expected = original_network(name, arrays)(prepared).numpy()
    transform = next(one.transform for one in PUBLISHED if (one.network, one.name) == (name, entry))
    images = jax.jit(transform.on_device)(np.asarray(picture)[None])
    logits, _ = jax.device_get(jit_network(partial(forward, name))(convert(name, arrays), images))
    assert np.abs(images.transpose(0, 3, 1, 2) - prepared.numpy()).max() < 1e-5
    assert np.abs(logits - expected).max() / np.abs(expected).max() < LIVE_TOLERANCE[name]


@pytest.mark.torch
def test_names_and_shapes_of_all_are_torchvisions(needs_torchvision):
    from converters.names import shapes, training_only

    for name in ALL:
        theirs = {key: tuple(shape) for key, shape in torch_oracle.published_shapes(name).items()}
        assert shapes(name) == {key: shape for key, shape in theirs.items() if not training_only(name, key)}, name


@pytest.mark.torch
def test_epsilons_and_numbers_of_parameters_are_torchvisions(needs_torchvision):
    import torch
    import torchvision

    for name, (_, count) in MEMBERS.items():
        with torch.device("meta"):
            model = getattr(torchvision.models, name)(weights=None)
        norms = [m for m in model.modules() if isinstance(m, (torch.nn.BatchNorm2d, torch.nn.LayerNorm))]
        sizes = efficientnet.SIZES
        ours = sizes[name].epsilon if name in sizes else (convnext if name in convnext.SIZES else resnet).EPSILON
        assert {norm.eps for norm in norms} == {ours}, name
        assert {e.meta["num_params"] for e in torchvision.models.get_model_weights(name)} == {count}, name


def test_number_of_probed_layers():
    for name, (layers, _) in MEMBERS.items():
        assert len(NETWORKS[name].layers) == layers, name


@pytest.mark.parametrize("name", ["convnext_tiny", *(pytest.param(n, marks=pytest.mark.slow) for n in [*MEMBERS][1:])])
def test_networks_of_the_registry(name):
    """Building the module of a large one takes a second."""
    _, count = MEMBERS[name]
    params = abstract_params(name)
    statistics = sum(leaf.size for path, leaf in jax.tree_util.tree_leaves_with_path(params)
                     if path[-1].key in ("mean", "var"))  # fmt: skip
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) - statistics == count
    probed, order = NETWORKS[name].layers, list(layer_shapes(name, params, (1, 64, 64, 3)))
    assert [layer for layer in order if layer in probed] == list(probed)
    assert "avgpool" in order


def test_epsilons():
    # an error of 1e-8 here is invisible to any comparison of outputs
    assert convnext.EPSILON == 1e-6
    large = ("b5", "b6", "b7", "v2_s", "v2_m", "v2_l")
    for name, size in efficientnet.SIZES.items():
        assert size.epsilon == (1e-3 if name.endswith(large) else 1e-5), name


def test_too_small_images_are_refused():
    params = abstract_params("tiny_convnext")
    with pytest.raises(InputError, match="sides of at least 32"):
        forward("tiny_convnext", params, np.zeros((1, 32, 31, 3), np.float32))


@pytest.mark.slow
@pytest.mark.parametrize("case", SIZES)
def test_random_weights_neither_vanish_nor_grow(case):
    images = torch_oracle.seeded_images(2, oracle.SIZES[1])
    params = random_params(f"tiny_{case}", 0, images)
    for layer, value in jax.device_get(program(case)(params, images)[1]).items():
        assert np.isfinite(value).all() and 1e-3 < np.abs(value).mean() < 100, layer


def test_random_weights_of_convnext():
    """As training begins, but for layer scales."""
    params = jax.device_get(random_params("tiny_convnext", 0, torch_oracle.seeded_images(2, oracle.SIZES[1])))
    block = params["features"]["3"]["1"]
    assert np.all(block["layer_scale"] == 1) and np.all(block["block"]["2"]["scale"] == 1)
    assert np.std(block["block"]["3"]["kernel"]) == pytest.approx(0.02, rel=0.1)
    assert not np.any(block["block"]["0"]["bias"]) and np.any(params["classifier"]["2"]["kernel"])


def test_conversion_names_what_does_not_fit():
    arrays = state_dict("convnext")
    broken = {key: array for key, array in arrays.items() if key != "features.3.0.layer_scale"}
    broken["features.3.1.layer_scale"] = arrays["features.3.1.layer_scale"][:, 0]
    broken["features.3.2.layer_scale"] = arrays["features.3.1.layer_scale"]
    with pytest.raises(InputError) as caught:
        convert("tiny_convnext", broken)
    for part in ("features.3.0.layer_scale is missing", "features.3.1.layer_scale has shape (16, 1)",
                 "instead of (16, 1, 1)", "features.3.2.layer_scale is not part of tiny_convnext"):  # fmt: skip
        assert part in str(caught.value)


def test_conversion_of_networks_without_a_classifier():
    """Its norm may be there or not, and the layers before it are whole."""
    arrays = state_dict("convnext")
    for ends in (("classifier.2.",), ("classifier.",)):
        bare = {key: array for key, array in arrays.items() if not key.startswith(ends)}
        params = convert("tiny_convnext", bare)
        assert params["classifier"]["2"]["bias"].shape == (1,) and np.isnan(params["classifier"]["2"]["kernel"]).all()
        assert np.isnan(params["classifier"]["0"]["scale"]).all() == ("classifier." in ends)
        assert np.isfinite(params["features"]["3"]["1"]["layer_scale"]).all()
