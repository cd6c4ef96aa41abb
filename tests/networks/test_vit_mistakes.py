"""Mistakes in vision transformers that the comparison with their originals must show.

They run operation by operation, so that nothing is compiled for each of them.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bias_jax.networks import position, transformer, vit
from converters import convert
from tests.networks.vit_case import TOLERANCE, errors, registered, run, tiny, uncompiled, worst
from tests.reference import vit_oracle as oracle


def spoiled(case, params=None, row=None, size=oracle.OTHER) -> float:
    """Worst error of a case with other parameters, or of another row."""
    own = case.row if row is None else row
    with jax.disable_jit():
        found = run(case, size, params, lambda p, x: uncompiled(own, p, jnp.asarray(x)))
    return worst(errors(case, size, found))


def architecture(case, *, blocks=None, **changed):
    """The row of a case with a mistake in it."""
    whole = case.row.architecture
    return case.row._replace(architecture=replace(whole, blocks=replace(whole.blocks, **(blocks or {})), **changed))


def test_without_a_mistake_all_agree():
    assert spoiled(tiny("clip")) < TOLERANCE


@pytest.mark.parametrize(
    "name, options",
    [
        ("clip", {"activation": "gelu"}),
        ("openclip", {"activation": "quick_gelu"}),
        ("deit", {"activation": "gelu_tanh"}),
        ("siglip", {"activation": "gelu"}),
        ("clip", {"epsilon": 1e-6}),
        ("deit", {"epsilon": 1e-5}),
        ("deit", {"heads": 3}),
        ("deit", {"causal": True}),
    ],
)
def test_another_function_in_the_blocks(name, options):
    case = tiny(name)
    assert spoiled(case, row=architecture(case, blocks=options)) > TOLERANCE


@pytest.mark.parametrize(
    "name, how",
    [
        pytest.param("torchvision", "plain", marks=pytest.mark.slow),
        ("deit", "plain"),
        ("dinov2", "plain"),
        ("dinov2", "antialiased"),
        ("dinov2_reg4", "offset"),
        ("transformers_clip", "antialiased"),
    ],
)
def test_positions_in_another_way(name, how):
    case, size = tiny(name), oracle.SIZES[name][1]
    assert spoiled(case, row=architecture(case, resampling=how), size=size) > TOLERANCE


def test_positions_transposed(monkeypatch):
    case, right = tiny("deit"), position.resampled

    def transposed(positions, grid, how):
        found = right(positions, grid[::-1], how).reshape(*grid[::-1], -1)
        return found.swapaxes(0, 1).reshape(grid[0] * grid[1], -1)

    monkeypatch.setattr(vit, "resampled", transposed)
    assert spoiled(case) > TOLERANCE


def test_registers_counted_as_patches(monkeypatch):
    case, right = tiny("dinov2_reg4"), vit._parts

    def too_early(x, grid, architecture):
        return right(jnp.concatenate([x[:, :1], x[:, :-1]], axis=1), grid, architecture)

    monkeypatch.setattr(vit, "_parts", too_early)
    assert spoiled(case) > TOLERANCE


def test_class_token_at_the_end(monkeypatch):
    case, right = tiny("deit"), vit.embed

    def behind(own, images, architecture):
        x, grid = right(own, images, architecture)
        return jnp.roll(x, -1, axis=1), grid

    monkeypatch.setattr(vit, "embed", behind)
    assert spoiled(case) > TOLERANCE


def test_registers_before_the_class_token(monkeypatch):
    case, right = tiny("dinov2_reg4"), vit.embed

    def swapped(own, images, architecture):
        x, grid = right(own, images, architecture)
        return jnp.concatenate([x[:, 1:5], x[:, :1], x[:, 5:]], axis=1), grid

    monkeypatch.setattr(vit, "embed", swapped)
    assert spoiled(case) > TOLERANCE


@pytest.mark.parametrize("mistake", ["no scale", "scale of the width", "softmax over queries"])
def test_attention(mistake, monkeypatch):
    case, right = tiny("siglip"), transformer.attend

    def wrong(q, k, v, *, causal=False):
        if mistake != "softmax over queries":
            return right(q * (np.sqrt(12) if mistake == "no scale" else 0.5), k, v)
        shares = jax.nn.softmax(jnp.einsum("nqhe,nkhe->nhqk", q, k) / np.sqrt(12).astype(np.float32), axis=-2)
        return jnp.einsum("nhqk,nkhe->nqhe", shares, v).reshape(*q.shape[:2], -1)

    monkeypatch.setattr(transformer, "attend", wrong)
    assert spoiled(case) > TOLERANCE


def changed(case, *path, by):
    """Parameters with one of them changed."""
    params = jax.tree.map(lambda leaf: leaf, case.params)
    inner = params
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = by(inner[path[-1]])
    return params


WEIGHTS = {
    "layer scale left out": ("dinov2_reg4", ("blocks", "1", "ls2", "gamma"), jnp.ones_like),
    "projection transposed": ("clip", ("blocks", "2", "attn", "proj", "kernel"), jnp.transpose),
    "norm before the blocks left out": ("clip", ("norm_pre", "scale"), jnp.ones_like),
    "patches transposed": ("clip", ("patch_embed", "kernel"), lambda x: x.swapaxes(0, 1)),
    "colours reversed": ("clip", ("patch_embed", "kernel"), lambda x: x[:, :, ::-1]),
    "bias of the patches left out": ("siglip", ("patch_embed", "bias"), jnp.zeros_like),
    "heads interleaved": ("siglip", ("blocks", "0", "attn", "q", "kernel"),
                          lambda x: x.reshape(48, 4, 12).swapaxes(1, 2).reshape(48, 48)),
    "query of the pool": ("siglip", ("attn_pool", "latent"), jnp.zeros_like),
    "norm of the pool": ("siglip", ("attn_pool", "norm", "bias"), jnp.zeros_like),
    "head": ("clip", ("head", "kernel"), lambda x: -x),
}  # fmt: skip


@pytest.mark.parametrize("mistake", WEIGHTS)
def test_weights(mistake):
    name, path, by = WEIGHTS[mistake]
    case = tiny(name)
    found = run(case, oracle.OTHER, changed(case, *path, by=by))
    assert worst(errors(case, oracle.OTHER, found)) > TOLERANCE


def test_queries_taken_for_keys():
    case = tiny("clip")
    attention = case.params["blocks"]["0"]["attn"]
    params = changed(case, "blocks", "0", "attn", by=lambda own: {**own, "q": attention["k"], "k": attention["q"]})
    assert worst(errors(case, oracle.OTHER, run(case, oracle.OTHER, params))) > TOLERANCE


def test_positions_of_the_class_token_left_out():
    case = tiny("clip")
    params = changed(case, "pos_embed", by=lambda x: jnp.asarray(x).at[0].set(0.0))
    assert worst(errors(case, oracle.OTHER, run(case, oracle.OTHER, params))) > TOLERANCE


def test_two_blocks_swapped():
    state_dict = tiny("clip").state_dict
    swapped = {key.replace("blocks.0", "blocks.x").replace("blocks.1", "blocks.0").replace("blocks.x", "blocks.1"): v
               for key, v in state_dict.items()}  # fmt: skip
    case = tiny("clip")
    with registered("vit_tiny", case.row):
        params = convert("vit_tiny", swapped)
    assert worst(errors(case, oracle.OTHER, run(case, oracle.OTHER, params))) > TOLERANCE
