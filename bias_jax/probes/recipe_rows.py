"""The problems of one job of the recipe as rows of one matrix: logits, residuals, losses and where they start."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.arithmetic import matmul
from bias_jax.probes.objective import ABSENT_CLASS_LOGIT

EVALUATED = 512  # images whose features are held at once to evaluate

Inputs = Callable[[jax.Array], jax.Array]  # numbers of images -> their features as trained on, float32 [n, D]


class ProblemRows(NamedTuple):
    """Order of the rows of W: target, then grid point, then class."""

    present: tuple[jax.Array, ...]  # per target: whether the class occurs in training, bool [C]
    points: int  # p

    def spread(self, problems: jax.Array) -> jax.Array:
        """One value per problem [T, p] -> one per row [K]."""
        return jnp.concatenate([jnp.repeat(problems[t], len(p)) for t, p in enumerate(self.present)])

    def blocks(self, rows: jax.Array) -> list[jax.Array]:
        """Values of the rows [n, K] -> per target [n, p, C]."""
        ends = np.cumsum([self.points * len(present) for present in self.present])
        parts = jnp.split(rows, ends[:-1], axis=1)
        return [z.reshape(len(z), self.points, len(p)) for z, p in zip(parts, self.present, strict=True)]

    def logits(self, x: jax.Array, model: tuple[jax.Array, jax.Array]) -> list[jax.Array]:
        """Logits of images x [n, D], per target [n, p, C]."""
        parts = self.blocks(matmul(x, model[0].T) + model[1][None])
        return [jnp.where(p[None, None], z, ABSENT_CLASS_LOGIT) for z, p in zip(parts, self.present, strict=True)]


def evaluate(
    inputs: Inputs, images: jax.Array, labels: jax.Array, model: tuple[jax.Array, jax.Array], rows: ProblemRows
) -> jax.Array:
    """Mean cross-entropy and accuracy of all problems, [2, T, p], on `images` [n] with labels [N + 1, T]."""
    batches = _batches(images, -(-len(images) // -(-len(images) // EVALUATED)), len(labels) - 1)

    def add(sums: jax.Array, batch: jax.Array) -> tuple[jax.Array, None]:
        new = []
        for y, logits in zip(labels[batch].T, rows.logits(inputs(batch), model), strict=True):
            log_p = jnp.take_along_axis(jax.nn.log_softmax(logits), jnp.maximum(y, 0)[:, None, None], axis=2)[..., 0]
            both = jnp.stack([-log_p, (logits.argmax(axis=2).astype(y.dtype) == y[:, None]).astype(jnp.float32)])
            new.append(jnp.where((y >= 0)[None, :, None], both, 0.0).sum(axis=1))
        return sums + jnp.stack(new, axis=1), None

    sums, _ = jax.lax.scan(add, jnp.zeros((2, len(rows.present), rows.points)), batches)
    return sums / (labels[images] >= 0).sum(axis=0).astype(jnp.float32)[None, :, None]


def residuals(x: jax.Array, y: jax.Array, model: tuple[jax.Array, jax.Array], rows: ProblemRows) -> jax.Array:
    """Derivative [B, K] of every problem's mean cross-entropy by its logits; y [B, T]."""
    parts = []
    for t, logits in enumerate(rows.logits(x, model)):
        known = (y[:, t] >= 0)[:, None, None]
        true = y[:, t, None, None] == jnp.arange(logits.shape[2], dtype=y.dtype)[None, None]
        counted = known & rows.present[t][None, None]
        residual = jnp.where(counted, jax.nn.softmax(logits) - true.astype(logits.dtype), 0.0)
        parts.append(residual.reshape(len(x), -1) / jnp.maximum(known.sum(), 1).astype(jnp.float32))
    return jnp.concatenate(parts, axis=1)


def initial_model(keys: jax.Array, width: int, rows: ProblemRows, initial: str) -> tuple[jax.Array, jax.Array]:
    """Weights [K, D] and biases [K] at the start, the same at every grid point."""
    sizes = [len(p) for p in rows.present]
    biases = jnp.zeros(rows.points * sum(sizes))
    if initial == "zeros":
        return jnp.zeros((len(biases), width)), biases
    owner = np.repeat(np.arange(len(sizes)), sizes)
    limit = np.sqrt(6.0 / (width + np.array(sizes)))[owner].astype(np.float32)
    row_keys = jax.vmap(jax.random.fold_in)(keys[owner], np.concatenate([np.arange(size) for size in sizes]))
    drawn = jax.vmap(lambda key: jax.random.uniform(key, (width,), minval=-1.0))(row_keys) * limit[:, None]
    drawn = jnp.where(jnp.concatenate(rows.present)[:, None], drawn, 0.0)
    parts = jnp.split(drawn, np.cumsum(sizes)[:-1])
    return jnp.concatenate([jnp.tile(part, (rows.points, 1)) for part in parts]), biases


def epoch_batches(key: jax.Array, images: jax.Array, batch_size: int, filler: int) -> jax.Array:
    """All images in random order, int32 [steps, B]; `filler` completes the last batch."""
    return _batches(jax.random.permutation(key, images), batch_size, filler)


def _batches(images: jax.Array, size: int, filler: int) -> jax.Array:
    return jnp.pad(images, (0, -len(images) % size), constant_values=filler).reshape(-1, size)
