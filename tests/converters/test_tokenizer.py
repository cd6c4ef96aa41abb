"""Tokens of prompts: a small tokenizer, made here, against transformers' CLIP, and the rules of both families."""

import json

import numpy as np
import pytest

from bias_jax.errors import InputError
from converters.original import import_transformers
from converters.tokenizer import END, START, TooLongError, canonical, open_tokenizer, tokenize
from tests.reference.vit_oracle import importable

tokenizers = pytest.importorskip("tokenizers")

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,'-"
MERGES = [("p", "h"), ("ph", "o"), ("pho", "t"), ("phot", "o</w>"), ("o", "f</w>"), ("c", "a"), ("ca", "t</w>")]
WORDS = [*LETTERS, *(f"{c}</w>" for c in LETTERS), *("".join(pair) for pair in MERGES), START, END]
TEXTS = ["a photo of a cat", "  A   PHOTO of a Cat. ", "it's 12 cats, of 3", "x"]


def clip_folder(folder):
    """vocab.json and merges.txt in CLIP's form."""
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(WORDS)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *(" ".join(pair) for pair in MERGES), ""]))
    return folder


def siglip_file(path):
    """A tokenizer.json of whole words with SigLIP's end; what is not known is a token of its own."""
    words = {word: i for i, word in enumerate(["<unk>", "</s>", "a", "photo", "of", "cat"])}
    found = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    found.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    found.enable_truncation(3)
    found.enable_padding(length=9)
    found.save(str(path))
    return path


def test_clip(tmp_path):
    tokenizer = open_tokenizer(clip_folder(tmp_path))
    found = tokenize(tokenizer, TEXTS, "clip", 24, len(WORDS))
    number = WORDS.index
    assert found.shape == (4, 24) and found.dtype == np.int32
    first = [START, "a</w>", "photo</w>", "of</w>", "a</w>", "cat</w>", END]
    assert found[0].tolist() == [*map(number, first), *[0] * 17]
    assert found[1].tolist()[:8] == [*map(number, [*first[:-1], ".</w>", END])]  # small letters, blanks as one
    assert [WORDS[t] for t in found[2][1:6]] == ["i", "t</w>", "'", "s</w>", "1</w>"]  # digits are single
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    for path in (tmp_path, tmp_path / "tokenizer.json", tmp_path / "vocab.json"):
        np.testing.assert_array_equal(tokenize(open_tokenizer(path), TEXTS, "clip", 24, len(WORDS)), found)


@pytest.mark.torch
def test_clip_is_that_of_transformers(tmp_path):
    """Vocabulary and merges in its own class, and the file that it saves; it fills up by the end, we by 0."""
    if not importable("transformers"):
        pytest.skip("torch and transformers are not both installed")
    words = {word: i for i, word in enumerate(WORDS)}
    theirs = import_transformers().CLIPTokenizer(vocab=words, merges=MERGES)
    expected = np.array(theirs(TEXTS, padding="max_length", max_length=24)["input_ids"])
    theirs.save_pretrained(tmp_path / "saved")
    for path in (clip_folder(tmp_path), tmp_path / "saved"):
        found = tokenize(open_tokenizer(path), TEXTS, "clip", 24, len(WORDS))
        np.testing.assert_array_equal(np.where(found == 0, words[END], found), np.where(expected == 0, 0, expected))


def test_siglip(tmp_path):
    """What the file says of cutting and filling up does not count."""
    tokenizer = open_tokenizer(siglip_file(tmp_path / "tokenizer.json"))
    found = tokenize(tokenizer, ["A photo, of a CAT!", "cat"], "siglip", 8, 6)
    assert found.tolist() == [[2, 3, 4, 2, 5, 1, 1, 1], [5, 1, 1, 1, 1, 1, 1, 1]]


@pytest.mark.torch
def test_siglips_cleaning_is_that_of_transformers():
    if not importable("transformers", "sentencepiece"):
        pytest.skip("torch, transformers and sentencepiece are not all installed")
    import_transformers()
    from transformers.models.siglip.tokenization_siglip import SiglipTokenizer

    theirs = SiglipTokenizer.__new__(SiglipTokenizer)
    theirs.do_lower_case = True
    for text in (*TEXTS, "Hello, (world)!  a-b_c\n'd'"):
        assert canonical(text) == theirs.canonicalize_text(text)


def test_refused(tmp_path):
    clip, siglip = open_tokenizer(clip_folder(tmp_path)), open_tokenizer(siglip_file(tmp_path / "siglip.json"))
    with pytest.raises(TooLongError, match="'a photo of a cat' is 7 tokens, more than 6"):
        tokenize(clip, TEXTS, "clip", 6, len(WORDS))
    assert tokenize(clip, TEXTS[:1], "clip", 7, len(WORDS))[0, -1] == WORDS.index(END)
    for tokenizer, texts, style, vocabulary, message in (
        (siglip, TEXTS, "clip", 99, "has no '<|startoftext|>'"),
        (clip, TEXTS, "siglip", 99, "has no '</s>'"),
        (clip, TEXTS, "clip", len(WORDS) - 1, "the weights know"),
        (clip, ["."], "siglip", 99, "has no '</s>'"),
        (siglip, ["."], "siglip", 99, "has no words"),
        (clip, ["é"], "clip", 99, "has no words, or unknown"),
    ):
        with pytest.raises(InputError, match=message.replace("|", r"\|")):
            tokenize(tokenizer, texts, style, 30, vocabulary)
    (tmp_path / "bad.json").write_text("{}")
    bad, absent = tmp_path / "bad.json", tmp_path / "x/absent.json"
    for path, message in ((bad, "is no tokenizer"), (absent, "no such tokenizer")):
        with pytest.raises(InputError, match=message):
            open_tokenizer(path)
