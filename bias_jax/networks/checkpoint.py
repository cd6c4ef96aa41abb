"""Checkpoints: parameters with a manifest that says where they come from and how images must be prepared."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from bias_jax.errors import InputError
from bias_jax.networks.definition import Variant
from bias_jax.networks.preparation import Preparation, from_json, to_json
from bias_jax.networks.registry import abstract_params, network

_REMEDY = "convert the weights again with `python -m converters`"


@dataclass(frozen=True)
class Manifest:
    """Provenance of a checkpoint."""

    network: str
    classes: int  # of the output, 0: it has none; says nothing if `untrained` is given
    weights: str  # name of the published entry, "custom", or "random"
    source: str  # file the parameters were read from
    source_sha256: str
    params_sha256: str  # of the converted parameters, checked on loading
    transform: Preparation
    accuracy: tuple[float, ...] | None  # published ImageNet top-1 and, if there is one, top-5, percent
    # Prefix of the first layers for which the source holds no valid values; what is behind them has none either.
    untrained: str | None = None
    changes: tuple[str, ...] = ()  # what was done to the source's names and arrays
    parts: Mapping[str, int] = field(default_factory=dict)  # of the network's variant, beside the classes

    @property
    def variant(self) -> Variant:
        """In what these weights differ from others of the network."""
        return {**self.parts, "classes": self.classes}


def params_digest(params: dict) -> str:
    """SHA-256 over names, shapes and values of all parameters."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        array = np.asarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)}{array.shape}{array.dtype}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def save_checkpoint(directory: str | Path, params: dict, manifest: Manifest) -> None:
    """Write ``params/`` and then ``manifest.json``; a directory without a manifest is not a checkpoint.

    Raises:
        InputError: the directory is not free or cannot be written.
    """
    require_free(directory)
    root = Path(directory).resolve()
    try:
        root.mkdir(parents=True, exist_ok=True)
        ocp.save(root / "params", params)
        (root / "manifest.json").write_text(json.dumps(_fields(manifest), indent=2) + "\n")
    except OSError as error:
        raise InputError(f"cannot be written ({error})", file=directory, remedy="choose another --out") from None


def require_free(directory: str | Path) -> None:
    """Refuse a place where something is already, or that cannot be a directory."""
    root, remedy = Path(directory).resolve(), "choose another --out"
    try:
        nearest = next(place for place in (root, *root.parents) if place.exists())
        if not nearest.is_dir():
            raise InputError(f"cannot be a directory ({nearest} is a file)", file=directory, remedy=remedy)
        taken = nearest == root and any(root.iterdir())
    except OSError as error:
        raise InputError(f"cannot be a directory ({error.strerror})", file=directory, remedy=remedy) from None
    if taken:
        raise InputError("directory exists and is not empty", file=directory, remedy=remedy)


def load_checkpoint(directory: str | Path) -> tuple[dict, Manifest]:
    """Parameters and manifest; structure, shapes and digest are all checked.

    Raises:
        InputError: if anything is missing, damaged or of another network.
    """
    root = Path(directory).resolve()
    path = root / "manifest.json"
    try:
        content = path.read_bytes()
    except OSError as error:
        absent = isinstance(error, (FileNotFoundError, NotADirectoryError))
        if absent and not root.exists():
            remedy = "give the folder that `python -m converters` wrote"
            raise InputError("no such folder", file=directory, remedy=remedy) from None
        reason = "no manifest.json" if absent else f"manifest.json: {error.strerror}"
        raise InputError(f"is not a checkpoint ({reason})", file=directory, remedy=_REMEDY) from None
    try:
        manifest = _manifest(json.loads(content))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(f"damaged manifest ({error})", file=path, remedy=_REMEDY) from None
    try:
        device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        template = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device),
            abstract_params(manifest.network, manifest.variant),
        )
        params = ocp.load(root / "params", template)
    except Exception as error:  # orbax and tensorstore raise many kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"damaged parameters ({reason[:200]})", file=root / "params", remedy=_REMEDY) from None
    if params_digest(params) != manifest.params_sha256:
        raise InputError("parameters differ from those that were saved", file=root / "params", remedy=_REMEDY)
    return params, manifest


def _fields(manifest: Manifest) -> dict[str, Any]:
    return {**asdict(manifest), "transform": to_json(manifest.transform)}


def _manifest(fields: Any) -> Manifest:
    """A manifest from its JSON; what is missing, too much or of another kind raises `TypeError` or `KeyError`."""
    if not isinstance(fields, dict):
        raise TypeError("it is no mapping")
    transform, accuracy, name = fields.pop("transform"), fields.pop("accuracy"), fields["network"]
    published = None if accuracy is None else _numbers(accuracy)
    changes, parts = tuple(fields.pop("changes", ())), fields.pop("parts", {})
    texts = [name, *(fields[key] for key in ("weights", "source", "source_sha256", "params_sha256"))]
    if not all(isinstance(text, str) for text in (*texts, *changes, fields.get("untrained") or "")):
        raise TypeError("a text is something else")
    if not isinstance(parts, dict) or not all(isinstance(part, str) for part in parts):
        raise TypeError("the parts of the network are no mapping")
    if not all(type(count) is int and count >= 0 for count in (fields["classes"], *parts.values())):
        raise TypeError("classes and parts are not all whole numbers from 0")
    preparation = from_json(transform, network(name).preparations)
    return Manifest(**fields, transform=preparation, accuracy=published, changes=changes, parts=parts)


def _numbers(values: Any) -> tuple[Any, ...]:
    found = tuple(values)
    if len(found) not in (1, 2) or not all(type(value) in (int, float) and math.isfinite(value) for value in found):
        raise TypeError(f"{found} is not one or two numbers")
    return found
