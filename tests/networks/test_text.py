"""Text towers against transformers' CLIP and SigLIP, and mistakes that the comparison must show."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bias_jax.errors import InputError
from bias_jax.networks import text, transformer
from bias_jax.networks.text import abstract_text_params, embed_tokens, text_sizes
from bias_jax.networks.text_family import TEXT_ROWS, text_row
from bias_jax.networks.vit_family import ROWS
from converters.text import convert_text
from tests.reference import text_oracle as oracle
from tests.reference.vit_oracle import importable

TOLERANCE = 1e-4  # of the largest magnitude; without a mistake it is 1e-6


def row_of(case):
    row = TEXT_ROWS[oracle.NETWORK[case]]
    blocks = replace(row.architecture.blocks, count=oracle.BLOCKS, width=oracle.WIDTH, heads=oracle.HEADS)
    sizes = text.TextSizes(oracle.VOCABULARY, oracle.CONTEXT, oracle.PROJECTION)
    return row._replace(architecture=replace(row.architecture, blocks=blocks), sizes=sizes)


@cache
def state_dict_of(case):
    return oracle.seeded_state_dict(oracle.frozen(case)[0])


@cache
def params_of(case):
    return convert_text(oracle.NETWORK[case], state_dict_of(case), row=row_of(case))[0]


def error(case, found):
    expected = oracle.frozen(case)[1]
    return np.abs(found - expected).max() / np.abs(expected).max()


def spoiled(case, params=None, **blocks):
    """Error of a tower with other parameters or blocks, operation by operation."""
    architecture = row_of(case).architecture
    architecture = replace(architecture, pooling=blocks.pop("pooling", architecture.pooling))
    tower = text.TextTower(replace(architecture, blocks=replace(architecture.blocks, **blocks)), row_of(case).sizes)
    graph, state = text.nnx.split(tower)
    text.nnx.replace_by_pure_dict(state, dict(params or params_of(case)))
    with jax.disable_jit(), jax.default_matmul_precision("highest"):
        return error(case, text.nnx.merge(graph, state)(jnp.asarray(oracle.tokens(case))))


@pytest.mark.parametrize("case", oracle.NETWORK)
def test_embeddings_are_those_of_the_original(case):
    """To 1e-5 of the largest, in float32 against float64."""
    found = embed_tokens(row_of(case).architecture, params_of(case), oracle.tokens(case))
    assert found.shape == (oracle.TEXTS, oracle.PROJECTION) and found.dtype == np.float32
    assert error(case, found) < 1e-5
    assert spoiled(case) < 1e-5


@pytest.mark.torch
@pytest.mark.parametrize("case", oracle.NETWORK)
def test_frozen_values_are_the_originals(case):
    if not importable("transformers"):
        pytest.skip("torch and transformers are not both installed")
    assert oracle.shapes_of(oracle.model(case)) == oracle.frozen(case)[0]
    assert error(case, oracle.embeddings(case)) < 1e-9


def test_many_texts_are_one_program(monkeypatch):
    monkeypatch.setattr(text, "TOGETHER", 4)
    found = embed_tokens(row_of("clip").architecture, params_of("clip"), oracle.tokens("clip"))
    assert error("clip", found) < 1e-5


@pytest.mark.parametrize(
    "case, mistake",
    [
        ("clip", {"causal": False}),
        ("siglip", {"causal": True}),
        ("clip", {"pooling": "last"}),
        ("siglip", {"pooling": "end"}),
        ("clip", {"activation": "gelu"}),
        ("openclip", {"activation": "quick_gelu"}),
        ("siglip", {"activation": "gelu"}),
        ("clip", {"epsilon": 1e-6}),
        ("siglip", {"epsilon": 1e-5}),
        ("clip", {"heads": 3}),
    ],
)
def test_another_function(case, mistake):
    assert spoiled(case, **mistake) > TOLERANCE


@pytest.mark.parametrize(
    "case, path, by",
    [
        ("siglip", ("head", "bias"), jnp.zeros_like),
        ("clip", ("norm", "scale"), jnp.ones_like),
        ("clip", ("norm", "bias"), jnp.zeros_like),
        ("clip", ("pos_embed",), lambda x: jnp.roll(x, 1, axis=0)),
        ("clip", ("head", "kernel"), lambda x: x[::-1]),
        ("clip", ("blocks", "1", "attn", "proj", "kernel"), jnp.transpose),
    ],
)
def test_other_weights(case, path, by):
    params = jax.tree.map(lambda leaf: leaf, params_of(case))
    inner = params
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = by(inner[path[-1]])
    assert spoiled(case, params) > TOLERANCE


def test_the_last_norm_left_out(monkeypatch):
    monkeypatch.setattr(text, "layer_norm", lambda own, x, epsilon: x)
    assert spoiled("clip") > TOLERANCE


def test_a_position_after_the_end(monkeypatch):
    right = text.pooled
    monkeypatch.setattr(text, "pooled", lambda x, tokens, how: right(jnp.roll(x, 1, axis=1), tokens, how))
    assert spoiled("clip") > TOLERANCE and spoiled("siglip") > TOLERANCE


def test_keys_behind_a_position_are_seen(monkeypatch):
    right = transformer.attend
    monkeypatch.setattr(transformer, "attend", lambda q, k, v, causal: right(q, k, v))
    assert spoiled("clip") > TOLERANCE


# Parameters of the originals' text towers: published totals of 151,277,313 (ViT-B/32) and 203,155,970 (SigLIP B/16)
# less those of the image towers and of temperature and bias.
def test_towers_are_of_the_published_sizes():
    count = {name: sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(abstract_text_params(*row)))
             for name, row in TEXT_ROWS.items()}  # fmt: skip
    assert count["clip_b_32"] == 151_277_313 - 87_849_216 - 1
    assert count["siglip_b_16"] == 203_155_970 - 92_884_224 - 2
    for name, row in TEXT_ROWS.items():
        vision = ROWS[name]
        width = vision.projection or vision.architecture.blocks.width
        assert row.sizes.projection == width, name
        assert row.architecture.blocks.epsilon == vision.architecture.blocks.epsilon
        assert row.architecture.blocks.activation == vision.architecture.blocks.activation
    assert text_sizes(params_of("clip")) == row_of("clip").sizes
    with pytest.raises(InputError, match="'resnet50' has no text tower"):
        text_row("resnet50")
