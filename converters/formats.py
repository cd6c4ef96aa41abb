"""What a file is, by its content; its name says nothing."""

import json
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Literal

from bias_jax.errors import InputError
from converters.tf_checkpoint import index_of, is_tensorflow

Format = Literal["safetensors", "torch", "tensorflow"]
_HEAD = 4096  # bytes that are looked at
_LARGEST_HEADER = 100_000_000  # of a safetensors file, by its definition
_TORCH = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"  # torch.save's number at the start of its old, unzipped format
_TABLE = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"  # the end of a table of a TensorFlow checkpoint

_AGAIN = "download or copy it again"
_PYTORCH = "use weights that were saved by PyTorch or as safetensors"
_UNPACK = "unpack it, and give the weights file in it"
_INDEX = "give NAME.index with all of NAME.data-* beside it"
# First bytes -> what the file is, and the way out.
_BEGINNINGS = (
    (b"version https://git-lfs", "a pointer of git-lfs, not the weights", "fetch them with `git lfs pull`"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes them (.h5)", _PYTORCH),
    (b"\x93NUMPY", "a NumPy array (.npy)", "save a mapping of names to arrays with safetensors.numpy.save_file"),
    (b"model_checkpoint_path:", "the index of TensorFlow checkpoints", _INDEX),
    (b"\x08\x01\x12", "a SavedModel of TensorFlow (.pb)", _PYTORCH),
    (b"GGUF", "a GGUF file", _PYTORCH),
    (b"\x1f\x8b", "compressed by gzip", _UNPACK),
    (b"BZh", "compressed by bzip2", _UNPACK),
    (b"\xfd7zXZ\0", "compressed by xz", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "compressed by Zstandard", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (b"%PDF", "a PDF document", _AGAIN),
    (b"\x89PNG", "a picture (PNG)", _AGAIN),
    (b"\xff\xd8\xff", "a picture (JPEG)", _AGAIN),
)
# A member of a zip archive -> what the archive is, and the way out.
_MEMBERS = (
    (r"(^|/)constants\.pkl$", "a TorchScript archive", "torch.save(torch.jit.load(path).state_dict(), other)"),
    (r"(^|/)(serialized_exported_program|models/.*)\.json$", "a program of torch.export",
     "torch.save(torch.export.load(path).state_dict, other)"),
    (r"(^|/)model\.weights\.h5$", "a Keras archive (.keras)", _PYTORCH),
    (r"\.npy$", "NumPy arrays (.npz)", "safetensors.numpy.save_file(dict(numpy.load(path)), other)"),
)  # fmt: skip


def file_format(path: Path) -> Format:
    """Which of the formats that can be read a file has. Of TensorFlow's checkpoints any file stands for all.

    Raises:
        InputError: it has neither, or is cut off; the message says what it is.
    """
    if tensorflow_index(path) is not None:
        return "tensorflow"
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
            stream.seek(max(0, size - len(_TABLE)))
            tail = stream.read()
    except IsADirectoryError:
        checkpoint = (path / "manifest.json").is_file()
        remedy = "it is a checkpoint already: use it as it is" if checkpoint else "give the weights file in it"
        raise InputError("is a folder", file=path, remedy=remedy) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot be read ({reason})", file=path, remedy="give an existing file") from None
    if not head.strip(b"\0"):
        what = "is empty" if size == 0 else "begins with zeros only: it was never filled"
        raise InputError(what, file=path, remedy=_AGAIN)
    if _is_safetensors(path, head, size):
        return "safetensors"
    if head.startswith(b"PK\x03\x04"):
        return _zipped(path)
    if head[:1] == b"\x80" and _TORCH in head[:64]:
        return "torch"
    what, remedy = _named(path, head, tail)
    raise InputError(f"is {what}", file=path, remedy=remedy)


def tensorflow_index(path: Path) -> Path | None:
    """The index of the TensorFlow checkpoint that a path means; None: it means none, or one without its index.

    Raises:
        InputError: it is a folder of several.
    """
    try:
        if not is_tensorflow(path) or (path / "manifest.json").is_file():
            return None
        return index_of(path)
    except InputError:
        if path.is_dir():
            raise
        return None
    except (OSError, ValueError):  # no possible name of a file
        return None


def _is_safetensors(path: Path, head: bytes, size: int) -> bool:
    """Eight bytes give the length of a header in JSON, which says where the arrays end."""
    length = int.from_bytes(head[:8], "little")
    if head[8:9] != b"{" or not 2 <= length <= _LARGEST_HEADER:
        return False
    with path.open("rb") as stream:
        header = stream.read(8 + length)[8:]
    if len(header) < length:
        raise InputError("is a safetensors file that is cut off in its header", file=path, remedy=_AGAIN)
    try:
        entries = [entry for name, entry in json.loads(header).items() if name != "__metadata__"]
        end = max((int(entry["data_offsets"][1]) for entry in entries), default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OverflowError):
        raise InputError("is a safetensors file with a damaged header", file=path, remedy=_AGAIN) from None
    if size < 8 + length + end:
        problem = f"is a safetensors file that is cut off: {size:,} of {8 + length + end:,} bytes"
        raise InputError(problem, file=path, remedy=_AGAIN)
    return True


def _zipped(path: Path) -> Format:
    damage = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, RuntimeError)
    kind = "is a zip archive, as torch.save writes them,"
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
            try:
                _check(archive)
            except damage as error:
                raise InputError(f"{kind} that is damaged ({error})", file=path, remedy=_AGAIN) from None
    except damage:  # its table of contents is at the end
        raise InputError(f"{kind} that is cut off or damaged", file=path, remedy=_AGAIN) from None
    for pattern, what, remedy in _MEMBERS:
        if any(re.search(pattern, member) for member in members):
            raise InputError(f"is {what}", file=path, remedy=remedy)
    if any(re.search(r"(^|/)data\.pkl$", member) for member in members):
        return "torch"
    shown = ", ".join(members[:3]) or "nothing"
    raise InputError(f"is a zip archive that torch.save did not write; it holds {shown}", file=path, remedy=_UNPACK)


def _check(archive: zipfile.ZipFile) -> None:
    """Read everything once: torch does not compare the checksums, and would take a damaged weight for another one."""
    for member in archive.infolist():
        if member.CRC:  # torch can be told to write none
            with archive.open(member) as stream:
                while stream.read(1 << 20):
                    pass


def _named(path: Path, head: bytes, tail: bytes) -> tuple[str, str]:
    """What any other file is, and the way out."""
    for beginning, what, remedy in _BEGINNINGS:
        if head.startswith(beginning):
            return what, remedy
    if head[257:262] == b"ustar":
        return "a tar archive", _UNPACK
    if head[4:8] == b"TFL3":
        return "a TensorFlow Lite model", _PYTORCH
    if re.match(rb"\x08[\x03-\x1f](\x12[\x01-\x40][ -~]{2}|[\x1a\x22\x28\x32\x3a])", head):
        return "an ONNX model", f"{_PYTORCH}; ONNX keeps no names of modules that could be relied on"
    if tail == _TABLE or re.search(r"\.data-\d{5}-of-\d{5}$", path.name):
        return "a part of a TensorFlow checkpoint", _INDEX
    if re.match(rb"\x80[\x02-\x05]", head):
        return "a pickle that torch.save did not write", "where the model is, torch.save(model.state_dict(), path)"
    return _text(head)


def _text(head: bytes) -> tuple[str, str]:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<script")):
        return "a web page, not weights", "the download needs a sign-in or has another address; open it in a browser"
    if start.startswith(b"<?xml"):
        return "an XML document, e.g. an error message of a server", _AGAIN
    if b'"weight_map"' in head:
        return "the index of weights that are cut into several files", "put these together into one file"
    printable = sum(byte >= 32 or byte in b"\t\r\n" for byte in head) == len(head)
    if printable:
        shown = " ".join(head[:60].decode("utf-8", "replace").split())
        return f"a text that begins {shown!r}", _PYTORCH
    return f"no weights file that is known here; it begins with the bytes {head[:8].hex(' ')}", _PYTORCH
