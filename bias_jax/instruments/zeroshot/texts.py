"""Embeddings of texts, computed by `python -m experiments.texts` or anywhere: a file of text -> [D]."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bias_jax.data.parquet_files import ParquetFile
from bias_jax.errors import InputError, counted
from bias_jax.features import as_float32, open_features
from bias_jax.features.columns import column_texts
from bias_jax.instruments.zeroshot.prompts import PromptFamily

TEXT = "text"  # column of a parquet file that says what was embedded
FORMS = "give a .npz with one array [D] for each text, or a .parquet with a column text and a column of lists"


def read_texts(file: str | Path, families: Sequence[PromptFamily]) -> list[np.ndarray]:
    """Embeddings of the texts of every family, float32 [P, M, D] of length 1.

    Args:
        file: `.npz`, text -> [D]; or `.parquet`, a column ``text`` and one column of lists.
        families: of prompts P in templates M.

    Raises:
        InputError: it cannot be read, lacks a text, or holds something without a direction.
    """
    found = _of_parquet(file) if Path(file).suffix == ".parquet" else _of_npz(file)
    wanted = [text for family in families for texts in family.texts for text in texts]
    if missing := [text for text in wanted if text not in found]:
        others = len(set(missing)) - 1
        also = f", nor of {counted(others, 'other text', 'other texts')} of the prompts" if others else ""
        problem = f"has no embedding of {missing[0]!r}{also}"
        raise InputError(problem, file=file, remedy="compute them again: python -m experiments.texts")
    first = found[wanted[0]]
    for text in wanted:
        one = found[text]
        if one.ndim != 1 or one.shape != first.shape or not np.isfinite(one).all() or not np.any(one):
            problem = f"the embedding of {text!r} is no direction in {first.shape} numbers"
            raise InputError(problem, file=file, remedy="compute it again")
    arrays = [np.array([[found[text] for text in texts] for texts in family.texts], np.float64) for family in families]
    return [(array / np.linalg.norm(array, axis=-1, keepdims=True)).astype(np.float32) for array in arrays]


def _of_npz(file: str | Path) -> dict[str, np.ndarray]:
    try:
        with np.load(file, allow_pickle=False) as stored:
            return {name: np.asarray(stored[name], np.float32) for name in stored.files}
    except Exception as error:  # NumPy and zipfile raise many kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"cannot be read ({reason})", file=file, remedy=FORMS) from None


def _of_parquet(file: str | Path) -> dict[str, np.ndarray]:
    opened = ParquetFile(Path(file))
    if TEXT not in opened.names:
        raise InputError(f"has no column {TEXT!r}", file=file, remedy=FORMS)
    features = open_features(file, labels=(TEXT,))
    if len(features.layers) != 1:
        raise InputError(f"has {len(features.layers)} columns of embeddings", file=file, remedy=FORMS)
    (values,) = features.layers.values()
    rows = [as_float32(block) for _, block in values.blocks(len(features), np.ones(1, bool))]
    return dict(zip(column_texts([opened], TEXT), np.concatenate(rows), strict=True))
