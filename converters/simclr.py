"""SimCLRv2's weights: Google's TensorFlow checkpoints, and what Separius' converter makes of them for PyTorch.

Files of Google hold two networks: ``base_model``, which is what their own export takes, and below ``ema_model`` its
moving average; the first is taken unless ``--take`` says otherwise. A supervised head sits on the pooled features, and
after fine-tuning with 1 % or 10 % of the labels on ``nl_0``; the file does not say which.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np

from bias_jax.errors import InputError
from bias_jax.networks import Variant
from bias_jax.networks.simclr import NL_0, POOL, PROJECTIONS
from converters.contents import is_kind, shape_of
from converters.names import to_torch_shape
from converters.naming import Complete, Family, Option, Shape
from converters.simclr_names import Path, parameters
from converters.simclr_published import PUBLISHED
from converters.torchvision import to_flax_layout

HEAD = "supervised-head"  # the option that says where it sits
# Files of Google; both state dicts of Separius' converter, or that of the network alone.
Kind = Literal["tensorflow", "both state dicts", "one state dict"]


class Array(NamedTuple):
    """One array of a file."""

    name: str  # with dots between its parts
    shape: Shape


@dataclass(frozen=True)
class SimclrNaming:
    """One kind of file, of one network."""

    network: str
    kind: Kind
    place: str  # where the supervised head sits, `POOL` or `NL_0`

    @property
    def separator(self) -> str:
        return "/" if self.kind == "tensorflow" else "."

    @property
    def shapes(self) -> Mapping[str, Shape]:
        return _shapes(self.network, self.kind, heads=True)

    @property
    def body(self) -> Mapping[str, Shape]:
        return _shapes(self.network, self.kind, heads=False)

    def training_only(self, name: str) -> bool:
        return name.endswith(".Momentum" if self.kind == "tensorflow" else ".num_batches_tracked")

    def preferred(self, prefixes: Sequence[str]) -> str | None:
        """The network itself, not its moving average."""
        plain = [prefix for prefix in prefixes if "ema_model" not in prefix.split(".")]
        return plain[0] if len(plain) == 1 and self.kind == "tensorflow" else None

    def complete(self, arrays: Mapping[str, Any]) -> Complete:
        """Separius' converter gives the last batch norm a bias of zeros, which the network has not."""
        found, said = dict(arrays), []
        spare = found.get(name := f"head.layers.{3 * PROJECTIONS - 2}.bias")
        if self.kind == "both state dicts" and spare is not None and is_kind(spare, np.floating) \
                and not np.any(np.asarray(spare)):  # fmt: skip
            del found[name]
            said.append(f"{name} is not part of the network, and zero: left out")
        heads = {"head_contrastive": "projection head", "head_supervised": "supervised head"}
        for path, array in self._arrays.items():
            if array.name in found:
                heads.pop(path[0], None)
        if heads:
            said.append(f"the file holds no {' and no '.join(heads.values())} of this network")
        return Complete(found, (), said)

    def variant(self, arrays: Mapping[str, Any]) -> Variant:
        contrastive = any(a.name in arrays for path, a in self._arrays.items() if path[0] == "head_contrastive")
        classes = 0
        for leaf in ("kernel", "bias"):  # of either: if one lacks, it is told as missing
            key = self._arrays["head_supervised", leaf].name
            shape = shape_of(arrays.get(key))
            if key in arrays and (not shape or 0 in shape):
                raise InputError(f"{key} says no number of classes", remedy=FAMILY.source)
            if key in arrays:
                classes = shape[-1] if self.kind == "tensorflow" else shape[0]
        on_nl_0 = self.place == NL_0
        if on_nl_0 and not (classes and contrastive):
            problem = f"a supervised head on {NL_0} needs a supervised and a projection head, which are not both there"
            raise InputError(problem, remedy=f"leave out --{HEAD}")
        return {
            "classes": classes,
            "classes_on_nl_0": int(on_nl_0),
            "projections": PROJECTIONS if contrastive else 0,
        }

    def key(self, path: tuple) -> str:
        return self._arrays[_short(path)].name

    def to_flax(self, path: tuple, array: np.ndarray) -> np.ndarray:
        of_torch = self.kind != "tensorflow" and path[-1].key == "kernel"
        return to_flax_layout(array) if of_torch and array.ndim == len(self._arrays[_short(path)].shape) else array

    def file_shape(self, path: tuple, shape: Shape) -> Shape:
        return shape if self.kind == "tensorflow" else to_torch_shape(shape)

    @property
    def _arrays(self) -> Mapping[Path, Array]:
        return _arrays(self.network, self.kind)


def _short(path: tuple) -> Path:
    """Of a path in our tree; wherever the supervised head sits, files have one name for it."""
    first, *rest = (str(entry.key) for entry in path)
    return (first, rest[-1]) if first == "head_supervised" else (first, *rest)


@cache
def _shapes(network: str, kind: Kind, *, heads: bool) -> dict[str, Shape]:
    arrays = _arrays(network, kind).items()
    return {array.name: array.shape for path, array in arrays if heads or not path[0].startswith("head_")}


@cache
def _arrays(network: str, kind: Kind) -> dict[Path, Array]:
    """Path of our parameter -> the array of the file."""
    if kind == "tensorflow":
        return {p.path: Array(p.tensorflow, p.shape) for p in parameters(network)}
    found = {p.path: Array(p.torch, to_torch_shape(p.shape)) for p in parameters(network)}
    if kind == "both state dicts":
        return found
    inner = ((path, array) for path, array in found.items() if array.name.startswith("resnet."))
    return {path: Array(array.name.removeprefix("resnet."), array.shape) for path, array in inner}


def _namings(network: str, options: Mapping[str, str]) -> list[SimclrNaming]:
    kinds: tuple[Kind, ...] = ("tensorflow", "both state dicts", "one state dict")
    return [SimclrNaming(network, kind, options[HEAD]) for kind in kinds]


FAMILY = Family(
    namings=_namings,
    published=PUBLISHED,
    options=(Option(HEAD, (POOL, NL_0), "the layer that the supervised head sits on"),),
    source="use SimCLRv2's checkpoints of TensorFlow 1 or their conversion to PyTorch, of the depth, width and kernels "
    "that the network's name says",
)
