"""From weights files of small CLIPs and SigLIPs, a tokenizer and prompts to zero-shot tables, as a user types it."""

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from bias_jax.networks import Transform
from bias_jax.networks.text_family import TEXT_ROWS, TextRow
from converters.__main__ import main as convert
from experiments.sweep import main as sweep
from experiments.texts import main as texts
from tests.converters.test_text import openai as openai_texts
from tests.converters.test_tokenizer import WORDS, clip_folder, siglip_file
from tests.converters.test_vit import openai as openai_pictures
from tests.networks import test_text
from tests.networks.vit_case import registered, row_of
from tests.networks.vit_case import state_dict_of as pictures_of

CONTEXT = 40
PROMPTS = """
templates = ["a photo of a {}.", "{}, seen from afar"]

[gender]
attribute = "gender"
prompts = {narrow = "man", wide = "woman"}

[job]
prompts = ["doctor", "nurse", "judge"]
"""
KINDS = {"transformers": ("clip_tiny", "clip", "transformers_clip"), "openai": ("clip_tiny", "clip", "clip"),
         "siglip": ("siglip_tiny", "siglip", "transformers_siglip")}  # fmt: skip


def state_dict(kind):
    """A whole model in the form of a framework, with as many tokens as the tokenizer has, and longer texts."""
    _, case, vision = KINDS[kind]
    rng = np.random.default_rng(0)
    sizes = {"token": (max(len(WORDS), 60), 48), "position": (CONTEXT, 48)}
    longer = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in sizes.items()}
    if kind == "openai":
        found = {**openai_texts(), **openai_pictures()}
        return {**found, "token_embedding.weight": longer["token"], "positional_embedding": longer["position"]}
    own = {name: array for name, array in test_text.state_dict_of(case).items() if name.startswith("text_")}
    pictures = {name if name.startswith(("vision_model", "visual")) else f"vision_model.{name}": array
                for name, array in pictures_of(vision).items()}  # fmt: skip
    if kind == "siglip":  # one space for both
        own["text_model.head.weight"] = rng.standard_normal((48, 48)).astype(np.float32)
        own["text_model.head.bias"] = np.zeros(48, np.float32)
    places = {f"text_model.embeddings.{name}_embedding.weight": array for name, array in longer.items()}
    return {**own, **pictures, **places}


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """Networks of this size, prompts and tokenizers, and a function that writes weights."""
    rows = {name: row_of(vision) for name, _, vision in KINDS.values()}
    for name, case, _ in KINDS.values():
        small = test_text.row_of(case)
        monkeypatch.setitem(TEXT_ROWS, name, TextRow(small.architecture, small.sizes))
    (tmp_path / "prompts.toml").write_text(PROMPTS)
    (tmp_path / "words").mkdir()
    clip_folder(tmp_path / "words")

    def write(kind):
        arrays = {name: np.ascontiguousarray(array) for name, array in state_dict(kind).items()}
        save_file(arrays, tmp_path / f"{kind}.safetensors")
        name = KINDS[kind][0]
        row = rows[name]._replace(preparations={"tiny": Transform(32, 32, filter="bicubic")})
        return tmp_path / f"{kind}.safetensors", row

    return tmp_path, write


def embedded(folder, weights, name, tokenizer="words", out="texts.parquet"):
    return texts(["--model", name, "--weights", str(weights), "--tokenizer", str(folder / tokenizer), "--prompts",
                  str(folder / "prompts.toml"), "--out", str(folder / out), "--cache", "off"])  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_from_weights_to_tables(kind, prepared, capsys):
    pytest.importorskip("tokenizers")
    folder, write = prepared
    weights, row = write(kind)
    name = KINDS[kind][0]
    tokenizer = "words" if kind != "siglip" else siglip_file(folder / "siglip.json").name
    assert embedded(folder, weights, name, tokenizer) == 0
    assert "10 texts of 2 families" in capsys.readouterr().out
    written = pd.read_parquet(folder / "texts.parquet")
    assert set(written["weights"]) == {weights.name} and len(written["text"].unique()) == 10
    with registered(name, row):
        assert convert([name, "--source", str(weights), "--out", str(folder / "checkpoint")]) == 0
        arguments = ["--models", name, "--weights", str(folder / "checkpoint"), "--per-group", "2", "--instruments",
                     "zeroshot", "--zeroshot.prompts", str(folder / "prompts.toml"), "--zeroshot.texts",
                     str(folder / "texts.parquet"), "--zeroshot.k", "10",
                     "--zeroshot.shuffles", "99", "--out", str(folder / "run"), "--cache", "off"]  # fmt: skip
        assert sweep(arguments) == 0
    assert "MaxSkew@10" in capsys.readouterr().out
    rates = pd.read_parquet(folder / "run/zeroshot/zeroshot.parquet")
    everyone = rates[(rates["view"] == "all images") & (rates["family"] == "job")]
    assert everyone["hits"].sum() == everyone["images"].iloc[0]
    assert {p.stem for p in (folder / "run/zeroshot").glob("*.parquet")} >= {"zeroshot", "zeroshot_max_skew"}


def test_refused(prepared, capsys):
    pytest.importorskip("tokenizers")
    folder, write = prepared
    weights, _ = write("transformers")
    long = PROMPTS.replace('"judge"', f'"{"judge " * 8}of cats"')
    for prompts, arguments, message in (
        (long, {}, "prompts.toml: row 9: 'a photo of a judge judge"),
        (PROMPTS, {"name": "resnet50"}, "'resnet50' has no text tower"),
        (PROMPTS, {"out": "texts.csv"}, "texts.csv: is no .parquet"),
        (PROMPTS, {"tokenizer": "nothing"}, "nothing: no such tokenizer"),
        (PROMPTS, {"name": "siglip_tiny"}, "does not fit the text tower of siglip_tiny"),
        (PROMPTS + '\n[more]\nprompts = ["é", "b"]\n', {}, "words: 'a photo of a é.' has no words"),
    ):
        (folder / "prompts.toml").write_text(prompts)
        assert embedded(folder, weights, **{"name": "clip_tiny", **arguments}) == 2
        assert message in capsys.readouterr().err
    assert not (folder / "texts.parquet").exists()
