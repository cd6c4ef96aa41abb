"""Linear multi-label heads on frozen features: all losses, learning rates, weight decays, folds and seeds in one bank.

Heads that see the same minibatches are columns of one weight matrix, so a step is two products,
[B, D] x [D, H C] forward and [D, B] x [B, H C] back. Folds and seeds have minibatches of their own; they and the
layers of one width are batches of such products. Operations of a step are 4 B D H C; the optimiser moves 40 bytes per
weight, which for B = 32 takes about as much time on a CPU as the products.

Labels stay sparse on the host; a step gets the (row, class, value) triples of its images and scatters them into [B, C].
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.sparse import csr_array

from bias_jax.arithmetic import matmul
from bias_jax.disparity.losses import LOSSES
from bias_jax.randomness import key_for, stable_hash

INITIAL = 0.01  # standard deviation of the initial weights
Unverified = Literal["mask", "negative"]


@dataclass(frozen=True)
class HeadConfig:
    """How heads are trained. Every loss gets every combination of learning rate and weight decay."""

    losses: tuple[str, ...] = tuple(LOSSES)  # losses to compare
    learning_rates: tuple[float, ...] = (0.001, 0.01, 0.1, 1.0)  # chosen per loss on tuning images
    weight_decays: tuple[float, ...] = (1e-4, 1e-2)  # chosen likewise; times the weights, added to their gradient
    epochs: int = 20  # passes over the training images
    minibatch: int = 32  # training images per step of the heads; an epoch's last incomplete batch is left out
    optimiser: Literal["nesterov", "adam"] = "nesterov"  # of the heads
    momentum: float = 0.9  # of nesterov
    schedule: Literal["cosine", "steps", "constant"] = "cosine"  # of learning rates; steps: / 10 at 40 % and at 80 %
    unverified: Unverified = "mask"  # a label that nobody verified is unknown (mask), or absent (negative)

    @property
    def heads(self) -> tuple[tuple[str, float, float], ...]:
        """(loss, learning rate, weight decay) of each of the H heads; all heads of a loss are neighbours."""
        return tuple(product(self.losses, self.learning_rates, self.weight_decays))


class Heads(NamedTuple):
    """Weights of all heads of L layers of one width, for features standardised by each replicate's training images."""

    weights: jax.Array  # [L, R, D + 1, H, C]; the last row is the bias
    mean: jax.Array  # [L, R, D]
    scale: jax.Array  # [L, R, D]


def dense(labels: csr_array, unverified: Unverified) -> np.ndarray:
    """Labels float32 [N, C] of 0, 1 and, with ``mask``, NaN from a sparse matrix of 1 (present) and -1 (absent)."""
    stored = labels.toarray()
    nothing = np.nan if unverified == "mask" else 0.0
    return np.where(stored > 0, 1.0, np.where(stored < 0, 0.0, nothing)).astype(np.float32)


def train_heads(
    bank: jax.Array,
    labels: csr_array,
    training: Sequence[tuple[np.ndarray, int]],
    config: HeadConfig,
    progress: Callable[[], object] = lambda: None,
    weights: Sequence[np.ndarray] | None = None,
) -> Heads:
    """Train all heads.

    Args:
        bank: features of L layers of one width, float32 [L, N, D], on the device.
        labels: [N, C] of 1 (present) and -1 (verified absent); what is not stored is unverified.
        training: rows of the training images and seed of each of R replicates (folds and seeds). All replicates make
            as many steps as the smallest training set allows.
        config: see `HeadConfig`.
        progress: called after every epoch.
        weights: of the N images in the losses of each replicate, float32 [N] each, of mean 1 over its training images
            (default: all the same).
    """
    batch = min(config.minibatch, *(len(rows) for rows, _ in training))
    steps = min(len(rows) for rows, _ in training) // batch
    mean, scale = _moments(bank, jax.device_put([rows.astype(np.int32) for rows, _ in training]))
    starts = [initial_weights(seed, bank.shape[2], labels.shape[1]) for _, seed in training]
    found, state = _initial(starts, bank.shape[0], config)
    _, rates, decays = zip(*config.heads, strict=True)
    settings = jax.device_put((np.array(rates, np.float32), np.array(decays, np.float32)))
    room = max(1, int(np.sort(np.diff(labels.indptr))[-batch:].sum()))  # triples in the fullest batch that can occur
    draws = zip(*(minibatches(rows, seed, steps, batch) for rows, seed in training), strict=True)
    for factor, drawn in zip(_schedule(config, steps), draws, strict=False):
        chosen = np.stack(drawn, axis=1)  # [steps, R, B]
        counts = weights and np.stack([own[rows] for own, rows in zip(weights, drawn, strict=True)], axis=1)
        inputs = jax.device_put((chosen, _triples(labels, chosen, room), factor, counts))
        found, state = _epoch(found, state, bank, mean, scale, settings, inputs, config=config)
        jax.block_until_ready(found)
        progress()
    return Heads(found, mean, scale)


def initial_weights(seed: int, width: int, classes: int) -> jax.Array:
    """Weights [D, C] at which every head with this seed starts; biases start at 0."""
    return _draw(key_for(seed, "initial weights of heads"), (width, classes))


def minibatches(rows: np.ndarray, seed: int, steps: int, batch: int) -> Iterator[np.ndarray]:
    """Rows of each batch of one epoch, int32 [steps, batch], epoch after epoch without end."""
    rng = np.random.default_rng(stable_hash(seed, "minibatches"))
    while True:
        yield rng.permutation(rows)[: steps * batch].reshape(steps, batch).astype(np.int32)


def head_logits(bank: jax.Array, heads: Heads, where: tuple[int, int, int], rows: np.ndarray, size: int) -> np.ndarray:
    """Logits [n, C] of one head on some images.

    Args:
        bank: as in `train_heads`.
        heads: its result.
        where: numbers of layer, replicate and head.
        rows: int [n], rows of the bank.
        size: at least n; sets padded to the same size share one compilation.
    """
    padded = np.zeros(size, np.int32)
    padded[: len(rows)] = rows
    return np.asarray(jax.device_get(_logits(bank, heads, *jax.device_put((where, padded)))))[: len(rows)]


def head_weights(heads: Heads, where: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(W [D, C], b [C]) of one head for features as they are: logits are ``features @ W + b``."""
    w, mean, scale = (np.asarray(x, np.float64) for x in jax.device_get(_pick(heads, jax.device_put(where))))
    weights = w[:-1] / scale[:, None]
    return weights, w[-1] - mean @ weights


def _optimiser(config: HeadConfig) -> optax.GradientTransformation:
    """With learning rate 1: every head multiplies the update by its own."""
    if config.optimiser == "adam":
        return optax.adam(1.0)
    return optax.sgd(1.0, momentum=config.momentum, nesterov=True)


def _schedule(config: HeadConfig, steps: int) -> np.ndarray:
    """Factor of the learning rate, float32 [epochs, steps]."""
    done = np.arange(config.epochs * steps) / (config.epochs * steps)
    factors = {
        "constant": np.ones_like(done),
        "cosine": 0.5 * (1.0 + np.cos(np.pi * done)),
        "steps": 0.1 ** ((done >= 0.4).astype(float) + (done >= 0.8)),
    }[config.schedule]
    return factors.astype(np.float32).reshape(config.epochs, steps)


def _triples(labels: csr_array, chosen: np.ndarray, room: int) -> np.ndarray:
    """(position in the batch, class, value) of all labels of each batch, int32 [steps, R, room, 3].

    Positions beyond the batch fill what is left; the scatter drops them.
    """
    batch = chosen.shape[-1]
    first, counts = labels.indptr[chosen], np.diff(labels.indptr)[chosen]  # [steps, R, B]
    within = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts.ravel(), counts.ravel())
    source = np.repeat(first.ravel(), counts.ravel()) + within
    totals = counts.sum(axis=-1).ravel()
    slot = np.arange(counts.sum()) - np.repeat(totals.cumsum() - totals, totals)
    row = np.repeat(np.arange(totals.size), totals)
    found = np.full((totals.size, room, 3), batch, np.int32)
    found[row, slot, 0] = np.repeat(np.broadcast_to(np.arange(batch), counts.shape).ravel(), counts.ravel())
    found[row, slot, 1] = labels.indices[source]
    found[row, slot, 2] = labels.data[source]
    return found.reshape(*chosen.shape[:2], room, 3)


@jax.jit
def _moments(bank: jax.Array, rows: list[jax.Array]) -> tuple[jax.Array, jax.Array]:
    """Mean and standard deviation of every feature over each replicate's training images, [L, R, D]."""
    mean = jnp.stack([bank[:, r].mean(axis=1) for r in rows], axis=1)
    deviation = jnp.stack([bank[:, r].std(axis=1) for r in rows], axis=1)
    # Rounding leaves a little where a feature is constant; it must not be blown up.
    return mean, jnp.where(deviation <= 1e-6 * jnp.abs(mean), 1.0, deviation)


@partial(jax.jit, static_argnums=1)
def _draw(key: jax.Array, shape: tuple[int, int]) -> jax.Array:
    return INITIAL * jax.random.normal(key, shape)


@partial(jax.jit, static_argnums=(1, 2))
def _initial(starts: list[jax.Array], layers: int, config: HeadConfig) -> tuple[jax.Array, Any]:
    """Weights, the same for all layers and heads of a replicate, and the optimiser's state."""
    drawn = jnp.pad(jnp.stack(starts), ((0, 0), (0, 1), (0, 0)))[None, :, :, None, :]
    weights = jnp.tile(drawn, (layers, 1, 1, len(config.heads), 1))
    return weights, jax.vmap(jax.vmap(_optimiser(config).init))(weights)


@partial(jax.jit, static_argnames="config", donate_argnums=(0, 1))
def _epoch(weights, state, bank, mean, scale, settings, inputs, *, config: HeadConfig):
    """All steps of one epoch; `inputs` are the images, labels, learning-rate factor and weights of each step."""
    optimiser, per_loss = _optimiser(config), len(config.heads) // len(config.losses)
    rates, decays = (x[None, :, None] for x in settings)  # [1, H, 1]

    def total(logits: jax.Array, labels: jax.Array, counts: jax.Array | None) -> jax.Array:
        """Sum of the losses of all heads; they have no weights in common. Logits [B, H, C]."""
        parts = jnp.split(logits, len(config.losses), axis=1)
        assert parts[0].shape[1] == per_loss
        both = zip(config.losses, parts, strict=True)
        losses = (jax.vmap(LOSSES[name], in_axes=(1, None, None))(z, labels, counts).sum() for name, z in both)
        return sum(losses, jnp.zeros(()))

    def update(w, s, features, m, d, rows, labels, counts, factor):
        x = _standardise(features[rows], m, d)
        flat = w.reshape(len(w), -1)
        logits = matmul(x, flat).reshape(len(rows), *w.shape[1:])
        slopes = jax.grad(total)(logits, labels, counts).reshape(len(rows), -1)
        gradient = matmul(x.T, slopes).reshape(w.shape)
        penalised = jnp.arange(len(w))[:, None, None] < len(w) - 1
        gradient += jnp.where(penalised, decays * w, 0.0)
        with jax.numpy_dtype_promotion("standard"):  # Adam in optax raises a float to an integer power
            updates, s = optimiser.update(gradient, s, w)
        return w + factor * rates * updates, s

    over_replicates = jax.vmap(update, in_axes=(0, 0, None, 0, 0, 0, 0, 0, None))
    over_layers = jax.vmap(over_replicates, in_axes=(0, 0, 0, 0, 0, None, None, None, None))
    nothing = jnp.nan if config.unverified == "mask" else 0.0

    def scatter(triples: jax.Array) -> jax.Array:
        row, column, value = triples.T
        labels = jnp.full((inputs[0].shape[-1], weights.shape[-1]), nothing, jnp.float32)
        return labels.at[row, column].set((value > 0).astype(jnp.float32), mode="drop")

    def step(carry, this):
        (w, s), (rows, triples, factor, counts) = carry, this
        return over_layers(w, s, bank, mean, scale, rows, jax.vmap(scatter)(triples), counts, factor), None

    return jax.lax.scan(step, (weights, state), inputs)[0]


def _standardise(x: jax.Array, mean: jax.Array, scale: jax.Array) -> jax.Array:
    """Features [n, D] -> [n, D + 1]; the last column is all ones and carries the bias."""
    return jnp.concatenate([(x - mean[None]) / scale[None], jnp.ones((len(x), 1), x.dtype)], axis=1)


@jax.jit
def _pick(heads: Heads, where: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array, jax.Array]:
    layer, replicate, head = where
    return heads.weights[layer, replicate, :, head], heads.mean[layer, replicate], heads.scale[layer, replicate]


@jax.jit
def _logits(bank: jax.Array, heads: Heads, where: tuple[jax.Array, ...], rows: jax.Array) -> jax.Array:
    weights, mean, scale = _pick(heads, where)
    return matmul(_standardise(bank[where[0], rows], mean, scale), weights)
