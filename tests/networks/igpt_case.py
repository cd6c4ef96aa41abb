"""Frozen values of iGPT (transformers' ImageGPT in float64) on weights drawn from a seed, and what is held to them.

The weights: one stream of uniform numbers u in [0, 1), the variables in the order of their names as text.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bias_jax.networks import NETWORKS, forward, igpt
from bias_jax.networks.igpt import SIZES, Size
from converters import convert
from converters.families import FAMILIES
from converters.igpt import family

TINY = Size(blocks=4, width=64, heads=4, side=8, ieat_layer=2)
SIZE = {"tiny": TINY, "small": SIZES["igpt_s"]}
NAME = {"tiny": "igpt_tiny", "small": "igpt_s"}
TOLERANCE = {"tiny": 1e-5, "small": 1e-4}  # absolute, of means over positions and of logits


@contextmanager
def registered(name: str, size: Size) -> Iterator[None]:
    """A network of this size in the registry meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, name, igpt.definition(size))
        patch.setitem(SIZES, name, size)
        patch.setitem(FAMILIES, name, family({name: size}))
        yield


def openai_shapes(size: Size) -> dict[str, tuple[int, ...]]:
    """Names and shapes of OpenAI's checkpoints."""
    d, projection = size.width, (size.heads, size.width // size.heads, size.width)
    found = {"wpe": (size.context, d), "wte": (size.colours, d), "wtet": (size.colours, d), "sos": (d,), "ln_f/g": (d,)}
    for i in range(size.blocks):
        found |= {f"h{i}/ln_1/g": (d,), f"h{i}/ln_2/g": (d,)}
        found |= {f"h{i}/attn/{which}_proj": projection for which in "qkvc"}
        found |= {f"h{i}/mlp/c_fc/w": (d, 4 * d), f"h{i}/mlp/c_proj/w": (4 * d, d)}
    return {f"model/{name}": shape for name, shape in found.items()}


@cache
def seeded_weights(size: Size) -> dict[str, np.ndarray]:
    """By OpenAI's names."""
    rng, found = np.random.default_rng(0), {}
    for name, shape in sorted(openai_shapes(size).items()):
        u, leaf = rng.random(shape), name.rsplit("/", 1)[1]
        if leaf == "g":
            values = 0.5 + u
        elif leaf in ("wte", "wpe", "sos"):
            values = u - 0.4
        elif leaf == "wtet":
            values = (u - 0.5) * 0.2
        else:  # inputs: of the last projection of attention the first two axes, else the last or the first
            inputs = {"c_proj": np.prod(shape[:2]), "w": shape[0]}.get(leaf, shape[-1])
            values = (2 * u - 1) * np.sqrt(3 / inputs)
        found[name] = values.astype(np.float32)
    return found


def digest(weights: dict[str, np.ndarray]) -> str:
    found = hashlib.sha256()
    for name in sorted(weights):
        found.update(name.encode() + np.ascontiguousarray(weights[name], "<f4").tobytes())
    return found.hexdigest()


class Case(NamedTuple):
    """One size with its weights and frozen values."""

    name: str
    size: Size
    params: dict
    tokens: np.ndarray  # int32 [N, n]
    frozen: dict[str, np.ndarray]

    def expected(self, norm: str) -> dict[str, np.ndarray]:
        """What the network must give, by our names of layers."""
        values, layer, frozen = self.frozen, self.size.ieat_layer, {"variance": "var"}.get(norm, norm)
        means = values[f"{frozen}/hidden_mean"]  # what enters the first block, then behind each; the last behind ln_f
        found = {f"h.{i}": means[i + 1] for i in range(self.size.blocks - 1)}
        if f"{frozen}/before_ln_f_mean" in values:
            found[f"h.{self.size.blocks - 1}"] = values[f"{frozen}/before_ln_f_mean"]
        feature = values[f"{frozen}/feature_l{layer}_gain{layer + 1}"]
        found |= {f"h.{layer - 1}.ieat": feature, "ln_f": means[-1]}
        last = values.get(f"{frozen}/logits_last")
        return found | {"logits": values[f"{frozen}/logits_points"][-1:] if last is None else last}

    def of(self, norm: str) -> dict:
        """The weights, with this norm."""
        return {**self.params, "ln_f": {norm: self.params["ln_f"]["rms"]}}

    def errors(self, norm: str, params=None, network=None) -> dict[str, float]:
        """Largest difference of every layer."""
        _, found = (network or program(self.size))(params or self.of(norm), self.tokens)
        assert set(found) >= set(self.expected(norm))
        return {layer: np.abs(found[layer] - value).max() for layer, value in self.expected(norm).items()}


def frozen_case(folder: Path, name: str) -> Case:
    with np.load(folder / "igpt_oracle.npz") as file:
        frozen = {key.removeprefix(f"{name}/"): file[key] for key in file.files if key.startswith(f"{name}/")}
    size, weights = SIZE[name], seeded_weights(SIZE[name])
    assert digest(weights) == str(frozen["weights_sha256"])
    assert [size.blocks, size.width, size.heads, size.context] == frozen["config"].tolist()
    with registered("igpt_tiny", TINY):
        params = convert(NAME[name], weights)
    return Case(name, size, params, frozen["tokens"].astype(np.int32), frozen)


def uncompiled(size: Size):
    """(params, tokens) -> (None, activations)."""

    def run(params, tokens):
        with registered("igpt_any", size):
            return forward("igpt_any", params, jnp.asarray(tokens))

    return run


@cache
def program(size: Size):
    return jax.jit(uncompiled(size))


@partial(jax.jit, static_argnames=("size", "norm"))
def all_states(params, tokens, *, size: Size, norm: str):
    """States at every position: what enters each block, and the last one's output, [L + 1, N, n, d]; and logits."""
    blocks = igpt.stacked(params)

    def one(x, number):
        return igpt.block(x, igpt.at(blocks, number), size, norm, igpt.causal), x

    with jax.default_matmul_precision("highest"):
        x, before = jax.lax.scan(one, igpt.embed(params, tokens), np.arange(size.blocks, dtype=np.int32))
        states = jnp.concatenate([before, x[None]])
        return states, igpt.logits(params, igpt.normed(x, params["ln_f"][norm], norm))
