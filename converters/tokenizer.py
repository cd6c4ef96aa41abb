"""Texts to tokens as CLIP and SigLIP were given them, by the tokenizer file that lies beside the weights.

The library `tokenizers` reads ``tokenizer.json``, or the ``vocab.json`` and ``merges.txt`` of CLIP; nothing is fetched.
What begins, ends and fills up a text is put there here, whatever the file says of it.
"""

import re
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bias_jax.errors import InputError, quoted

Style = Literal["clip", "siglip"]
START, END, SIGLIP_END = "<|startoftext|>", "<|endoftext|>", "</s>"
# Words of CLIP: contractions, letters, single digits, anything else.
WORDS = rf"{re.escape(START)}|{re.escape(END)}|'s|'t|'re|'ve|'m|'ll|'d|[\p{{L}}]+|[\p{{N}}]|[^\s\p{{L}}\p{{N}}]+"
PUNCTUATION = str.maketrans("", "", string.punctuation)
REMEDY = "give the tokenizer.json that belongs to the weights, or a folder with it or with vocab.json and merges.txt"


class TooLongError(InputError):
    """A text has more tokens than the tower takes."""

    def __init__(self, text: str, tokens: int, context: int):
        self.text = text
        super().__init__(f"{quoted(text)} is {tokens} tokens, more than {context}", remedy="shorten it")


def open_tokenizer(path: str | Path) -> Any:
    """The tokenizer of a file or folder.

    Raises:
        InputError: the library is not installed, or there is no tokenizer.
    """
    path = Path(path)
    try:
        import tokenizers
    except ImportError:
        remedy = "pip install 'bias-jax[texts]', or embed the texts elsewhere: --zeroshot.texts takes a .npz"
        raise InputError("the library tokenizers is not installed", remedy=remedy) from None
    whole = path / "tokenizer.json" if path.is_dir() else path
    words, merges = whole.with_name("vocab.json"), whole.with_name("merges.txt")
    try:
        if whole.is_file() and whole.name != words.name:
            found = tokenizers.Tokenizer.from_file(str(whole))
        elif words.is_file() and merges.is_file():
            found = _of_words(tokenizers, words, merges)
        else:
            raise InputError("no such tokenizer", file=path, remedy=REMEDY)
    except InputError:
        raise
    except Exception as error:  # the library raises Exception itself
        raise InputError(f"is no tokenizer ({str(error)[:200]})", file=path, remedy=REMEDY) from None
    found.no_truncation()
    found.no_padding()
    return found


def _of_words(tokenizers: Any, words: Path, merges: Path) -> Any:
    """CLIP's, of its list of words and the order in which parts are joined."""
    model = tokenizers.models.BPE.from_file(str(words), str(merges), end_of_word_suffix="</w>", unk_token=END)
    found = tokenizers.Tokenizer(model)
    kinds, parts = tokenizers.normalizers, tokenizers.pre_tokenizers
    found.normalizer = kinds.Sequence([kinds.NFC(), kinds.Replace(tokenizers.Regex(r"\s+"), " "), kinds.Lowercase()])
    split = parts.Split(tokenizers.Regex(WORDS), behavior="removed", invert=True)
    found.pre_tokenizer = parts.Sequence([split, parts.ByteLevel(add_prefix_space=False, use_regex=False)])
    return found


def tokenize(tokenizer: Any, texts: Sequence[str], style: Style, context: int, vocabulary: int) -> np.ndarray:
    """Tokens int32 [N, context].

    CLIP: between the tokens of start and end, filled up by 0. SigLIP: in small letters and without punctuation, ended
    and filled up by the token of its end.

    Args:
        tokenizer: of `open_tokenizer`.
        texts: N texts.
        style: of the tower.
        context: tokens that it takes.
        vocabulary: tokens that it knows.

    Raises:
        TooLongError: a text has more tokens.
        InputError: the tokenizer is that of another network.
    """
    known: Mapping[str, int] = tokenizer.get_vocab(with_added_tokens=True)
    special = (START, END) if style == "clip" else (SIGLIP_END,)
    if missing := [name for name in special if name not in known]:
        raise InputError(f"the tokenizer has no {missing[0]!r}, as that of {style} has", remedy=REMEDY)
    if max(known.values()) >= vocabulary:
        problem = f"the tokenizer has tokens up to number {max(known.values())}, the weights know {vocabulary}"
        raise InputError(problem, remedy=REMEDY)
    first, end = [known[name] for name in special[:-1]], known[special[-1]]
    if style == "clip" and end != max(known.values()):
        problem = f"{END!r} is not the last token, by which the end of a text is found"
        raise InputError(problem, remedy="use weights and tokenizer as they were published")
    found = np.full((len(texts), context), 0 if style == "clip" else end, np.int32)
    for row, text in enumerate(texts):
        words = tokenizer.encode(text if style == "clip" else canonical(text), add_special_tokens=False).ids
        tokens = [*first, *words, end]
        if len(tokens) > context:
            raise TooLongError(text, len(tokens), context)
        if not words or end in words:
            raise InputError(f"{quoted(text)} has no words, or unknown ones", remedy="write it otherwise")
        found[row, : len(tokens)] = tokens
    return found


def canonical(text: str) -> str:
    """As SigLIP's texts were cleaned: small letters, no punctuation, single blanks.

    >>> canonical("A photo,  of a Dog!")
    'a photo of a dog'
    """
    return re.sub(r"\s+", " ", text.lower().translate(PUNCTUATION)).strip()
