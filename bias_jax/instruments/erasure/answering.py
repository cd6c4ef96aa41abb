"""What the network answers when an erased layer is sent on through the rest of it.

The eraser takes ``left right' (x - mean)`` from an image's pooled features x. The layer itself gets the least change
that has this effect on them (`activations.spread`).
"""

from collections.abc import Iterator, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import softmax

from bias_jax.activations import answers_to_changes
from bias_jax.arithmetic import matmul
from bias_jax.audit import OUTPUT, Arrays, Context, FlaxSubject, ImageSet, Stored, Task
from bias_jax.erasure import Eraser
from bias_jax.errors import InputError
from bias_jax.instruments.erasure.asking import ANSWERED, asked_of
from bias_jax.instruments.erasure.conditions import Condition, conditions_of


def changes_of(features: jax.Array, rows: np.ndarray, erasers: Mapping[Condition, Eraser]) -> dict[str, np.ndarray]:
    """What all erasers add to the features [n, D] of some rows [m]: ``amounts`` [m, R] of ``directions`` [R, D]."""
    x = _take(features, jax.device_put(rows))
    amounts, directions = [], []
    for eraser in erasers.values():
        mean, _, right = eraser.factors(np.float32, x.sharding)
        amounts.append(np.asarray(jax.device_get(_amounts(x, mean, right))))
        directions.append(-eraser.left.T.astype(np.float32))
    return {"amounts": np.concatenate(amounts, axis=1), "directions": np.concatenate(directions)}


def plain_answers(logits: jax.Array, rows: np.ndarray) -> Arrays:
    """Of the network as it is: ``probabilities`` [m, C] and ``predicted`` int [m] of some rows of the output [n, C].

    Raises:
        InputError: a logit is not a number or infinite.
    """
    found = np.asarray(jax.device_get(logits), np.float32)[rows]
    if not np.isfinite(found).all():
        raise InputError("the output holds values that are no numbers", remedy="check the weights")
    return {"probabilities": softmax(found, axis=1), "predicted": found.argmax(axis=1)}


def change_answers(
    task: Task, images: ImageSet, subject: FlaxSubject, stored: Stored, wanted: Sequence[str], context: Context
) -> Iterator[tuple[str, Arrays]]:
    """Answers to each layer as it is and after every erasure, K conditions of m images, E asked for.

    ``predicted`` int [K, m]; ``distance`` [K, m], half the sum of the absolute changes of all probabilities (total
    variation); ``probabilities`` [K, m, E]; ``reinserted``, the largest difference of a probability between the layer
    put back unchanged and the network as it is.
    """
    chosen, asked = images.take(task.arrays[ANSWERED]), asked_of(stored)
    plain, conditions = stored.load(OUTPUT)["probabilities"], conditions_of(task.facts)
    for layer in wanted:
        arrays = stored.load(layer)
        ranks = arrays["eraser"][:, 0].astype(int)  # 0 of the layer as it is
        of = np.repeat(np.arange(len(conditions)), ranks)
        amounts = np.where(of == np.arange(len(conditions))[:, None, None], arrays["amounts"], np.float32(0.0))
        logits = answers_to_changes(
            subject.model, subject.params, subject.transform, chosen.pictures, chosen.image_size, layer,
            context.pooling, arrays["directions"], amounts, precision=context.precision,
        )  # fmt: skip
        if not np.isfinite(logits).all():
            problem = f"the answer to the erased layer {layer} holds values that are no numbers or infinite"
            raise InputError(problem, remedy="check the weights, or use --precision float32")
        found = softmax(logits, axis=-1)
        sums = [found[..., one.members].sum(axis=-1) for one in asked]
        yield (
            layer,
            {
                "predicted": logits.argmax(axis=-1).astype(np.int32),
                "distance": 0.5 * np.abs(found - found[:1]).sum(axis=-1),
                "probabilities": np.stack(sums, axis=-1) if asked else np.zeros((*found.shape[:2], 0), np.float32),
                "reinserted": np.abs(found[0] - plain).max(keepdims=True).reshape(1),
            },
        )


@jax.jit
def _take(features: jax.Array, rows: jax.Array) -> jax.Array:
    return features[rows].astype(jnp.float32)


@jax.jit
def _amounts(x: jax.Array, mean: jax.Array, right: jax.Array) -> jax.Array:
    return matmul(x - mean[None], right)
