"""What is trained and evaluated: images, labels, groups, and which images serve for what."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array, vstack

from bias_jax.data import (
    FaceDataset,
    FolderImages,
    LabelSet,
    align_labels,
    attribute_labels,
    inspect_images,
    locate_images,
    read_labels,
    stratified_folds,
)
from bias_jax.data.planted_labels import PlantedConfig, planted_faces
from bias_jax.disparity import Split
from bias_jax.errors import InputError
from bias_jax.randomness import stable_hash
from experiments.datasets import read_dataset
from experiments.disparity_config import DisparityConfig

TUNING = 0.2  # share of separate training images that choose learning rates and thresholds
TRAINING = "training/"  # marks the names of training images among all
COMMON_LABELS = 30  # that are reported on their own by default


@dataclass(frozen=True)
class Task:
    """N images, of which E are evaluated."""

    images: FaceDataset  # all N, to be run through the network
    image_size: tuple[int, int] | None
    sha256: str  # of pixels and labels
    evaluated: FaceDataset  # the E images with their attributes
    rows: np.ndarray  # their rows among the N, int [E]; in the order of the test sets
    labels: csr_array  # [N, C]
    classes: tuple[str, ...]
    splits: tuple[Split, ...]
    notes: tuple[str, ...]

    def reported(self, names: Sequence[str]) -> list[int]:
        """Numbers of the labels that get rates of their own."""
        if unknown := [name for name in names if name not in self.classes]:
            remedy = f"choose among {', '.join(self.classes[:8])}"
            raise InputError(f"--report-labels names {unknown[0]!r}, which is not trained", remedy=remedy)
        if names:
            return [self.classes.index(name) for name in names]
        counts = np.asarray((self.labels > 0).sum(axis=0)).ravel()
        return sorted(np.argsort(-counts, kind="stable")[:COMMON_LABELS].tolist())


def read_task(config: DisparityConfig) -> Task:
    """Read everything and look at every image.

    Raises:
        InputError: naming file, row and way out.
    """
    if config.planted:
        planted = PlantedConfig()
        dataset, labels = planted_faces(planted, config.seed)
        inspection = inspect_images(dataset)
        rows = np.arange(len(dataset))
        split = tuning_split(rows[: planted.training], rows[planted.training :], config.seed)
        return Task(dataset, inspection.image_size, inspection.sha256, dataset.take(split.test), split.test,
                    labels.values, labels.classes, (split,), ())  # fmt: skip
    inspection = inspect_images(read_dataset(config), skip_unreadable=config.skip_unreadable)
    evaluated = inspection.dataset
    if config.images:
        return _separate(config, evaluated)
    if config.labels:
        found = _vocabulary(config, _read_labels(config))
        values = align_labels(found, found.classes, evaluated.image_names)
        absent = int((np.diff(values.indptr) == 0).sum())
        notes = (*found.notes, *((f"{absent} images have no label",) if absent else ()))
    else:
        names = config.label_attributes or ("age", "race")
        found = attribute_labels(evaluated, names)
        values, notes = found.values, ()
    if len(evaluated) < config.folds:
        problem = f"has {len(evaluated)} images, fewer than the {config.folds} folds"
        raise InputError(problem, file=evaluated.source, remedy="add images")
    folds = stratified_folds(evaluated, config.folds, config.seed)
    members = [np.flatnonzero(folds == f) for f in range(config.folds)]
    splits = []
    for f in range(config.folds):
        tuning = (f + 1) % config.folds
        rest = np.concatenate([m for i, m in enumerate(members) if i not in (f, tuning)])
        splits.append(Split(np.sort(rest), members[tuning], members[f]))
    order = np.concatenate(members)
    digest = digest_of(inspection.sha256, found.classes, values)
    return Task(evaluated, inspection.image_size, digest, evaluated.take(order), order, values, found.classes,
                tuple(splits), (*evaluated.notes, *notes))  # fmt: skip


def _separate(config: DisparityConfig, evaluated: FaceDataset) -> Task:
    """Training images with labels of their own; evaluated images with labels by their categories."""
    found = _vocabulary(config, _read_labels(config))
    training, found = locate_images(found, FolderImages(Path(config.images)), "training images")
    inspection = inspect_images(join(training, evaluated), skip_unreadable=config.skip_unreadable)
    names = inspection.dataset.image_names
    trained = [name.removeprefix(TRAINING) for name in names if name.startswith(TRAINING)]
    if len(trained) < 2:
        raise InputError("fewer than two training images", file=config.images, remedy="add images")
    values = vstack([align_labels(found, found.classes, trained), category_truth(config, evaluated, found)], "csr")
    rows = np.arange(len(names))
    split = tuning_split(rows[: len(trained)], rows[len(trained) :], config.seed)
    return Task(inspection.dataset, inspection.image_size, digest_of(inspection.sha256, found.classes, values),
                evaluated, split.test, csr_array(values), found.classes, (split,), (*found.notes, *evaluated.notes)
                )  # fmt: skip


def join(training: FaceDataset, evaluated: FaceDataset) -> FaceDataset:
    """All images as one data set without attributes, training images first."""
    first = len(training)
    return FaceDataset(
        name=f"{training.name} and {evaluated.name}",
        attributes=(),
        labels={},
        image_names=(*(TRAINING + n for n in training.image_names), *("evaluated/" + n for n in evaluated.image_names)),
        rows=(*training.rows, *evaluated.rows),
        read_bytes=lambda i: training.read_bytes(i) if i < first else evaluated.read_bytes(i - first),
        source=f"{training.source}, {evaluated.source}",
    )


def category_truth(config: DisparityConfig, evaluated: FaceDataset, labels: LabelSet) -> csr_array:
    """What --truth and --always say about the evaluated images; all other labels are unknown there."""
    values = np.zeros((len(evaluated), len(labels.classes)), np.int8)

    def columns(names: Sequence[str]) -> list[int]:
        if unknown := [name for name in names if name not in labels.classes]:
            remedy = "name labels that are trained"
            raise InputError(f"--truth or --always names {unknown[0]!r}, which is not", remedy=remedy)
        return [labels.classes.index(name) for name in names]

    right = {}
    for entry in config.truth:
        category, _, names = entry.partition("=")
        right[category] = columns(names.split("|"))
    for attribute in evaluated.attributes:
        mine = [category for category in attribute.categories if category in right]
        for category in mine:
            chosen = evaluated.labels[attribute.name] == attribute.categories.index(category)
            for other in mine:
                values[np.ix_(chosen, right[other])] = -1
            values[np.ix_(chosen, right[category])] = 1
    known = {category for attribute in evaluated.attributes for category in attribute.categories}
    if unknown := sorted(set(right) - known):
        remedy = "give category=label|label for categories of the evaluated attributes"
        raise InputError(f"--truth names {unknown[0]!r}, which is no category", remedy=remedy)
    values[:, columns(config.always)] = 1
    return csr_array(values)


def tuning_split(training: np.ndarray, test: np.ndarray, seed: int) -> Split:
    """Part of the training images, by seed, is set aside for tuning."""
    order = np.random.default_rng(stable_hash(seed, "tuning images")).permutation(training)
    number = max(1, round(TUNING * len(order)))
    return Split(np.sort(order[number:]), np.sort(order[:number]), test)


def digest_of(images: str, classes: Sequence[str], values: csr_array) -> str:
    """SHA-256 of what was seen: images and labels."""
    digest = hashlib.sha256(f"{images}{classes}".encode())
    for part in (values.indptr, values.indices, values.data):
        digest.update(np.ascontiguousarray(part, np.int64).tobytes())
    return digest.hexdigest()


def _read_labels(config: DisparityConfig) -> LabelSet:
    return read_labels(
        config.labels,
        machine=config.machine_labels or None,
        descriptions=config.descriptions or None,
        machine_confidence=config.machine_confidence,
    )


def _vocabulary(config: DisparityConfig, labels: LabelSet) -> LabelSet:
    return labels.restrict(config.vocabulary, minimum=config.min_images, most=config.max_labels)
