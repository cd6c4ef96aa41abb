"""Random weights: the untrained control. Seeded, with batch-norm statistics calibrated on a batch of the data."""

import math
from functools import partial

import jax
import numpy as np
from flax import nnx

from bias_jax.networks.registry import abstract_params, assemble, jit_network
from bias_jax.randomness import stable_hash


def random_params(name: str, seed: int, images: jax.Array) -> dict:
    """Parameters of an untrained network.

    Kernels are drawn on the host (He et al. 2015, fan-out), so they are the same numbers on every device. Without
    calibration the activations of a deep random network explode or vanish, which would make the control trivially
    weak; one pass sets every running mean and variance to those of `images`.

    Args:
        name: a network.
        seed: of the kernels.
        images: normalised batch [N, H, W, 3]; N >= 16 is advisable.
    """

    def draw(path: tuple, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        where = jax.tree_util.keystr(path)
        kind = path[-1].key
        if kind == "kernel":
            rng = np.random.default_rng(stable_hash(seed, "random weights", name, where))
            fan_out = math.prod(leaf.shape) // leaf.shape[-2]
            return rng.standard_normal(leaf.shape, np.float32) * np.float32(math.sqrt(2.0 / fan_out))
        return np.full(leaf.shape, 1.0 if kind in ("scale", "var") else 0.0, np.float32)

    initial = jax.tree_util.tree_map_with_path(draw, abstract_params(name))
    return _calibrate(name, jax.device_put(initial), images)


@partial(jit_network, static_argnums=0)
def _calibrate(name: str, params: dict, images: jax.Array) -> dict:
    model = assemble(name, params)
    model.set_attributes(nnx.BatchNorm, use_running_average=False, raise_if_not_found=False)
    with jax.default_matmul_precision("highest"):
        model(images)
    return nnx.to_pure_dict(nnx.state(model))
