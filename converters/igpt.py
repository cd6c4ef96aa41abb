"""iGPT's weights by the names of OpenAI's checkpoints or of transformers'.

Both are read by name, never by order: OpenAI's code makes keys before queries, transformers' matrix has queries first.
OpenAI's projections are [heads, channels, in], but the last one of attention [heads, channels, out]; all other
matrices, and all of transformers', are [in, out], like ours.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bias_jax.errors import InputError
from bias_jax.networks import Variant
from bias_jax.networks.igpt import SIZES, Size
from bias_jax.networks.tokens import Tokens
from converters.contents import NoNumbers, shape_of
from converters.entries import PublishedWeights
from converters.naming import Complete, Family, Option, Shape

# What OpenAI's optimizer leaves in a checkpoint lies beside the weights, under names that hold theirs.
SLOTS = re.compile(r"(?i)adam|momentum|(^|\.)(global_step|beta\d_power)(\.|$)")
# Masks in old files of transformers, known by their whole names: that of a bias ends alike.
MASKS = re.compile(r"(transformer\.)?h\.\d+\.attn\.(bias|masked_bias)")
SOURCE = "use weights of OpenAI's iGPT, or of transformers' ImageGPTForCausalImageModeling, of this very size"
NORM = Option("norm", ("rms", "variance"), "what the norms divide by: rms, as in the published network, or variance, "
              "as in the published association tests")  # fmt: skip


def _path(path: tuple) -> tuple[str, ...]:
    return tuple(str(entry.key) for entry in path)


@dataclass(frozen=True)
class _Naming:
    """What both have in common."""

    size: Size
    norm: str  # a choice of `NORM`

    @property
    def body(self) -> Mapping[str, Shape]:
        return {name: shape for name, shape in self.shapes.items() if name not in ("wtet", "lm_head.weight")}

    @property
    def shapes(self) -> Mapping[str, Shape]:
        raise NotImplementedError

    def preferred(self, prefixes: Sequence[str]) -> str | None:
        return None

    def _variant(self, head: bool) -> Variant:
        return {"classes": 0, "variance": int(self.norm == "variance"), "head": int(head)}


@dataclass(frozen=True)
class OpenAINaming(_Naming):
    """Variables of OpenAI's checkpoints."""

    separator: str = "/"

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        size = self.size
        d, projection = size.width, (size.heads, size.width // size.heads, size.width)
        found: dict[str, Shape] = {"wpe": (size.context, d), "wte": (size.colours, d), "sos": (d,), "ln_f.g": (d,)}
        for i in range(size.blocks):
            found |= {f"h{i}.ln_1.g": (d,), f"h{i}.ln_2.g": (d,)}
            found |= {f"h{i}.attn.{which}_proj": projection for which in "qkvc"}
            found |= {f"h{i}.mlp.c_fc.w": (d, 4 * d), f"h{i}.mlp.c_proj.w": (4 * d, d)}
        return found | {"wtet": (size.colours, d)}

    def training_only(self, name: str) -> bool:
        return SLOTS.search(name) is not None

    def preferred(self, prefixes: Sequence[str]) -> str | None:
        """Not what an optimizer keeps of each weight."""
        own = [prefix for prefix in prefixes if not SLOTS.search(prefix)]
        return own[0] if len(own) == 1 else None

    def complete(self, arrays: Mapping[str, Any]) -> Complete:
        """Without the axis of length 1 that some files have in front of matrices."""
        return Complete({name: self._without_axis(name, array) for name, array in arrays.items()}, (), [])

    def _without_axis(self, name: str, array: Any) -> Any:
        extra = name in self.shapes and shape_of(array) == (1, *self.shapes[name])
        return np.asarray(array)[0] if extra and not isinstance(array, NoNumbers) else array

    def variant(self, arrays: Mapping[str, Any]) -> Variant:
        return self._variant(head=True)

    def key(self, path: tuple) -> str:
        names = _path(path)
        if names[0] == "ln_f":
            return "ln_f.g"
        if names[0] != "h":
            return names[0]
        _, block, *inner = names
        ending = {"ln": ".g", "c_fc": ".w", "c_proj": ".w" if inner[0] == "mlp" else ""}
        return f"h{block}.{'.'.join(inner)}{ending.get('ln' if inner[-1].startswith('ln') else inner[-1], '')}"

    def to_flax(self, path: tuple, array: np.ndarray) -> np.ndarray:
        if array.shape != self.shapes[self.key(path)] or array.ndim != 3:
            return array
        flat = array.reshape(self.size.width, self.size.width)
        return flat if _path(path)[-1] == "c_proj" else flat.T

    def file_shape(self, path: tuple, shape: Shape) -> Shape:
        return self.shapes[self.key(path)]


@dataclass(frozen=True)
class TransformersNaming(_Naming):
    """State dicts of transformers' ImageGPTForCausalImageModeling, and of the bare ImageGPTModel in it."""

    separator: str = "."
    bare: bool = False

    @property
    def start(self) -> str:
        """What stands before the names of the bare model."""
        return "" if self.bare else "transformer."

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        size, d = self.size, self.size.width
        found: dict[str, Shape] = {"wte.weight": (size.colours + 1, d), "wpe.weight": (size.context, d)}
        for i in range(size.blocks):
            found |= {f"h.{i}.ln_1.weight": (d,), f"h.{i}.ln_2.weight": (d,)}
            for name, shape in _MATRICES(d).items():
                found |= {f"h.{i}.{name}.weight": shape, f"h.{i}.{name}.bias": shape[1:]}
        found = {self.start + name: shape for name, shape in {**found, "ln_f.weight": (d,)}.items()}
        return found if self.bare else found | {"lm_head.weight": (size.colours, d)}

    def training_only(self, name: str) -> bool:
        return MASKS.fullmatch(name) is not None

    def complete(self, arrays: Mapping[str, Any]) -> Complete:
        """Without the biases, which the published network has not: in its files they hold zeros.

        Raises:
            InputError: they do not, or one is not there.
        """
        found = dict(arrays)
        for name, shape in self.shapes.items():
            if not name.endswith(".bias"):
                continue
            bias = found.pop(name, None)
            if shape_of(bias) != shape or isinstance(bias, NoNumbers):
                raise InputError(f"does not fit: {name} is missing, or not of shape {shape}", remedy=SOURCE)
            if np.asarray(bias).any():
                problem = f"does not fit: {name} is not zero, and iGPT as published has no biases"
                raise InputError(problem, remedy="use weights that were not fine-tuned with biases")
        return Complete(found, (), [])

    def variant(self, arrays: Mapping[str, Any]) -> Variant:
        return self._variant(head="lm_head.weight" in arrays)

    def key(self, path: tuple) -> str:
        names = _path(path)
        if names[0] == "wtet":
            return "lm_head.weight"
        if names[0] == "ln_f":
            return f"{self.start}ln_f.weight"
        if names[0] != "h":
            return f"{self.start}{'wte' if names[0] == 'sos' else names[0]}.weight"
        joint = names[-1] in ("q_proj", "k_proj", "v_proj")
        return f"{self.start}{'.'.join((*names[:-1], 'c_attn') if joint else names)}.weight"

    def to_flax(self, path: tuple, array: np.ndarray) -> np.ndarray:
        leaf, d = _path(path)[-1], self.size.width
        if array.shape != self.shapes[self.key(path)]:
            return array
        if leaf in ("wte", "sos"):  # the start token is the last row
            return array[:-1] if leaf == "wte" else array[-1]
        place = ("q_proj", "k_proj", "v_proj").index(leaf) if leaf[:2] in ("q_", "k_", "v_") else None
        return array if place is None else array[:, place * d : (place + 1) * d]

    def file_shape(self, path: tuple, shape: Shape) -> Shape:
        return self.shapes[self.key(path)]


def _MATRICES(d: int) -> dict[str, Shape]:
    return {"attn.c_attn": (d, 3 * d), "attn.c_proj": (d, d), "mlp.c_fc": (d, 4 * d), "mlp.c_proj": (4 * d, d)}


_HUB = "https://huggingface.co/openai/imagegpt-"
# transformers' copies of the last of OpenAI's checkpoints, which carry no hashes; of the largest none is known either.
_PUBLISHED = tuple(
    PublishedWeights(name, f"imagegpt-{size}", f"{_HUB}{size}/resolve/{revision}/pytorch_model.bin", mebibytes, None,
                     Tokens(), sha256=sha256)
    for name, size, revision, mebibytes, sha256 in (
        ("igpt_s", "small", "10c8a8402cf80c0eaaf31fb5bc86012b34169481", 317,
         "b39d66baa773d7f915d7657dd25fed06ba38c7c7af52fbef0d23c3db6b65a3fe"),
        ("igpt_m", "medium", "d0416c58f900f4bf3b3bd089c835a518478139c1", 1774,
         "2af4608a7220303e16defa191077e1f926419f4044a992b4a2bb6df655a556ad"),
        ("igpt_l", "large", "c5e5de2c60e37a19b59730830a7dff526014b068", None, ""),
    )
)  # fmt: skip


def family(sizes: Mapping[str, Size], published: tuple[PublishedWeights, ...] = ()) -> Family:
    """Conversion of networks of these sizes."""
    return Family(
        namings=lambda name, options: (
            OpenAINaming(sizes[name], options["norm"]),
            TransformersNaming(sizes[name], options["norm"]),
            TransformersNaming(sizes[name], options["norm"], bare=True),
        ),
        published=published,
        options=(NORM,),
        source=SOURCE,
    )


FAMILY = family(SIZES, _PUBLISHED)
