"""iGPT against frozen values of transformers in float64, and against transformers itself where it is installed."""

import importlib.util
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bias_jax.errors import InputError
from bias_jax.networks import abstract_params, class_count, forward, igpt, network, random_params
from bias_jax.networks.igpt import IGPT, SIZES, Size
from converters import convert
from converters.original import import_transformers
from tests.networks.igpt_case import TINY, TOLERANCE, all_states, frozen_case, program, registered, uncompiled

NORMS = ["rms", "variance"]
FROZEN = {"rms": "rms", "variance": "var"}  # how the frozen values call them


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
    states, logits = jax.device_get(all_states(case.of(norm), case.tokens, size=case.size, norm=norm))
    expected = case.frozen[f"{FROZEN[norm]}/hidden_points"][:-1]  # the last is behind ln_f
    worst = [np.abs(states[:-1, 0][:, positions] - expected).max() / np.abs(expected).max()]
    worst.append(np.abs(logits[0, positions] - case.frozen[f"{FROZEN[norm]}/logits_points"]).max())
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    nats = np.log(np.exp(shifted).sum(axis=-1)) - np.take_along_axis(shifted, case.tokens[..., None], -1)[..., 0]
    return max(*worst, np.abs(nats.mean(axis=1) - case.frozen[f"{FROZEN[norm]}/nll"]).max())


@pytest.mark.parametrize("norm", NORMS)
def test_every_position(tiny, norm):
    assert all_positions_agree(tiny, norm, [0, 1, 31, 62, 63]) < TOLERANCE["tiny"]
    states, logits = jax.device_get(all_states(tiny.of(norm), tiny.tokens, size=TINY, norm=norm))
    three = [0, 31, 63]
    expected = np.concatenate(
        [tiny.frozen[f"{FROZEN[norm]}/raw3"][:-1], tiny.frozen[f"{FROZEN[norm]}/before_ln_f_raw3"][None]]
    )
    np.testing.assert_allclose(states[:, :, three], expected, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_allclose(logits[:, three], tiny.frozen[f"{FROZEN[norm]}/logits3"], atol=TOLERANCE["tiny"])


def test_the_norms_differ(tiny):
    assert max(tiny.errors("rms", params=tiny.of("variance")).values()) > 100 * TOLERANCE["tiny"]
    x = np.random.default_rng(0).standard_normal((3, 64)) + 5.0  # a mean of 5
    gain = np.linspace(0.5, 1.5, 64)
    for scale in (1.0, 1e-3):
        y = x * scale
        for norm, spread in (("rms", np.square(y).mean(-1)), ("variance", y.var(-1))):
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
        leaves = jax.tree.leaves(abstract_params(name))
        assert sum(math.prod(leaf.shape) for leaf in leaves) == counts[name]
        assert (size.context, size.colours, size.ieat_layer) == (1024, 512, 20)
        assert network(name).layers[19:22] == ("h.19", "h.19.ieat", "h.20")
        assert class_count(name, abstract_params(name)) == 0


def test_too_many_pixels_and_offsets_are_refused(tiny):
    with pytest.raises(InputError, match="65 pixels are more than the 64 of the network"):
        uncompiled(TINY)(tiny.params, np.zeros((1, 65), np.int32))
    module = IGPT(Size(1, 8, 2, 2, 4), {"classes": 0, "variance": 0, "head": 1})
    with pytest.raises(InputError, match="means over positions"):
        module(jnp.zeros((1, 4), jnp.int32), {"h.0": jnp.zeros((1, 8))})


def test_untrained_weights():
    size = Size(blocks=2, width=64, heads=4, side=8)
    with registered("igpt_tiny", size):
        weights, again, other = (random_params("igpt_tiny", seed, jnp.zeros((2, 64), jnp.int32)) for seed in (0, 0, 1))
        assert network("igpt_tiny").variant(weights) == {"classes": 0, "variance": 0, "head": 1}
    block = weights["h"]["1"]
    assert np.all(block["ln_1"] == 1) and np.all(block["ln_2"] == 1) and np.all(weights["ln_f"]["rms"] == 1)
    deviations = {"wte": 0.02, "wpe": 0.01, "wtet": 0.02} | {f"{which}_proj": 1 / 8 for which in "qkv"}
    for leaf, wanted in {**deviations, "c_fc": 0.02}.items():
        assert abs(np.std({**weights, **block["attn"], **block["mlp"]}[leaf]) / wanted - 1) < 0.05, leaf
    assert abs(np.std(block["attn"]["c_proj"]) * np.sqrt(128) - 1) < 0.05
    assert abs(np.std(block["mlp"]["c_proj"]) / 0.02 - 1) < 0.05
    assert jax.tree.all(jax.tree.map(np.array_equal, weights, again))
    assert not np.array_equal(weights["wte"], other["wte"]) and not np.array_equal(weights["wte"], weights["wtet"])
    found = program(size)(weights, np.arange(64, dtype=np.int32)[None])[1]
    assert set(found) == {"h.0", "h.1", "ln_f", "logits"} and np.ptp(found["logits"]) > 0.1


@pytest.mark.slow
def test_other_precisions(tiny):
    with registered("igpt_tiny", TINY):
        run = jax.jit(partial(forward, "igpt_tiny"), static_argnames="precision")
        exact, fast, half = (run(tiny.params, tiny.tokens, precision=p)[1] for p in ("float32", "tf32", "bfloat16"))
    assert {value.dtype for value in half.values()} == {jnp.dtype("bfloat16")}
    for layer, value in exact.items():
        largest = np.abs(value).max()
        assert np.abs(fast[layer] - value).max() < 0.02 * largest
        assert 0 < np.abs(half[layer].astype(jnp.float32) - value).max() < 0.1 * largest


# Mistakes that must show.


def spoiled(case, monkeypatch=None, patched=None, params=None) -> float:
    """Worst error with a function of the network replaced, or with other weights."""
    if patched is not None:
        for name, mistaken in patched.items():
            monkeypatch.setattr(igpt, name, mistaken)
        return max(case.errors("rms", network=jax.jit(uncompiled(case.size))).values())
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
    other = program(Size(4, 64, heads, 8, ieat_layer=2))
    assert max(tiny.errors("rms", network=other).values()) > 1000 * TOLERANCE["tiny"]


def changed(params, change):
    """Another leaf or other leaves of every block."""
    return {**params, "h": {block: change(own) for block, own in params["h"].items()}}


def attention(**changes):
    return lambda own: {**own, "attn": {**own["attn"], **{k: change(own["attn"]) for k, change in changes.items()}}}


WEIGHTS = {
    "transposed projection": attention(c_proj=lambda a: a["c_proj"].T),
    "transposed queries": attention(q_proj=lambda a: a["q_proj"].T),
    "keys before queries": attention(q_proj=lambda a: a["k_proj"], k_proj=lambda a: a["q_proj"]),
    "values before keys": attention(v_proj=lambda a: a["k_proj"], k_proj=lambda a: a["v_proj"]),
    "heads as inner axis": attention(q_proj=lambda a: a["q_proj"].reshape(64, 4, 16).swapaxes(1, 2).reshape(64, 64)),
    "gains swapped": lambda own: {**own, "ln_1": own["ln_2"], "ln_2": own["ln_1"]},
}


@pytest.mark.parametrize("mistake", WEIGHTS)
def test_mistakes_in_the_weights_show(tiny, mistake):
    assert spoiled(tiny, params=changed(tiny.params, WEIGHTS[mistake])) > 100 * TOLERANCE["tiny"]


def test_the_gain_of_another_block_shows(tiny):
    found = program(TINY)(tiny.params, tiny.tokens)[1]["h.1.ieat"]
    assert np.abs(found - tiny.frozen["rms/feature_l2_gain2"]).max() > 1000 * TOLERANCE["tiny"]


@pytest.mark.torch
def test_live_against_transformers():
    if not (importlib.util.find_spec("torch") and importlib.util.find_spec("transformers")):
        pytest.skip("torch and transformers are not both installed")
    import torch

    transformers = import_transformers()
    size = Size(blocks=5, width=48, heads=3, side=6, colours=40, ieat_layer=2)
    config = transformers.ImageGPTConfig(vocab_size=41, n_positions=36, n_embd=48, n_layer=5, n_head=3, use_cache=False)
    model = transformers.ImageGPTForCausalImageModeling(config).eval()
    rng = np.random.default_rng(3)
    state = {name: torch.tensor(rng.standard_normal(tuple(value.shape)) * (0.0 if name.endswith(".bias") else 0.2),
                                dtype=value.dtype) for name, value in model.state_dict().items()}  # fmt: skip
    model.load_state_dict(state)
    tokens = rng.integers(0, 40, (2, 36)).astype(np.int32)
    fed = torch.tensor(np.concatenate([np.full((2, 1), 40), tokens[:, :-1]], axis=1), dtype=torch.int64)
    with torch.no_grad():
        out = model(fed, output_hidden_states=True)
        feature = model.transformer.h[3].ln_1(out.hidden_states[2]).mean(1)
    with registered("live", size):
        params = convert("live", {name: value.numpy() for name, value in state.items()})
    found = program(size)(params, tokens)[1]
    expected = {f"h.{i}": out.hidden_states[i + 1].mean(1) for i in range(4)}
    expected |= {"ln_f": out.hidden_states[5].mean(1), "h.1.ieat": feature, "logits": out.logits[:, -1]}
    for layer, value in expected.items():
        difference = np.abs(found[layer] - value.numpy()).max() / np.abs(value.numpy()).max()
        assert difference < 1e-4, layer
