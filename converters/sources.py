"""Weights files: reading them safely, and recognising published ones by their hash."""

import hashlib
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bias_jax.errors import InputError
from converters.contents import SAVE, NoNumbers
from converters.entries import PublishedWeights
from converters.formats import file_format, tensorflow_index
from converters.published import PUBLISHED, published
from converters.tf_checkpoint import read_tf_checkpoint

# Numbers of 8 bits and fewer have scales of their own, which every program keeps in another place.
_UNREADABLE = "of the type {}, which cannot be read as plain numbers"


@dataclass(frozen=True)
class Identity:
    """What a weights file is."""

    sha256: str
    entry: PublishedWeights | None  # None: none of the published ones, e.g. fine-tuned by the user
    verified: bool  # the hash is the published one; timm's files carry none, so a local one is taken at its word

    @property
    def weights(self) -> str:
        """Name for manifests."""
        if self.entry is None:
            return "custom"
        return self.entry.name if self.verified else f"{self.entry.name} (unverified)"

    @property
    def accuracy(self) -> tuple[float, ...] | None:
        """The published one, if this is certainly the file that it was measured with."""
        return self.entry.accuracy if self.entry is not None and self.verified else None


def identify(
    name: str, path: Path, claimed: str | None, hub_sha256: str | None = None, *, downloaded: bool = False
) -> Identity:
    """Hash a weights file and recognise it; of a TensorFlow checkpoint the index, which has a checksum of every array.

    Args:
        name: network.
        path: weights file.
        claimed: name of the published entry the user says it is.
        hub_sha256: hash that the Hugging Face hub states, for a file that was downloaded from it.
        downloaded: whether the file lies in a cache, so that a wrong one may be deleted.

    Raises:
        InputError: the file cannot be read, or is not what the user says.
    """
    entry = published(name, claimed) if claimed is not None else None
    if entry is not None and entry.on_hub and file_format(path) != "safetensors":
        problem = f"is not a .safetensors file, as which timm publishes {claimed}"
        raise InputError(problem, file=path, remedy="leave out --weights")
    try:
        with (tensorflow_index(path) or path).open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=path, remedy="give an existing file") from None
    if entry is None:
        entries = (e for e in PUBLISHED if e.network == name and e.hash_prefix)
        entry = next((e for e in entries if digest.startswith(e.hash_prefix)), None)
        return Identity(digest, entry, verified=entry is not None)
    expected = hub_sha256 if entry.on_hub else entry.hash_prefix or None
    if expected is not None and not digest.startswith(expected):
        problem = f"SHA-256 starts with {digest[:8]}, {claimed} with {expected[:8]}"
        again, other = "delete it and download it again", "leave out --weights, or name the entry that the file is"
        raise InputError(problem, file=path, remedy=again if downloaded else other)
    return Identity(digest, entry, verified=expected is not None)


def read_content(path: Path) -> Any:
    """What a ``.safetensors`` or ``.pth`` file holds, whatever it is called, or a TensorFlow checkpoint: names and
    arrays, in nested mappings.

    Arrays are NumPy's, in the precision of the file, or like them and read when they are asked for; `NoNumbers` stands
    for those that cannot be.

    Raises:
        InputError: the file is of another kind, damaged or holds objects, or the package that reads it is missing.
    """
    form = file_format(path)
    if form == "tensorflow":
        return read_tf_checkpoint(path)
    return _read_safetensors(path) if form == "safetensors" else _read_torch(path)


def _read_safetensors(path: Path) -> dict[str, Any]:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise InputError(
            "safetensors is needed to read this file", file=path, remedy="pip install 'bias-jax[hub]'"
        ) from None

    def array(key: str) -> Any:
        try:
            return stream.get_tensor(key)
        except (AttributeError, KeyError, TypeError, SafetensorError):  # a type that NumPy has not
            part = stream.get_slice(key)
            return NoNumbers(_UNREADABLE.format(part.get_dtype()), tuple(part.get_shape()))

    try:
        with safe_open(path, framework="numpy") as stream:
            return {key: array(key) for key in stream.keys()}  # noqa: SIM118 (it is no mapping)
    except (SafetensorError, KeyError, TypeError, ValueError, OSError, MemoryError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        problem = f"is a damaged safetensors file ({reason})"
        raise InputError(problem, file=path, remedy="download or copy it again") from None


def _read_torch(path: Path) -> Any:
    """Old or new serialisation; nothing but tensors and plain Python is read."""
    try:
        import torch
    except ImportError:
        raise InputError(
            "torch is needed to read .pth files", file=path, remedy="pip install 'bias-jax[convert]'"
        ) from None
    try:
        with warnings.catch_warnings(), path.open("rb") as stream:  # of a path, torch would look at the name
            warnings.simplefilter("ignore")  # about formats; what matters is raised
            content: Any = torch.load(stream, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and torch raise many kinds
        # Torch's own text advises to load the file unsafely; of it only the name of the class or function is kept.
        asked = re.search(r"GLOBAL ([\w.]+)", str(error))
        if asked is not None:
            what = "the whole module of class " if _pickles_module(path) else ""
            problem = f"is not a plain state dict: it holds {what}{asked[1]}, and anything but tensors is refused"
            raise InputError(problem, file=path, remedy=f"where the model was trained, {SAVE}") from None
        problem = "damaged weights file, or not one that torch.save wrote"
        raise InputError(problem, file=path, remedy=f"download it again, or {SAVE}") from None

    def plain(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return _array(value.detach(), torch)
        if isinstance(value, Mapping):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value

    try:
        return plain(content)
    except RecursionError:
        raise InputError("its mappings contain themselves", file=path, remedy=SAVE) from None


def _array(tensor: Any, torch: Any) -> Any:
    shape = tuple(tensor.shape)
    if tensor.is_quantized:
        return NoNumbers(f"quantised ({tensor.dtype})", shape)
    if tensor.layout != torch.strided or tensor.is_meta:
        return NoNumbers("without values" if tensor.is_meta else f"not dense ({tensor.layout})", shape)
    if tensor.dtype == torch.bfloat16:  # every such number is one of float32
        return tensor.to(torch.float32).numpy()
    try:
        return tensor.resolve_conj().resolve_neg().numpy()
    except (TypeError, RuntimeError):  # a type that NumPy has not
        return NoNumbers(_UNREADABLE.format(tensor.dtype), shape)


def _pickles_module(path: Path) -> bool:
    """Whether a file of torch holds an object of `torch.nn.Module`, which all have these attributes."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            structure = archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))
    else:
        with path.open("rb") as stream:
            structure = stream.read(1 << 20)
    return b"_parameters" in structure and b"_modules" in structure
