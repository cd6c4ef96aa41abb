"""How pictures become what a network takes: partly on the host, where their sizes differ, else on the device.

A preparation belongs to weights, as torchvision's evaluation transforms do: it is written into the manifest of a
checkpoint. It is a frozen dataclass whose fields are JSON, so that programs can be compiled for it.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import jax
import numpy as np


class Preparation(Protocol):
    """One way to prepare images; a frozen dataclass."""

    kind: ClassVar[str]  # names the class in manifests

    @property
    def side(self) -> int:
        """Side S in pixels of the square picture that is left of an image."""

    @property
    def host_dtype(self) -> np.dtype:
        """Of what `on_host` gives."""

    @property
    def input(self) -> jax.ShapeDtypeStruct:
        """Shape and dtype of one image as the network takes it, e.g. float32 [S, S, 3] or int32 [S * S]."""

    @property
    def blank(self) -> np.ndarray:
        """What stands for a place without a picture, e.g. the mean colour: broadcasts to [..., 3], or a token []."""

    def on_host(self, image: np.ndarray) -> np.ndarray:
        """Bring one image, uint8 [H, W, 3], to the one size [S, S, 3], for data whose images differ in size."""

    def cropped(self) -> Self:
        """What remains to be done on the device after `on_host`."""

    def on_device(self, images: jax.Array) -> jax.Array:
        """Images of one size, uint8 [N, H, W, 3] (after `on_host`: `host_dtype` [N, S, S, 3]) -> [N, *input.shape]."""

    def pixels(self, prepared: jax.Array) -> jax.Array:
        """The picture as floats [N, S, S, 3], in which the network is compared with having no network."""

    def visible(self, prepared: np.ndarray) -> np.ndarray:
        """What a person would see of prepared images: uint8 [N, S, S, 3]."""

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Self:
        """From the JSON of a manifest.

        Raises:
            KeyError, TypeError, ValueError: something is missing, too much or no possible value.
        """


def to_json(preparation: Preparation) -> dict[str, Any]:
    """For a manifest."""
    return {"kind": preparation.kind, **asdict(preparation)}  # type: ignore[call-overload]


def preparation_digest(preparation: Preparation) -> str:
    """SHA-256 of how images are prepared: the same weights give other numbers for other images."""
    return hashlib.sha256(json.dumps(to_json(preparation), sort_keys=True).encode()).hexdigest()


def from_json(fields: Any, among: Mapping[str, Preparation]) -> Preparation:
    """From a manifest; those written before there were several kinds name none, and are torchvision's.

    Args:
        fields: of `to_json`.
        among: preparations of the network, which say what kinds there are.

    Raises:
        KeyError, TypeError, ValueError: it is none of them, or damaged.
    """
    if not isinstance(fields, dict):
        raise TypeError("the transform is no mapping")
    kinds = {preparation.kind: type(preparation) for preparation in among.values()}
    kind = fields.get("kind", "torchvision")
    if kind not in kinds:
        raise ValueError(f"images of this network are not prepared in the way {kind!r}")
    return kinds[kind].read({name: value for name, value in fields.items() if name != "kind"})


class Split(NamedTuple):
    """What the host does to pictures, and what the device."""

    on_host: Callable[[np.ndarray], np.ndarray] | None  # for each picture; None: nothing
    size: tuple[int, int]  # (H, W) of the pictures that go to the device
    dtype: np.dtype  # of them
    on_device: Preparation  # the rest


def split(preparation: Preparation, image_size: tuple[int, int] | None) -> Split:
    """Pictures of one size (H, W) are prepared on the device; pictures of many (None) are brought to one before."""
    if image_size is not None:
        return Split(None, image_size, np.dtype(np.uint8), preparation)
    side = preparation.side
    return Split(preparation.on_host, (side, side), preparation.host_dtype, preparation.cropped())
