"""iGPT against frozen values of transformers in float64, and against transformers itself where it is installed."""

import importlib.util
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bias_jax.errors import InputError
from bias_jax.networks import igpt
from bias_jax.networks.igpt import IGPT, SIZES, Size
from converters.igpt import fit_igpt
from tests.networks.igpt_case import TINY, TOLERANCE, all_states, frozen_case, program, uncompiled

NORMS = ["rms", "var"]


@pytest.fixture(scope="module")
def tiny(oracles_dir):
    return frozen_case(oracles_dir, "tiny")


@pytest.mark.parametrize("norm", NORMS)
def test_every_layer(tiny, norm):
    errors = tiny.errors(norm)
    assert list(errors) == ["h.0", "h.1", "h.2", "h.3", "h.1.ieat", "ln_f", "logits"]
    assert max(errors.values()) < TOLERANCE["tiny"], errors


@pytest.mark.slow
@pytest.mark.parametrize("norm", NORMS)
def test_every_layer_of_the_small_one(oracles_dir, norm):
    case = frozen_case(oracles_dir, "small")
    errors = case.errors(norm)
    assert max(errors.values()) < TOLERANCE["small"], errors
    assert all_positions_agree(case, norm, [0, 1, 511, 1023]) < TOLERANCE["small"]


def all_positions_agree(case, norm, positions) -> float:
    """Worst difference of states relative to the largest, of logits, and of nats a pixel."""
    states, logits = jax.device_get(all_states(case.params, case.tokens, size=case.size, norm=norm))
    expected = case.frozen[f"{norm}/hidden_points"][:-1]  # the last is behind ln_f
    worst = [np.abs(states[:-1, 0][:, positions] - expected).max() / np.abs(expected).max()]
    worst.append(np.abs(logits[0, positions] - case.frozen[f"{norm}/logits_points"]).max())
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    nats = np.log(np.exp(shifted).sum(axis=-1)) - np.take_along_axis(shifted, case.tokens[..., None], -1)[..., 0]
    return max(*worst, np.abs(nats.mean(axis=1) - case.frozen[f"{norm}/nll"]).max())


@pytest.mark.parametrize("norm", NORMS)
def test_every_position(tiny, norm):
    assert all_positions_agree(tiny, norm, [0, 1, 31, 62, 63]) < TOLERANCE["tiny"]
    states, logits = jax.device_get(all_states(tiny.params, tiny.tokens, size=TINY, norm=norm))
    three = [0, 31, 63]
    expected = np.concatenate([tiny.frozen[f"{norm}/raw3"][:-1], tiny.frozen[f"{norm}/before_ln_f_raw3"][None]])
    np.testing.assert_allclose(states[:, :, three], expected, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_allclose(logits[:, three], tiny.frozen[f"{norm}/logits3"], atol=TOLERANCE["tiny"])


def test_the_norms_differ(tiny):
    assert max(tiny.errors("rms", network=program(TINY, "var")).values()) > 100 * TOLERANCE["tiny"]
    x = np.random.default_rng(0).standard_normal((3, 64)) + 5.0  # a mean of 5
    gain = np.linspace(0.5, 1.5, 64)
    for scale in (1.0, 1e-3):
        y = x * scale
        for norm, spread in (("rms", np.square(y).mean(-1)), ("var", y.var(-1))):
            found = igpt.normed(jnp.asarray(y, jnp.float32), jnp.asarray(gain, jnp.float32), norm)
            expected = y / np.sqrt(spread + 1e-5)[:, None] * gain
            np.testing.assert_allclose(found, expected, rtol=2e-6 if scale == 1 else 1e-4)


def test_activation_function():
    x = np.array([-3.0, -0.5, 0.0, 0.5, 3.0])
    np.testing.assert_allclose(igpt.quick_gelu(jnp.asarray(x, jnp.float32)), x / (1 + np.exp(-1.702 * x)), rtol=1e-6)


def test_what_a_pixel_decides(tiny):
    """The logits at i do not depend on pixels from i on, so the last pixel decides nothing."""
    one = tiny.tokens[:1]
    _, before = jax.device_get(all_states(tiny.params, one, size=TINY, norm="rms"))
    for place in (0, 17, 63):
        other = one.copy()
        other[0, place:] = (other[0, place:] + 1) % 512
        _, after = jax.device_get(all_states(tiny.params, other, size=TINY, norm="rms"))
        assert np.array_equal(before[:, : place + 1], after[:, : place + 1])
        if place < 63:
            assert np.abs(before[:, place + 1] - after[:, place + 1]).max() > 1e-3


def test_sizes():
    """Numbers of parameters of the published networks; that of heads shows in no tensor of transformers' files."""
    counts = {"igpt_s": 76_571_648, "igpt_m": 455_157_760, "igpt_l": 1_362_250_752}
    assert {name: (s.blocks, s.width, s.heads) for name, s in SIZES.items()} == {
        "igpt_s": (24, 512, 8), "igpt_m": (36, 1024, 8), "igpt_l": (48, 1536, 16)
    }  # fmt: skip
    for name, size in SIZES.items():
        leaves = jax.tree.leaves(size.shapes, is_leaf=lambda shape: isinstance(shape, tuple))
        assert sum(math.prod(shape) for shape in leaves) == counts[name]
        assert (size.context, size.colours, size.ieat_layer) == (1024, 512, 20)


def test_too_many_pixels_and_offsets_are_refused(tiny):
    with pytest.raises(InputError, match="65 pixels are more than the 64 of the network"):
        uncompiled(TINY, "rms")(tiny.params, np.zeros((1, 65), np.int32))
    with pytest.raises(InputError, match="means over positions"):
        IGPT(Size(1, 8, 2, 2, 4))(jnp.zeros((1, 4), jnp.int32), {"h.0": jnp.zeros((1, 8))})


def test_untrained_weights():
    size = Size(blocks=2, width=64, heads=4, side=8)
    weights = igpt.initial_weights("tiny", size, seed=0)
    shapes = jax.tree.map(np.shape, weights)
    assert shapes == size.shapes
    assert np.allclose(weights["h"]["ln_1"], 1) and np.allclose(weights["ln_f"], 1)
    for leaf, wanted in {"c_attn": 1 / 8, "c_proj": 1 / np.sqrt(128), "c_fc": 0.02, "c_out": 0.02}.items():
        assert abs(weights["h"][leaf].std() / wanted - 1) < 0.05
    again, other = igpt.initial_weights("tiny", size, seed=0), igpt.initial_weights("tiny", size, seed=1)
    assert jax.tree.all(jax.tree.map(np.array_equal, weights, again))
    assert not np.array_equal(weights["wte"], other["wte"]) and not np.array_equal(weights["wte"], weights["wtet"])
    logits, found = program(size, "rms")(weights, np.arange(64, dtype=np.int32)[None])
    assert set(found) == {"h.0", "h.1", "ln_f", "logits"} and logits.shape == (1, 512) and np.ptp(logits) > 0.1


# Mistakes that must show.


def spoiled(case, monkeypatch=None, patched=None, params=None) -> float:
    """Worst error with a function of the network replaced, or with other weights."""
    if patched is not None:
        for name, mistaken in patched.items():
            monkeypatch.setattr(igpt, name, mistaken)
        return max(case.errors("rms", network=jax.jit(uncompiled(case.size, "rms"))).values())
    return max(case.errors("rms", params=params).values())


def centred(x, gain, norm):
    return igpt_normed(x - x.mean(axis=-1, keepdims=True), gain, norm)


def start_at_the_end(params, tokens):
    start = jnp.broadcast_to(params["sos"], (len(tokens), 1, params["wte"].shape[1]))
    return jnp.concatenate([params["wte"][tokens[:, 1:]], start], axis=1) + params["wpe"][None]


def without_start(params, tokens):
    return params["wte"][tokens] + params["wpe"][None]


CODE = {
    "norm takes the mean off": {"normed": centred},
    "epsilon of 1e-6": {"EPSILON": 1e-6},
    "tanh GELU": {"quick_gelu": jax.nn.gelu},
    "exact GELU": {"quick_gelu": lambda x: jax.nn.gelu(x, approximate=False)},
    "start token at the end": {"embed": start_at_the_end},
    "no start token": {"embed": without_start},
    "tied output": {"logits": lambda params, x: x @ params["wte"].T},
    "attention to all": {"causal": lambda q, k, v: jnp.einsum(
        "nhqk,nkhe->nqhe", jax.nn.softmax(jnp.einsum("nqhe,nkhe->nhqk", q, k) / 4.0, axis=-1), v
    ).reshape(*q.shape[:2], -1)},
    "scores not scaled": {"causal": lambda q, k, v: igpt_causal(q * 4.0, k, v)},
}  # fmt: skip
igpt_causal, igpt_normed = igpt.causal, igpt.normed


@pytest.mark.parametrize("mistake", CODE)
def test_mistakes_in_the_code_show(tiny, mistake, monkeypatch):
    assert spoiled(tiny, monkeypatch, CODE[mistake]) > TOLERANCE["tiny"]


@pytest.mark.parametrize("heads", [2, 8])
def test_another_number_of_heads_shows(tiny, heads):
    network = program(Size(4, 64, heads, 8, ieat_layer=2), "rms")
    assert max(tiny.errors("rms", network=network).values()) > 1000 * TOLERANCE["tiny"]


def changed(params, leaf, change):
    return {**params, "h": {**params["h"], leaf: change(params["h"][leaf])}}


WEIGHTS = {
    "transposed projection": ("c_proj", lambda w: w.transpose(0, 2, 1)),
    "transposed queries": ("c_attn", lambda w: w.at[..., :64].set(w[..., :64].transpose(0, 2, 1))),
    "keys before queries": ("c_attn", lambda w: w[..., np.r_[64:128, :64, 128:192]]),
    "values before keys": ("c_attn", lambda w: w[..., np.r_[:64, 128:192, 64:128]]),
    "heads as inner axis": ("c_attn", lambda w: w.reshape(4, 64, 3, 4, 16).swapaxes(3, 4).reshape(w.shape)),
    "gains swapped": ("ln_1", lambda g: g[::-1]),
}


@pytest.mark.parametrize("mistake", WEIGHTS)
def test_mistakes_in_the_weights_show(tiny, mistake):
    assert spoiled(tiny, params=changed(tiny.params, *WEIGHTS[mistake])) > 100 * TOLERANCE["tiny"]


def test_the_gain_of_another_block_shows(tiny):
    found = program(TINY, "rms")(tiny.params, tiny.tokens)[1]["h.1.ieat"]
    assert np.abs(found - tiny.frozen["rms/feature_l2_gain2"]).max() > 1000 * TOLERANCE["tiny"]


def test_live_against_transformers():
    if not (importlib.util.find_spec("torch") and importlib.util.find_spec("transformers")):
        pytest.skip("torch and transformers are not both installed")
    import torch
    from transformers import ImageGPTConfig, ImageGPTForCausalImageModeling

    size = Size(blocks=5, width=48, heads=3, side=6, colours=40, ieat_layer=2)
    config = ImageGPTConfig(vocab_size=41, n_positions=36, n_embd=48, n_layer=5, n_head=3, use_cache=False)
    model = ImageGPTForCausalImageModeling(config).eval()
    rng = np.random.default_rng(3)
    state = {name: torch.tensor(rng.standard_normal(tuple(value.shape)) * (0.0 if name.endswith(".bias") else 0.2),
                                dtype=value.dtype) for name, value in model.state_dict().items()}  # fmt: skip
    model.load_state_dict(state)
    tokens = rng.integers(0, 40, (2, 36)).astype(np.int32)
    fed = torch.tensor(np.concatenate([np.full((2, 1), 40), tokens[:, :-1]], axis=1), dtype=torch.int64)
    with torch.no_grad():
        out = model(fed, output_hidden_states=True)
        feature = model.transformer.h[3].ln_1(out.hidden_states[2]).mean(1)
    params, _, _ = fit_igpt("live", size, {name: value.numpy() for name, value in state.items()})
    logits, found = program(size, "rms")(params, tokens)
    expected = {f"h.{i}": out.hidden_states[i + 1].mean(1) for i in range(4)}
    expected |= {"ln_f": out.hidden_states[5].mean(1), "h.1.ieat": feature, "logits": out.logits[:, -1]}
    for layer, value in expected.items():
        difference = np.abs(found[layer] - value.numpy()).max() / np.abs(value.numpy()).max()
        assert difference < 1e-4, layer
    assert np.array_equal(logits, found["logits"])
