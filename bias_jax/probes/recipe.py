"""`fit_recipe`: the probes of Krug & Stober 2025 (arXiv 2506.03664), for every layer, target, strength and seed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.arithmetic import matmul
from bias_jax.probes.checks import check_data
from bias_jax.probes.holdout import draw_held_out, split_labels
from bias_jax.probes.lookup import position
from bias_jax.probes.objective import ABSENT_CLASS_LOGIT
from bias_jax.probes.recipe_config import RecipeConfig
from bias_jax.probes.training import Jobs, Trained, train
from bias_jax.randomness import key_for

# Bytes of weights, gradient and Adam's moments trained at the same time. On a CPU half of a usual shared cache: beyond,
# every step waits for memory. On accelerators enough to keep them busy, and little beside the bank.
AT_ONCE = {"cpu": 16 * 2**20}
AT_ONCE_ELSEWHERE = 4 * 2**30


@dataclass(frozen=True)
class RecipeNumbers:
    """What became of one probe."""

    training_loss: float  # mean cross-entropy in nats on the images it was fitted to, without dropout and penalty
    training_accuracy: float  # on the same images
    validation_loss: float  # on the held-out images, which also choose the epoch: a little too good
    validation_accuracy: float
    zeros: float  # share of weights that are exactly 0, over the classes that occur in training
    epochs: int  # trained
    best_epoch: int  # with the lowest validation loss, from 1; 0: none was a number, the weights are the initial ones


class _Stack(NamedTuple):
    """Layers of one width that were trained in one call."""

    layers: tuple[str, ...]
    trained: Trained
    shift: jax.Array  # [L, D]
    factor: jax.Array  # [L, D]
    numbers: dict[str, np.ndarray]  # field of `RecipeNumbers` -> [J, T, p]


class RecipeProbes:
    """Result of `fit_recipe`; look a probe up by layer, target, strength, learning rate and seed."""

    def __init__(self, config: RecipeConfig, targets: list[str], present: tuple[jax.Array, ...], stacks: list[_Stack]):
        self._config, self._targets, self._present = config, targets, present
        self._stacks = {layer: stack for stack in stacks for layer in stack.layers}

    def weights(
        self, layer: str, target: str, l1: float, learning_rate: float, seed: int = 0
    ) -> tuple[jax.Array, jax.Array]:
        """(W [D, C], b [C]) in the coordinates of the bank as given: logits are ``bank[layer] @ W + b``."""
        stack = self._stack(layer)
        job, t, point = self._index(layer, target, l1, learning_rate, seed)
        sizes = [len(present) for present in self._present]
        row = stack.numbers["zeros"].shape[-1] * sum(sizes[:t]) + point * sizes[t]
        place = jax.device_put(np.array([job, row, stack.layers.index(layer)], np.int32))
        return _to_bank(stack.trained.weights, stack.trained.biases, stack.shift, stack.factor, self._present[t], place)

    def numbers(self, layer: str, target: str, l1: float, learning_rate: float, seed: int = 0) -> RecipeNumbers:
        """Losses, accuracies, sparsity and epochs of one probe."""
        index = self._index(layer, target, l1, learning_rate, seed)
        return RecipeNumbers(**{name: values[index].item() for name, values in self._stack(layer).numbers.items()})

    def _stack(self, layer: str) -> _Stack:
        position("layer", layer, self._stacks)
        return self._stacks[layer]

    def _index(self, layer: str, target: str, l1: float, learning_rate: float, seed: int) -> tuple[int, int, int]:
        """Job, target and grid point within the job."""
        config, stack = self._config, self._stack(layer)
        repeat, t = position("seed", seed, range(config.seeds)), position("target", target, self._targets)
        rate = position("learning rate", learning_rate, config.learning_rates)
        point = rate * len(config.l1) + position("strength", l1, config.l1)
        jobs, _, points = stack.numbers["zeros"].shape
        per_layer = jobs // len(stack.layers)
        job = stack.layers.index(layer) * per_layer + repeat * (per_layer // config.seeds) + point // points
        return job, t, point % points


def fit_recipe(
    bank: Mapping[str, jax.Array],
    labels: Mapping[str, np.ndarray],
    *,
    config: RecipeConfig | None = None,
    seed: int,
    validation: np.ndarray | None = None,
) -> RecipeProbes:
    """Train softmax(W a + b) with dropout, L1 and Adam on mini-batches, for every layer, target and grid point:

        mean over a batch of  -log softmax(W dropout(a) + b)[y]   +   l1 * sum(|W|)

    The bias is not penalised. All strengths, learning rates and targets of one seed see the same batches and masks.

    Args:
        bank: layer -> features [N, D].
        labels: target -> class numbers int [N], from 0; negative means unknown and is left out.
        config: the recipe and its grid; default `RecipeConfig()`.
        seed: of the split, the initial weights, the batches and the masks.
        validation: whether each image is held out, bool [N]; default: drawn as `config` says, once for all problems.

    A class without training images gets zero weights and a bias of -40. The weights of all probes stay on the device,
    4 D bytes for each class, grid point and seed.

    Raises:
        ValueError: for shapes that do not fit, labels that are not whole numbers, features that float32 cannot hold,
            or a target without training or validation images.
    """
    config = config or RecipeConfig()
    arrays, known = check_data(bank, labels)
    table = np.stack(list(known.values()), axis=1)
    held_out = draw_held_out(table, config, seed) if validation is None else np.asarray(validation)
    split = split_labels(table, list(labels), held_out)
    by_width: dict[tuple, list[str]] = {}
    for layer, features in arrays.items():
        by_width.setdefault((features.shape[1], features.dtype), []).append(layer)
    stacks = []
    for (width, _), names in by_width.items():
        points, together, depth = _plan(config, width * sum(map(len, split.present)), len(names))
        for start in range(0, len(names), depth):
            layers = tuple(names[start : start + depth])
            jobs = _jobs(config, list(labels), seed, len(layers), points)
            at_once = min(together, len(jobs.l1))
            trained, shift, factor = train(tuple(arrays[k] for k in layers), split, jobs, config, at_once)
            fields = RecipeNumbers.__dataclass_fields__
            numbers = jax.device_get({name: getattr(trained, name) for name in fields})
            stacks.append(_Stack(layers, trained, shift, factor, numbers))
    return RecipeProbes(config, list(labels), split.present, stacks)


def _plan(config: RecipeConfig, weights: int, layers: int) -> tuple[int, int, int]:
    """Grid points of a job, jobs trained at once, and layers of a call, for a number of weights per grid point.

    Grid points first, which share their batches and so make the matrix products large; then seeds, then layers.
    """
    budget = AT_ONCE.get(jax.default_backend(), AT_ONCE_ELSEWHERE)
    capacity = max(budget // (16 * weights), 1)
    grid = len(config.l1) * len(config.learning_rates)
    blocks = -(-grid // capacity)
    points = -(-grid // blocks)
    at_once = max(capacity // points, 1)
    return points, at_once, min(max(at_once // (blocks * config.seeds), 1), layers)


def _jobs(config: RecipeConfig, targets: list[str], seed: int, layers: int, points: int) -> Jobs:
    """All jobs of a stack of layers; random keys depend on seed and target only."""
    grid = np.array([(l1, rate) for rate in config.learning_rates for l1 in config.l1], np.float32)
    blocks = -(-len(grid) // points)
    grid = np.pad(grid, ((0, blocks * points - len(grid)), (0, 0)), mode="edge").reshape(blocks, points, 2)
    layer, repeat, block = (axis.ravel() for axis in np.indices((layers, config.seeds, blocks)))
    names = [f"seed {s}" for s in range(config.seeds)]
    keys = np.stack([_key_data(seed, name) for name in names])
    initial = np.stack([[_key_data(seed, name, target) for target in targets] for name in names])
    arrays = layer.astype(np.int32), keys[repeat], initial[repeat], grid[block, :, 0], grid[block, :, 1]
    layer, keys, initial, l1, rate = jax.device_put(arrays)
    return Jobs(layer, jax.random.wrap_key_data(keys), jax.random.wrap_key_data(initial), l1, rate)


def _key_data(seed: int, *names: str) -> np.ndarray:
    return np.asarray(jax.device_get(jax.random.key_data(key_for(seed, "recipe", *names))))


@jax.jit
def _to_bank(
    weights: jax.Array, biases: jax.Array, shift: jax.Array, factor: jax.Array, present: jax.Array, place: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """(W [D, C], b [C]) of the problem that starts at `place`: job, row, number of the layer in its stack."""
    job, row, layer = place
    size = len(present)
    chosen = jax.lax.dynamic_slice_in_dim(weights[job], row, size) * factor[layer][None]
    bias = jax.lax.dynamic_slice_in_dim(biases[job], row, size)
    bias -= matmul(chosen, shift[layer])
    return chosen.T, jnp.where(present, bias, ABSENT_CLASS_LOGIT)
