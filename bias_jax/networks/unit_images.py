"""Images in [0, 1] without mean or deviation, as SimCLR takes them; resized in one of three ways.

Two are google-research/simclr's evaluation transform: the centre square of 0.875 of the shorter side, then bicubic to
the size of the network, then cut to [0, 1]; `tf2` as tf.image.resize computes it, `tf1` as resize_bicubic did, half a
pixel elsewhere. `ieat` is that of the published association tests: the top-left square, OpenCV's INTER_AREA.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.arithmetic import einsum
from bias_jax.networks.area import area_on_device, area_on_host
from bias_jax.networks.transforms import IMAGENET_MEAN

FORMS = ("tf2", "tf1", "ieat")
CROP = np.float32(0.875)  # of the shorter side
GRID = 1024  # TensorFlow looks its bicubic weights up in a table of so many positions between two pixels


@dataclass(frozen=True)
class UnitImages:
    """One of `FORMS`."""

    form: str
    side: int = 224  # pixels
    ready: bool = False  # whether the host has resized already

    kind: ClassVar[str] = "unit images"
    blank: ClassVar[np.ndarray] = np.array(IMAGENET_MEAN, np.float32)  # the mean colour

    @property
    def host_dtype(self) -> np.dtype:
        """Bicubic values lie between grey levels."""
        return np.dtype(np.uint8 if self.form == "ieat" else np.float32)

    @property
    def input(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((self.side, self.side, 3), jnp.float32)

    def on_host(self, image: np.ndarray) -> np.ndarray:
        """Resize one uint8 image [H, W, 3], for data whose images differ in size."""
        if self.form == "ieat":
            return area_on_host(image, self.side)
        rows, columns = (_taps(self.form, *image.shape[:2], axis, self.side) for axis in range(2))
        x = image / np.float32(255)
        x = sum(w[:, None] * x[:, i] for i, w in zip(columns.pixels.T, columns.weights.T, strict=True))
        x = sum(w[:, None, None] * x[i] for i, w in zip(rows.pixels.T, rows.weights.T, strict=True))
        return np.clip(x, 0, 1)

    def cropped(self) -> "UnitImages":
        """What remains to be done on the device after `on_host`."""
        return replace(self, ready=True)

    def on_device(self, images: jax.Array) -> jax.Array:
        """Images -> float32 [N, side, side, 3] in [0, 1]."""
        if self.form == "ieat":
            levels = images if self.ready else area_on_device(images, self.side)
            return levels.astype(jnp.float32) / 255.0
        if self.ready:
            return images
        rows, columns = (_taps(self.form, *images.shape[1:3], axis, self.side).matrix() for axis in range(2))
        x = einsum("pw,nhwc->nhpc", columns, images.astype(jnp.float32) / 255.0)
        return jnp.clip(einsum("qh,nhpc->nqpc", rows, x), 0.0, 1.0)

    def pixels(self, prepared: jax.Array) -> jax.Array:
        """The image itself."""
        return prepared

    def visible(self, prepared: np.ndarray) -> np.ndarray:
        """Grey levels."""
        return np.clip(np.rint(prepared * 255.0), 0, 255).astype(np.uint8)

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> "UnitImages":
        """From a manifest."""
        found = cls(**fields)
        if found.form not in FORMS or type(found.side) is not int or found.side < 1 or found.ready is not False:
            raise ValueError(f"images cannot be prepared like this: {dict(fields)}")
        return found

    def __str__(self) -> str:
        square = "top-left square, area" if self.form == "ieat" else f"centre square of {CROP:g}, bicubic ({self.form})"
        return f"{square}, to {self.side} pixels, from 0 to 1"


class Taps(NamedTuple):
    """One axis of a resize to S of n pixels: of each pixel there are a few of which it is a weighted sum."""

    pixels: np.ndarray  # int [S, 4], of the whole image
    weights: np.ndarray  # float32 [S, 4]
    size: int  # n

    def matrix(self) -> np.ndarray:
        """The same as float32 [S, n]."""
        found = np.zeros((len(self.pixels), self.size), np.float32)
        np.add.at(found, (np.arange(len(self.pixels))[:, None], self.pixels), self.weights)
        return found


@cache
def _taps(form: str, height: int, width: int, axis: int, side: int) -> Taps:
    """Crop and resize along one axis."""
    crop = max(int(np.rint(CROP * np.float32(min(height, width)))), 1)
    size = (height, width)[axis]
    offset = (size - crop + 1) // 2
    targets = np.arange(side)
    places = targets * (crop / side) if form == "tf1" else (targets + 0.5) * (crop / side) - 0.5
    pixels = np.floor(places).astype(int)[:, None] + np.arange(-1, 3)
    between = np.floor(GRID * (places - np.floor(places)) + 0.5) / GRID
    weights = _cubic(between[:, None] - np.arange(-1, 3), a=-0.75 if form == "tf1" else -0.5)
    if form == "tf2":  # what is outside the picture does not count; otherwise it is like the edge
        weights = np.where((pixels >= 0) & (pixels < crop), weights, 0.0)
        weights = weights / weights.sum(axis=1, keepdims=True)
    return Taps(offset + np.clip(pixels, 0, crop - 1), weights.astype(np.float32), size)


def _cubic(x: np.ndarray, a: float) -> np.ndarray:
    """Keys' kernel (1981) with parameter a."""
    x = np.abs(x)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))
