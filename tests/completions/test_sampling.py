"""Completions: the cache against the full pass, drawing against probabilities, what samples depend on."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bias_jax.completions import Drawing, batches, complete, sample_keys, sampling, span_of
from bias_jax.completions.batches import batch_bytes, rooms
from bias_jax.errors import InputError
from bias_jax.networks import abstract_params
from bias_jax.networks.igpt import SIZES, Size
from tests.networks.igpt_case import TINY, all_states, frozen_case, registered

GREEDY = Drawing(temperature=0.0)
UPPER = np.arange(64) < 32  # half of the picture


@pytest.fixture(scope="module")
def tiny(oracles_dir):
    return frozen_case(oracles_dir, "tiny")


def finished(params, tokens, given, keys, drawing=GREEDY):
    return complete(params, TINY, np.asarray(tokens), given, keys, drawing)


def keys(count, samples, seed=0):
    return sample_keys(list(jax.random.split(jax.random.key(seed), count)), samples)


@pytest.mark.parametrize("norm", ["rms", "variance"])
@pytest.mark.parametrize("length", [0, 1, 20])
def test_cached_logits_are_those_of_the_full_pass(tiny, norm, length):
    """Two samples of a picture with pixels of their own behind what they share."""
    params = tiny.of(norm)
    samples = np.stack([tiny.tokens, np.roll(tiny.tokens, 7, axis=1)], axis=1)  # [N, S, n]
    samples[..., :length] = tiny.tokens[:, None, :length]
    _, expected = jax.device_get(all_states(params, samples.reshape(4, -1), size=TINY, norm=norm))
    prefix = batches._prefix(params, TINY, tiny.tokens[:, :length], "float32")
    memory = batches._grown(batches._empty(TINY, 2, 2, jnp.dtype("float32")), 64 - length)

    @jax.jit
    def step(memory, t):
        with jax.default_matmul_precision("highest"):
            return sampling.next_logits(params, prefix, memory, jnp.asarray(samples), t, TINY)

    for t in range(length, 64):
        found, memory = step(memory, jnp.int32(t))
        np.testing.assert_allclose(found.reshape(4, -1), expected[:, t], atol=1e-4, err_msg=f"position {t}")


@pytest.mark.parametrize("growth", [1, 3])
def test_greedy_completion_is_that_of_transformers(tiny, growth, monkeypatch):
    monkeypatch.setattr(batches, "GROWTH", growth)
    monkeypatch.setattr(batches, "LONG", 2)
    found = finished(tiny.params, tiny.tokens, UPPER, keys(2, 3))
    assert found.shape == (2, 3, 64) and found.dtype == np.int32
    for sample in range(3):
        assert np.array_equal(found[:, sample], tiny.frozen["rms/greedy"])


def test_what_is_given_stays_and_nothing_else_is_looked_at(tiny):
    """A mask with holes: pixels behind the first hole are given, and decide what comes after them."""
    given = np.ones(64, bool)
    given[[20, 33, 34, 50]] = False
    assert span_of(given) == (20, 51)
    found = finished(tiny.params, tiny.tokens, given, keys(2, 2))
    assert np.array_equal(found[:, :, given], np.broadcast_to(tiny.tokens[:, None, given], (2, 2, 60)))
    other = np.where(given, tiny.tokens, 0)
    assert np.array_equal(found, finished(tiny.params, other, given, keys(2, 2)))
    # One by one by full passes.
    expected = other.copy()
    for t in np.flatnonzero(~given):
        _, logits = jax.device_get(all_states(tiny.params, expected, size=TINY, norm="rms"))
        expected[:, t] = logits[:, t].argmax(axis=-1)
    assert np.array_equal(found[:, 0], expected)


def test_nothing_given(tiny):
    """Greedy from the start token on: all pictures are the same, pixel by pixel those of full passes."""
    found = finished(tiny.params, tiny.tokens, np.zeros(64, bool), keys(2, 1))[:, 0]
    _, logits = jax.device_get(all_states(tiny.params, found, size=TINY, norm="rms"))
    assert np.array_equal(found[0], found[1]) and np.array_equal(found, logits.argmax(axis=-1))


@pytest.mark.parametrize("precision", [pytest.param("tf32", marks=pytest.mark.slow), "bfloat16"])
def test_other_precisions_keep_what_is_given(tiny, precision):
    found = complete(tiny.params, TINY, tiny.tokens[:1], UPPER, keys(1, 1), GREEDY, precision=precision)
    assert np.array_equal(found[0, 0, :32], tiny.tokens[0, :32]) and ((found >= 0) & (found < 512)).all()


def test_samples_depend_on_their_key_alone(tiny):
    drawing = Drawing(temperature=1.0)
    both = finished(tiny.params, tiny.tokens, UPPER, keys(2, 3), drawing)
    assert len(np.unique(both.reshape(6, -1), axis=0)) == 6
    alone = finished(tiny.params, tiny.tokens[1:], UPPER, keys(2, 3)[1:, 1:2], drawing)
    assert np.array_equal(alone[0, 0], both[1, 1])
    assert np.array_equal(both, finished(tiny.params, tiny.tokens, UPPER, keys(2, 3), drawing))
    assert not np.array_equal(both, finished(tiny.params, tiny.tokens, UPPER, keys(2, 3, seed=1), drawing))


def drawn(logits, drawing, count=4000):
    """Frequencies of colours in many draws at one position."""
    many = jnp.broadcast_to(jnp.asarray(logits, jnp.float32), (1, count, len(logits)))
    found = sampling.choose(many, keys(1, count), jnp.int32(5), jnp.float32(drawing.temperature),
                            drawing.temperature == 0, drawing.top_k)  # fmt: skip
    return np.bincount(np.asarray(found)[0], minlength=len(logits)) / count


def test_temperature_and_top_k():
    logits = np.log([0.1, 0.2, 0.3, 0.2, 0.2])

    def close(found, expected):
        expected = np.array(expected)
        return (np.abs(found - expected) <= 4.5 * np.sqrt(expected * (1 - expected) / 4000)).all()

    assert close(drawn(logits, Drawing(1.0)), [0.1, 0.2, 0.3, 0.2, 0.2])
    squares = np.array([1, 4, 9, 4, 4]) / 22
    assert close(drawn(logits, Drawing(0.5)), squares)
    assert close(drawn(logits, Drawing(1.0, top_k=1)), [0, 0, 1, 0, 0])
    assert close(drawn(logits, Drawing(1.0, top_k=2)), [0, 2 / 9, 3 / 9, 2 / 9, 2 / 9])  # ties of the last are kept
    for all_of_them in (0, 5, 600):
        assert close(drawn(logits, Drawing(1.0, top_k=all_of_them)), [0.1, 0.2, 0.3, 0.2, 0.2])
    assert close(drawn(logits, GREEDY), [0, 0, 1, 0, 0])
    assert drawn([1.0, 2.0, 2.0], GREEDY)[1] == 1  # the first of equals
    assert not close(drawn(logits, Drawing(2.0)), [0.1, 0.2, 0.3, 0.2, 0.2])


def test_positions_draw_different_numbers():
    """One key, many positions: were the position not folded in, all would be alike."""
    choose = partial(sampling.choose, jnp.zeros((1, 1, 512)), keys(1, 1))
    found = {int(choose(jnp.int32(t), jnp.float32(1), False, 0)[0, 0]) for t in range(20)}
    assert len(found) > 15


def test_memory_is_counted():
    """To the byte, of what is there when the memory has grown."""
    span = span_of(UPPER)
    assert rooms(512) == [256, 512] and rooms(127) == [127] and rooms(129) == [65, 129]
    memory = batches._grown(batches._empty(TINY, 1, 3, jnp.dtype("float32")), 32)
    held = sum(part.nbytes for own in memory for part in own)
    assert held == 3 * batches.sequence_bytes(TINY, 32)
    assert batch_bytes(TINY, span, 3) == 3 * batches.sequence_bytes(TINY, 32) + batches.sequence_bytes(TINY, 32)
    half = span_of(np.arange(1024) < 512)  # the shorter memory is there until the longer one is made of it
    shared, own = (batches.sequence_bytes(SIZES["igpt_s"], positions) for positions in (512, 512 + 256))
    assert batch_bytes(SIZES["igpt_s"], half, 8) == shared + 8 * own
    assert batches.sequence_bytes(SIZES["igpt_s"], 1024) == 100_663_296  # 101 MB, as is known of the published one


def test_bad_input(tiny):
    def refused(said, params=tiny.params, given=UPPER, drawing=GREEDY):
        with pytest.raises(InputError, match=said):
            finished(params, tiny.tokens, given, keys(2, 1), drawing)

    refused("all pixels are given", given=np.ones(64, bool))
    refused("temperature -1 is not 0 or more", drawing=Drawing(-1.0))
    refused("temperature nan is not 0 or more", drawing=Drawing(float("nan")))
    refused("top-k -1 is negative", drawing=Drawing(1.0, -1))
    refused("no output", params={k: v for k, v in tiny.params.items() if k != "wtet"})


def test_memory_is_written_in_place():
    """A program that copies keys and values for every pixel needs room for them; this one needs less than a tenth."""
    size = Size(blocks=2, width=64, heads=4, side=8)
    with registered("igpt_x", size):
        params = abstract_params("igpt_x")
    like = jax.ShapeDtypeStruct
    prefix = ((like((1, 4, 32, 16), "float32"), like((1, 4, 16, 32), "float32")),) * 2
    memory = ((like((1, 16, 4, 1024, 16), "float32"),) * 2,) * 2
    key, number = jax.eval_shape(lambda: keys(1, 16)), like((), "int32")
    lowered = jax.jit(
        sampling.draw.__wrapped__,
        static_argnames=("size", "greedy", "top_k", "precision"),
        donate_argnames=("memory", "tokens"),
    ).lower(params, prefix, memory, like((1, 16, 64), "int32"), like((64,), bool), key, like((), "float32"), number,
            number, size=size, greedy=False, top_k=0, precision="float32")  # fmt: skip
    used = lowered.compile().memory_analysis()
    assert used.alias_size_in_bytes >= 4 * 16 * 4 * 1024 * 16 * 4
    assert used.temp_size_in_bytes < 0.1 * used.alias_size_in_bytes
