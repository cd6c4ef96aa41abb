"""SimCLRv2's networks with seeded weights, and the frozen values of Google's own graph for them.

The stream of numbers: one generator, over the names of the variables in the order of text; uniform numbers become
kernels of variance 1 / fan-in, scales and variances around 1, and small shifts.
"""

import hashlib
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path

import jax
import numpy as np

from bias_jax.networks import NETWORKS, forward, jit_network
from converters import convert
from converters.simclr import SimclrNaming

TOLERANCE = 2e-5  # absolute, on values up to 14; float64 differs from Google's float32 by at most 7e-6
GROUPS = [f"block_group{group}" for group in range(1, 5)]
MAPS = ["initial_conv", "initial_max_pool", *GROUPS]


def variables(name: str) -> dict[str, tuple[int, ...]]:
    """TensorFlow's names, with slashes, and shapes."""
    shapes = SimclrNaming(f"simclrv2_{name}", "tensorflow", "final_avg_pool").shapes
    return {key.replace(".", "/"): shape for key, shape in shapes.items()}


def seeded(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, np.ndarray]:
    rng, found = np.random.default_rng(seed), {}
    for key in sorted(shapes):
        shape, kind = shapes[key], key.rpartition("/")[2]
        u = rng.random(shape)
        if kind == "kernel":
            value = (2 * u - 1) * np.sqrt(3 / np.prod(shape[:-1]))
        elif kind in ("gamma", "moving_variance"):
            value = 0.5 + u
        else:
            value = (u - 0.5) * (0.2 if kind == "bias" else 0.4)
        found[key] = value.astype(np.float32)
    return found


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    found = hashlib.sha256()
    for key in sorted(arrays):
        found.update(key.encode() + np.ascontiguousarray(arrays[key], "<f4").tobytes())
    return found.hexdigest()


@cache
def seeded_variables(name: str) -> dict[str, np.ndarray]:
    """Of the base, and of both heads."""
    shapes = variables(name)
    base = {key: shape for key, shape in shapes.items() if key.startswith("base_model/")}
    heads = {key: shape for key, shape in shapes.items() if key.startswith("head_")}
    return seeded(base, 0) | seeded(heads, 1)


def seeded_images(size: int) -> np.ndarray:
    """Noise; and saw teeth that brighten towards the bottom right. float32 [2, size, size, 3]."""
    noise = np.random.default_rng(size).random((size, size, 3))
    i, j, c = np.meshgrid(np.arange(size), np.arange(size), np.arange(3), indexing="ij")
    teeth = ((i * (2 + c) + j * (5 - c)) % size) / size * (i + j + 1) / (2 * size)
    return np.stack([noise, teeth]).astype(np.float32)


@cache
def frozen(directory: Path) -> dict[str, np.ndarray]:
    with np.load(directory / "simclr_oracle.npz") as stored:
        return dict(stored)


@cache
def params(name: str) -> dict:
    return convert(f"simclrv2_{name}", seeded_variables(name))


@cache
def program(name: str) -> Callable:
    """(params, images) -> (logits, activations)."""
    return jit_network(partial(forward, f"simclrv2_{name}"))


def run(name: str, size: int, weights: dict | None = None, network: Callable | None = None) -> dict[str, np.ndarray]:
    found = (network or program(name))(params(name) if weights is None else weights, seeded_images(size))
    logits, activations = jax.device_get(found)
    return {**activations, "logits": logits}


def errors(found: Mapping[str, np.ndarray], name: str, size: int, directory: Path) -> dict[str, float]:
    """Largest absolute difference of every endpoint, in its means and at its points, and of every block's means."""
    stored, key, result = frozen(directory), f"{name}/{size}", {}

    def compare(endpoint: str, values: np.ndarray, wanted: np.ndarray) -> None:
        same = values.shape == wanted.shape
        result[endpoint] = float(np.abs(values - wanted).max()) if same else np.inf

    for endpoint in MAPS:
        value = found[endpoint]
        assert value.shape == tuple(stored[f"{key}/{endpoint}/shape"]), endpoint
        compare(f"{endpoint} means", value.mean(axis=(1, 2), dtype=np.float64), stored[f"{key}/{endpoint}/mean"])
        height, width = value.shape[1:3]
        places = [(0, 0), (0, width - 1), (height - 1, 0), (height - 1, width - 1), (height // 2, width // 2)]
        points = np.stack([value[1, row, column] for row, column in places])
        compare(f"{endpoint} points", points, stored[f"{key}/{endpoint}/points"])
    blocks = [layer for layer in NETWORKS[f"simclrv2_{name}"].layers if layer.startswith("block_group")]
    for number, block in enumerate(blocks):
        compare(block, found[block][1].mean(axis=(0, 1), dtype=np.float64), stored[f"{key}/block{number:02d}/mean"])
    compare("final_avg_pool", found["final_avg_pool"], stored[f"{key}/final_avg_pool/mean"])
    for ours, theirs in (("nl_0", "nl_0"), ("nl_2", "proj_head_output"), ("logits", "logits_sup")):
        if ours in found:
            compare(ours, found[ours], stored[f"{key}/{theirs}"])
    return result
