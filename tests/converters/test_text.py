"""Weights of text towers, by the names of OpenAI and of transformers, from files that hold the image towers too."""

import re

import jax
import numpy as np
import pytest

from bias_jax.errors import InputError
from converters.text import convert_text
from tests.networks.test_text import params_of, row_of, state_dict_of
from tests.reference import text_oracle as oracle

SWAPS = (("text_model.embeddings.token_embedding", "token_embedding"), ("text_model.final_layer_norm", "ln_final"),
         ("text_model.embeddings.position_embedding.weight", "positional_embedding"),
         ("text_model.encoder.layers", "transformer.resblocks"), ("layer_norm", "ln_"), ("mlp.fc1", "mlp.c_fc"),
         ("mlp.fc2", "mlp.c_proj"), ("self_attn.out_proj", "attn.out_proj"))  # fmt: skip
VISUAL = {"visual.transformer.resblocks.0.ln_1.weight": (8,), "visual.proj": (8, 20), "logit_scale": (),
          "visual.conv1.weight": (8, 3, 4, 4), "visual.positional_embedding": (7, 8), "context_length": ()}  # fmt: skip


def converted(case, state_dict, **options):
    return convert_text(oracle.NETWORK[case], state_dict, row=row_of(case), **options)[0]


def equal(a, b) -> bool:
    return jax.tree.structure(a) == jax.tree.structure(b) and jax.tree.all(jax.tree.map(np.array_equal, a, b))


def openai():
    """A whole CLIP by OpenAI's names, with the weights of transformers' text tower."""
    own, found = state_dict_of("clip"), {}
    for name, array in own.items():
        if name.startswith("text_model") and not re.search(r"self_attn\.[qkv]_proj", name):
            for old, new in SWAPS:
                name = name.replace(old, new)
            found[name] = array
    for i in range(oracle.BLOCKS):
        for leaf in ("weight", "bias"):
            parts = [own[f"text_model.encoder.layers.{i}.self_attn.{p}_proj.{leaf}"] for p in "qkv"]
            found[f"transformer.resblocks.{i}.attn.in_proj_{leaf}"] = np.concatenate(parts)
    found["text_projection"] = own["text_projection.weight"].T
    return found | {name: np.ones(shape, np.float32) for name, shape in VISUAL.items()}


def test_openais_names():
    expected = params_of("clip")
    assert equal(converted("clip", openai()), expected)
    assert equal(converted("clip", {"state_dict": {f"module.{k}": v for k, v in openai().items()}}), expected)


@pytest.mark.parametrize("case", oracle.NETWORK)
def test_a_tower_without_the_other(case):
    own = state_dict_of(case)
    alone = {name: array for name, array in own.items() if name.startswith(("text_model", "text_projection"))}
    assert len(alone) < len(own)
    assert equal(converted(case, alone), params_of(case))


@pytest.mark.parametrize("places", [5, 30])
def test_another_context_and_vocabulary(places):
    name = "text_model.embeddings.{}_embedding.weight"
    own = {**state_dict_of("siglip"), name.format("position"): np.ones((places, 48), np.float32),
           name.format("token"): np.ones((70, 48), np.float32)}  # fmt: skip
    found = converted("siglip", own)
    assert found["pos_embed"].shape == (places, 48) and found["token_embed"].shape == (70, 48)


FAULTS = [
    ("clip", "text_projection.weight", None, "text_projection.weight is missing"),
    ("siglip", "text_model.head.bias", None, "text_model.head.bias is missing"),
    ("clip", "text_model.final_layer_norm.weight", None, "final_layer_norm.weight is missing"),
    ("clip", "text_projection.weight", lambda x: x.T, r"\(48, 20\) instead of \(48, 48\)"),
    ("clip", "text_model.encoder.layers.1.mlp.fc1.weight", lambda x: x.T, "it is transposed"),
    ("clip", "text_model.final_layer_norm.bias", lambda x: x * np.nan, "values that are not finite"),
    ("clip", "text_model.encoder.layers.9.mlp.fc1.weight", lambda x: np.ones((2, 2), np.float32), "is not part of"),
]


@pytest.mark.parametrize("case, name, by, message", FAULTS)
def test_all_or_nothing(case, name, by, message, monkeypatch):
    monkeypatch.setattr("converters.recognition._fitting", lambda held: [])  # it looks at every network there is
    own = dict(state_dict_of(case))
    if by is None:
        del own[name]
    else:
        own[name] = by(own.get(name))
    with pytest.raises(InputError, match=message):
        converted(case, own)


def test_a_file_without_a_text_tower(monkeypatch):
    monkeypatch.setattr("converters.recognition._fitting", lambda held: [])
    own = {name: array for name, array in state_dict_of("clip").items() if name.startswith("vision")}
    with pytest.raises(InputError, match=r"does not fit the text tower of clip_b_32.*with its text tower"):
        converted("clip", own)
