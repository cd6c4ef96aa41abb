"""Networks in the forms in which training scripts save them; all but two tests look at names and shapes alone."""

import json
import logging

import numpy as np
import pytest

from bias_jax.errors import InputError
from bias_jax.networks import load_checkpoint
from converters import convert
from converters.__main__ import main
from converters.recognition import recognise
from tests.converters.conftest import floats, without
from tests.converters.tiny import under
from tests.reference import torch_oracle as oracle

ADAM = {"state": {0: {"step": np.array(3.0), "exp_avg": floats(64, 3, 7, 7)}}, "param_groups": [{"lr": 0.1}]}
QUEUE = {"module.queue": floats(128, 65536), "module.queue_ptr": np.zeros(1, int)}


@pytest.fixture(scope="module")
def plain():
    """Every array of ResNet50, without memory."""
    shapes, _ = oracle.frozen("resnet50")
    return {key: np.array(7) if not shape else floats(*shape) for key, shape in shapes.items()}


def same(found, arrays):
    """Whether exactly these arrays were found, but for the counters."""
    expected = without(arrays, "AuxLogits.")
    expected = {key: array for key, array in expected.items() if not key.endswith("num_batches_tracked")}
    return set(found.arrays) == set(expected) and all(found.arrays[key] is expected[key] for key in expected)


@pytest.mark.parametrize(
    "prefix",
    ["_orig_mod.", "module.", "module._orig_mod.", "_orig_mod.module.", "model.", "net.", "backbone.", "encoder.",
     "model.backbone._orig_mod.", "student_0.", "a b.", "backbone.body.", "layer1.", "fc.", "conv1.bn1."],
)  # fmt: skip
@pytest.mark.parametrize("name", ["vgg16", "resnet50", "inception_v3"])
def test_a_prefix_that_all_arrays_share_is_taken_off_and_said(name, prefix):
    arrays = {key: floats(*shape) for key, shape in oracle.frozen(name)[0].items()}
    found = recognise(name, under(prefix, arrays))
    assert same(found, arrays) and found.changes == (f"taken off every name: {prefix!r}",)
    assert not (found.strange or found.extra or found.missing)


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "net", "state_dict_ema", "teacher", "ema", "module", "x.y"])
def test_a_mapping_is_a_prefix_like_any_other(wrapper, plain):
    content = {"epoch": 9, "arch": "resnet50", wrapper: under("module.", plain), "optimizer": ADAM, "scheduler": {}}
    found = recognise("resnet50", content)
    assert same(found, plain)
    taken, unread = found.changes
    assert taken == f"taken off every name: '{wrapper}.module.'"
    assert unread == "not read: arch, epoch, optimizer, scheduler"


def test_mappings_down_to_the_arrays(plain):
    nested: dict = {}
    for key, array in plain.items():
        *path, leaf = key.split(".")
        place = nested
        for part in path:
            place = place.setdefault(part, {})
        place[leaf] = array
    assert same(recognise("resnet50", {"params": nested}), plain)


def test_lightning(plain):
    content = {"epoch": 3, "state_dict": {**under("model.", plain), "loss.weight": floats(7)},
               "optimizer_states": [ADAM], "lr_schedulers": [], "loops": {"fit_loop": {"state_dict": {}}},
               "callbacks": {"best": {"best_model_score": np.array(0.5)}}}  # fmt: skip
    assert recognise("resnet50", content).extra == ("state_dict.loss.weight",)
    found = recognise("resnet50", content, ignore_extra=True)
    assert same(found, plain) and "ignored: state_dict.loss.weight" in found.changes
    assert "not read: callbacks, epoch, loops, lr_schedulers, optimizer_states" in found.changes


def test_an_average_with_its_counter(plain):
    found = recognise("resnet50", {**under("module.", plain), "n_averaged": np.array(5)})
    assert same(found, plain) and not found.extra
    assert found.changes[1] == "counters of training left out: n_averaged"


def test_momentum_contrast(plain):
    networks = {**under("module.encoder_q.", plain), **under("module.encoder_k.", dict(plain)), **QUEUE}
    content = {"epoch": 200, "state_dict": networks, "optimizer": ADAM}
    with pytest.raises(InputError) as caught:
        recognise("resnet50", content, ignore_extra=True)
    both = "'state_dict.module.encoder_q.', 'state_dict.module.encoder_k.'"
    ways = "--take state_dict.module.encoder_q or --take state_dict.module.encoder_k; and --ignore-extra"
    for part in (both, "beside them state_dict.module.queue, state_dict.module.queue_ptr", ways):
        assert part in str(caught.value)
    for take in ("encoder_q", "module.encoder_q.", "state_dict.module.encoder_q"):
        found = recognise("resnet50", content, take=take)
        assert same(found, plain) and found.extra == ("state_dict.module.queue", "state_dict.module.queue_ptr")
    found = recognise("resnet50", content, take="encoder_k", ignore_extra=True)
    assert "taken: 'state_dict.module.encoder_k.', and not 'state_dict.module.encoder_q.'" in found.changes
    assert "ignored: state_dict.module.queue, state_dict.module.queue_ptr" in found.changes


@pytest.mark.parametrize(
    ("first", "second"),
    [("state_dict", "state_dict_ema"), ("student", "teacher"), ("model", "model_ema"), ("net", "ema"), ("g", "d")],
)
def test_two_networks_are_a_choice(first, second, plain):
    other = {key: array.copy() for key, array in without(plain, "layer", "fc").items()} | {
        key: plain[key] for key in plain if key.startswith(("layer", "fc"))
    }
    content = {first: plain, second: {**under("module.", other), "n_averaged": np.array(2)}, "epoch": 3}
    with pytest.raises(InputError, match=f"--take {first} or --take {second}.module$"):
        recognise("resnet50", content)
    assert same(recognise("resnet50", content, take=first), plain)
    found = recognise("resnet50", content, take=second)
    assert same(found, other) and f"taken: '{second}.module.', and not '{first}.'" in found.changes
    for take in ("nothing", "", ".", f"{first}.conv1"):
        with pytest.raises(InputError, match=f"'{take}' names 0 of the networks in it: '{first}.', '{second}.module.'"):
            recognise("resnet50", content, take=take)


@pytest.mark.parametrize(
    ("take", "taken"),
    [("model", "model.module."), ("model.module", "model.module."), ("ema", "model_ema.module."), ("x", "x.model_2."),
     ("model_2", "x.model_2."), ("x.", "x.model_2."), ("module", None), ("del", None)],
)  # fmt: skip
def test_a_part_of_a_prefix_that_no_other_has_is_enough(take, taken, tiny):
    content = {"model": under("module.", tiny), "model_ema": under("module.", tiny), "x": under("model_2.", tiny)}
    if taken is None:
        with pytest.raises(InputError, match=f"'{take}' names [23] of the networks in it"):
            recognise("tiny", content, take=take)
    else:
        assert recognise("tiny", content, take=take).changes[0] == f"taken off every name: '{taken}'"


def test_plain_arrays_beside_averaged_ones_of_the_same_mapping(plain):
    content = {**plain, **under("ema.", dict(plain)), "loss.weight": floats(3)}
    with pytest.raises(InputError, match=r"the one without a prefix, 'ema\.'; and beside them loss\.weight"):
        recognise("resnet50", content)
    for take in (".", "ema"):
        found = recognise("resnet50", content, take=take)
        assert same(found, plain) and found.extra == ("loss.weight",)


def test_teacher_and_student_with_heads(plain):
    """As self-distillation saves them: two backbones without classifiers, a head each, and the centre of the loss."""
    headless, head = without(plain, "fc."), {"mlp.0.weight": floats(2048, 2048), "last_layer.weight_g": floats(9, 1)}
    content = {"student": under("module.", under("backbone.", headless) | under("head.", head)),
               "teacher": under("backbone.", headless) | under("head.", head),
               "dino_loss": {"center": floats(1, 9)}, "epoch": 1}  # fmt: skip
    found = recognise("resnet50", content, take="teacher")
    assert found.missing == ("fc",)
    assert found.extra == ("dino_loss.center", "teacher.head.last_layer.weight_g", "teacher.head.mlp.0.weight")


def test_a_second_network_of_another_kind_is_extra(plain):
    deeper = {**plain, "layer3.6.conv1.weight": floats(256, 1024, 1, 1)}
    found = recognise("resnet50", {"student": plain, "teacher": deeper})
    assert same(found, plain) and "teacher.layer3.6.conv1.weight" in found.extra
    decoder = {f"decoder.{i}.weight": floats(8, 8, 3, 3) for i in range(20)}
    found = recognise("resnet50", {**under("encoder.", plain), **decoder}, ignore_extra=True)
    assert same(found, plain) and found.changes[1].startswith("ignored: decoder.0.weight, decoder.1.weight")


def test_arrays_inside_the_network_are_never_ignored(plain):
    """A deeper network holds all arrays of this one."""
    deeper = {**plain, "layer3.6.conv1.weight": floats(256, 1024, 1, 1)}
    for content in (deeper, {"teacher": deeper}):
        with pytest.raises(
            InputError, match=r"layer3\.6\.conv1\.weight is not part of resnet50\. Way out: use weights"
        ):
            convert("resnet50", content, ignore_extra=True)


def test_a_file_of_another_network_is_named(plain):
    arrays = {key: floats(*shape) for key, shape in oracle.frozen("inception_v3")[0].items()}
    with pytest.raises(InputError, match=r"but those of inception_v3\. Way out: convert it as inception_v3"):
        recognise("resnet50", under("module.", arrays))


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, {"net": {}}, {"w": floats(2)}, {"a": {"b": [1, {"c": 2}]}}])
def test_files_without_the_network(content):
    with pytest.raises(InputError, match="less than half of the 265 arrays up to the classifier; its keys are: "):
        recognise("resnet50", content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (3, "but a int"),
        ([floats(2)], "but a list"),
        ({"a": {"b": floats(1)}, "a.b": floats(1)}, "two of its values are called 'a.b'"),
        ({1: floats(1), "1": floats(1)}, "two of its values are called '1'"),
    ],
)
def test_contents_that_are_no_mapping_of_names(content, message):
    with pytest.raises(InputError, match=message):
        recognise("resnet50", content)


def test_a_mapping_that_contains_itself():
    content: dict = {}
    content["again"] = content
    with pytest.raises(InputError, match="contain themselves"):
        recognise("resnet50", content)


@pytest.mark.parametrize(
    ("value", "kind"), [(0.5, "float"), ([1.0, 2.0], "list"), (None, "NoneType"), ("weights", "str"), ({}, "dict")]
)
def test_a_value_that_is_no_array(value, kind, tiny):
    with pytest.raises(InputError, match=rf"bn1\.bias is a {kind}, not an array"):
        convert("tiny", {**tiny, "bn1.bias": value})
    with pytest.raises(InputError, match=r"no 'fc\.bias' with a number per class"):
        convert("tiny", {**tiny, "fc.bias": value})


def test_many_extra_arrays_are_told_together(tiny):
    content = under("module.", tiny) | under(
        "module.", {f"head.{i}.{leaf}": floats(2) for i in range(9) for leaf in "wb"}
    )
    content |= {"module.queue": floats(3, 3)}
    with pytest.raises(InputError, match=r"tiny: module\.head\.\* \(18\), module\.queue are not part of tiny"):
        convert("tiny", content)


@pytest.fixture
def saved(tmp_path):
    numpy_safetensors = pytest.importorskip("safetensors.numpy")

    def save(arrays):
        path = tmp_path / "epoch-9.ckpt"  # whatever it is called
        numpy_safetensors.save_file({key: np.ascontiguousarray(array) for key, array in arrays.items()}, path)
        return str(path)

    return save


def test_the_command_says_what_was_done_and_the_manifest_keeps_it(tiny, saved, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    arrays = under("module.encoder_q.", without(tiny, "fc.")) | under("module.encoder_k.", tiny)
    arrays |= {"module.encoder_q.fc.1.weight": tiny["fc.weight"], "module.queue": np.ones((2, 3), np.float32)}
    command = ["tiny", "--source", saved(arrays), "--out", str(out)]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert "--take module.encoder_k or --take module.encoder_q; and --ignore-extra" in error and error.count("\n") == 1
    assert main([*command, "--take", "encoder_q"]) == 2
    assert "module.queue is not part of tiny. Way out: --ignore-extra leaves that out" in capsys.readouterr().err
    assert not out.exists()
    assert main([*command, "--take", "encoder_q", "--ignore-extra"]) == 0
    changes = [
        "taken off every name: 'module.encoder_q.'",
        "taken: 'module.encoder_q.', and not 'module.encoder_k.'",
        "fc.1 taken for fc",
        "fc has no bias: zeros",
        "ignored: module.queue",
    ]
    told = capsys.readouterr()
    assert told.out.splitlines()[: len(changes)] == changes and not told.err
    assert json.loads((out / "manifest.json").read_text())["changes"] == changes
    params, manifest = load_checkpoint(out)
    assert manifest.changes == tuple(changes) and manifest.classes == 3 and manifest.untrained is None
    assert (np.asarray(params["fc"]["kernel"]) == tiny["fc.weight"].T).all() and not params["fc"]["bias"].any()
    assert not logging.getLogger("bias_jax").handlers and logging.getLogger("bias_jax").propagate


def test_names_cannot_control_the_terminal(tiny):
    found = recognise("tiny", under("\x1b[31m.", tiny))
    assert found.changes == ("taken off every name: '\\x1b[31m.'",)
    found = recognise("tiny", {**tiny, "\x1b[2J": floats(2)}, ignore_extra=True)
    assert found.changes == ("ignored: \\x1b[2J",)
