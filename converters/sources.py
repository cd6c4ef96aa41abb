"""Weights files: reading them safely, and recognising published ones by their hash."""

import hashlib
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from bias_jax.errors import InputError
from converters.published import PUBLISHED, PublishedWeights, published

WRAPPERS = ("state_dict", "model", "model_state_dict")  # training scripts save the weights under one of these
_SAVE = "save it with torch.save(model.state_dict(), path)"


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
    def accuracy(self) -> tuple[float, float] | None:
        """The published one, if this is certainly the file that it was measured with."""
        return self.entry.accuracy if self.entry is not None and self.verified else None


def identify(
    name: str, path: Path, claimed: str | None, hub_sha256: str | None = None, *, downloaded: bool = False
) -> Identity:
    """Hash a weights file and recognise it.

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
    if entry is not None and entry.on_hub and path.suffix != ".safetensors":
        problem = f"is not a .safetensors file, as which timm publishes {claimed}"
        raise InputError(problem, file=path, remedy="leave out --weights")
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=path, remedy="give an existing file") from None
    if entry is None:
        entries = (e for e in PUBLISHED if e.network == name and e.hash_prefix)
        entry = next((e for e in entries if digest.startswith(e.hash_prefix)), None)
        return Identity(digest, entry, verified=entry is not None)
    expected = hub_sha256 if entry.on_hub else entry.hash_prefix
    if expected is not None and not digest.startswith(expected):
        problem = f"SHA-256 starts with {digest[:8]}, {claimed} with {expected[:8]}"
        again, other = "delete it and download it again", "leave out --weights, or name the entry that the file is"
        raise InputError(problem, file=path, remedy=again if downloaded else other)
    return Identity(digest, entry, verified=expected is not None)


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """Arrays of a ``.safetensors`` or ``.pth`` file, floating point ones as float32.

    Raises:
        InputError: the file is damaged or holds more than tensors, or the package that reads it is not installed.
    """
    return _read_safetensors(path) if path.suffix == ".safetensors" else _read_pth(path)


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError:
        raise InputError(
            "safetensors is needed to read this file", file=path, remedy="pip install 'bias-jax[hub]'"
        ) from None
    try:
        arrays = load_file(path)
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:  # KeyError: a type numpy has not
        reason = str(error).splitlines()[0]
        raise InputError(f"damaged weights file ({reason})", file=path, remedy="download it again") from None
    return {k: v.astype(np.float32) if jnp.issubdtype(v.dtype, jnp.floating) else v for k, v in arrays.items()}


def _read_pth(path: Path) -> dict[str, np.ndarray]:
    """Old or new serialisation; `WRAPPERS` are opened."""
    try:
        import torch
    except ImportError:
        raise InputError(
            "torch is needed to read .pth files", file=path, remedy="pip install 'bias-jax[convert]'"
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about formats; what matters is raised
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and torch raise many kinds
        # Torch's own text advises to load the file unsafely; of it only the name of the class or function is kept.
        asked = re.search(r"GLOBAL ([\w.]+)", str(error))
        if asked is not None:
            problem = f"is not a plain state dict: it holds {asked[1]}, and anything but tensors is refused"
            raise InputError(problem, file=path, remedy=f"where the model was trained, {_SAVE}") from None
        problem = "damaged weights file, or not one that torch.save wrote"
        raise InputError(problem, file=path, remedy=f"download it again, or {_SAVE}") from None

    def plain(value: Any) -> bool:
        return (
            isinstance(value, torch.Tensor)
            and value.layout == torch.strided
            and not (value.is_quantized or value.is_meta)
        )

    def is_state_dict(value: Any) -> bool:
        if not isinstance(value, Mapping) or not value:
            return False
        return all(isinstance(key, str) and plain(tensor) for key, tensor in value.items())

    candidates = [content] + [content[key] for key in WRAPPERS if isinstance(content, Mapping) and key in content]
    state_dict = next((value for value in candidates if is_state_dict(value)), None)
    if state_dict is None:
        problem = f"is not a mapping of names to tensors, nor holds one as {', '.join(WRAPPERS)}"
        if isinstance(content, Mapping):
            keys = [str(key) for key in content]
            shown = ", ".join(keys[:8]) + (f" and {len(keys) - 8} more" if len(keys) > 8 else "")
            problem += f"; its keys are: {shown or 'none'}"
        raise InputError(problem, file=path, remedy=_SAVE)
    return {
        key: (value.detach().to(torch.float32) if value.is_floating_point() else value.detach()).numpy()
        for key, value in state_dict.items()
    }
