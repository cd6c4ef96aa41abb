"""Weights files: reading them safely, and recognising published ones by their hash."""

import hashlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bias_jax.errors import InputError
from bias_jax.networks import Transform


@dataclass(frozen=True)
class PublishedWeights:
    """One entry of torchvision's weights enums."""

    network: str
    name: str  # member of the enum
    file: str
    accuracy: tuple[float, float]  # ImageNet top-1 and top-5, percent
    transform: Transform

    @property
    def hash_prefix(self) -> str:
        """First digits of the file's SHA-256, which torchvision puts into the file's name."""
        return self.file.rsplit("-", 1)[1].removesuffix(".pth")


PUBLISHED = (
    PublishedWeights("resnet50", "IMAGENET1K_V1", "resnet50-0676ba61.pth", (76.130, 92.862), Transform(256, 224)),
    PublishedWeights("resnet50", "IMAGENET1K_V2", "resnet50-11ad3fa6.pth", (80.858, 95.434), Transform(232, 224)),
)


def identify(name: str, path: Path, claimed: str | None) -> tuple[str, PublishedWeights | None]:
    """SHA-256 of a file, and the published weights it is, if any.

    Args:
        name: network.
        path: weights file.
        claimed: name of the published entry the user says it is.

    Raises:
        InputError: the file cannot be read, or is not what the user says.
    """
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=path, remedy="give an existing .pth file") from None
    entries = {entry.name: entry for entry in PUBLISHED if entry.network == name}
    found = next((entry for entry in entries.values() if digest.startswith(entry.hash_prefix)), None)
    if claimed is not None:
        if claimed not in entries:
            raise InputError(f"{name} has no weights {claimed!r}", remedy=f"choose one of {', '.join(entries)}")
        if found is not entries[claimed]:
            problem = f"SHA-256 starts with {digest[:8]}, {claimed} with {entries[claimed].hash_prefix}"
            raise InputError(problem, file=path, remedy="download it again, or leave out --weights")
    return digest, found


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """Tensors of a ``.pth`` file, old or new serialisation; anything but plain tensors is refused.

    Raises:
        InputError: torch is not installed, or the file is damaged or holds more than tensors.
    """
    try:
        import torch
    except ImportError:
        raise InputError(
            "torch is needed to read .pth files", file=path, remedy="pip install 'bias-jax[convert]'"
        ) from None
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"is not a plain state dict ({reason})", file=path, remedy="save model.state_dict()") from None
    except Exception as error:  # zip, pickle and torch raise many kinds on damaged files
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"damaged weights file ({reason})", file=path, remedy="download it again") from None
    if not isinstance(content, Mapping) or not all(isinstance(v, torch.Tensor) for v in content.values()):
        raise InputError("is not a mapping of names to tensors", file=path, remedy="save model.state_dict()")
    return {str(key): value.to(torch.float32).numpy() if value.is_floating_point() else value.numpy()
            for key, value in content.items()}  # fmt: skip
