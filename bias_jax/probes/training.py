"""Mini-batch training of L1-regularised softmax probes, many at once: dropout, Adam, early stopping of each by itself.

The weights of a *job*, p grid points (L1 strength and learning rate) for every target, are rows of one matrix W [K, D],
K = p times the sum of the classes. They share the seed and with it the batches and the dropout masks, so a step is two
matrix products on the batch x [B, D]: the logits ``x W'`` and the gradient ``R' x``, R [B, K] the residuals. Dropout
acts on the features, before the product: one mask per batch and seed, the same for all problems of the seed.

A step costs 4 B D K operations in the products and moves the weights, the gradient and Adam's two moments, about
28 bytes per weight whatever B is. For B = 32 that is 4.6 operations a byte: these arrays have to stay in the cache.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from bias_jax.probes.solver import ABSENT_CLASS_LOGIT


@dataclass(frozen=True)
class RecipeConfig:
    """The published recipe (arXiv 2506.03664). It gives dropout, the 90/10 split and that there is an L1 penalty.

    The rest is not published. Where the defaults say Keras, they are what its layers and optimiser do if not told.
    """

    l1: tuple[float, ...] = (1e-3, 1e-4, 1e-5, 1e-6)  # strengths; printed as 1x10^-k with k lost, so all are tried
    learning_rates: tuple[float, ...] = (1e-3,)  # of Adam (Keras)
    seeds: int = 1  # repeats with other initial weights, batches and dropout masks
    dropout: float = 0.25  # share of the features set to 0 in training (published)
    penalty: Literal["proximal", "subgradient"] = "proximal"  # proximal gives exact zeros; subgradient is Keras's way
    batch_size: int = 32  # images (Keras); a mean over the batch, also over the last, smaller one
    epochs: int = 100  # at most
    patience: int = 10  # epochs without a lower validation cross-entropy after which a problem stops
    schedule: Literal["constant", "cosine"] = "constant"  # learning rate; cosine falls to 0 over `epochs`
    held_out: float = 0.1  # share of the images held out for validation (published)
    split: Literal["stratified", "random"] = "stratified"  # by all targets together, or not
    # raw (nothing is published); scaled: centred and divided by one scalar, as in `fit_convex`; standardised: every
    # column to variance 1. Means and scales come from training images only, and the penalty acts on these inputs.
    inputs: Literal["raw", "scaled", "standardised"] = "raw"
    initial: Literal["glorot", "zeros"] = "glorot"  # weights at the start (Keras); biases start at 0


class Labels(NamedTuple):
    """Who is trained on and who is held out; negative labels are in neither."""

    training: jax.Array  # class numbers, int32 [N + 1, T]; the last row, all -1, fills the last batch
    images: jax.Array  # the training images, int32 [M]
    validation: jax.Array  # class numbers of the held-out images, int32 [V, T]
    held_out: jax.Array  # these images, int32 [V]
    present: tuple[jax.Array, ...]  # per target: whether the class occurs in training, bool [C]


class Jobs(NamedTuple):
    """J jobs; one job is a layer, a seed and p grid points, for all targets."""

    layer: jax.Array  # int32 [J]
    key: jax.Array  # of batches and masks, [J]
    initial_keys: jax.Array  # of initial weights, [J, T]
    l1: jax.Array  # float32 [J, p]
    learning_rate: jax.Array  # float32 [J, p]


class Trained(NamedTuple):
    """Weights of each problem at its lowest validation cross-entropy. Rows: target, then grid point, then class."""

    weights: jax.Array  # [J, K, D], in the coordinates of the inputs (see `RecipeConfig.inputs`)
    biases: jax.Array  # [J, K]
    training_loss: jax.Array  # mean cross-entropy in nats, without dropout and penalty, [J, T, p], as the next four
    training_accuracy: jax.Array
    validation_loss: jax.Array
    validation_accuracy: jax.Array
    zeros: jax.Array  # share of weights that are exactly 0, over the classes that occur in training
    epochs: jax.Array  # trained in all, int32 [J, T, p]
    best_epoch: jax.Array  # of these weights, from 1; 0: no epoch had a finite validation loss


def epoch_batches(key: jax.Array, images: jax.Array, batch_size: int, filler: int) -> jax.Array:
    """All images in random order, int32 [steps, B]; `filler` completes the last batch."""
    steps = -(-images.shape[0] // batch_size)
    order = jax.random.permutation(key, images)
    return jnp.pad(order, (0, steps * batch_size - len(order)), constant_values=filler).reshape(steps, batch_size)


def dropout(key: jax.Array, x: jax.Array, rate: float) -> jax.Array:
    """Entries of x [B, D] set to 0 with probability `rate` (to 1/65536), the others scaled to keep the expectation."""
    threshold = round(rate * 65536)
    if threshold == 0:
        return x
    width = -(-x.shape[1] // 2)  # one 32-bit number serves two entries
    bits = jax.lax.bitcast_convert_type(jax.random.bits(key, (x.shape[0], width), jnp.uint32), jnp.uint16)
    kept = bits.reshape(x.shape[0], 2 * width)[:, : x.shape[1]] >= threshold
    return jnp.where(kept, x * (65536 / (65536 - threshold)), 0.0)


@partial(jax.jit, static_argnames=("config", "at_once"))
def train(
    layers: tuple[jax.Array, ...], labels: Labels, jobs: Jobs, config: RecipeConfig, at_once: int
) -> tuple[Trained, jax.Array, jax.Array]:
    """Train all jobs on layers of one width, `at_once` under vmap, each batch of them until its last problem stops.

    Args:
        layers: L arrays [N, D].
        labels: split and labels.
        jobs: what to train.
        config: see there; grid and seeds are taken from `jobs`.
        at_once: how many jobs are trained together; does not change the numbers beyond rounding.

    Returns:
        What was trained, and shift and factor [L, D] of the inputs: they are ``(bank - shift) * factor``.
    """
    bank = jnp.stack(layers)
    shift, factor = jax.vmap(lambda x: _standardisation(x, labels.images, config.inputs))(bank)

    def one(job: Jobs) -> Trained:
        def inputs(images: jax.Array | slice) -> jax.Array:
            # The filler's number is one too large: clipped to a real image, which has no label there.
            rows = bank[job.layer, images] if isinstance(images, slice) else bank.at[job.layer, images].get(mode="clip")
            return (rows.astype(jnp.float32) - shift[job.layer]) * factor[job.layer]

        return _train_job(inputs, labels, job, config)

    trained = jax.lax.map(one, jobs, batch_size=at_once if at_once > 1 else None)
    return trained, shift, factor


def _standardisation(x: jax.Array, images: jax.Array, inputs: str) -> tuple[jax.Array, jax.Array]:
    """Shift and factor [D] that make the inputs of the bank x [N, D]."""
    if inputs == "raw":
        return jnp.zeros(x.shape[1]), jnp.ones(x.shape[1])
    x = x[images].astype(jnp.float32)
    mean = x.mean(axis=0)
    square = jnp.square(x - mean).mean(axis=0)
    size = jnp.abs(mean)
    if inputs == "scaled":
        square, size = jnp.broadcast_to(square.mean(), mean.shape), jnp.broadcast_to(size.max(), mean.shape)
    deviation = jnp.sqrt(square)
    # Rounding leaves a little where a column is constant; it must not be blown up.
    return mean, 1.0 / jnp.where(deviation <= 1e-6 * size, 1.0, deviation)


def _train_job(inputs, labels: Labels, job: Jobs, config: RecipeConfig) -> Trained:
    """One job: epochs of mini-batches until every problem has stopped."""
    points, classes = job.l1.shape[0], [len(present) for present in labels.present]
    adam = optax.scale_by_adam(eps=1e-7)  # Keras's epsilon
    steps = -(-labels.images.shape[0] // config.batch_size)
    decay = optax.constant_schedule(1.0)
    if config.schedule == "cosine":
        decay = optax.cosine_decay_schedule(1.0, config.epochs * steps)

    def to_rows(problems: jax.Array) -> jax.Array:
        """One value per problem [T, p] -> one per row [K]."""
        return jnp.concatenate([jnp.repeat(problems[t], size) for t, size in enumerate(classes)])

    def blocks(rows: jax.Array) -> list[jax.Array]:
        """Values of the rows [..., K] -> per target [..., p, C]."""
        ends = [points * sum(classes[: t + 1]) for t in range(len(classes) - 1)]
        parts = jnp.split(rows, ends, axis=-1)
        return [part.reshape(*rows.shape[:-1], points, size) for part, size in zip(parts, classes, strict=True)]

    everywhere = jnp.ones((len(classes), 1))
    l1, rate = (to_rows(everywhere * values)[:, None] for values in (job.l1, job.learning_rate))

    def logits(x: jax.Array, weights: jax.Array, biases: jax.Array) -> list[jax.Array]:
        parts = blocks(jnp.matmul(x, weights.T, precision="highest") + biases)
        return [jnp.where(p, z, ABSENT_CLASS_LOGIT) for p, z in zip(labels.present, parts, strict=True)]

    def evaluate(x: jax.Array, y: jax.Array, weights: jax.Array, biases: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Mean cross-entropy and accuracy, both [T, p], on images x [n, D] with labels y [n, T]."""
        losses, accuracies = [], []
        for t, z in enumerate(logits(x, weights, biases)):
            known, truth = (y[:, t] >= 0)[:, None], jnp.maximum(y[:, t], 0)[:, None]
            log_p = jnp.take_along_axis(jax.nn.log_softmax(z), truth[:, :, None], axis=2)[..., 0]
            losses.append(-jnp.where(known, log_p, 0.0).sum(axis=0) / known.sum())
            accuracies.append((known & (z.argmax(axis=2) == truth)).sum(axis=0) / known.sum())
        return jnp.stack(losses), jnp.stack(accuracies)

    def step(state, batch):
        (weights, biases), moments = state
        images, key = batch
        x, y = dropout(key, inputs(images), config.dropout), labels.training[images]
        residuals = []
        for t, z in enumerate(logits(x, weights, biases)):
            known = (y[:, t] >= 0)[:, None, None]
            true = y[:, t, None, None] == jnp.arange(classes[t])
            residual = jnp.where(known & labels.present[t], jax.nn.softmax(z) - true, 0.0)
            residuals.append(residual.reshape(len(x), -1) / jnp.maximum(known.sum(), 1))
        residual = jnp.concatenate(residuals, axis=1)
        gradient = jnp.matmul(residual.T, x, precision="highest")
        if config.penalty == "subgradient":
            gradient += l1 * jnp.sign(weights)
        (change, bias_change), moments = adam.update((gradient, residual.sum(axis=0)), moments)
        scale = decay(moments.count - 1) * rate
        weights -= scale * change
        if config.penalty == "proximal":
            # Adam divides each gradient by the root of its second moment, so its step is a gradient step in the metric
            # diag(root) / rate, and the proximal map in the same metric shrinks by l1 * rate / root (Yun et al. 2021,
            # ProxGen). Only then is the fixed point the optimum of loss + l1 |W|; shrinking all weights by l1 * rate
            # would penalise those with small gradients far less than asked for.
            root = jnp.sqrt(moments.nu[0] / (1.0 - 0.999 ** moments.count.astype(jnp.float32))) + 1e-7
            shrinkage = l1 * scale / root
            weights -= jnp.clip(weights, -shrinkage, shrinkage)
        return ((weights, biases - scale[:, 0] * bias_change), moments), None

    def epoch(loop):
        state, best, best_loss, best_epoch, epochs, active, number = loop
        shuffle, masks = jax.random.split(jax.random.fold_in(job.key, number))
        batches = epoch_batches(shuffle, labels.images, config.batch_size, len(labels.training) - 1)
        state, _ = jax.lax.scan(step, state, (batches, jax.random.split(masks, len(batches))))
        loss, _ = evaluate(held_out, labels.validation, *state[0])
        better = active & (loss < best_loss)
        rows = to_rows(better)
        best = jnp.where(rows[:, None], state[0][0], best[0]), jnp.where(rows, state[0][1], best[1])
        best_epoch = jnp.where(better, number + 1, best_epoch)
        epochs = jnp.where(active, number + 1, epochs)
        active &= number + 1 - best_epoch < config.patience
        return state, best, jnp.where(better, loss, best_loss), best_epoch, epochs, active, number + 1

    held_out = inputs(labels.held_out)
    width = held_out.shape[1]
    starts = []
    for t, present in enumerate(labels.present):
        start = jnp.zeros((classes[t], width))
        if config.initial == "glorot":
            limit = (6.0 / (width + classes[t])) ** 0.5
            start = jax.random.uniform(job.initial_keys[t], start.shape, minval=-limit, maxval=limit)
        starts.append(jnp.tile(jnp.where(present[:, None], start, 0.0), (points, 1)))
    start = jnp.concatenate(starts), jnp.zeros(points * sum(classes))
    count = jnp.zeros((len(classes), points), jnp.int32)
    loop = ((start, adam.init(start)), start, count + jnp.inf, count, count, count == 0, jnp.int32(0))
    loop = jax.lax.while_loop(lambda s: s[5].any() & (s[6] < config.epochs), epoch, loop)
    _, best, _, best_epoch, epochs, *_ = loop
    zeros = blocks((best[0] == 0.0).mean(axis=1))
    zeros = [jnp.where(p, z, 0.0).sum(axis=1) / p.sum() for p, z in zip(labels.present, zeros, strict=True)]
    return Trained(
        *best,
        *evaluate(inputs(slice(None)), labels.training[:-1], *best),
        *evaluate(held_out, labels.validation, *best),
        jnp.stack(zeros),
        epochs,
        best_epoch,
    )
