"""Checkpoints: parameters with a manifest that says where they come from and how images must be prepared."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from bias_jax.errors import InputError
from bias_jax.networks.registry import abstract_params, network
from bias_jax.networks.transforms import Transform

_REMEDY = "convert the weights again with `python -m converters`"


@dataclass(frozen=True)
class Manifest:
    """Provenance of a checkpoint."""

    network: str
    classes: int  # of the output; says nothing if `untrained` is given
    weights: str  # name of the published entry, "custom", or "random"
    source: str  # file the parameters were read from
    source_sha256: str
    params_sha256: str  # of the converted parameters, checked on loading
    transform: Transform
    accuracy: tuple[float, float] | None  # published ImageNet top-1 and top-5, percent
    # Prefix of the first layers for which the source holds no valid values; what is behind them has none either.
    untrained: str | None = None
    changes: tuple[str, ...] = ()  # what was done to the source's names and arrays


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
        (root / "manifest.json").write_text(json.dumps(asdict(manifest), indent=2) + "\n")
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
        reason = "no manifest.json" if absent else f"manifest.json: {error.strerror}"
        raise InputError(f"is not a checkpoint ({reason})", file=directory, remedy=_REMEDY) from None
    try:
        manifest = _manifest(json.loads(content))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(f"damaged manifest ({error})", file=path, remedy=_REMEDY) from None
    network(manifest.network)
    try:
        device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        template = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device),
            abstract_params(manifest.network, manifest.classes),
        )
        params = ocp.load(root / "params", template)
    except Exception as error:  # orbax and tensorstore raise many kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"damaged parameters ({reason[:200]})", file=root / "params", remedy=_REMEDY) from None
    if params_digest(params) != manifest.params_sha256:
        raise InputError("parameters differ from those that were saved", file=root / "params", remedy=_REMEDY)
    return params, manifest


def _manifest(fields: Any) -> Manifest:
    """A manifest from its JSON; what is missing, too much or of another kind raises `TypeError` or `KeyError`."""
    if not isinstance(fields, dict):
        raise TypeError("it is no mapping")
    shape, accuracy = fields.pop("transform"), fields.pop("accuracy")
    transform = Transform(shape["resize"], shape["crop"], _numbers(shape["mean"], 3), _numbers(shape["std"], 3))
    published = None if accuracy is None else _numbers(accuracy, 2)
    changes = tuple(fields.pop("changes", ()))
    manifest = Manifest(**fields, transform=transform, accuracy=published, changes=changes)
    texts = [manifest.network, manifest.weights, manifest.source, manifest.source_sha256, manifest.params_sha256]
    if not all(isinstance(text, str) for text in (*texts, *changes, manifest.untrained or "")):
        raise TypeError("a text is something else")
    if not all(type(count) is int and count > 0 for count in (manifest.classes, transform.resize, transform.crop)):
        raise TypeError("classes, resize and crop are not all positive whole numbers")
    if min(transform.std) <= 0:
        raise ValueError("std is not positive")
    return manifest


def _numbers(values: Any, count: int) -> tuple[Any, ...]:
    found = tuple(values)
    if len(found) != count or not all(type(value) in (int, float) and math.isfinite(value) for value in found):
        raise TypeError(f"{found} is not {count} numbers")
    return found
