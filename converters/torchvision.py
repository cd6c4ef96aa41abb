"""torchvision's networks, also as timm names their arrays."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bias_jax.errors import InputError
from bias_jax.networks import Transform, Variant
from converters.classifier import complete
from converters.contents import shape_of
from converters.entries import PublishedWeights
from converters.names import (
    TIMM_NAMES,
    body,
    linear_layers,
    shapes,
    source_key,
    to_torch_shape,
    torchvision_names,
    training_only,
)
from converters.naming import Complete, Family, Shape

# Linear layers behind a flattened grid of (channels, rows, columns); ours has the channels last.
FLATTENED = {("vgg16", "classifier.0.weight"): (512, 7, 7)}
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
        last = f"{linear_layers(self.network)[-1]}.bias"
        shape = shape_of(arrays.get(last))
        if len(shape) != 1 or shape[0] == 0:
            problem = f"no {last!r} with a number per class among {len(arrays)} arrays"
            raise InputError(problem, remedy=THIS_NETWORK)
        return {"classes": shape[0]}

    def key(self, path: tuple) -> str:
        return source_key(path)

    def to_flax(self, path: tuple, array: np.ndarray) -> np.ndarray:
        key = source_key(path)
        if path[-1].key == "kernel" and array.ndim == len(self.shapes[key]):
            return to_flax_layout(array, FLATTENED.get((self.network, key)))
        return array

    def file_shape(self, path: tuple, shape: Shape) -> Shape:
        return to_torch_shape(shape)


def to_flax_layout(kernel: np.ndarray, flattened: tuple[int, int, int] | None = None) -> np.ndarray:
    """Convolution kernels (O, I, h, w) -> (h, w, I, O); linear ones (out, in) -> (in, out).

    Args:
        kernel: torch's array.
        flattened: (channels, rows, columns) of the grid that torch flattens in this order before a linear layer; the
            result takes it with the channels running fastest.
    """
    if flattened is not None and kernel.shape[1:] == (math.prod(flattened),):
        return kernel.reshape(len(kernel), *flattened).transpose(2, 3, 1, 0).reshape(kernel.shape[::-1])
    return kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel.T


_VGG16 = PublishedWeights(
    "vgg16", "IMAGENET1K_V1", "vgg16-397923af.pth", 527.796, (71.592, 90.382), Transform(256, 224)
)
_VGG16_FEATURES = PublishedWeights(
    "vgg16", "IMAGENET1K_FEATURES", "vgg16_features-amdegroot-88682ab5.pth", 527.802, None,
    Transform(256, 224, (0.48235, 0.45882, 0.40784), (1 / 255, 1 / 255, 1 / 255)), invalid="classifier.",
)  # fmt: skip
_RESNET50 = PublishedWeights(
    "resnet50", "IMAGENET1K_V1", "resnet50-0676ba61.pth", 97.781, (76.130, 92.862), Transform(256, 224)
)
_RESNET50_V2 = PublishedWeights(
    "resnet50", "IMAGENET1K_V2", "resnet50-11ad3fa6.pth", 97.790, (80.858, 95.434), Transform(232, 224)
)
_INCEPTION = PublishedWeights(
    "inception_v3", "IMAGENET1K_V1", "inception_v3_google-0cc3c7bd.pth", 103.903, (77.294, 93.450), Transform(342, 299)
)


def _timm(original: PublishedWeights, tag: str, mebibytes: float) -> PublishedWeights:
    # The same weights, so torchvision's transform and the accuracy measured with it. timm evaluates InceptionV3
    # otherwise (bicubic, 341 -> 299, mean and std 0.5), and its networks do not transform their input; ours does.
    return replace(original, name=tag, file=f"timm/{original.network}.{tag}", mebibytes=mebibytes)


_PUBLISHED = (
    _VGG16,
    _VGG16_FEATURES,
    _RESNET50,
    _RESNET50_V2,
    _INCEPTION,
    _timm(_VGG16, "tv_in1k", 527.8),
    _timm(_RESNET50, "tv_in1k", 97.7),
    _timm(_RESNET50_V2, "tv2_in1k", 97.7),
    _timm(_INCEPTION, "tv_in1k", 91.1),
)
FAMILY = Family(namings=lambda name, options: (TorchvisionNaming(name),), published=_PUBLISHED, source=THIS_NETWORK)
