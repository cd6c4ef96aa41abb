"""What a network answers when one of its layers is put back changed, and everything behind it is computed again."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.activations.pooling import spread
from bias_jax.arithmetic import matmul
from bias_jax.data import FaceDataset, image_batches
from bias_jax.networks import Params, Preparation, forward, jit_network, split

TOGETHER = 32  # images x changes that are behind the layer at once


def answers_to_changes(
    name: str, params: Params, transform: Preparation, images: FaceDataset, image_size: tuple[int, int] | None,
    layer: str, rule: str, directions: np.ndarray, amounts: np.ndarray, *, precision: str = "float32",
) -> np.ndarray:  # fmt: skip
    """Logits float32 [K, N, C] after each of K changes of a layer, every image by amounts of its own.

    What is added to an image's pooled features, ``amounts directions``, is added to the layer by the least change
    (`pooling.spread`). The layers in front are computed once for all changes, those behind once for each: one program.

    Args:
        name, params, transform: the network, and how its images are prepared.
        images: N images.
        image_size: (H, W) if they share it.
        layer: whose activations [N, H, W, U] or [N, U] are changed.
        rule: by which they were pooled to D features.
        directions: of all changes, [R, D].
        amounts: how much of each direction, [K, N, R]; zeros leave the layer as it is.
        precision: of the network.
    """
    on_host, size, dtype, rest = split(transform, image_size)
    batch = max(1, TOGETHER // len(amounts))
    # Without any direction there would be nothing to multiply.
    given = np.pad(np.asarray(amounts, np.float32), ((0, 0), (0, -len(images) % batch), (0, int(not len(directions)))))
    axes = np.asarray(directions, np.float32) if len(directions) else np.zeros((1, directions.shape[1]), np.float32)
    (on_device, params), found = jax.device_put((axes, params)), []
    for start, pictures in image_batches(images, batch, size, on_host, dtype=dtype):
        mine = jax.device_put((pictures, given[:, start : start + batch]))
        found.append(
            jax.device_get(
                _answers(params, *mine, on_device, name=name, layer=layer, rule=rule, transform=rest,
                         precision=precision)
            )
        )  # fmt: skip
    return np.concatenate(found, axis=1)[:, : len(images)]


@partial(jit_network, static_argnames=("name", "layer", "rule", "transform", "precision"))
def _answers(
    params: Params, images: jax.Array, amounts: jax.Array, directions: jax.Array, *, name: str, layer: str, rule: str,
    transform: Preparation, precision: str,
) -> jax.Array:  # fmt: skip
    prepared = transform.on_device(images)
    like = jax.eval_shape(lambda x: forward(name, params, x, precision=precision)[1][layer], prepared)

    def answer(amount: jax.Array) -> jax.Array:
        offset = spread(rule, matmul(amount, directions), like.shape).astype(like.dtype)
        output, _ = forward(name, params, prepared, precision=precision, offsets={layer: offset})
        assert output is not None
        return output.astype(jnp.float32)

    # Nothing in front of the layer depends on the change, so it is not repeated.
    return jax.vmap(answer)(amounts)
