"""Bad input ends with one line and exit status 2, never with a traceback."""

import argparse
import json
import zipfile

import numpy as np
import pytest

from bias_jax.errors import InputError
from bias_jax.networks import load_checkpoint
from converters import convert
from converters.__main__ import main
from converters.checkpoint import open_weights
from converters.names import torchvision_names
from converters.sources import identify
from experiments import benchmark
from tests.reference import torch_oracle as oracle


@pytest.mark.parametrize("place", ["file", "file/below", 300 * "x"])
def test_out_that_cannot_be_a_directory(place, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    command = ["resnet50", "--source", str(tmp_path / "absent.pth"), "--out", str(tmp_path / place)]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert "cannot be a directory (" in error and error.count("\n") == 1


@pytest.mark.parametrize("shape", [(), (0,), (1000, 1), (0, 7, 7, 7), (64, 3, 7)])
@pytest.mark.parametrize("key", ["conv1.weight", "fc.weight", "fc.bias", "bn1.weight"])
def test_weights_of_the_wrong_rank(key, shape, state_dict):
    with pytest.raises(InputError, match=f"{key}( has shape|' with a number per class)"):
        convert("resnet50", {**state_dict, key: np.zeros(shape, np.float32)})


@pytest.mark.parametrize("shape", [(), (0,), (0, 25088), (0, 512, 7, 7), (5, 4)])
@pytest.mark.parametrize("key", ["classifier.0", "pre_logits.fc1"])
def test_flattened_weights_of_the_wrong_rank(key, shape):
    arrays = {name: np.broadcast_to(np.float32(0.1), shape) for name, shape in oracle.frozen("vgg16")[0].items()}
    del arrays["classifier.0.weight"]
    with pytest.raises(InputError, match=r"does not fit vgg16: classifier\.0\.weight has shape"):
        convert("vgg16", {**arrays, f"{key}.weight": np.zeros(shape, np.float32)})


def test_a_name_of_timm_beside_that_of_torchvision_is_not_replaced():
    arrays = {"pre_logits.fc1.bias": np.zeros(2), "classifier.0.bias": np.ones(2), "head.fc.bias": np.ones(3)}
    for order in (list(arrays), list(arrays)[::-1]):
        found = torchvision_names("vgg16", {key: arrays[key] for key in order})
        assert set(found) == {"pre_logits.fc1.bias", "classifier.0.bias", "classifier.6.bias"}
        assert found["classifier.0.bias"][0] == 1


@pytest.mark.torch
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"args": argparse.Namespace(lr=1)}, "it holds argparse.Namespace, and anything but tensors is refused"),
        ({"net": {}, "epoch": 3}, "its keys are: net, epoch. Way out: save it with torch.save(model.state_dict()"),
        (dict.fromkeys("abcdefghij", 1), "its keys are: a, b, c, d, e, f, g, h and 2 more"),
        ({1: "tensor"}, "its keys are: 1"),
    ],
)
def test_files_without_weights(content, message, tmp_path, capsys):
    torch = pytest.importorskip("torch")
    path = tmp_path / "x.pth"
    torch.save({k: torch.ones(2) if v == "tensor" else v for k, v in content.items()}, path)
    assert main(["resnet50", "--source", str(path), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error and "weights_only" not in error and error.count("\n") == 1


def test_a_wrong_hash_never_costs_the_users_own_file(tmp_path):
    path = tmp_path / "mine.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mine/data.pkl", b"trained for a week")
    with pytest.raises(InputError) as caught:
        open_weights("resnet50", path, "IMAGENET1K_V1")
    assert "delete" not in str(caught.value) and "leave out --weights" in str(caught.value)
    with pytest.raises(InputError, match="delete it and download it again"):
        identify("resnet50", path, "IMAGENET1K_V1", downloaded=True)
    with pytest.raises(InputError, match=r"is not a \.safetensors file"):
        open_weights("resnet50", path, "tv_in1k")


def test_a_network_that_is_no_name(tmp_path):
    transform = {"resize": 256, "crop": 224, "mean": [0, 0, 0], "std": [1, 1, 1]}
    for name in (["resnet50"], {}, 3, None):
        manifest = {"network": name, "classes": 2, "weights": "custom", "source": "", "source_sha256": ""}
        manifest |= {"params_sha256": "", "transform": transform, "accuracy": None}
        (tmp_path / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(InputError, match="damaged manifest"):
            load_checkpoint(tmp_path)


@pytest.mark.parametrize("option", [["--repeats", "0"], ["--batch-size", "0"], ["--networks", "alexnet"]])
def test_options_of_the_extraction_benchmark(option, capsys):
    assert benchmark.main(["extract", *option]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_transposed_classifier_is_told_in_the_layout_of_the_file(state_dict):
    words = r"fc\.weight has shape \(2048, 1000\) instead of \(1000, 2048\): it is transposed"
    with pytest.raises(InputError, match=words):
        convert("resnet50", {**state_dict, "fc.weight": state_dict["fc.weight"].T})
    kernel = np.zeros((3, 7, 7, 64), np.float32)
    with pytest.raises(InputError, match=r"conv1\.weight has shape \(3, 7, 7, 64\) instead of \(64, 3, 7, 7\)"):
        convert("resnet50", {**state_dict, "conv1.weight": kernel})
