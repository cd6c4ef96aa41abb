"""Top-1 and top-5 accuracy of a checkpoint on labelled images, to be compared with the published figures."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from bias_jax.data import FaceDataset, image_batches
from bias_jax.networks import Manifest, Params, Preparation, forward, jit_network, split
from bias_jax.statistics import wilson_interval


@dataclass(frozen=True)
class Accuracy:
    """How often the true class is among the k most likely."""

    images: int
    correct: dict[int, int]  # k -> images

    def line(self, k: int, published: float | None) -> str:
        """Percent with its 95 % Wilson interval, beside the published figure."""
        low, high = wilson_interval(np.array(self.correct[k]), np.array(self.images))
        text = (
            f"top-{k}: {100 * self.correct[k] / self.images:.3f} % (95 % interval {100 * low:.3f} to {100 * high:.3f})"
        )
        return text + (f", published {published:.3f} %" if published is not None else "")


def evaluate(
    params: Params, manifest: Manifest, images: FaceDataset, batch_size: int = 32, precision: str = "float32"
) -> Accuracy:
    """Classify every image once.

    Args:
        params: of the network that the manifest names.
        manifest: of the checkpoint; its transform prepares the images, on the host, as torchvision does with PIL.
        images: N images with labels ``class``, see `class_folders`.
        batch_size: images per forward pass.
        precision: of the network.

    Raises:
        InputError: an image cannot be decoded.
    """
    transform, labels = manifest.transform, images.labels["class"]
    ks = [k for k in (1, 5) if k <= manifest.classes]
    correct = dict.fromkeys(ks, 0)
    on_host, size, dtype, rest = split(transform, None)
    with tqdm(total=len(images), desc="evaluate", unit="image") as progress:
        for start, batch in image_batches(images, batch_size, size, on_host, dtype=dtype):
            rows = min(batch_size, len(images) - start)
            likely = _most_likely(manifest.network, rest, precision, max(ks), params, batch)[:rows]
            hits = jax.device_get(likely) == labels[start : start + rows, None]
            for k in ks:
                correct[k] += int(hits[:, :k].sum())
            progress.update(rows)
    return Accuracy(len(images), correct)


@partial(jit_network, static_argnums=(0, 1, 2, 3))
def _most_likely(
    name: str, transform: Preparation, precision: str, count: int, params: Params, images: jax.Array
) -> jax.Array:
    """The `count` most likely classes [N, count] of pictures from the host, best first."""
    logits, _ = forward(name, params, transform.on_device(images), precision=precision)
    assert logits is not None
    return jax.lax.top_k(logits.astype(jnp.float32), count)[1]
