"""Evaluation transforms of published weights: resize the shorter side, crop the centre, normalise; on device or host.

PIL's antialiased resize is linear in each axis, so resize and crop are one matrix per axis. PIL computes in fixed point
and rounds to grey levels after each axis; doing the same gives torchvision's pixels exactly, ties included.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, get_args

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from bias_jax.arithmetic import einsum
from bias_jax.networks.resampling import Filter, widened

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
ONE_HALF = (0.5, 0.5, 0.5)  # mean and deviation of networks that take [-1, 1]
FRACTION = 22  # bits behind the point in PIL's resize of 8-bit images
HALF = 1 << (FRACTION // 2)


@dataclass(frozen=True)
class Transform:
    """What torchvision calls the evaluation transform of a weights entry."""

    resize: int  # shorter side after resizing, pixels
    crop: int  # side of the centre crop, pixels
    mean: tuple[float, float, float] = IMAGENET_MEAN  # of RGB in [0, 1]
    std: tuple[float, float, float] = IMAGENET_STD
    filter: Filter = "bilinear"  # of resizing
    squeeze: bool = False  # whether the whole picture becomes a square instead, whatever its shape; resize = crop

    kind: ClassVar[str] = "torchvision"
    host_dtype: ClassVar[np.dtype] = np.dtype(np.uint8)
    blank: ClassVar[np.ndarray] = np.zeros((), np.float32)  # the mean colour

    @property
    def side(self) -> int:
        return self.crop

    @property
    def input(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((self.crop, self.crop, 3), jnp.float32)

    def on_device(self, images: jax.Array) -> jax.Array:
        """uint8 [N, H, W, 3] -> normalised float32 [N, crop, crop, 3]; images already cropped are only normalised."""
        x = images.astype(jnp.float32)
        if images.shape[1:3] != (self.crop, self.crop) or self.resize != self.crop:
            rows, columns = self.matrices(images.shape[1], images.shape[2])
            x = _resize_axis("pw,nhwc->nhpc", columns, x)
            x = _resize_axis("qh,nhpc->nqpc", rows, x)
        return self.normalise(x)

    def normalise(self, x: jax.Array) -> jax.Array:
        """Grey levels 0 to 255, float32 [..., 3] -> normalised."""
        mean, std = (jnp.asarray(v, jnp.float32).reshape((1,) * (x.ndim - 1) + (3,)) for v in (self.mean, self.std))
        return (x / 255.0 - mean) / std

    def matrices(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Resize and crop of the rows [crop, H] and of the columns [crop, W], int32 in units of 2 ** -`FRACTION`."""
        new_height, new_width = self.resized(height, width)
        sizes = ((height, new_height), (width, new_width))
        rows, columns = (_resize_crop_matrix(*axis, self.crop, self.filter) for axis in sizes)
        return rows, columns

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) after resizing; torchvision truncates the longer side.

        >>> Transform(resize=256, crop=224).resized(480, 640)
        (256, 341)
        """
        if self.squeeze:
            return self.resize, self.resize
        short, long = min(height, width), max(height, width)
        new_long = int(self.resize * long / short)
        return (self.resize, new_long) if height <= width else (new_long, self.resize)

    def on_host(self, image: np.ndarray) -> np.ndarray:
        """Resize and crop one uint8 image [H, W, 3] with PIL, for data whose images differ in size."""
        if self.squeeze:
            return squeezed_on_host(image, self.crop, self.filter)
        height, width = self.resized(*image.shape[:2])
        resized = Image.fromarray(image).resize((width, height), Image.Resampling[self.filter.upper()])
        canvas = np.zeros((max(height, self.crop), max(width, self.crop), 3), np.uint8)
        top, left = (max(self.crop - s, 0) // 2 for s in (height, width))
        canvas[top : top + height, left : left + width] = np.asarray(resized)
        top, left = (_crop_start(size, self.crop) for size in canvas.shape[:2])
        return canvas[top : top + self.crop, left : left + self.crop]

    def cropped(self) -> "Transform":
        """What remains to be done on the device after `on_host`."""
        return replace(self, resize=self.crop)

    def pixels(self, prepared: jax.Array) -> jax.Array:
        """The normalised image itself."""
        return prepared

    def visible(self, prepared: np.ndarray) -> np.ndarray:
        """Grey levels of normalised images."""
        levels = (prepared * np.array(self.std) + np.array(self.mean)) * 255.0
        return np.clip(np.rint(levels), 0, 255).astype(np.uint8)

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> "Transform":
        """From a manifest."""
        given = {name: fields[name] for name in ("filter", "squeeze") if name in fields}  # older ones have none
        found = cls(fields["resize"], fields["crop"], _numbers(fields["mean"]), _numbers(fields["std"]), **given)
        if found.filter not in get_args(Filter) or type(found.squeeze) is not bool:
            raise ValueError(f"pictures are not resized with {found.filter!r}, squeezed: {found.squeeze!r}")
        if not all(type(count) is int and count > 0 for count in (found.resize, found.crop)):
            raise TypeError("resize and crop are not positive whole numbers")
        if found.squeeze and found.resize != found.crop:
            raise ValueError("of a squeezed picture nothing is cut off")
        if min(found.std) <= 0:
            raise ValueError("std is not positive")
        return found

    def __str__(self) -> str:
        mean, std = (f"({', '.join(f'{value:.6g}' for value in values)})" for values in (self.mean, self.std))
        size = f"resize {self.resize}, centre crop {self.crop}"
        if self.squeeze:
            size = f"squeeze to {self.crop} x {self.crop}"
        way = ", bicubic" if self.filter == "bicubic" else ""
        return f"{size}{way}, mean {mean}, std {std}"


def bicubic(
    resize: int,
    crop: int,
    mean: tuple[float, float, float] = IMAGENET_MEAN,
    std: tuple[float, float, float] = IMAGENET_STD,
) -> Transform:
    """Resize with PIL's bicubic filter, crop and normalise."""
    return Transform(resize, crop, mean, std, "bicubic")


def _numbers(values: Any) -> tuple[float, float, float]:
    found = tuple(values)
    if len(found) != 3 or not all(type(value) in (int, float) and math.isfinite(value) for value in found):
        raise TypeError(f"{found} is not 3 numbers")
    return found


def squeezed(images: jax.Array, side: int) -> jax.Array:
    """Whole pictures brought to a square by PIL's bilinear resize, rows first: uint8 [N, H, W, 3] -> grey levels,
    float32 [N, side, side, 3].

    PIL 13 takes the columns of tall pictures first, which is another rounding.
    """
    rows, columns = (_resize_crop_matrix(size, side, side) for size in images.shape[1:3])
    return _resize_axis("qh,nhpc->nqpc", rows, _resize_axis("pw,nhwc->nhpc", columns, images.astype(jnp.float32)))


def squeezed_on_host(image: np.ndarray, side: int, which: Filter = "bilinear") -> np.ndarray:
    """`squeezed` of one picture, uint8 [H, W, 3] -> uint8 [side, side, 3]; sums of float64 are exact."""
    x = image.astype(np.float64)
    for axis in (1, 0):
        matrix = _resize_crop_matrix(image.shape[axis], side, side, which).astype(np.float64)
        total = np.moveaxis(np.tensordot(matrix, x, (1, axis)), 0, axis) + (1 << (FRACTION - 1))
        x = np.clip(np.floor(total / (1 << FRACTION)), 0, 255)
    return x.astype(np.uint8)


def _resize_axis(product: str, matrix: np.ndarray, x: jax.Array) -> jax.Array:
    """Fixed-point matrix times grey levels, rounded to grey levels.

    The sum needs 30 bits, a float32 product holds 24: upper and lower half of the matrix are multiplied separately,
    each exactly (the signed lower half for up to 64 taps, i.e. images reduced to a thirtieth, bicubic to a fifteenth).
    """
    upper = (matrix + HALF // 2) // HALF
    sums = (
        einsum(product, jnp.asarray(half, jnp.float32), x).astype(jnp.int32) for half in (upper, matrix - upper * HALF)
    )
    total = next(sums) * HALF + next(sums) + (1 << (FRACTION - 1))
    return jnp.clip(total >> FRACTION, 0, 255).astype(jnp.float32)


def _crop_start(size: int, crop: int) -> int:
    return round((size - crop) / 2.0)  # torchvision rounds half to even


def _resize_crop_matrix(size: int, new_size: int, crop: int, which: Filter = "bilinear") -> np.ndarray:
    """Weights [crop, size] of PIL's resize from `size` to `new_size`, centre rows only, int32.

    Where the crop is larger than the resized image, the rows outside are zero, which pads with black.
    """
    weights = widened(size, new_size, which) * (1 << FRACTION)
    padded = np.zeros((max(new_size, crop), size), np.int32)
    offset = max(crop - new_size, 0) // 2
    padded[offset : offset + new_size] = (weights + np.copysign(0.5, weights)).astype(np.int32)  # towards zero
    start = _crop_start(len(padded), crop)
    return padded[start : start + crop]
