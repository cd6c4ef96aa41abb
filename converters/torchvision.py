"""torchvision's networks, also as timm names their arrays."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bias_jax.errors import InputError
from bias_jax.networks import Variant, vgg
from converters.classifier import complete
from converters.contents import shape_of
from converters.names import (
    MARKS,
    TIMM_NAMES,
    body,
    head_layers,
    shapes,
    source_key,
    to_torch_shape,
    torchvision_names,
    training_only,
)
from converters.naming import Complete, Family, Shape
from converters.torchvision_published import PUBLISHED

# Linear layers behind a flattened grid of (channels, rows, columns); ours has the channels last.
FLATTENED = {(name, "classifier.0.weight"): (512, 7, 7) for name in vgg.NETWORKS}
THIS_NETWORK = "use weights of torchvision's or timm's network of this very name"


@dataclass(frozen=True)
class TorchvisionNaming:
    """State dicts of torchvision, and timm's copies of them."""

    network: str
    separator: str = "."

    @property
    def shapes(self) -> Mapping[str, Shape]:
        return shapes(self.network)

    @property
    def body(self) -> Mapping[str, Shape]:
        return body(self.network)

    def training_only(self, name: str) -> bool:
        return training_only(self.network, name)

    def preferred(self, prefixes: Sequence[str]) -> None:
        return None

    def complete(self, arrays: Mapping[str, Any]) -> Complete:
        """torchvision's names for timm's, and for classifiers of other forms."""
        found, said = torchvision_names(self.network, arrays), []
        timm = TIMM_NAMES.get(self.network, {})
        if renamed := [old for old in timm if f"{old}.weight" in arrays and f"{old}.weight" not in found]:
            said.append(f"{', '.join(renamed)} taken for {', '.join(timm[old] for old in renamed)}, as timm names them")
        found, missing, also = complete(self.network, found)
        return Complete(found, missing, said + also)

    def variant(self, arrays: Mapping[str, Any]) -> Variant:
        last = f"{head_layers(self.network)[-1]}.bias"
        shape = shape_of(arrays.get(last))
        if len(shape) != 1 or shape[0] == 0:
            problem = f"no {last!r} with a number per class among {len(arrays)} arrays"
            raise InputError(problem, remedy=THIS_NETWORK)
        return {"classes": shape[0]}

    def key(self, path: tuple) -> str:
        return source_key(path)

    def to_flax(self, path: tuple, array: np.ndarray) -> np.ndarray:
        key = source_key(path)
        if path[-1].key in ("kernel", "layer_scale") and array.ndim == len(self.shapes[key]):
            return to_flax_layout(array, FLATTENED.get((self.network, key)))
        return array

    def file_shape(self, path: tuple, shape: Shape) -> Shape:
        return to_torch_shape(shape)


def to_flax_layout(kernel: np.ndarray, flattened: tuple[int, int, int] | None = None) -> np.ndarray:
    """Convolution kernels (O, I, h, w) -> (h, w, I, O); of all others the axes are reversed, (out, in) -> (in, out).

    Args:
        kernel: torch's array.
        flattened: (channels, rows, columns) of the grid that torch flattens in this order before a linear layer; the
            result takes it with the channels running fastest.
    """
    if flattened is not None and kernel.shape[1:] == (math.prod(flattened),):
        return kernel.reshape(len(kernel), *flattened).transpose(2, 3, 1, 0).reshape(kernel.shape[::-1])
    return kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel.T


FAMILY = Family(
    namings=lambda name, options: (TorchvisionNaming(name),), published=PUBLISHED, source=THIS_NETWORK, marks=MARKS
)
