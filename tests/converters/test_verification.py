import dataclasses

import numpy as np
import pytest
from PIL import Image

from bias_jax.errors import InputError
from bias_jax.networks import Transform, forward
from converters import verification
from converters.__main__ import main
from converters.checkpoint import Weights, convert_file
from converters.images import class_folders, image_folder
from converters.published import published
from converters.sources import Identity
from tests.reference import torch_oracle as oracle


@pytest.fixture
def source(state_dict, tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "tuned.pth"
    torch.save({k: torch.from_numpy(np.array(v)) for k, v in state_dict.items()}, path)
    return path


@pytest.mark.torch
def test_verify_prints_every_layer_and_says_whether_they_agree(source, photographs, needs_torchvision, capsys):
    command = ["verify", "resnet50", "--source", str(source), "--images", str(photographs)]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [line.split()[0] for line in lines[2:]]
    assert names[:2] == ["relu", "maxpool"] and names.count("fc") == 1 and "logits" not in names
    assert "five most likely classes: 3 of 3 images agree" in lines and "within the tolerance 0.0001" in lines[-1]
    assert main([*command, "--tolerance", "1e-12", "--limit", "1"]) == 1
    assert "ABOVE the tolerance" in capsys.readouterr().out


@pytest.mark.torch
@pytest.mark.parametrize("mistake", ["layer", "nan"])
def test_verify_names_the_faulty_layer(mistake, source, photographs, needs_torchvision, monkeypatch, capsys):
    def faulty(name, params, images):
        logits, activations = forward(name, params, images)
        wrong = activations["layer3.2"] * 1.01 if mistake == "layer" else activations["layer3.2"] * np.nan
        return logits, {**activations, "layer3.2": wrong}

    monkeypatch.setattr(verification, "forward", faulty)
    assert main(["verify", "resnet50", "--source", str(source), "--images", str(photographs)]) == 1
    assert "worst layer layer3.2" in capsys.readouterr().out


@pytest.mark.torch
def test_weights_without_a_classifier_are_compared_up_to_it(photographs, needs_torchvision):
    shapes, _ = oracle.frozen("vgg16")
    state_dict = oracle.seeded_state_dict(shapes)
    for key in state_dict:
        if key.startswith("classifier."):
            state_dict[key] = np.full_like(state_dict[key], np.nan)
    entry = dataclasses.replace(published("vgg16", "IMAGENET1K_FEATURES"), transform=Transform(36, 32))
    weights = Weights("vgg16", photographs / "x.pth", Identity("0", entry, True), state_dict)
    comparison = verification.verify(weights, image_folder(photographs))
    assert list(comparison.differences)[-1] == "avgpool" and comparison.top1 is None
    assert comparison.relative(comparison.worst) < 1e-4 and "no valid classifier" in str(comparison)


@pytest.mark.torch
def test_a_network_without_a_classifier_under_a_prefix_is_compared_up_to_it(state_dict, photographs, needs_torchvision):
    content = {f"backbone.{key}": value for key, value in state_dict.items() if not key.startswith("fc.")}
    content |= {"head.weight": np.ones((2, 2048), np.float32)}
    identity = Identity("0", None, False)
    weights = Weights("resnet50", photographs / "x.pth", identity, {"state_dict": content}, ignore_extra=True)
    comparison = verification.verify(weights, image_folder(photographs, 1))
    assert list(comparison.differences)[-1] == "avgpool" and comparison.top1 is None
    assert comparison.relative(comparison.worst) < 1e-4 and weights.untrained == "fc"


@pytest.mark.torch
def test_bad_images_and_options(source, photographs, needs_torchvision, tmp_path, capsys):
    verify = ["verify", "resnet50", "--source", str(source), "--images"]
    (photographs / "c.jpg").write_bytes(b"no")
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        ([str(photographs)], "image 'c.jpg' cannot be decoded"),
        ([str(tmp_path / "empty")], "holds no images"),
        ([str(tmp_path / "absent")], "is not a folder"),
        ([str(photographs), "--limit", "0"], "--limit must be positive"),
    ):
        assert main([*verify, *arguments]) == 2
        assert message in capsys.readouterr().err


@pytest.fixture
def checkpoint(tiny, tmp_path):
    """A network of three classes that always answers with the second one."""
    tuned = {**tiny, "fc.weight": np.zeros((3, 4), np.float32), "fc.bias": np.array([0, 2, 1], np.float32)}
    weights = Weights("tiny", tmp_path / "tuned.pth", Identity("0", None, False), tuned)
    convert_file(weights, tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


@pytest.fixture
def validation(tmp_path):
    folder = tmp_path / "val"
    for name, count in (("n02", 3), ("n01", 1), ("n03", 4)):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (40 + i, 50), (10 * i, 0, 0)).save(folder / name / f"{i}.JPEG")
    return folder


def test_classes_are_folders_in_the_order_of_their_names(validation):
    images = class_folders(validation, 3)
    assert images.attributes[0].categories == ("n01", "n02", "n03")
    assert images.labels["class"].tolist() == [0, 1, 1, 1, 2, 2, 2, 2]
    assert images.image_names[1] == "n02/0.JPEG"
    with pytest.raises(InputError, match="has 3 class folders, the network 1000 classes"):
        class_folders(validation, 1000)


def test_evaluate_counts_correct_images(checkpoint, validation, capsys):
    command = ["evaluate", "tiny", "--checkpoint", str(checkpoint), "--imagenet", str(validation)]
    assert main([*command, "--batch-size", "5"]) == 0  # the last batch is not full
    out = capsys.readouterr().out
    assert "8 images" in out and "top-1: 37.500 %" in out  # class 1 always: 3 of 8


def test_top_5_and_the_published_figure(tiny, validation, tmp_path, capsys):
    bias = np.array([0, 1, 2, 3, 4, 5, 6], np.float32)  # the five most likely are 6, 5, 4, 3, 2
    tuned = {**tiny, "fc.weight": np.zeros((7, 4), np.float32), "fc.bias": bias}
    entry = dataclasses.replace(published("resnet50", "IMAGENET1K_V2"), transform=Transform(8, 8))
    convert_file(Weights("tiny", tmp_path / "x.pth", Identity("0", entry, True), tuned), tmp_path / "seven")
    for name in ("n04", "n05", "n06", "n07"):
        (validation / name).mkdir()
        Image.new("RGB", (40, 50)).save(validation / name / "0.png")
    command = ["evaluate", "tiny", "--checkpoint", str(tmp_path / "seven"), "--imagenet", str(validation)]
    assert main([*command, "--batch-size", "5"]) == 0
    out = capsys.readouterr().out
    assert "top-1: 8.333 %" in out and "published 80.858 %" in out
    assert "top-5: 66.667 %" in out and "published 95.434 %" in out


def test_weights_without_a_classifier_have_no_accuracy(checkpoint, validation, capsys):
    path = checkpoint / "manifest.json"
    path.write_text(path.read_text().replace('"untrained": null', '"untrained": "fc"'))
    assert main(["evaluate", "tiny", "--checkpoint", str(checkpoint), "--imagenet", str(validation)]) == 2
    assert "so no accuracy" in capsys.readouterr().err


def test_evaluate_refuses_another_network_and_damaged_images(checkpoint, validation, capsys):
    arguments = ["--checkpoint", str(checkpoint), "--imagenet", str(validation)]
    assert main(["evaluate", "vgg16", *arguments]) == 2
    assert "holds tiny, not vgg16" in capsys.readouterr().err
    (validation / "n03" / "0.JPEG").write_bytes(b"no")
    assert main(["evaluate", "tiny", *arguments]) == 2
    assert "image 'n03/0.JPEG' cannot be decoded" in capsys.readouterr().err
