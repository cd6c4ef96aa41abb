"""Files that are not what their names say: one message says what they are, and without torch."""

import gzip
import json
import struct
import zipfile

import numpy as np
import pytest

from bias_jax.errors import InputError
from bias_jax.networks import load_checkpoint
from converters.__main__ import main
from converters.contents import NoNumbers
from converters.formats import file_format
from converters.sources import read_content

numpy_safetensors = pytest.importorskip("safetensors.numpy")
NAMES = ("weights.pth", "model.safetensors", "last.ckpt", "no name at all")
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
ONNX = b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:\xd0\xf2\x86\x31\n"
TABLE = b"\0\0\1\2" * 100 + b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"


def header(entries, body=b""):
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + body


def zipped(path, *members):
    with zipfile.ZipFile(path, "w") as archive:
        for member in members:
            archive.writestr(member, b"content")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\0" * 5000, "begins with zeros only"),
        (POINTER, "is a pointer of git-lfs, not the weights. Way out: fetch them with `git lfs pull`"),
        (b"<!DOCTYPE html><html>Sign in</html>", "is a web page, not weights. Way out: the download needs a sign-in"),
        (b"\xef\xbb\xbf\n  <HTML lang='en'>", "is a web page"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "is an XML document"),
        (b'{"metadata": {}, "weight_map": {"fc.bias": "model-00001-of-00002.safetensors"}}', "cut into several files"),
        (b'{"error": "Repository not found"}', 'is a text that begins \'{"error":'),
        (b"conv1.weight 0.1 0.2\n", "is a text that begins 'conv1.weight 0.1 0.2'"),
        (b"\x89HDF\r\n\x1a\n\0\0\0\0", "is an HDF5 file, as Keras writes them (.h5)"),
        (ONNX, "is an ONNX model"),
        (b"\x08\x0a:\xd0\xf2\x86\x31\n", "is an ONNX model"),
        (b"\x08\x01\x12\xd0\xf2", "is a SavedModel of TensorFlow"),
        (b'model_checkpoint_path: "model.ckpt-1000"\n', "is the index of TensorFlow checkpoints"),
        (TABLE, "is a part of a TensorFlow checkpoint"),
        (b"\x1c\0\0\0TFL3\0\0", "is a TensorFlow Lite model"),
        (b"GGUF\3\0\0\0", "is a GGUF file"),
        (b"\x93NUMPY\1\0v\0", "is a NumPy array"),
        (b"\x80\x04\x95\x1a\0\0\0\0\0\0\0}", "is a pickle that torch.save did not write"),
        (gzip.compress(b"weights", mtime=0), "is compressed by gzip"),
        (b"7z\xbc\xaf\x27\x1c\0\4", "is a 7z archive"),
        (b"x" * 257 + b"ustar\0" + b"0" * 500, "is a tar archive"),
        (b"%PDF-1.7", "is a PDF document"),
        (b"\x89PNG\r\n\x1a\n", "is a picture (PNG)"),
        (b"PK\x03\x04 no", "is a zip archive, as torch.save writes them, that is cut off or damaged"),
        (b"\xde\xad\xbe\xef\0\1\2\3", "is no weights file that is known here; it begins with the bytes de ad be ef"),
        (b"\x10\0\0\0\0\0\0\0{}", "is a safetensors file that is cut off in its header"),
        (header(b"{]"), "is a safetensors file with a damaged header"),
        (header({"a": [1]}), "is a safetensors file with a damaged header"),
        (header({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}, b"\0" * 7), "cut off: 77 of 86 bytes"),
    ],
)
def test_one_message_says_what_a_file_is(content, message, tmp_path, capsys):
    for name in NAMES:
        path = tmp_path / name
        path.write_bytes(content)
        assert main(["resnet50", "--source", str(path), "--out", str(tmp_path / "out")]) == 2
        error = capsys.readouterr().err
        assert message in error and str(path) in error and "Way out: " in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            ["m/data.pkl", "m/constants.pkl", "m/code/__torch__.py"],
            "is a TorchScript archive. Way out: torch.save(torch.",
        ),
        (["m/models/model.json", "m/data/weights/weight_0"], "is a program of torch.export"),
        (["metadata.json", "config.json", "model.weights.h5"], "is a Keras archive (.keras)"),
        (["arr_0.npy"], "is NumPy arrays (.npz)"),
        (["weights/resnet50.pth", "README.md"], "torch.save did not write; it holds weights/resnet50.pth, README.md"),
    ],
)
def test_zip_archives_are_known_by_what_they_hold(members, message, tmp_path):
    zipped(tmp_path / "x.pth", *members)
    with pytest.raises(InputError) as caught:
        file_format(tmp_path / "x.pth")
    assert message in str(caught.value)


def test_data_of_a_tensorflow_checkpoint_have_no_first_bytes_but_a_name(tmp_path):
    path = tmp_path / "model.ckpt-1000.data-00000-of-00001"
    path.write_bytes(np.linspace(0.1, 1, 50, dtype=np.float32).tobytes())
    with pytest.raises(InputError, match="is a part of a TensorFlow checkpoint"):
        file_format(path)


def test_places_that_are_no_files(tmp_path):
    (tmp_path / "checkpoint").mkdir()
    with pytest.raises(InputError, match=r"is a folder\. Way out: give the weights file in it"):
        file_format(tmp_path / "checkpoint")
    (tmp_path / "checkpoint" / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match=r"is a folder\. Way out: it is a checkpoint already"):
        file_format(tmp_path / "checkpoint")
    for absent in (tmp_path / "absent", tmp_path / ("x" * 300), tmp_path / "a\0b"):
        with pytest.raises(InputError, match="cannot be read"):
            file_format(absent)


def test_a_zip_archive_with_a_changed_byte_is_damaged(tmp_path):
    """torch itself would read it and give other weights."""
    path = tmp_path / "x.pth"
    zipped(path, "x/data.pkl", "x/data/0")
    assert file_format(path) == "torch"
    path.write_bytes(path.read_bytes().replace(b"content", b"contenT", 1))
    with pytest.raises(InputError, match=r"Bad CRC-32 for file 'x/data\.pkl'"):
        file_format(path)


@pytest.mark.parametrize("name", NAMES)
def test_safetensors_are_read_whatever_they_are_called(name, tiny, tmp_path):
    numpy_safetensors.save_file(tiny, tmp_path / name, metadata={"format": "pt"})
    assert main(["tiny", "--source", str(tmp_path / name), "--out", str(tmp_path / "out")]) == 0
    params, manifest = load_checkpoint(tmp_path / "out")
    assert (np.asarray(params["fc"]["kernel"]) == tiny["fc.weight"].T).all() and manifest.changes == ()


@pytest.mark.parametrize(
    ("kind", "size"), [("F8_E4M3", 1), ("F8_E5M2", 1), ("F8_E8M0", 1), ("F4", 0.5), ("F6_E2M3", 0.75), ("C64", 8)]
)
def test_safetensors_of_types_that_numpy_has_not(kind, size, tiny, tmp_path, capsys):
    """Read so far, and refused where the network needs them."""
    path, count = tmp_path / "x.safetensors", tiny["fc.weight"].size
    parts = {key: np.ascontiguousarray(array).tobytes() for key, array in tiny.items()}
    parts["fc.weight"] = bytes(int(size * count))
    ends = np.cumsum([len(part) for part in parts.values()]).tolist()
    types = {key: "F32" if array.dtype == np.float32 else "I64" for key, array in tiny.items()} | {"fc.weight": kind}
    entries = {
        key: {"dtype": types[key], "shape": list(tiny[key].shape), "data_offsets": [start, end]}
        for key, start, end in zip(parts, [0, *ends], ends, strict=False)
    }
    path.write_bytes(header(entries, b"".join(parts.values())))
    found = read_content(path)["fc.weight"]
    assert found.shape == tiny["fc.weight"].shape and isinstance(found, NoNumbers) == (kind != "C64")
    assert main(["tiny", "--source", str(path), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    expected = "holds complex64, not floating" if kind == "C64" else f"is of the type {kind}, which cannot be read"
    assert f"fc.weight {expected}" in error and error.count("\n") == 1
