"""From pictures and label files to a `Problem`: which labels count, and which images serve for what."""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array, vstack

from bias_jax.audit import Seen
from bias_jax.data import FaceDataset, LabelSet, align_labels, attribute_labels, stratified_folds
from bias_jax.data.planted_labels import PlantedConfig
from bias_jax.disparity import Split
from bias_jax.errors import InputError
from bias_jax.instruments.faces import require_faces
from bias_jax.instruments.heads.config import HeadsConfig
from bias_jax.instruments.heads.material import EVALUATED, TRAINING, LabelledImages, labels_of
from bias_jax.instruments.heads.problem import Problem
from bias_jax.randomness import stable_hash

SHARE = 0.2  # of separate training images that choose learning rates and thresholds


def problem_and_notes(
    config: HeadsConfig, seen: Seen, faces: FaceDataset | None, seed: int
) -> tuple[Problem, tuple[str, ...]]:
    """What to train and evaluate, and what a reader must know about it.

    Args:
        config: see `HeadsConfig`.
        seen: its pictures (`material.pictures_of`), readable ones only.
        faces: of the run, as given.
        seed: of folds and of the images that are set aside for tuning.

    Raises:
        InputError: naming file, row and way out.
    """
    dataset = seen.dataset
    if config.planted:
        assert isinstance(dataset, LabelledImages)
        rows, first = np.arange(len(dataset)), PlantedConfig().training
        split = tuning_split(rows[:first], rows[first:], seed)
        return _problem(dataset.take(split.test), dataset.known.values, dataset.known.classes, (split,)), ()
    if config.images:
        return _separate(config, seen, require_faces("heads", faces), seed)
    if config.labels:
        found = labels_of(config)
        values = align_labels(found, found.classes, dataset.image_names)
        absent = int((np.diff(values.indptr) == 0).sum())
        notes = (*found.notes, *((f"{absent} images have no label",) if absent else ()))
    else:
        found = attribute_labels(dataset, config.label_attributes or [a.name for a in dataset.attributes])
        values, notes = found.values, ()
    splits = fold_splits(dataset, config.folds, seed)
    order = np.concatenate([split.test for split in splits])
    return _problem(dataset.take(order), values, found.classes, splits), notes


def _problem(evaluated: FaceDataset, values: csr_array, classes: tuple[str, ...], splits: tuple[Split, ...]) -> Problem:
    categories = {attribute.name: evaluated.labels[attribute.name] for attribute in evaluated.attributes}
    return Problem(evaluated.name, values, classes, splits, evaluated.attributes, categories)


def _separate(config: HeadsConfig, seen: Seen, faces: FaceDataset, seed: int) -> tuple[Problem, tuple[str, ...]]:
    """Training images with labels of their own; evaluated images with labels by their categories."""
    assert isinstance(seen.dataset, LabelledImages)
    names, known = seen.dataset.image_names, seen.dataset.known
    trained = [name.removeprefix(TRAINING) for name in names if name.startswith(TRAINING)]
    if len(trained) < 2:
        raise InputError("fewer than two training images", file=config.images, remedy="add images")
    readable = set(names)
    evaluated = faces.take(np.array([i for i, n in enumerate(faces.image_names) if EVALUATED + n in readable], int))
    if not len(evaluated):
        raise InputError("not one evaluated image can be decoded", file=faces.source, remedy="check the download")
    values = vstack([align_labels(known, known.classes, trained), category_truth(config, evaluated, known)], "csr")
    rows = np.arange(len(names))
    split = tuning_split(rows[: len(trained)], rows[len(trained) :], seed)
    notes = [*known.notes, *faces.notes]
    if shared := int(np.isin(seen.rows[len(trained) :], seen.rows[: len(trained)]).sum()):
        notes.append(f"{shared} evaluated images are among the training images, too")
    return _problem(evaluated, csr_array(values), known.classes, (split,)), tuple(notes)


def category_truth(config: HeadsConfig, evaluated: FaceDataset, labels: LabelSet) -> csr_array:
    """What `truth` and `always` say about the evaluated images; all other labels are unknown there.

    Raises:
        InputError: they name a label that is not trained, or no category.
    """
    values = np.zeros((len(evaluated), len(labels.classes)), np.int8)

    def columns(names: Sequence[str]) -> list[int]:
        if unknown := [name for name in names if name not in labels.classes]:
            remedy = "name labels that are trained"
            raise InputError(f"truth or always names {unknown[0]!r}, which is not", remedy=remedy)
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
        raise InputError(f"truth names {unknown[0]!r}, which is no category", remedy=remedy)
    values[:, columns(config.always)] = 1
    return csr_array(values)


def fold_splits(dataset: FaceDataset, folds: int, seed: int) -> tuple[Split, ...]:
    """Every fold once for testing, with the next one for tuning and all others for training.

    Raises:
        InputError: fewer images than folds.
    """
    if len(dataset) < folds:
        problem = f"has {len(dataset)} images, fewer than the {folds} folds"
        raise InputError(problem, file=dataset.source, remedy="add images")
    number = stratified_folds(dataset, folds, seed)
    members = [np.flatnonzero(number == f) for f in range(folds)]
    splits = []
    for f in range(folds):
        tuning = (f + 1) % folds
        rest = np.concatenate([m for i, m in enumerate(members) if i not in (f, tuning)])
        splits.append(Split(np.sort(rest), members[tuning], members[f]))
    return tuple(splits)


def tuning_split(training: np.ndarray, test: np.ndarray, seed: int) -> Split:
    """Part of the training images, by seed, is set aside for tuning."""
    order = np.random.default_rng(stable_hash(seed, "tuning images")).permutation(training)
    number = max(1, round(SHARE * len(order)))
    return Split(np.sort(order[number:]), np.sort(order[:number]), test)
