"""One pass over the images fills a bank per layer; activations never leave the device."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from bias_jax.activations.memory import LayerPlan
from bias_jax.activations.pooling import PIXELS, layer_rule, pool
from bias_jax.data import FaceDataset, image_batches
from bias_jax.networks import Params, Transform, forward, jit_network

Bank = dict[str, jax.Array]  # layer -> features [N, D], float32, on the device


@partial(
    jit_network,
    static_argnames=("name", "layers", "rule", "transform", "precision"),
    donate_argnames="banks",
)
def extract_batch(
    banks: Bank,
    params: Params,
    images: jax.Array,
    start: jax.Array,
    *,
    name: str,
    layers: tuple[str, ...],
    rule: str,
    transform: Transform,
    precision: str,
) -> Bank:
    """Write the pooled activations of uint8 images [B, H, W, 3] into rows `start` to `start + B` of the banks.

    The layer `PIXELS` is the normalised image itself.

    The banks are donated, so they are updated in place. A start beyond N - B would be clamped and overwrite good
    rows: allocate the banks with a multiple of B rows.
    """
    normalised = transform.on_device(images)
    _, activations = forward(name, params, normalised, precision=precision)
    activations = {PIXELS: normalised, **activations}
    written = {}
    for layer in layers:
        features = pool(layer_rule(layer, rule), activations[layer]).astype(banks[layer].dtype)
        written[layer] = jax.lax.dynamic_update_slice(banks[layer], features, (start, jnp.zeros_like(start)))
    return written


def extract_bank(
    dataset: FaceDataset,
    image_size: tuple[int, int] | None,
    name: str,
    params: Params,
    transform: Transform,
    wave: tuple[LayerPlan, ...],
    *,
    rule: str = "mean",
    batch_size: int = 32,
    precision: str = "float32",
) -> Bank:
    """Pooled activations of all images for the layers of one wave.

    Args:
        dataset: N images.
        image_size: (H, W) if all images share it: they are then resized on the device, otherwise on the host.
        name, params, transform: the network and how its images are prepared.
        wave: layers to extract together.
        rule: a key of `pooling.RULES`.
        batch_size: images per forward pass; every batch has this shape, so there is one compilation.
        precision: of the network; the bank is float32.

    Returns:
        layer -> float32 [N, D].
    """
    on_host = None
    if image_size is None:
        on_host, image_size, transform = transform.on_host, (transform.crop, transform.crop), transform.cropped()
    total = len(dataset)
    rows = -(-total // batch_size) * batch_size
    banks = _empty(tuple((layer.name, (rows, layer.features)) for layer in wave))
    layers = tuple(layer.name for layer in wave)
    with tqdm(total=total, desc=f"extract {layers[0]} to {layers[-1]}", unit="image") as progress:
        for start, batch in image_batches(dataset, batch_size, image_size, on_host):
            images, position = jax.device_put((batch, np.int32(start)))
            banks = extract_batch(
                banks, params, images, position,
                name=name, layers=layers, rule=rule, transform=transform, precision=precision,
            )  # fmt: skip
            jax.block_until_ready(banks)  # keeps the bar honest; the next batch is decoded meanwhile
            progress.update(min(batch_size, total - start))
    return {layer: _first_rows(banks.pop(layer), total) for layer in layers}  # layer by layer: no second copy of all


@partial(jax.jit, static_argnums=0)
def _empty(shapes: tuple[tuple[str, tuple[int, int]], ...]) -> Bank:
    return {name: jnp.zeros(shape, jnp.float32) for name, shape in shapes}


@partial(jax.jit, static_argnums=1)
def _first_rows(bank: jax.Array, total: int) -> jax.Array:
    return bank[:total]
