"""Group means of every layer in one pass over the images, batch by batch: no bank of N activations is held."""

from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from bias_jax.activations import LayerPlan, pool
from bias_jax.data import FaceDataset, image_batches
from bias_jax.networks import Params, Transform, forward, jit_network
from bias_jax.topomaps.profiles import GroupMeans, GroupSums, add_to_sums, empty_sums


def stream_means(
    dataset: FaceDataset,
    image_size: tuple[int, int] | None,
    name: str,
    params: Params,
    transform: Transform,
    layers: tuple[LayerPlan, ...],
    labels: Mapping[str, np.ndarray],
    groups: int,
    *,
    rule: str = "mean",
    batch_size: int = 32,
    precision: str = "float32",
) -> dict[str, GroupMeans]:
    """Mean activation of every group in every layer, float32 [G, D].

    Args:
        dataset: N images.
        image_size: (H, W) if all images share it, as for `activations.extract_bank`.
        name, params, transform: the network and how its images are prepared.
        layers: layers to average; memory is G D floats for each.
        labels: layer -> group of each image, int [N]; they differ where the layer's own probe made the groups.
        groups: number of groups G.
        rule: a key of `activations.RULES`; `none` keeps every position of the feature maps.
        batch_size: images per forward pass.
        precision: of the network.
    """
    on_host = None
    if image_size is None:
        on_host, image_size, transform = transform.on_host, (transform.crop, transform.crop), transform.cropped()
    padding = (0, -len(dataset) % batch_size)  # in no group
    padded = {x.name: np.pad(labels[x.name].astype(np.int32), padding, constant_values=-1) for x in layers}
    totals = _nothing(tuple((layer.name, layer.features) for layer in layers), groups)
    with tqdm(total=len(dataset), desc="group means", unit="image") as progress:
        for start, batch in image_batches(dataset, batch_size, image_size, on_host):
            now = {layer: mine[start : start + batch_size] for layer, mine in padded.items()}
            images, mine = jax.device_put((batch, now))
            totals = _add(totals, params, images, mine, name=name, rule=rule, transform=transform, precision=precision)
            jax.block_until_ready(totals)  # keeps the bar honest; the next batch is decoded meanwhile
            progress.update(min(batch_size, len(dataset) - start))
    return _means(totals)


@partial(jax.jit, static_argnums=(0, 1))
def _nothing(layers: tuple[tuple[str, int], ...], groups: int) -> dict[str, GroupSums]:
    return {name: empty_sums(groups, jnp.zeros(features)) for name, features in layers}


@partial(jit_network, static_argnames=("name", "rule", "transform", "precision"), donate_argnames="totals")
def _add(
    totals: dict[str, GroupSums],
    params: Params,
    images: jax.Array,
    labels: dict[str, jax.Array],
    *,
    name: str,
    rule: str,
    transform: Transform,
    precision: str,
) -> dict[str, GroupSums]:
    _, activations = forward(name, params, transform.on_device(images), precision=precision)
    added = {}
    for layer, total in totals.items():
        batch = pool(rule, activations[layer]).astype(jnp.float32)
        first = total.counts.sum() == 0  # the mean of the first batch is the shift of all
        total = total._replace(shift=jnp.where(first, batch.mean(axis=0), total.shift))
        added[layer] = add_to_sums(total, batch, labels[layer])
    return added


@jax.jit
def _means(totals: dict[str, GroupSums]) -> dict[str, GroupMeans]:
    return {layer: total.means() for layer, total in totals.items()}
