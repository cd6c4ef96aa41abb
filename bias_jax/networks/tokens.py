"""Pictures as iGPT takes them: 32 x 32 pixels, each the number of the nearest of 512 colours, in raster order."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.errors import InputError
from bias_jax.networks.area import area_on_device, area_on_host
from bias_jax.networks.colours import checked_centres, colour_grid, nearest_colours, to_levels
from bias_jax.networks.transforms import squeezed, squeezed_on_host

COLOURS, SIDE = 512, 32
Crop = Literal["square", "squeezed"]


@dataclass(frozen=True)
class Tokens:
    """From pictures to colours.

    The published network has colours of its own (k-means of ImageNet's pixels). Without them, e.g. for random weights,
    an even grid of 8 x 8 x 8 colours stands in.
    """

    # square: the top-left square, averaged over areas (Steed & Caliskan 2021); squeezed: all of the picture, bilinear
    # (as transformers prepares it)
    crop: Crop = "square"
    centres: str = ""  # the colours, float32 [512, 3] from -1 to 1 in base64, little-endian; empty: the grid
    clusters_sha256: str = ""  # of the file that they were read from
    side: int = SIDE

    kind: ClassVar[str] = "colours"
    host_dtype: ClassVar[np.dtype] = np.dtype(np.uint8)

    @cached_property
    def palette(self) -> np.ndarray:
        """The colours, float32 [512, 3] from -1 to 1."""
        if not self.centres:
            return colour_grid()
        raw = base64.b64decode(self.centres.encode(), validate=True)
        return np.frombuffer(raw, "<f4").reshape(-1, 3)

    @property
    def input(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((self.side**2,), jnp.int32)

    @property
    def blank(self) -> np.ndarray:
        """The colour that is nearest to grey."""
        return np.asarray(np.square(self.palette.astype(np.float64)).sum(axis=1).argmin(), np.int32)

    def on_host(self, image: np.ndarray) -> np.ndarray:
        """One picture, uint8 [H, W, 3] -> uint8 [side, side, 3]."""
        return (area_on_host if self.crop == "square" else squeezed_on_host)(image, self.side)

    def cropped(self) -> "Tokens":
        """The same: pictures of this size are only made colours."""
        return self

    def on_device(self, images: jax.Array) -> jax.Array:
        """Pictures of one size, uint8 [N, H, W, 3] -> int32 [N, side * side]."""
        resize = area_on_device if self.crop == "square" else squeezed
        pixels = resize(images, self.side) if images.shape[1:3] != (self.side, self.side) else images
        return nearest_colours(pixels.astype(jnp.uint8), self.palette).reshape(len(images), -1)

    def pixels(self, prepared: jax.Array) -> jax.Array:
        """The colours, from -1 to 1: float32 [N, side, side, 3]."""
        return jnp.asarray(self.palette)[prepared].reshape(len(prepared), self.side, self.side, 3)

    def visible(self, prepared: np.ndarray) -> np.ndarray:
        """The colours as grey levels, uint8 [N, side, side, 3]."""
        return to_levels(self.palette)[prepared].reshape(len(prepared), self.side, self.side, 3)

    def with_palette(self, centres: np.ndarray, sha256: str) -> "Tokens":
        """With colours of a file.

        Raises:
            InputError: they are no colours.
        """
        found = np.ascontiguousarray(checked_centres(centres, COLOURS), "<f4")
        return Tokens(self.crop, base64.b64encode(found.tobytes()).decode(), sha256, self.side)

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> "Tokens":
        """From a manifest."""
        found = cls(**fields)
        if found.crop not in ("square", "squeezed") or type(found.side) is not int or found.side < 1:
            raise ValueError(f"no pictures of {found.side!r} pixels a side are made in the way {found.crop!r}")
        if not isinstance(found.centres, str) or not isinstance(found.clusters_sha256, str):
            raise TypeError("the colours are no text")
        try:
            checked_centres(found.palette, COLOURS)
        except InputError as error:
            raise ValueError(str(error)) from None
        return found

    def __str__(self) -> str:
        how = {"square": "top-left square, averaged over areas", "squeezed": "squeezed, bilinear"}[self.crop]
        colours = f"{COLOURS} colours" if self.centres else "a grid of 8 x 8 x 8 colours"
        return f"{how} to {self.side} x {self.side}, {colours}"
