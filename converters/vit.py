"""Vision transformers: torchvision's, timm's, OpenAI's and OpenCLIP's, and transformers' files."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import jax
import numpy as np
from flax import nnx

from bias_jax.errors import InputError
from bias_jax.networks import Variant
from bias_jax.networks.vit import Architecture, ViT
from bias_jax.networks.vit_family import ROWS, Row
from bias_jax.networks.vit_random import Style
from converters.contents import NoNumbers, is_kind, shape_of
from converters.naming import Complete, Family, Shape
from converters.torchvision import to_flax_layout
from converters.vit_names import (
    CLIP,
    CLIP_WHOLE,
    OPENAI,
    OPENAI_WHOLE,
    TIMM,
    TORCHVISION,
    Dialect,
    Path,
    Source,
    own_part,
)
from converters.vit_published import PUBLISHED

SOURCE = "use weights of the network of this name from torchvision, timm, transformers, OpenAI or OpenCLIP"
LEGACY = re.compile(r"(.*\.mlp)\.linear_([12])\.(weight|bias)")  # torchvision's perceptrons in its published files
DIALECTS: dict[Style, tuple[Dialect, ...]] = {
    "torchvision": (TORCHVISION,),
    "timm": (TIMM,),
    "clip": (TIMM, OPENAI_WHOLE, OPENAI, CLIP_WHOLE, CLIP),
    "siglip": (TIMM, CLIP_WHOLE, CLIP),
}


def _path(path: tuple) -> Path:
    return tuple(str(entry.key) for entry in path)


@cache
def _shapes(architecture: Architecture, classes: int, projection: int) -> dict[Path, Shape]:
    """Of every parameter, also of both of a head that the network may lack; blocks are alike, so one is looked at."""
    variant = {"classes": classes or int(not projection), "projection": projection, "grid": architecture.grid}
    one = replace(architecture, blocks=replace(architecture.blocks, count=1))
    leaves = jax.tree_util.tree_leaves_with_path(nnx.to_pure_dict(nnx.state(nnx.eval_shape(lambda: ViT(one, variant)))))
    found = {_path(path): leaf.shape for path, leaf in leaves}
    found.setdefault(("head", "bias"), found["head", "kernel"][-1:])
    block = {path[2:]: found.pop(path) for path in list(found) if path[0] == "blocks"}
    numbers = map(str, range(architecture.blocks.count))
    return {**found, **{("blocks", i, *path): shape for i in numbers for path, shape in block.items()}}


@cache
def _sources(architecture: Architecture, classes: int, projection: int, dialect: Dialect) -> dict[Path, Source]:
    shapes = _shapes(architecture, classes, projection)
    return {path: dialect.source(path, shape) for path, shape in shapes.items()}


@dataclass(frozen=True)
class ViTNaming:
    """One network's arrays in files of one framework."""

    row: Row
    dialect: Dialect
    separator: str = "."

    @property
    def _sources(self) -> Mapping[Path, Source]:
        return _sources(self.row.architecture, self.row.classes, self.row.projection, self.dialect)

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        return {source.name: source.shape for source in self._sources.values()}

    @cached_property
    def body(self) -> Mapping[str, Shape]:
        """Without the positions, which are as many as the pictures are large, and the head."""
        without = ("pos_embed", "head")
        return {source.name: source.shape for path, source in self._sources.items() if path[0] not in without}

    def training_only(self, name: str) -> bool:
        return re.match(self.dialect.others, name) is not None

    def preferred(self, prefixes: Sequence[str]) -> str | None:
        return None

    def complete(self, arrays: Mapping[str, Any]) -> Complete:
        """Older names, DINOv2's own registers, and heads that have a bias too much or too little."""
        found, said = dict(arrays), []
        if self.dialect is TORCHVISION:
            for old in [name for name in found if LEGACY.fullmatch(name)]:
                module, number, leaf = LEGACY.fullmatch(old).groups()  # type: ignore[union-attr]
                found.setdefault(f"{module}.{3 * (int(number) - 1)}.{leaf}", found.pop(old))
        if self.dialect is TIMM and self.row.architecture.registers:
            found = _registers(found)
        weight, bias = self._name("head", "kernel"), self._name("head", "bias")
        head, outputs = weight.removesuffix(".weight"), shape_of(found.get(weight))
        projects = bool(self.row.projection)
        if weight not in found and bias not in found:
            said.append(f"the file holds no {head}: a network without output")
        elif projects and bias in found and is_kind(found[bias], np.floating) and not np.any(np.asarray(found[bias])):
            del found[bias]
            said.append(f"{bias} is zero, so {head} is a projection and no classifier")
        elif not projects and bias not in found and len(outputs) == 2:
            found[bias] = np.zeros(outputs[0], np.float32)
            said.append(f"{head} has no bias: zeros")
        return Complete(found, (), said)

    def variant(self, arrays: Mapping[str, Any]) -> Variant:
        weight, bias = self._name("head", "kernel"), self._name("head", "bias")
        outputs = 0
        if weight in arrays or bias in arrays:
            shape = shape_of(arrays.get(weight, arrays.get(bias)))
            if not shape or 0 in shape:
                raise InputError(f"{weight} says no number of outputs", remedy=SOURCE)
            outputs = shape[-1] if self._sources["head", "kernel"].as_is else shape[0]
        classes = outputs if bias in arrays else 0
        return {"classes": classes, "projection": outputs - classes, "grid": self._grid(arrays)}

    def _grid(self, arrays: Mapping[str, Any]) -> int:
        """Patches a side for which the file has positions; where it says nothing, the usual ones, which then lack."""
        usual = self.row.architecture.grid
        shape = shape_of(arrays.get(name := self._name("pos_embed")))
        if len(shape) != len(self._sources["pos_embed",].shape):
            return usual
        patches = shape[-2] - self.row.architecture.learnt
        grid = round(max(patches, 0) ** 0.5)
        if grid < 1 or grid**2 != patches:
            raise InputError(f"{name} of shape {shape} holds no square of positions", remedy=SOURCE)
        return grid

    def _name(self, *path: str) -> str:
        return self._sources[path].name

    def key(self, path: tuple) -> str:
        return self._name(*_path(path))

    def to_flax(self, path: tuple, array: np.ndarray) -> np.ndarray:
        source = self._sources[_path(path)]
        if array.ndim != len(source.shape):
            return array
        leaf = path[-1].key
        if leaf in ("cls_token", "reg_token", "pos_embed", "latent"):
            whole = array.shape[-1:] if leaf in ("cls_token", "latent") else array.shape[-2:]
            return array.reshape(whole) if array.size == np.prod(whole) else array
        if source.parts > 1 and array.shape != source.shape:
            return array
        array = own_part(source, array)
        return array if leaf != "kernel" or source.as_is else to_flax_layout(array)

    def file_shape(self, path: tuple, shape: Shape) -> Shape:
        return self.dialect.source(_path(path), shape).shape


def _registers(arrays: dict[str, Any]) -> dict[str, Any]:
    """Meta's DINOv2 with registers gives the class token a position; timm has added it to the token."""
    needed = [arrays.get(name) for name in ("register_tokens", "cls_token", "pos_embed")]
    if any(one is None or isinstance(one, NoNumbers) or len(shape_of(one)) != 3 for one in needed):
        return arrays
    registers, token, positions = (np.asarray(one) for one in needed)
    if token.shape != (1, 1, positions.shape[2]):
        return arrays
    rest = {name: array for name, array in arrays.items() if name != "register_tokens"}
    return {**rest, "reg_token": registers, "cls_token": token + positions[:, :1], "pos_embed": positions[:, 1:]}


def namings(name: str, options: Mapping[str, str]) -> list[ViTNaming]:
    """Of one network."""
    return [ViTNaming(ROWS[name], dialect) for dialect in DIALECTS[ROWS[name].style]]


FAMILY = Family(namings=namings, published=PUBLISHED, source=SOURCE)
