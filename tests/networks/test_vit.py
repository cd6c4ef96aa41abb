"""Vision transformers against torchvision, timm and transformers: every block, norm and head, at two sizes."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bias_jax.activations import pool
from bias_jax.errors import InputError
from bias_jax.networks import NETWORKS, abstract_params, forward, layer_shapes, random_params, transformer, vit
from bias_jax.networks.layers import quick_gelu
from bias_jax.networks.transformer import ACTIVATIONS, attend
from bias_jax.networks.vit_family import ROWS
from tests.networks.vit_case import TOLERANCE, errors, registered, run, tiny, tiny_row, uncompiled, worst
from tests.reference import vit_oracle as oracle
from tests.reference.torch_oracle import seeded_images

SLOW = pytest.mark.slow


ALIKE = {"deit", "openclip", "transformers_clip"}  # what is special about them, others have too


@pytest.mark.parametrize("which", ["other", pytest.param("learnt", marks=SLOW)])
@pytest.mark.parametrize("name", [pytest.param(n, marks=SLOW if n in ALIKE else ()) for n in oracle.NETWORK])
def test_every_layer_agrees_with_the_original(name, which):
    case, size = tiny(name), oracle.SIZES[name][which == "other"]
    found = errors(case, size, run(case, size))
    ends = 1 if "siglip" in name else 2
    heads = 0 if name.startswith("dinov2") else 1
    assert len(found) == ends * (oracle.BLOCKS + 1) + heads
    assert worst(found) < TOLERANCE, max(found, key=found.get)


@pytest.mark.torch
@pytest.mark.parametrize("name", oracle.NETWORK)
def test_frozen_values_are_the_originals(name):
    if not oracle.importable("torchvision", oracle.needed(name)):
        pytest.skip("torch and the original are not both installed")
    assert oracle.shapes_of(oracle.model(name)) == oracle.frozen(name)[0]
    for size in oracle.SIZES[name]:
        assert worst(errors(tiny(name), size, oracle.outputs(name, seeded_images(2, size)))) < 1e-6


# Numbers of parameters of the originals with their usual heads; of timm's CLIP without its bias of zeros.
COUNTS = {
    "vit_b_16": 86_567_656, "vit_b_32": 88_224_232, "vit_l_16": 304_326_632, "deit_s_16": 22_050_664,
    "deit_b_16": 86_567_656, "deit3_s_16": 22_059_496, "deit3_b_16": 86_585_320, "deit3_l_16": 304_374_760,
    "mae_b_16": 85_798_656, "mae_l_16": 303_301_632, "dinov2_s_14": 22_056_192, "dinov2_b_14": 86_579_712,
    "dinov2_l_14": 304_367_616, "dinov2_s_14_reg4": 22_057_344, "dinov2_b_14_reg4": 86_582_016,
    "dinov2_l_14_reg4": 304_370_688, "clip_b_32": 87_849_216, "clip_b_16": 86_192_640, "clip_l_14": 303_966_208,
    "openclip_b_32": 87_849_216, "openclip_b_16": 86_192_640, "openclip_l_14": 303_966_208,
    "siglip_b_16": 92_884_224, "siglip_l_16": 315_956_224,
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_networks_of_the_registry(name):
    params, row = abstract_params(name), ROWS[name]
    assert sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params)) == COUNTS[name]
    assert NETWORKS[name].variant(params) == NETWORKS[name].usual
    shapes = layer_shapes(name, params, (2, *row.preparations[next(iter(row.preparations))].input.shape))
    probed, width = NETWORKS[name].layers, row.architecture.blocks.width
    assert [layer for layer in shapes if layer in probed] == list(probed)
    assert {shape[-1] for layer, shape in shapes.items() if layer in probed} == {width, row.projection or width}
    ends = 2 if row.architecture.class_token else 1
    assert len(probed) == ends * row.architecture.blocks.count + 1 + bool(row.projection)


def test_epsilons_are_the_originals():
    # an error of 1e-6 can be invisible to a comparison of outputs
    found = {name: row.architecture.blocks.epsilon for name, row in ROWS.items()}
    assert {name for name, epsilon in found.items() if epsilon == 1e-5} == {n for n in ROWS if "clip" in n}
    assert set(found.values()) == {1e-5, 1e-6}


def test_patches_are_pooled_like_a_map_and_the_class_token_is_a_vector():
    found = run(tiny("dinov2_reg4"), oracle.OTHER)
    assert found["blocks.1.class"].shape == (2, 48) and found["blocks.1.patches"].shape == (2, 3, 7, 48)
    mean = np.asarray(pool("mean", jnp.asarray(found["blocks.1.patches"])))
    np.testing.assert_allclose(mean, found["blocks.1.patches"].mean(axis=(1, 2)), rtol=1e-4, atol=1e-6)


def test_what_is_no_whole_patch_is_left_out_and_less_than_one_refused():
    case = tiny("deit")
    images = jnp.asarray(seeded_images(1, (38, 35)))
    whole, grid = vit.embed(case.params, images, case.row.architecture)
    assert grid == (4, 4)
    assert np.array_equal(whole, vit.embed(case.params, images[:, :32, :32], case.row.architecture)[0])
    with pytest.raises(InputError, match="sides of at least 8"):
        uncompiled(case.row, case.params, jnp.zeros((1, 7, 32, 3)))


@SLOW
def test_gradients_by_offsets():
    """The gradient at a block's patches is that of the score by finite differences, and nothing else changes."""
    case = tiny("clip")
    images = seeded_images(2, oracle.OTHER)

    @jax.jit
    def score(offset):
        with registered("vit_tiny", case.row):
            found = forward("vit_tiny", case.params, images, offsets={"blocks.1.patches": offset})[1]
        return found["head"][0, 0], found

    zeros = jnp.zeros((2, 3, 7, 48))
    (_, found), slope = jax.value_and_grad(score, has_aux=True)(zeros)
    for layer, value in run(case, oracle.OTHER).items():
        np.testing.assert_allclose(found[layer], value, rtol=1e-4, atol=1e-4)
    direction = jnp.asarray(np.random.default_rng(0).standard_normal(zeros.shape), jnp.float32)
    step = 1e-2
    ahead, behind = score(step * direction)[0], score(-step * direction)[0]
    assert float((slope * direction).sum()) == pytest.approx(float(ahead - behind) / (2 * step), rel=2e-2)
    assert np.abs(slope).max() > 1e-3


def test_attention_in_pieces_and_with_a_causal_mask(monkeypatch):
    monkeypatch.setattr(transformer, "QUERIES", 8)
    rng = np.random.default_rng(0)
    q, k, v = (jnp.asarray(rng.standard_normal((1, 13, 2, 4)), jnp.float32) for _ in range(3))
    for causal in (False, True):
        scores = np.einsum("nqhe,nkhe->nhqk", *(np.asarray(x, np.float64) for x in (q, k))) / 2.0
        if causal:
            scores = np.where(np.tril(np.ones(scores.shape[2:], bool)), scores, -np.inf)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        expected = np.einsum("nhqk,nkhe->nqhe", shares, v).reshape(1, -1, 8)
        np.testing.assert_allclose(attend(q, k, v, causal=causal), expected, atol=1e-5)


def test_activation_functions():
    x = np.linspace(-4, 4, 9)
    from math import erf

    exact = [v * 0.5 * (1 + erf(v / np.sqrt(2))) for v in x]
    tanh = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    expected = {"gelu": exact, "gelu_tanh": tanh, "quick_gelu": x / (1 + np.exp(-1.702 * x))}
    for name, values in expected.items():
        np.testing.assert_allclose(ACTIVATIONS[name](jnp.asarray(x, jnp.float32)), values, atol=1e-6)
    assert ACTIVATIONS["quick_gelu"] is quick_gelu


@SLOW
def test_bfloat16_is_near_float32():
    case = tiny("openclip")
    images = seeded_images(2, oracle.LEARNT)
    with registered("vit_tiny", case.row):
        half = jax.jit(lambda p, x: forward("vit_tiny", p, x, precision="bfloat16")[1])(case.params, images)
    exact = run(case, oracle.LEARNT)
    assert set(half) == set(exact) and {value.dtype for value in half.values()} == {jnp.dtype("bfloat16")}
    for layer, value in exact.items():
        apart = half[layer].astype(np.float32) - value
        assert 0 < np.sqrt(np.mean(apart**2) / np.mean(value**2)) < 0.05, layer


@pytest.mark.parametrize("case", ["torchvision", "deit3", "dinov2_reg4", "clip", "siglip"])
def test_untrained_weights(case):
    row = tiny_row(oracle.NETWORK[case])
    blocks = replace(row.architecture.blocks, count=1, width=128, heads=4)
    row = row._replace(architecture=replace(row.architecture, blocks=blocks))
    with registered("vit_tiny", row):
        weights, again, other = (random_params("vit_tiny", seed, jnp.zeros((1, 32, 32, 3))) for seed in (0, 0, 1))
        assert NETWORKS["vit_tiny"].variant(weights) == NETWORKS["vit_tiny"].usual
    block, d = weights["blocks"]["0"], 128
    assert jax.tree.all(jax.tree.map(np.array_equal, weights, again))
    assert not np.array_equal(weights["pos_embed"], other["pos_embed"])
    assert np.all(block["norm1"]["scale"] == 1) and not np.any(block["norm1"]["bias"]) and not np.any(
        block["attn"]["q"]["bias"]
    )  # fmt: skip
    glorot = np.sqrt(2 / (4 * d))
    expected = {
        "torchvision": (glorot, 1 / np.sqrt(3 * d), np.sqrt(2 / (5 * d)), 0.02),
        "clip": (glorot, 1 / np.sqrt(3 * d), 1 / np.sqrt(3 * d), d**-0.5),
        "siglip": (np.sqrt(1 / d), np.sqrt(1 / d), np.sqrt(2 / (5 * d)), d**-0.5),
    }.get(case, (0.02, 0.02, 0.02, 0.02))
    found = (block["attn"]["q"]["kernel"], block["attn"]["proj"]["kernel"], block["mlp"]["fc1"]["kernel"],
             weights["pos_embed"])  # fmt: skip
    for value, deviation in zip(found, expected, strict=True):
        assert np.std(value) == pytest.approx(deviation, rel=0.08)
    if row.architecture.blocks.layer_scale:
        assert np.all(block["ls1"]["gamma"] == 1)
    if row.architecture.class_token and case != "torchvision":
        assert np.any(weights["cls_token"])
    if "head" in weights:
        assert np.std(weights["head"]["kernel"]) == pytest.approx(d**-0.5 if case == "clip" else 0.02, rel=0.1)
