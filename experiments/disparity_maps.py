"""Looking at mistakes: which images to look at, and where in them the scores of two losses come from."""

from dataclasses import dataclass
from functools import partial

import jax
import numpy as np

from bias_jax.activations import LinearScore, grad_cam, occlusion_maps
from bias_jax.data import image_batches
from bias_jax.disparity import FittedHeads, held_out_slices
from bias_jax.networks import Transform
from bias_jax.networks.layers import adaptive_windows
from experiments.disparity_config import DisparityConfig
from experiments.disparity_stages import decide
from experiments.disparity_task import Task
from experiments.subject import Subject

BATCH = 8  # images per gradient
CELLS = 14  # rows and columns of averaged maps at most


@dataclass(frozen=True)
class Example:
    """One evaluated image, and the label to look at."""

    image: int  # number among the E evaluated images
    label: int
    caption: str


@dataclass(frozen=True)
class Maps:
    """What is seen of some images."""

    pictures: np.ndarray  # uint8 [n, side, side, 3], as the network sees them
    cams: np.ndarray  # [n, J, h, w]
    occlusions: np.ndarray  # [n, J, cells, cells]


def compared(config: DisparityConfig) -> tuple[int, ...]:
    """The two losses that are looked at: the paper's two if there, else the first ones."""
    wanted = [config.losses.index(x) for x in ("pairwise_softmax", "binary_cross_entropy") if x in config.losses]
    return tuple((wanted + [j for j in range(len(config.losses)) if j not in wanted])[:2])


def loss_examples(fitted: FittedHeads, task: Task, truth: np.ndarray, config: DisparityConfig) -> list[Example]:
    """Images on which the two losses decide differently about a known label, the most differently ranked first."""
    pair = compared(config)
    if len(pair) < 2:
        return []
    found = [decide(fitted, task.labels, task.splits, config, j) for j in pair]
    (first, a), (second, b) = ((decided[0], _ranks(scores[0])) for decided, scores in found)
    distance = np.where((first != second) & ~np.isnan(truth), np.abs(a - b), 0.0)
    examples: list[Example] = []
    for flat in np.argsort(-distance, axis=None, kind="stable"):
        image, label = (int(i) for i in np.unravel_index(flat, distance.shape))
        if distance[image, label] == 0 or len(examples) == config.examples:
            break
        if any(example.image == image for example in examples):
            continue
        given = [config.losses[j] for j, decided in zip(pair, (first, second), strict=True) if decided[image, label]]
        state = "present" if truth[image, label] == 1 else "absent"
        caption = f"{task.classes[label]}: {state}\ngiven by {given[0]} only"
        examples.append(Example(image, label, caption))
    return examples


def group_examples(
    fitted: FittedHeads,
    truth: np.ndarray,
    task: Task,
    config: DisparityConfig,
    spread: dict,
    groups: np.ndarray,
    names: tuple[str, ...],
) -> list[Example]:
    """For the label whose recall differs most between groups: missed images of the worst group, found ones of the best.

    Args:
        fitted, truth, task, config: the run.
        spread: row of `spreads.parquet`, of a recall.
        groups: group of each evaluated image.
        names: of the groups.
    """
    j = config.losses.index(spread["loss"])
    decided, scores = decide(fitted, task.labels, task.splits, config, j)
    label = task.classes.index(spread["label"])
    examples = []
    for group, hit in ((spread["smallest_group"], False), (spread["largest_group"], True)):
        rows = np.flatnonzero((groups == names.index(group)) & (truth[:, label] == 1) & (decided[0, :, label] == hit))
        rows = rows[np.argsort(-scores[0, rows, label] if hit else scores[0, rows, label], kind="stable")]
        text = f"{spread['label']}, {group}\n{'recognised' if hit else 'missed'} by {spread['loss']}"
        examples += [Example(int(row), label, text) for row in rows[: -(-config.examples // 2)]]
    return examples


def _ranks(scores: np.ndarray) -> np.ndarray:
    """Rank of every image's score within its class, 0 to 1."""
    return scores.argsort(axis=0).argsort(axis=0) / max(1, len(scores) - 1)


def label_weights(fitted: FittedHeads, task: Task, j: int, image: int, labels: np.ndarray) -> np.ndarray:
    """Weights [D] of the sum of some labels' logits, of the first seed's head that did not train on the image."""
    split = next(f for f, place in enumerate(held_out_slices(task.splits)) if place.start <= image < place.stop)
    return fitted.weights[split, j][:, labels].sum(axis=1)


def look(
    task: Task, subject: Subject, config: DisparityConfig, layer: str, weights: np.ndarray, images: np.ndarray,
    *, occlusion: bool,
) -> Maps:  # fmt: skip
    """Maps of n evaluated images.

    Args:
        task, subject, config: the run.
        layer: of the heads.
        weights: of the scores [n, J, D].
        images: numbers among the evaluated images [n].
        occlusion: whether to make occlusion maps, which take many forward passes.
    """
    dataset, size, transform = task.images.take(task.rows[images]), task.image_size, subject.transform
    on_host = None
    if size is None:
        on_host, size, transform = transform.on_host, (transform.crop, transform.crop), transform.cropped()
    cam_layer = config.cam_layer or layer
    pictures, cams, occlusions = [], [], []
    for start, batch in image_batches(dataset, BATCH, size, on_host):
        number = min(BATCH, len(images) - start)
        prepared = jax.jit(transform.on_device)(jax.device_put(batch))
        own = np.zeros((BATCH, *weights.shape[1:]), np.float32)
        own[:number] = weights[start : start + number]
        explain = partial(grad_cam, subject.model, subject.params, prepared, cam_layer, precision=config.precision)
        found = [explain(LinearScore(jax.device_put(own[:, j]), layer, config.pooling)) for j in range(own.shape[1])]
        cams.append(np.stack(jax.device_get(found), axis=1)[:number])
        pictures.append(_visible(np.asarray(jax.device_get(prepared))[:number], transform))
        if occlusion:
            score = LinearScore(jax.device_put(own[:number]), layer, config.pooling)
            chosen = jax.device_put(np.asarray(jax.device_get(prepared))[:number])
            occlusions.append(
                occlusion_maps(
                    subject.model, subject.params, chosen, score, cells=config.occlusion, precision=config.precision
                )
            )
    return Maps(
        np.concatenate(pictures),
        np.concatenate(cams),
        np.concatenate(occlusions) if occlusion else np.zeros((len(images), weights.shape[1], 0, 0)),
    )


def _visible(prepared: np.ndarray, transform: Transform) -> np.ndarray:
    """Grey levels of normalised images."""
    levels = (prepared * np.array(transform.std) + np.array(transform.mean)) * 255.0
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def attention_images(task: Task, truth: np.ndarray, per_group: int) -> np.ndarray:
    """The first images of every category of every attribute that have a known label present."""
    usable = np.flatnonzero((truth == 1).any(axis=1))
    chosen: set[int] = set()
    for attribute in task.evaluated.attributes:
        labels = task.evaluated.labels[attribute.name][usable]
        for c in range(len(attribute.categories)):
            chosen.update(usable[labels == c][:per_group].tolist())
    return np.array(sorted(chosen), int)


def mean_attention(cams: np.ndarray) -> np.ndarray:
    """Average of maps [n, J, h, w], each brought to at most `CELLS` a side and to the sum 1; maps of zeros count 0.

    On a fine grid the attention of some images lies on a few points, which would hide all else in an average.
    """
    windows = (adaptive_windows(size, min(CELLS, size)) for size in cams.shape[2:])
    rows, columns = (inside / inside.sum(axis=1, keepdims=True) for inside in windows)
    coarse = np.einsum("ph,njhw,qw->njpq", rows, cams, columns)
    total = coarse.sum(axis=(2, 3), keepdims=True)
    return np.where(total > 0, coarse / np.where(total > 0, total, 1.0), 0.0).mean(axis=0)
