"""Where in single images the scores of heads come from."""

from dataclasses import dataclass
from functools import partial

import jax
import numpy as np

from bias_jax.activations import LinearScore, grad_cam, occlusion_maps
from bias_jax.audit import Context, FlaxSubject
from bias_jax.data import FaceDataset, image_batches
from bias_jax.data.decoding import decode
from bias_jax.networks import split
from bias_jax.networks.layers import adaptive_windows

BATCH = 8  # images per gradient
CELLS = 14  # rows and columns of averaged maps at most


@dataclass(frozen=True)
class Maps:
    """What is seen of n images."""

    pictures: np.ndarray  # uint8 [n, side, side, 3], as the network sees them
    cams: np.ndarray  # float32 [n, J, h, w], of J scores
    occlusions: np.ndarray  # float32 [n, J, cells, cells]; no cells without occlusion


def look_at(
    images: FaceDataset, weights: np.ndarray, layer: str, subject: FlaxSubject, context: Context, *,
    cam_layer: str, cells: int = 0,
) -> Maps:  # fmt: skip
    """Maps of n images.

    Args:
        images: the n images.
        weights: of the scores [n, J, D].
        layer: whose D features are scored.
        subject: the network.
        context: of the run.
        cam_layer: layer of Grad-CAM.
        cells: cells per side of occlusion maps, which take as many forward passes squared; 0: none.

    Raises:
        InputError: no Grad-CAM can be made at this layer.
    """
    first, *others = {decode(images.read_bytes(i)).shape[:2] for i in range(len(images))}
    on_host, size, dtype, transform = split(subject.transform, None if others else first)
    pictures, cams, occlusions = [], [], []
    for start, batch in image_batches(images, BATCH, size, on_host, dtype=dtype):
        number = min(BATCH, len(images) - start)
        prepared = jax.jit(transform.on_device)(jax.device_put(batch))
        own = np.zeros((BATCH, *weights.shape[1:]), np.float32)
        own[:number] = weights[start : start + number]
        explain = partial(grad_cam, subject.model, subject.params, prepared, cam_layer, precision=context.precision)
        found = [explain(LinearScore(jax.device_put(own[:, j]), layer, context.pooling)) for j in range(own.shape[1])]
        cams.append(np.stack(jax.device_get(found), axis=1)[:number])
        seen = np.asarray(jax.device_get(prepared))[:number]
        pictures.append(transform.visible(seen))
        if cells:
            score = LinearScore(jax.device_put(own[:number]), layer, context.pooling)
            chosen = jax.device_put(seen)
            occluded = partial(occlusion_maps, cells=cells, blank=transform.blank, precision=context.precision)
            occlusions.append(occluded(subject.model, subject.params, chosen, score))
    none = np.zeros((len(images), weights.shape[1], 0, 0), np.float32)
    return Maps(np.concatenate(pictures), np.concatenate(cams), np.concatenate(occlusions) if cells else none)


def mean_attention(cams: np.ndarray) -> np.ndarray:
    """Average of maps [n, J, h, w], each brought to at most `CELLS` a side and to the sum 1; maps of zeros count 0.

    On a fine grid the attention of some images lies on a few points, which would hide all else in an average.
    """
    windows = (adaptive_windows(size, min(CELLS, size)) for size in cams.shape[2:])
    rows, columns = (inside / inside.sum(axis=1, keepdims=True) for inside in windows)
    coarse = np.einsum("ph,njhw,qw->njpq", rows, cams, columns)
    total = coarse.sum(axis=(2, 3), keepdims=True)
    return np.where(total > 0, coarse / np.where(total > 0, total, 1.0), 0.0).mean(axis=0)
