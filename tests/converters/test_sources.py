import argparse
import dataclasses
import hashlib
import re
import sys
import warnings

import jax
import ml_dtypes
import numpy as np
import pytest

from bias_jax.errors import InputError
from bias_jax.networks import convnext, efficientnet, load_checkpoint, resnet, vgg
from converters import checkpoint, convert, download, published, sources
from converters.__main__ import main
from converters.contents import NoNumbers, flatten
from converters.published import PUBLISHED
from converters.sources import identify, read_content
from tests.reference import torch_oracle as oracle

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch
numpy_safetensors = pytest.importorskip("safetensors.numpy")


def tensors(arrays):
    return {key: torch.from_numpy(np.array(value)) for key, value in arrays.items()}


OF_TORCHVISION = (*vgg.NETWORKS, *resnet.NETWORKS, *convnext.NETWORKS, *efficientnet.NETWORKS, "inception_v3")
TORCHVISIONS = [entry for entry in PUBLISHED if entry.network in OF_TORCHVISION]
SMALL = {"fc.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "fc.bias": np.ones(2, np.float32)}


@pytest.fixture
def publish(monkeypatch):
    """Make a file pass for a published one, by replacing the hash prefix of an entry."""

    def replace_hash(path, network, name):
        prefix = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        changed = tuple(
            dataclasses.replace(e, file=f"x-{prefix}.pth") if (e.network, e.name) == (network, name) else e
            for e in PUBLISHED
        )
        monkeypatch.setattr(published, "PUBLISHED", changed)
        monkeypatch.setattr(sources, "PUBLISHED", changed)

    return replace_hash


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "model_state_dict"])
@pytest.mark.parametrize("zipped", [True, False])
def test_pth_files_of_both_serialisations_wrapped_or_not(tmp_path, wrapper, zipped):
    path = tmp_path / "x.pth"
    content = tensors(SMALL) if wrapper is None else {wrapper: tensors(SMALL), "epoch": 3, "optimizer": {"lr": [0.1]}}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    found = read_content(path)
    assert list(found) == list(content)
    found = found if wrapper is None else found[wrapper]
    assert list(found) == list(SMALL) and all((found[k] == SMALL[k]).all() for k in SMALL)


@pytest.mark.parametrize("name", ["vgg16", "inception_v3"])
def test_every_parameter_survives_a_pth_file(name, tmp_path):
    state_dict = oracle.seeded_state_dict(oracle.frozen(name)[0])
    path = tmp_path / "x.pth"
    torch.save(tensors(state_dict), path)
    weights = checkpoint.open_weights(name, path, None)
    assert list(weights.content) == list(state_dict)
    assert all(np.array_equal(weights.content[key], state_dict[key]) for key in state_dict)
    if name == "inception_v3":  # of VGG16's 138 million parameters, two conversions take half a minute
        expected = convert(name, state_dict)
        assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), weights.params(), expected))


def test_values_of_every_precision_arrive_as_they_are(tmp_path):
    path = tmp_path / "x.pth"
    dtypes = {"half": torch.float16, "brain": torch.bfloat16, "double": torch.float64, "complex": torch.complex64,
              "whole": torch.int64, "bits": torch.bool}  # fmt: skip
    torch.save({k: torch.nn.Parameter(torch.ones(2).to(v), requires_grad=False) for k, v in dtypes.items()}, path)
    found = read_content(path)
    kinds = {"half": "float16", "brain": "float32", "double": "float64", "complex": "complex64", "whole": "int64"}
    assert {key: str(array.dtype) for key, array in found.items()} == kinds | {"bits": "bool"}
    assert all((array == 1).all() for array in found.values())
    path = tmp_path / "x.safetensors"
    numpy_safetensors.save_file({"a": np.ones(2, ml_dtypes.bfloat16), "n": np.array(3)}, path)
    found = read_content(path)
    assert found["a"].dtype == ml_dtypes.bfloat16 and (found["a"] == 1).all() and found["n"].dtype == np.int64


@pytest.mark.parametrize(
    ("tensor", "kind"),
    [
        (lambda: torch.eye(2).to_sparse(), "not dense (torch.sparse_coo)"),
        (lambda: torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.qint8), "quantised (torch.qint8)"),
        (lambda: torch.ones(2, 2).to(torch.float8_e4m3fn), "of the type torch.float8_e4m3fn, which cannot be"),
        (lambda: torch.ones(2, 2, dtype=torch.complex32), "of the type torch.complex32, which cannot be"),
        (lambda: torch.ones(2, 2, device="meta"), "without values"),
    ],
)
def test_tensors_without_plain_numbers_are_named_when_they_are_needed(tmp_path, tensor, kind, state_dict):
    path = tmp_path / "x.pth"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about its own quantisation
        torch.save({"a": tensor()}, path)
    found = read_content(path)["a"]
    assert isinstance(found, NoNumbers) and found.kind.startswith(kind) and found.shape == (2, 2)
    with pytest.raises(InputError, match=rf"layer3\.4\.conv2\.weight is {re.escape(kind)}"):
        convert("resnet50", {**state_dict, "layer3.4.conv2.weight": found})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": torch.nn.Linear(2, 2)}, "holds the whole module of class torch.nn.modules.linear.Linear"),
        (torch.nn.Linear(2, 2), "holds the whole module of class torch.nn.modules.linear.Linear"),
        ({"args": argparse.Namespace(lr=1)}, "it holds argparse.Namespace, and anything but tensors is refused"),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_objects_are_refused(tmp_path, content, message, zipped):
    path = tmp_path / "x.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match=f"is not a plain state dict: .*{message}"):
        read_content(path)


@pytest.mark.parametrize("content", [[torch.zeros(1)], torch.zeros(2), "weights"])
def test_what_is_no_mapping_is_refused(tmp_path, content):
    path = tmp_path / "x.pth"
    torch.save(content, path)
    with pytest.raises(InputError, match="is not a mapping of names to arrays, but a"):
        flatten(read_content(path))


def test_mappings_that_contain_themselves(tmp_path):
    content = {"a": torch.zeros(1)}
    content["again"] = content
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(InputError, match="contain themselves"):
        read_content(tmp_path / "x.pth")


def test_the_content_decides_what_a_file_is_not_its_name(tmp_path):
    torch.save(tensors(SMALL), tmp_path / "x.safetensors")
    numpy_safetensors.save_file(SMALL, tmp_path / "x.pth")
    for name in ("x.safetensors", "x.pth"):
        assert (read_content(tmp_path / name)["fc.weight"] == SMALL["fc.weight"]).all()


def test_torchscript_is_named_with_its_way_out(tmp_path):
    path = tmp_path / "x.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
    with pytest.raises(InputError, match=r"is a TorchScript archive\. Way out: torch\.save\(torch\.jit\.load"):
        read_content(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_pth_files(tmp_path, zipped, rng):
    """Cut off anywhere, or with a bit changed. Only the newer format has checksums, by which changed weights show."""
    path, spoiled = tmp_path / "x.pth", tmp_path / "spoiled.pth"
    torch.save(tensors(SMALL), path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    for trial in range(60):
        data = bytearray(whole)
        if trial % 2:
            data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        else:
            del data[rng.integers(len(data)) :]
        spoiled.write_bytes(data)
        try:
            found = read_content(spoiled)
        except InputError as error:
            assert str(spoiled) in str(error)
        else:
            assert trial % 2 and (not zipped or all((found[key] == SMALL[key]).all() for key in SMALL))


def test_published_files_are_recognised_by_their_hash(tmp_path, publish):
    path = tmp_path / "renamed.pth"
    torch.save(tensors(SMALL), path)
    assert identify("resnet50", path, None).weights == "custom"
    with pytest.raises(InputError, match=r"SHA-256 starts with \w{8}, IMAGENET1K_V2 with 11ad3fa6"):
        identify("resnet50", path, "IMAGENET1K_V2")
    publish(path, "resnet50", "IMAGENET1K_V2")
    for claimed in (None, "IMAGENET1K_V2"):
        found = identify("resnet50", path, claimed)
        assert found.weights == "IMAGENET1K_V2" and found.verified and found.entry.transform.resize == 232
    with pytest.raises(InputError, match="IMAGENET1K_V1 with 0676ba61"):
        identify("resnet50", path, "IMAGENET1K_V1")
    with pytest.raises(InputError, match=r"no weights 'V9'.*IMAGENET1K_V1, IMAGENET1K_V2, tv_in1k, tv2_in1k"):
        identify("resnet50", path, "V9")


def test_timms_files_are_taken_at_their_word_unless_the_hub_states_a_hash(tmp_path):
    path = tmp_path / "model.safetensors"
    numpy_safetensors.save_file(SMALL, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    local, hub = identify("resnet50", path, "tv2_in1k"), identify("resnet50", path, "tv2_in1k", digest)
    assert local.weights == "tv2_in1k (unverified)" and local.accuracy is None
    assert hub.weights == "tv2_in1k" and hub.accuracy == (80.858, 95.434)
    with pytest.raises(InputError, match="SHA-256 starts with"):
        identify("resnet50", path, "tv2_in1k", "0" * 64)


def test_every_published_entry():
    assert len(TORCHVISIONS) == 69 and len({(e.network, e.name) for e in PUBLISHED}) == len(PUBLISHED)
    for entry in TORCHVISIONS:
        assert (len(entry.hash_prefix) == 8) != entry.on_hub
        assert (entry.accuracy is None) == (entry.invalid is not None) == (entry.name == "IMAGENET1K_FEATURES")


def test_entries_equal_torchvisions(needs_torchvision):
    from torchvision.models import get_model_weights

    enums = {name: get_model_weights(name) for name in {entry.network for entry in TORCHVISIONS}}
    ours = [entry for entry in TORCHVISIONS if not entry.on_hub]
    assert {(e.network, e.name) for e in ours} == {(n, w.name) for n, enum in enums.items() for w in enum}
    for entry in ours:
        theirs = enums[entry.network][entry.name]
        transform = theirs.transforms()
        assert entry.address == theirs.url and entry.mebibytes == theirs.meta["_file_size"]
        assert [entry.transform.resize] == transform.resize_size and [entry.transform.crop] == transform.crop_size
        assert list(entry.transform.mean) == transform.mean and list(entry.transform.std) == transform.std
        assert entry.transform.filter == transform.interpolation.value and transform.antialias
        if entry.accuracy:
            assert list(entry.accuracy) == list(theirs.meta["_metrics"]["ImageNet-1K"].values())


def test_list_names_every_entry(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for entry, line in zip(PUBLISHED, lines[1:], strict=True):
        assert all(part in line for part in (entry.network, entry.name, entry.file, str(entry.transform)))


def test_a_published_file_keeps_its_transform_and_accuracy(state_dict, tmp_path, publish, capsys):
    path, out = tmp_path / "x.pth", tmp_path / "out"
    torch.save(tensors(state_dict), path)
    publish(path, "resnet50", "IMAGENET1K_V2")
    assert main(["resnet50", "--source", str(path), "--weights", "IMAGENET1K_V2", "--out", str(out)]) == 0
    manifest = load_checkpoint(out)[1]
    assert manifest.weights == "IMAGENET1K_V2" and manifest.accuracy == (80.858, 95.434)
    assert manifest.transform.resize == 232 and "resize 232" in capsys.readouterr().out
    assert main(["resnet50", "--source", str(path), "--out", str(out)]) == 2
    assert "not empty" in capsys.readouterr().err


def test_a_fine_tuned_checkpoint(state_dict, tmp_path):
    tuned = {f"module.{k}": v[:4] if k.startswith("fc.") else v for k, v in state_dict.items()}
    path = tmp_path / "epoch-9.pth"
    torch.save({"state_dict": tensors(tuned), "epoch": 9}, path)
    assert main(["resnet50", "--source", str(path), "--out", str(tmp_path / "out")]) == 0
    params, manifest = load_checkpoint(tmp_path / "out")
    assert manifest.weights == "custom" and manifest.classes == 4 and params["fc"]["kernel"].shape == (2048, 4)


def test_tensors_are_converted_from_python_too(tiny):
    assert convert("tiny", tensors(tiny))["fc"]["bias"].shape == (3,)
    halves = {**tensors(tiny), "fc.bias": torch.ones(3, dtype=torch.bfloat16)}
    with pytest.raises(InputError, match=r"fc\.bias is a Tensor of which no array can be made"):
        convert("tiny", halves)


def test_what_torch_itself_saves(tiny, tmp_path):
    """Names as torch makes them: compiled, parallel and averaged modules, an optimizer that took a step."""
    module = torch.nn.Module()
    module.conv1, module.bn1 = torch.nn.Conv2d(3, 2, 3, bias=False), torch.nn.BatchNorm2d(2)
    module.layer1 = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 1, bias=False), torch.nn.Conv2d(4, 4, 1, bias=False))
    module.fc = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Linear(4, 3))
    module.load_state_dict({key.replace("fc.", "fc.1."): value for key, value in tensors(tiny).items()})
    adam = torch.optim.Adam(module.parameters())
    module.fc(torch.ones(1, 4)).sum().backward()
    adam.step()
    module.zero_grad()
    module.load_state_dict({key.replace("fc.", "fc.1."): value for key, value in tensors(tiny).items()})
    parallel = torch.nn.DataParallel(module)
    states = {
        "_orig_mod.": torch.compile(module, backend="eager").state_dict(),
        "module.": parallel.state_dict(),
        "_orig_mod.module.": torch.compile(parallel, backend="eager").state_dict(),
        "module._orig_mod.": torch.nn.DataParallel(torch.compile(module, backend="eager")).state_dict(),
    }
    averaged = torch.optim.swa_utils.AveragedModel(module).state_dict()
    for prefix, state in {**states, "model_ema.module.": averaged}.items():
        path, wrapped = tmp_path / f"{prefix}pth", prefix.startswith("model_ema")
        torch.save({"model_ema": state, "optimizer": adam.state_dict(), "epoch": 1} if wrapped else state, path)
        weights = checkpoint.open_weights("tiny", path, None)
        params, changes = weights.converted()
        assert changes[:2] == (f"taken off every name: '{prefix}'", "fc.1 taken for fc")
        said = ("counters of training left out: model_ema.n_averaged", "not read: epoch, optimizer")
        assert changes[2:] == (said if wrapped else ())
        assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), params, convert("tiny", tiny)))


class Hub:
    """Stands in for huggingface_hub."""

    def __init__(self, path, etag):
        self.path, self.etag = path, etag

    def hf_hub_url(self, repository, file):
        return f"https://hub/{repository}/{file}"

    def get_hf_file_metadata(self, address):
        return self

    def hf_hub_download(self, repository, file):
        assert (repository, file) == ("timm/resnet50.tv_in1k", "model.safetensors")
        return str(self.path)


def test_download_from_the_hugging_face_hub(state_dict, tmp_path, monkeypatch, capsys):
    path = tmp_path / "model.safetensors"
    numpy_safetensors.save_file(state_dict, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    command = ["resnet50", "--download", "--weights", "tv_in1k", "--out", str(tmp_path / "out")]
    for etag, message in (("0" * 64, "SHA-256 starts with"), ("short", "states no SHA-256")):
        monkeypatch.setitem(sys.modules, "huggingface_hub", Hub(path, etag))
        assert main(command) == 2 and message in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "huggingface_hub", Hub(path, digest))
    assert main(command) == 0
    manifest = load_checkpoint(tmp_path / "out")[1]
    assert manifest.weights == "tv_in1k" and manifest.source_sha256 == digest and manifest.accuracy == (76.130, 92.862)


def test_download_through_torchs_hub(tmp_path, monkeypatch, capsys):
    entry = published.published("resnet50", "IMAGENET1K_V1")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    asked = []

    def fetch(address, destination, hash_prefix):
        asked.append((address, hash_prefix))
        torch.save(tensors(SMALL), destination)

    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    for _ in range(2):  # the second time from the cache
        path, _ = download.download(entry)
        assert path == tmp_path / "checkpoints" / "resnet50-0676ba61.pth" and path.exists()
    assert asked == [("https://download.pytorch.org/models/resnet50-0676ba61.pth", "0676ba61")]
    with pytest.raises(InputError, match="SHA-256 starts with"):  # the cached file is not the published one
        checkpoint.open_weights("resnet50", None, "IMAGENET1K_V1")


def test_an_unreachable_network_is_told_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def fetch(*_, **__):
        raise OSError("<urlopen error no route>\nmore")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    command = ["vgg16", "--download", "--weights", "IMAGENET1K_FEATURES", "--out", str(tmp_path / "out")]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert "cannot be downloaded (<urlopen error no route>)" in error and error.count("\n") == 1
    assert main(["vgg16", "--download", "--out", str(tmp_path / "out")]) == 2
    assert "no weights are named" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
