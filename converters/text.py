"""Text towers, from the very files that hold the image towers: OpenAI's and OpenCLIP's, and transformers'."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bias_jax.errors import InputError
from bias_jax.networks import Params, Variant
from bias_jax.networks.text import TextSizes, abstract_text_params
from bias_jax.networks.text_family import TextRow, text_row
from converters.contents import shape_of
from converters.fitting import fit
from converters.formats import file_format
from converters.naming import Complete, Family, Shape
from converters.recognition import recognise
from converters.sources import read_content
from converters.torchvision import to_flax_layout
from converters.vit_names import CLIP, OPENAI, Dialect, Source, own_part

TreePath = tuple[str, ...]

log = logging.getLogger("bias_jax.converters")
SOURCE = "use a whole model, with its text tower, from OpenAI, OpenCLIP or transformers"
OPENAI_TEXT = replace(
    OPENAI,
    outer={"token_embed": "token_embedding.weight", "pos_embed": "positional_embedding", "norm": "ln_final",
           "head.weight": "text_projection"},
    others=r"visual\.|(logit_scale|logit_bias|input_resolution|context_length|vocab_size)$",
)  # fmt: skip
CLIP_TEXT = replace(
    CLIP,
    start="text_model.",
    outer={"token_embed": "embeddings.token_embedding.weight", "pos_embed": "embeddings.position_embedding.weight",
           "norm": "final_layer_norm"},
    beside={"head.weight": "text_projection.weight"},
    others=r"(vision_model|visual_projection)\.|(logit_scale|logit_bias)$|.*position_ids$",
)  # fmt: skip
SIGLIP_TEXT = replace(CLIP_TEXT, beside={})


@dataclass(frozen=True)
class TextNaming:
    """One tower's arrays in files of one framework."""

    row: TextRow
    dialect: Dialect
    separator: str = "."

    @cached_property
    def _sources(self) -> Mapping[TreePath, Source]:
        leaves = jax.tree_util.tree_leaves_with_path(abstract_text_params(*self.row))
        return {_path(path): self.dialect.source(_path(path), leaf.shape) for path, leaf in leaves}

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        return {source.name: source.shape for source in self._sources.values()}

    @cached_property
    def body(self) -> Mapping[str, Shape]:
        """Without what differs from file to file: the vocabulary, the positions, the projection."""
        without = ("token_embed", "pos_embed", "head")
        return {source.name: source.shape for path, source in self._sources.items() if path[0] not in without}

    def training_only(self, name: str) -> bool:
        return re.match(self.dialect.others, name) is not None

    def preferred(self, prefixes: Sequence[str]) -> str | None:
        return None

    def complete(self, arrays: Mapping[str, Any]) -> Complete:
        return Complete(dict(arrays), (), [])

    def sizes(self, arrays: Mapping[str, Any]) -> TextSizes:
        """What the arrays say; where one is not there or no matrix, the usual, so that it is missed by its name."""
        found = []
        for path, axis, usual in (
            (("token_embed",), 0, self.row.sizes.vocabulary),
            (("pos_embed",), 0, self.row.sizes.context),
            (("head", "kernel"), 1 if self._sources["head", "kernel"].as_is else 0, self.row.sizes.projection),
        ):
            shape = shape_of(arrays.get(self._sources[path].name))
            found.append(shape[axis] if len(shape) == 2 and 0 not in shape else usual)
        return TextSizes(*found)

    def variant(self, arrays: Mapping[str, Any]) -> Variant:
        return self.sizes(arrays)._asdict()

    def key(self, path: tuple) -> str:
        return self._sources[_path(path)].name

    def to_flax(self, path: tuple, array: np.ndarray) -> np.ndarray:
        source = self._sources[_path(path)]
        if array.ndim != len(source.shape):
            return array
        array = own_part(source, array)
        return array if path[-1].key != "kernel" or source.as_is else to_flax_layout(array)

    def file_shape(self, path: tuple, shape: Shape) -> Shape:
        return self.dialect.source(_path(path), shape).shape


def _path(path: tuple) -> TreePath:
    return tuple(str(entry.key) for entry in path)


def text_family(name: str, row: TextRow | None = None) -> Family:
    """The conversion of the text tower of a network; `row` stands for another size of it.

    Raises:
        InputError: it has none.
    """
    own = row or text_row(name)
    dialects = (SIGLIP_TEXT,) if name.startswith("siglip") else (OPENAI_TEXT, CLIP_TEXT)
    return Family(namings=lambda _, options: [TextNaming(own, dialect) for dialect in dialects], source=SOURCE)


def convert_text(
    name: str, content: Mapping[str, Any], *, row: TextRow | None = None, take: str | None = None
) -> tuple[Params, tuple[str, ...]]:
    """Parameters of the text tower of a network from what a file of both towers holds; and what was done for it.

    Args:
        name: of the network.
        content: the arrays by the names of OpenAI, OpenCLIP or transformers, possibly under a prefix.
        row: another size of it.
        take: which of several networks, see `recognition.recognise`.

    Raises:
        InputError: all faults.
    """
    own, family = row or text_row(name), text_family(name, row)
    title = f"the text tower of {name}"
    found = recognise(title, content, take=take, family=family)

    def abstract(_: str, variant: Variant) -> dict[str, Any]:
        return abstract_text_params(own.architecture, TextSizes(**variant))

    params, odd = fit(title, found, abstract=abstract)
    return params, found.changes + odd


def read_text_tower(name: str, source: Path, take: str | None = None) -> Params:
    """Of a weights file; what was done is logged.

    Raises:
        InputError: it cannot be read, or does not fit.
    """
    file_format(source)
    try:
        params, changes = convert_text(name, read_content(source), take=take)
    except InputError as error:
        raise InputError(str(error), file=None if str(source) in str(error) else source) from None
    for change in changes:
        log.info(change)
    return params
