"""Classifiers that are wrapped, lack a bias, are others, or are not there."""

import numpy as np
import pytest

from bias_jax.audit import FlaxSubject
from bias_jax.errors import InputError
from bias_jax.instruments import Predictions
from bias_jax.networks import Transform, abstract_params, load_checkpoint
from converters import convert
from converters.__main__ import main
from converters.recognition import recognise
from tests.converters.conftest import floats, without
from tests.reference import torch_oracle as oracle

MLP = {"fc.0.weight": floats(2048, 2048), "fc.0.bias": floats(2048), "fc.2.weight": floats(9, 2048)}


def shapes(name):
    """Every array of a network, without memory."""
    return {key: np.array(7) if not shape else floats(*shape) for key, shape in oracle.frozen(name)[0].items()}


@pytest.mark.parametrize("inner", ["1", "0", "3", "linear", "1.module"])
@pytest.mark.parametrize(
    ("name", "layer", "inputs"),
    [("resnet50", "fc", 2048), ("inception_v3", "fc", 2048), ("vgg16", "classifier.6", 4096)],
)
@pytest.mark.parametrize("bias", [True, False])
def test_the_one_linear_layer_below_the_classifiers_name_is_it(name, layer, inputs, inner, bias):
    arrays = without(shapes(name), f"{layer}.") | {f"{layer}.{inner}.weight": floats(7, inputs)}
    if bias:
        arrays[f"{layer}.{inner}.bias"] = floats(7)
    found = recognise(name, arrays)
    assert found.arrays[f"{layer}.weight"].shape == (7, inputs) and found.arrays[f"{layer}.bias"].shape == (7,)
    said = (f"{layer}.{inner} taken for {layer}", f"{layer} has no bias: zeros")
    assert found.changes == said[: 1 if bias else 2] and not (found.extra or found.missing)
    assert bool(found.arrays[f"{layer}.bias"].any()) == bias


@pytest.mark.parametrize(
    "head",
    [
        MLP,
        {"fc.0.weight": floats(512, 2048), "fc.0.bias": floats(512), "fc.3.weight": floats(2, 512)},
        {"fc.0.weight": floats(2048), "fc.0.running_var": floats(2048), "fc.1.weight": floats(2, 2048)},
        {"fc.1.weight": floats(2, 512), "fc.1.bias": floats(2)},
        {"fc.1.weight": floats(2, 2048, 1, 1)},
        {"head.weight": floats(2, 2048), "head.bias": floats(2)},
        {"projector.0.weight": floats(128, 2048), "prototypes.weight": floats(3000, 128)},
    ],
)
def test_other_heads_are_extra_and_without_them_there_is_no_output(head):
    """The first of several layers gives no classes, and the last is not this network's."""
    arrays = without(shapes("resnet50"), "fc.") | head
    found = recognise("resnet50", arrays)
    assert found.missing == ("fc",) and found.extra == tuple(sorted(head))
    with pytest.raises(
        InputError, match="--ignore-extra leaves that out; the network then has no output, for fc is not"
    ):
        convert("resnet50", arrays)
    found = recognise("resnet50", arrays, ignore_extra=True)
    assert found.missing == ("fc",) and np.isnan(found.arrays["fc.weight"]).all()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_layers_at_the_end_may_be_missing(count):
    layers = ("classifier.0", "classifier.3", "classifier.6")[3 - count :]
    found = recognise("vgg16", without(shapes("vgg16"), *(f"{layer}." for layer in layers)))
    assert found.missing == layers and found.arrays["classifier.6.weight"].shape == (1, 4096)
    assert found.changes == (f"the file holds no {', '.join(layers)}: a network without output",)


def test_a_layer_in_the_middle_may_not():
    with pytest.raises(InputError, match=r"classifier\.3\.bias is missing; classifier\.3\.weight is missing"):
        convert("vgg16", without(shapes("vgg16"), "classifier.3."))


def test_layers_behind_the_classifier_are_never_ignored():
    """With another layer behind it, its numbers are no classes."""
    arrays = {**shapes("vgg16"), "classifier.9.weight": floats(2, 1000)}
    with pytest.raises(InputError, match=r"classifier\.9\.weight is not part of vgg16"):
        convert("vgg16", arrays, ignore_extra=True)


def test_timms_network_without_a_classifier():
    names = {"classifier.0": "pre_logits.fc1", "classifier.3": "pre_logits.fc2"}
    arrays = {key.replace(key[:12], names.get(key[:12], key[:12])): value for key, value in shapes("vgg16").items()}
    found = recognise("vgg16", without(arrays, "classifier.6"))
    assert found.missing == ("classifier.6",)
    assert found.changes[0] == "pre_logits.fc1, pre_logits.fc2 taken for classifier.0, classifier.3, as timm names them"


@pytest.mark.parametrize("leaf", ["weight", "bias"])
def test_half_a_classifier(leaf, tiny):
    half = without(tiny, f"fc.{leaf}")
    if leaf == "weight":
        with pytest.raises(InputError, match=r"fc\.weight is missing"):
            convert("tiny", half)
    else:
        params = convert("tiny", half)
        assert params["fc"]["bias"].shape == (3,) and not params["fc"]["bias"].any()


def test_only_the_last_layer_may_lack_its_bias():
    with pytest.raises(InputError, match=r"classifier\.0\.bias is missing"):
        convert("vgg16", without(shapes("vgg16"), "classifier.0.bias"))


def test_the_command_converts_a_network_without_a_classifier(tiny, tmp_path, capsys):
    numpy_safetensors = pytest.importorskip("safetensors.numpy")
    numpy_safetensors.save_file(without(tiny, "fc."), tmp_path / "headless.safetensors")
    out = tmp_path / "out"
    assert main(["tiny", "--source", str(tmp_path / "headless.safetensors"), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "the file holds no fc: a network without output" in said and "weights custom, no classifier" in said
    assert "no valid values for fc*" in said
    params, manifest = load_checkpoint(out)
    assert manifest.untrained == "fc" and np.isnan(params["fc"]["kernel"]).all()
    assert np.isfinite(params["conv1"]["kernel"]).all() and np.isfinite(params["layer1"][1]["kernel"]).all()
    (tmp_path / "val").mkdir()
    assert main(["evaluate", "tiny", "--checkpoint", str(out), "--imagenet", str(tmp_path / "val")]) == 2
    assert "so no accuracy" in capsys.readouterr().err


def test_all_layers_up_to_the_pooled_features_can_be_audited_and_the_output_not():
    subject = FlaxSubject(
        "resnet50", abstract_params("resnet50", {"classes": 1}), Transform(256, 224), "headless", "0", "fc"
    )
    choice = subject.choice(())
    assert choice.layers[-1] == "layer4.2" and len(choice.layers) == 17 and not choice.output
    assert subject.choice(("avgpool",)).layers == ("avgpool",)
    with pytest.raises(InputError, match="predictions: these weights have no valid classifier"):
        Predictions().choose(choice)
    for layer in ("fc", "output"):
        with pytest.raises(InputError, match=f"layer '{layer}' has no valid weights"):
            subject.choice((layer,))
