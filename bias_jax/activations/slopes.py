"""How a network's answer changes as something is added to a layer: directional derivatives, in forward mode."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.arithmetic import einsum
from bias_jax.data import FaceDataset, image_batches
from bias_jax.networks import Params, Preparation, forward, jit_network, split

BATCH = 8  # images at once: what a derivative keeps of every layer behind must fit
TOGETHER = 8  # directions at once


class Slopes(NamedTuple):
    """Derivatives of the log-probabilities of C classes, and of F families of them, in nats."""

    mean: np.ndarray  # over the images, along each direction: float32 [R, C + F]
    along: np.ndarray  # of each image, along each combination of directions: float32 [G, N, C + F]


def answer_slopes(
    name: str, params: Params, transform: Preparation, images: FaceDataset, image_size: tuple[int, int] | None,
    layer: str, directions: np.ndarray, combinations: np.ndarray, families: np.ndarray, *, precision: str = "float32",
) -> Slopes:  # fmt: skip
    """Derivatives of a network's answer as a direction is added at every position of a layer.

    One forward pass per image and direction gives the derivatives of all classes (`jax.linearize`: the values are
    computed once for all directions).

    Args:
        name, params, transform: the network, and how its images are prepared.
        images: N images.
        image_size: (H, W) if they share it.
        layer: whose activations [N, H, W, U] or [N, U] are changed.
        directions: [R, U].
        combinations: [G, R]: weights of the directions.
        families: bool [F, C]: the classes whose probabilities are summed.
        precision: of the network.
    """
    on_host, size, dtype, rest = split(transform, image_size)
    padding = (0, -len(directions) % TOGETHER)  # so that one program walks them
    given = jax.device_put((
        np.pad(np.asarray(directions, np.float32), (padding, (0, 0))),
        np.pad(np.asarray(combinations, np.float32), ((0, 0), padding)),
        np.asarray(families, bool),
    ))  # fmt: skip
    total, along = np.zeros(0), []
    for start, batch in image_batches(images, BATCH, size, on_host, dtype=dtype):
        real = (np.arange(BATCH) + start < len(images)).astype(np.float32)
        sums, each = jax.device_get(
            _slopes(params, *jax.device_put((batch, real)), *given, name=name, layer=layer, transform=rest,
                    precision=precision)
        )  # fmt: skip
        total = total + sums.astype(np.float64) if len(total) else sums.astype(np.float64)
        along.append(each[:, real > 0])
    mean = (total / len(images))[: len(directions)].astype(np.float32)
    return Slopes(mean, np.concatenate(along, axis=1))


@partial(jit_network, static_argnames=("name", "layer", "transform", "precision"))
def _slopes(
    params: Params, images: jax.Array, real: jax.Array, directions: jax.Array, combinations: jax.Array,
    families: jax.Array, *, name: str, layer: str, transform: Preparation, precision: str,
) -> tuple[jax.Array, jax.Array]:  # fmt: skip
    prepared = transform.on_device(images)
    like = jax.eval_shape(lambda x: forward(name, params, x, precision=precision)[1][layer], prepared)

    def answer(added: jax.Array) -> jax.Array:
        everywhere = added.astype(like.dtype).reshape((1,) * (len(like.shape) - 1) + (-1,))
        offsets = {layer: jnp.broadcast_to(everywhere, like.shape)}
        output, _ = forward(name, params, prepared, precision=precision, offsets=offsets)
        assert output is not None
        log_p = jax.nn.log_softmax(output.astype(jnp.float32), axis=-1)
        members = jnp.where(families[None], log_p[:, None], -jnp.inf)
        return jnp.concatenate([log_p, jax.nn.logsumexp(members, axis=-1)], axis=-1)

    _, slope = jax.linearize(answer, jnp.zeros(like.shape[-1:], jnp.float32))
    slopes = jax.lax.map(slope, directions, batch_size=TOGETHER)  # [R, B, C + F]
    return einsum("rbc,b->rc", slopes, real), einsum("gr,rbc->gbc", combinations, slopes)
