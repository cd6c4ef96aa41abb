"""The text towers, one row each, by the names of the image towers that they were trained with."""

from dataclasses import replace
from typing import NamedTuple

from bias_jax.errors import InputError
from bias_jax.networks.text import TextArchitecture, TextSizes
from bias_jax.networks.transformer import Blocks


class TextRow(NamedTuple):
    """One tower."""

    architecture: TextArchitecture
    sizes: TextSizes  # usual ones; those of weights are told from their arrays


def _clip(width: int, projection: int, *, quick: bool) -> TextRow:
    blocks = Blocks(12, width, width // 64, 1e-5, "quick_gelu" if quick else "gelu", causal=True)
    return TextRow(TextArchitecture(blocks), TextSizes(49_408, 77, projection))


def _siglip(blocks: Blocks) -> TextRow:
    architecture = TextArchitecture(replace(blocks, activation="gelu_tanh"), "last", head_bias=True)
    return TextRow(architecture, TextSizes(32_000, 64, blocks.width))


TEXT_ROWS: dict[str, TextRow] = {
    "clip_b_32": _clip(512, 512, quick=True),
    "clip_b_16": _clip(512, 512, quick=True),
    "clip_l_14": _clip(768, 768, quick=True),
    "openclip_b_32": _clip(512, 512, quick=False),
    "openclip_b_16": _clip(512, 512, quick=False),
    "openclip_l_14": _clip(768, 768, quick=False),
    "siglip_b_16": _siglip(Blocks(12, 768, 12)),
    "siglip_l_16": _siglip(Blocks(24, 1024, 16)),
}


def text_row(name: str) -> TextRow:
    """Look a tower up by the name of its network.

    Raises:
        InputError: this network has none.
    """
    if name not in TEXT_ROWS:
        remedy = f"choose one of {', '.join(TEXT_ROWS)}"
        raise InputError(f"{name!r} has no text tower", remedy=remedy)
    return TEXT_ROWS[name]
