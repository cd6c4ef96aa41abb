"""Mini-batch training of L1-regularised softmax probes, many at once: dropout, Adam, early stopping of each by itself.

The weights of a *job*, p grid points (L1 strength and learning rate) for every target, are rows of one matrix W [K, D],
K = p times the sum of the classes. They share the seed and with it the batches and the dropout masks, so a step is two
matrix products on the batch x [B, D]: the logits ``x W'`` and the gradient ``R' x``, R [B, K] the residuals. Dropout
acts on the features, before the product: one mask per batch and seed, the same for all problems of the seed.

A step costs 4 B D K operations in the products and moves the weights, the gradient and Adam's two moments, about
28 bytes per weight whatever B is. For B = 32 that is 4.6 operations a byte: these arrays have to stay in the cache.
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from bias_jax.arithmetic import matmul
from bias_jax.probes.holdout import Labels
from bias_jax.probes.recipe_config import RecipeConfig
from bias_jax.probes.recipe_rows import Inputs, ProblemRows, epoch_batches, evaluate, initial_model, residuals

BETAS = 0.9, 0.999  # Adam's, of Kingma & Ba 2015 and of Keras
EPSILON = 1e-7  # Keras's
Model = tuple[jax.Array, jax.Array]  # weights [K, D] and biases [K]


class Jobs(NamedTuple):
    """J jobs; one job is a layer, a seed and p grid points, for all targets."""

    layer: jax.Array  # int32 [J]
    key: jax.Array  # of batches and masks, [J]
    initial_keys: jax.Array  # of initial weights, [J, T]
    l1: jax.Array  # float32 [J, p]
    learning_rate: jax.Array  # float32 [J, p]


class Trained(NamedTuple):
    """Weights of each problem, as `RecipeConfig.keep` says. Rows: target, then grid point, then class."""

    weights: jax.Array  # [J, K, D], in the coordinates of the inputs (see `RecipeConfig.inputs`)
    biases: jax.Array  # [J, K]
    training_loss: jax.Array  # mean cross-entropy in nats, without dropout and penalty, [J, T, p], as the next four
    training_accuracy: jax.Array
    validation_loss: jax.Array
    validation_accuracy: jax.Array
    zeros: jax.Array  # share of weights that are exactly 0, over the classes that occur in training
    epochs: jax.Array  # trained in all, int32 [J, T, p]
    best_epoch: jax.Array  # with the lowest validation loss, from 1; 0: none was a number


class _Scores(NamedTuple):
    """How good each problem is, [T, p]."""

    loss: jax.Array
    accuracy: jax.Array


class _Progress(NamedTuple):
    """Where the training of a job stands after some epochs."""

    model: Model
    adam: optax.OptState
    kept: Model  # what each problem will give back
    scores: _Scores  # of what is kept, on the held-out images
    lowest: jax.Array  # validation loss so far, [T, p]
    best_epoch: jax.Array  # in which it was, int32 [T, p]
    epochs: jax.Array  # each problem was trained for, int32 [T, p]
    active: jax.Array  # whether a problem goes on, bool [T, p]
    number: jax.Array  # of epochs, int32


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
        def inputs(images: jax.Array) -> jax.Array:
            # The filler's number is one too large: clipped to a real image, which has no label there.
            rows = bank.at[job.layer, images].get(mode="clip")
            return (rows.astype(jnp.float32) - shift[job.layer][None]) * factor[job.layer][None]

        return _train_job(inputs, labels, job, config)

    trained = jax.lax.map(one, jobs, batch_size=at_once if at_once > 1 else None)
    return trained, shift, factor


def _standardisation(x: jax.Array, images: jax.Array, inputs: str) -> tuple[jax.Array, jax.Array]:
    """Shift and factor [D] that make the inputs of the bank x [N, D]."""
    if inputs == "raw":
        return jnp.zeros(x.shape[1]), jnp.ones(x.shape[1])
    x = x[images].astype(jnp.float32)
    mean = x.mean(axis=0)
    square = jnp.square(x - mean[None]).mean(axis=0)
    # Rounding leaves a little where a column is constant, which Adam would blow up: such an input is 0.
    varies = jnp.sqrt(square) > 1e-6 * jnp.abs(mean)
    if inputs == "scaled":
        square = jnp.broadcast_to(jnp.where(varies, square, 0.0).mean(), mean.shape)
    return mean, jnp.where(varies, 1.0 / jnp.sqrt(jnp.where(varies, square, 1.0)), 0.0)


def _train_job(inputs: Inputs, labels: Labels, job: Jobs, config: RecipeConfig) -> Trained:
    """One job: epochs of mini-batches until every problem has stopped."""
    rows = ProblemRows(labels.present, job.l1.shape[0])
    everywhere = jnp.ones((len(labels.present), 1))
    l1, rate = rows.spread(everywhere * job.l1[None])[:, None], rows.spread(everywhere * job.learning_rate[None])
    steps = -(-labels.images.shape[0] // config.batch_size)
    adam = optax.scale_by_adam(*BETAS, eps=EPSILON)

    def step(state: tuple[Model, optax.ScaleByAdamState], batch: tuple[jax.Array, jax.Array]):
        (weights, biases), before = state
        images, key = batch
        x = dropout(key, inputs(images), config.dropout)
        residual = residuals(x, labels.training[images], (weights, biases), rows)
        gradient = matmul(residual.T, x), residual.sum(axis=0)
        if config.penalty == "subgradient":
            gradient = gradient[0] + l1 * jnp.sign(weights), gradient[1]
        scale = rate
        if config.schedule == "cosine":
            done = before.count.astype(jnp.float32) / (config.epochs * steps)
            scale = rate * 0.5 * (1.0 + jnp.cos(jnp.pi * done))
        with jax.numpy_dtype_promotion("standard"):  # optax raises a float to an integer power
            direction, after = adam.update(gradient, before)
        weights -= scale[:, None] * direction[0]
        if config.penalty == "proximal":
            # Adam's step is a gradient step in the metric diag(1 / length), and the proximal map of l1 |W| in the same
            # metric shrinks each weight by l1 * length (Yun et al. 2021, ProxGen). Only then is the optimum of
            # loss + l1 |W| the fixed point; shrinking all weights by l1 * rate would have another one.
            unbiased = -1.0 / jnp.expm1(after.count.astype(jnp.float32) * math.log(BETAS[1]))
            length = scale[:, None] / (jnp.sqrt(after.nu[0] * unbiased) + EPSILON)
            weights -= jnp.clip(weights, -l1 * length, l1 * length)
        return ((weights, biases - scale * direction[1]), after), None

    def epoch(now: _Progress) -> _Progress:
        shuffle, masks = jax.random.split(jax.random.fold_in(job.key, now.number))
        batches = epoch_batches(shuffle, labels.images, config.batch_size, len(labels.training) - 1)
        (model, state), _ = jax.lax.scan(step, (now.model, now.adam), (batches, jax.random.split(masks, steps)))
        new = _Scores(*evaluate(inputs, labels.held_out, labels.validation, model, rows))
        number = now.number + 1
        lower = now.active & (new.loss < now.lowest)
        taken = lower if config.keep == "best" else now.active
        chosen = rows.spread(taken)
        best_epoch = jnp.where(lower, number, now.best_epoch)
        return _Progress(
            model,
            state,
            (jnp.where(chosen[:, None], model[0], now.kept[0]), jnp.where(chosen, model[1], now.kept[1])),
            _Scores(*(jnp.where(taken, mine, old) for mine, old in zip(new, now.scores, strict=True))),
            jnp.where(lower, new.loss, now.lowest),
            best_epoch,
            jnp.where(now.active, number, now.epochs),
            now.active & (number - best_epoch < config.patience),
            number,
        )

    start = initial_model(job.initial_keys, inputs(labels.held_out).shape[1], rows, config.initial)
    none = jnp.zeros((len(labels.present), rows.points), jnp.int32)
    unknown = jnp.full(none.shape, jnp.nan)
    highest = jnp.full(none.shape, jnp.inf)
    begin = _Progress(
        start, adam.init(start), start, _Scores(unknown, unknown), highest, none, none, none == 0, jnp.int32(0)
    )
    end = jax.lax.while_loop(lambda now: now.active.any() & (now.number < config.epochs), epoch, begin)
    kept = end.kept
    training_loss, training_accuracy = evaluate(inputs, labels.images, labels.training, kept, rows)
    zeros = [
        jnp.where(present[None], share[0], 0.0).sum(axis=1) / present.sum().astype(jnp.float32)
        for share, present in zip(rows.blocks((kept[0] == 0.0).mean(axis=1)[None]), labels.present, strict=True)
    ]
    return Trained(
        *kept,
        training_loss,
        training_accuracy,
        *end.scores,
        jnp.stack(zeros),
        end.epochs,
        end.best_epoch,
    )
