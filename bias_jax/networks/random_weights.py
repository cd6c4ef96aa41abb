"""Random weights: the untrained control. Seeded, with batch-norm statistics calibrated on a batch of the data."""

from functools import partial

import jax
import numpy as np
from flax import nnx

from bias_jax.networks.definition import Variant
from bias_jax.networks.registry import abstract_params, assemble, jit_network, network
from bias_jax.randomness import stable_hash


def random_params(name: str, seed: int, images: jax.Array, variant: Variant | None = None) -> dict:
    """Parameters of an untrained network.

    They are drawn on the host (`Network.draw`), so they are the same numbers on every device. Without calibration the
    activations of a deep random network explode or vanish, which would make the control trivially weak; one pass sets
    every running mean and variance of batch norms to those of `images`.

    Args:
        name: a network.
        seed: of the kernels.
        images: prepared batch [N, ...]; N >= 16 is advisable.
        variant: which parts there are, and how many classes (default: the network's usual).
    """
    net = network(name)

    def draw(path: tuple, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        rng = np.random.default_rng(stable_hash(seed, "random weights", name, jax.tree_util.keystr(path)))
        return net.draw(tuple(str(entry.key) for entry in path), leaf.shape, rng)

    template = abstract_params(name, variant)
    initial = jax.device_put(jax.tree_util.tree_map_with_path(draw, template))
    leaves = (path[-1].key for path, _ in jax.tree_util.tree_leaves_with_path(template))
    return _calibrate(name, initial, images) if "var" in leaves else initial


@partial(jit_network, static_argnums=0)
def _calibrate(name: str, params: dict, images: jax.Array) -> dict:
    model = assemble(name, params)
    model.set_attributes(nnx.BatchNorm, use_running_average=False, raise_if_not_found=False)
    with jax.default_matmul_precision("highest"):
        model(images)
    return nnx.to_pure_dict(nnx.state(model))
