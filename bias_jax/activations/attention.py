"""Where in the image a score comes from: Grad-CAM at any layer, and occlusion maps.

A map illustrates; it does not measure the degree of a bias. A score is linear in the pooled activations of a layer, as
that of a linear head is, or in the network's own logits.
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.activations.pooling import pool
from bias_jax.arithmetic import einsum
from bias_jax.errors import InputError
from bias_jax.networks import Params, forward, jit_network, layer_shapes


class LinearScore(NamedTuple):
    """What is explained: for image n the product of `weights[n]` with its features."""

    weights: jax.Array  # [N, D] of pooled features, or [N, C] of the logits (one-hot: a single logit)
    source: str | None = None  # layer whose pooled activations are the features; None: the logits
    rule: str = "mean"  # how they are pooled, a key of `pooling.RULES`


def grad_cam(
    name: str, params: Params, images: jax.Array, layer: str, score: LinearScore, *, precision: str = "float32"
) -> jax.Array:
    """Grad-CAM (Selvaraju et al. 2017): relu of the sum over units of alpha_u A_u, with alpha_u the mean over positions
    of the gradient of the score with respect to A_u.

    Args:
        name, params: the network.
        images: prepared [N, ...].
        layer: whose activations A [N, h, w, U] are looked at.
        score: what is explained; the layer must not lie behind it.
        precision: of the network.

    Returns:
        [N, h, w] float32, not normalised.

    Raises:
        InputError: the layer does not exist, has no positions, or the score does not depend on it.
    """
    shapes = layer_shapes(name, params, images.shape, images.dtype)
    order = list(shapes)
    for needed in (layer, *([score.source] if score.source else [])):
        if needed not in shapes:
            raise InputError(f"{name} has no layer {needed!r}", remedy=f"choose among {', '.join(order)}")
    if len(shapes[layer]) != 4 or shapes[layer][1:3] == (1, 1):
        raise InputError(f"layer {layer} has no positions to map", remedy="choose an earlier one")
    if score.source is not None and order.index(layer) > order.index(score.source):
        remedy = f"choose {score.source} or an earlier layer"
        raise InputError(f"layer {layer} lies behind {score.source}, which the score is read from", remedy=remedy)
    static = {"name": name, "layer": layer, "source": score.source, "rule": score.rule, "precision": precision}
    return _grad_cam(params, images, score.weights, **static)


@partial(jit_network, static_argnames=("name", "layer", "source", "rule", "precision"))
def _grad_cam(params, images, weights, *, name: str, layer: str, source: str | None, rule: str, precision: str):
    def run(offset: jax.Array) -> tuple[jax.Array, jax.Array]:
        logits, activations = forward(name, params, images, precision=precision, offsets={layer: offset})
        return (_features(logits, activations, source, rule) * weights).sum(), activations[layer]

    like = jax.eval_shape(lambda x: forward(name, params, x, precision=precision)[1][layer], images)
    # Images do not influence each other, so the gradient of the sum holds the gradient of every image.
    slopes, activation = jax.grad(run, has_aux=True)(jnp.zeros(like.shape, like.dtype))
    return class_activation_map(activation, slopes)


def class_activation_map(activation: jax.Array, slopes: jax.Array) -> jax.Array:
    """relu(sum over u of mean over positions of the slopes times A_u), [N, h, w] from two [N, h, w, U]."""
    alpha = slopes.astype(jnp.float32).mean(axis=(1, 2))
    return jax.nn.relu(einsum("nhwu,nu->nhw", activation.astype(jnp.float32), alpha))


def _features(logits: jax.Array | None, activations: dict[str, jax.Array], source: str | None, rule: str) -> jax.Array:
    found = logits if source is None else pool(rule, activations[source])
    if found is None:
        raise InputError("these weights have no output to be explained", remedy="score the features of a layer")
    return found.astype(jnp.float32)


def occlusion_maps(
    name: str, params: Params, images: jax.Array, score: LinearScore, *, cells: int = 7,
    blank: np.ndarray | float = 0.0, precision: str = "float32",
) -> np.ndarray:  # fmt: skip
    """How far the score falls when one cell of the image is made blank (Zeiler & Fergus 2014).

    Args:
        name, params: the network.
        images: prepared [N, H, W, 3], or as tokens of a square [N, S * S].
        score: what is explained; weights [N, K, D] give K scores of each image at the price of one.
        cells: rows and columns; each image takes `cells` squared forward passes.
        blank: what is put there, see `Preparation.blank`; 0 of normalised images is the mean colour.
        precision: of the network.

    Returns:
        [N, cells, cells] or [N, K, cells, cells] float32; positive where the cell speaks for the score.
    """
    height, width = images.shape[1:3] if images.ndim == 4 else [math.isqrt(images.shape[1])] * 2
    if not 1 <= cells <= min(height, width):
        raise InputError(f"cannot part {height} x {width} pixels in {cells} cells a side", remedy="choose fewer")
    rows, columns = (np.arange(size) * cells // size for size in (height, width))
    number = rows[:, None] * cells + columns  # cell of each pixel
    inside = number == np.arange(cells * cells)[:, None, None]
    masks = jax.device_put(inside[..., None] if images.ndim == 4 else inside.reshape(len(inside), -1))
    empty = jax.device_put(np.broadcast_to(np.asarray(blank, images.dtype), images.shape[1:]))
    run = partial(_occlude, name=name, source=score.source, rule=score.rule, precision=precision)
    numbers = jax.device_put(list(range(len(images))))
    drops = [jax.device_get(run(params, images, score.weights, masks, empty, i)) for i in numbers]
    return np.stack(drops).reshape(*score.weights.shape[:-1], cells, cells)


@partial(jit_network, static_argnames=("name", "source", "rule", "precision"))
def _occlude(params, images, weights, masks, empty, i, *, name: str, source: str | None, rule: str, precision: str):
    image = images[i]
    batch = jnp.concatenate([image[None], jnp.where(masks, empty[None], image[None])])
    logits, activations = forward(name, params, batch, precision=precision)
    features = _features(logits, activations, source, rule)
    return einsum("md,...d->...m", features[:1] - features[1:], weights[i])
