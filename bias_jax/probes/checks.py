"""What probes refuse to be trained on."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.probes.axes import bank_moments


def check_data(
    bank: Mapping[str, Any], labels: Mapping[str, Any]
) -> tuple[dict[str, jax.Array], dict[str, np.ndarray]]:
    """Features on the device, and class numbers int32 [N], -1 where unknown.

    Raises:
        ValueError: where they do not fit together, or are not numbers that a probe can be trained on.
    """
    if not bank or not labels:
        raise ValueError("at least one layer and one target are needed")
    first, images = None, 0
    features: dict[str, jax.Array] = {}
    for layer, given in bank.items():
        values = given if isinstance(given, jax.Array) else np.asarray(given)
        if values.ndim != 2 or 0 in values.shape:
            raise ValueError(f"layer {layer!r} has the shape {list(values.shape)}: layers must be [N, D]")
        if first is None:
            first, images = layer, len(values)
        if len(values) != images:
            raise ValueError(f"layer {layer!r} has {len(values)} rows, layer {first!r} has {images} rows")
        features[layer] = _check_features(layer, values)
    numbers = {}
    for target, given in labels.items():
        values = whole_numbers(f"target {target!r}", given, images)
        if not (values >= 0).any():
            raise ValueError(f"target {target!r} has no known label")
        numbers[target] = np.maximum(values, -1).astype(np.int32)
    return features, numbers


def whole_numbers(what: str, given: Any, images: int) -> np.ndarray:
    """One whole number per image, int64 [N]."""
    values = np.asarray(given)
    if values.ndim != 1:
        raise ValueError(f"{what} has the shape {list(values.shape)}, it must be [N]")
    if len(values) != images:
        raise ValueError(f"{what} has {len(values)} rows, the layers have {images} rows")
    if values.dtype.kind not in "biuf" or not (np.abs(values) < 2.0**31).all() or (values != np.floor(values)).any():
        raise ValueError(f"{what} must hold whole numbers")
    return values.astype(np.int64)


def _check_features(layer: str, values: Any) -> jax.Array:
    if not any(jnp.issubdtype(values.dtype, kind) for kind in (jnp.floating, jnp.integer, jnp.bool_)):
        raise ValueError(f"features of layer {layer!r} must be real numbers, got {values.dtype}")
    with np.errstate(over="ignore"):  # of float64 beyond float32, which is told below
        features = jax.device_put(values)
    moments = bank_moments(features)
    finite, faint, square = jax.device_get((moments.finite, moments.faint, moments.mean_square))
    if not finite:
        raise ValueError(f"features of layer {layer!r} are not all finite")
    # Squares that leave float32 say nothing of the layer, and it would pass for a constant one.
    if not np.isfinite(square) or 0 < square < np.finfo(np.float32).tiny or (square == 0 and faint):
        raise ValueError(f"features of layer {layer!r} are too large or too small for float32: rescale them")
    return features


def check_training(labels: Mapping[str, np.ndarray], folds: Sequence[int | None], training: np.ndarray) -> None:
    """Refuse folds without which nothing is left to train on; training [F, N].

    Raises:
        ValueError: names the first target and fold.
    """
    for target, y in labels.items():
        for fold, own in zip(folds, training, strict=True):
            if not (own & (y >= 0)).any():
                raise ValueError(f"target {target!r} has no training image with a known label outside fold {fold}")
