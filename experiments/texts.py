r"""Embed the texts of prompts by the text tower of CLIP or SigLIP, for --zeroshot.texts of a sweep.

    python -m experiments.texts --model clip_b_32 --weights clip-vit-base-patch32/model.safetensors \
        --tokenizer clip-vit-base-patch32/tokenizer.json --prompts prompts.toml --out prompts.parquet

The weights are those from which the image tower was converted: one file holds both. Nothing is fetched.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bias_jax.compilation import use_cache
from bias_jax.errors import InputError
from bias_jax.instruments.zeroshot.prompts import read_prompts, row_of
from bias_jax.instruments.zeroshot.texts import TEXT
from bias_jax.networks import params_digest
from bias_jax.networks.text import embed_tokens, text_sizes
from bias_jax.networks.text_family import text_row
from bias_jax.results import Folder
from converters.text import read_text_tower
from converters.tokenizer import Style, TooLongError, open_tokenizer, tokenize
from experiments.commands import parse, run


@dataclass(frozen=True)
class TextsConfig:
    """What is embedded, and by what."""

    prompts: Path  # TOML file of families of prompts and their templates, see docs/instruments/zeroshot.md
    weights: Path  # file with both towers, as OpenAI, OpenCLIP or transformers saved it
    tokenizer: Path  # its tokenizer.json, or a folder with it or with vocab.json and merges.txt
    out: Path  # .parquet to be written
    model: str = "clip_b_32"  # network whose text tower it is: clip_*, openclip_* or siglip_*
    take: str = ""  # prefix of the network, where a file holds several
    cache: str = ""  # folder for compiled programs (default: ~/.cache/bias-jax/programs), or off


def embed(config: TextsConfig) -> int:
    """Read, embed, write."""
    use_cache(config.cache)
    row = text_row(config.model)
    if config.out.suffix != ".parquet":
        raise InputError("is no .parquet", file=config.out, remedy="name it so")
    families = read_prompts(config.prompts)
    texts = list(dict.fromkeys(text for family in families for own in family.texts for text in own))
    tokenizer = open_tokenizer(config.tokenizer)
    params = read_text_tower(config.model, config.weights, config.take or None)
    sizes = text_sizes(params)
    style: Style = "siglip" if row.architecture.pooling == "last" else "clip"
    try:
        tokens = tokenize(tokenizer, texts, style, sizes.context, sizes.vocabulary)
    except TooLongError as error:
        place = row_of(config.prompts, families, error.text)
        raise InputError(str(error), file=config.prompts, row=place) from None
    except InputError as error:
        raise InputError(str(error), file=config.tokenizer) from None
    embeddings = embed_tokens(row.architecture, params, tokens)
    if not np.isfinite(embeddings).all():
        raise InputError("gives embeddings that are not finite", file=config.weights, remedy="check the weights")
    about = {"model": config.model, "weights": config.weights.name, "params_sha256": params_digest(dict(params))}
    rows = [{TEXT: text, "embedding": e.tolist(), **about} for text, e in zip(texts, embeddings, strict=True)]
    Folder(config.out.parent).save_table(config.out.name, rows)
    print(f"{len(texts)} texts of {len(families)} families, {sizes.projection} numbers each -> {config.out}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    def program() -> int:
        return embed(parse(TextsConfig, argv, "texts", __doc__ or ""))

    return run(program)


if __name__ == "__main__":
    sys.exit(main())
