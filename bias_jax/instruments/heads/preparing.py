"""From pictures and label files to a `Problem`: which labels count, and which images serve for what."""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array, vstack

from bias_jax.audit import Context, Seen
from bias_jax.data import (
    FaceDataset,
    LabelSet,
    Target,
    align_labels,
    attribute_labels,
    distinct_images,
    numbered,
    stratified_folds,
)
from bias_jax.data.planted_labels import PlantedConfig
from bias_jax.disparity import Split
from bias_jax.errors import InputError, counted
from bias_jax.instruments.faces import check_folds, persons_notes, require_faces
from bias_jax.instruments.heads.config import HeadsConfig
from bias_jax.instruments.heads.material import EVALUATED, TRAINING, LabelledImages, labels_of
from bias_jax.instruments.heads.problem import Problem
from bias_jax.randomness import stable_hash

SHARE = 0.2  # of separate training images that choose learning rates and thresholds


def problem_and_notes(
    config: HeadsConfig, seen: Seen, faces: FaceDataset | None, context: Context
) -> tuple[Problem, tuple[str, ...]]:
    """What to train and evaluate, and what a reader must know about it.

    Args:
        config: see `HeadsConfig`.
        seen: its pictures (`material.pictures_of`), readable ones only.
        faces: of the run, as given.
        context: of the run; its seed decides folds and the images that are set aside for tuning.

    Raises:
        InputError: naming file, row and way out.
    """
    dataset, seed = seen.dataset, context.seed
    if config.planted:
        assert isinstance(dataset, LabelledImages)
        rows, first = np.arange(len(dataset)), PlantedConfig().training
        split = tuning_split(rows[:first], rows[first:], seed)
        known, groups = dataset.known, _mended(config, dataset)
        return _problem(dataset.take(split.test), known.values, known.classes, (split,), groups), ()
    if config.images:
        return _separate(config, seen, require_faces("heads", faces), context)
    if config.labels:
        found = labels_of(config)
        values = align_labels(found, found.classes, dataset.image_names)
        absent = int((np.diff(values.indptr) == 0).sum())
        notes = (*found.notes, *((f"{counted(absent, 'image has', 'images have')} no label",) if absent else ()))
    else:
        found = attribute_labels(dataset, config.label_attributes or [a.name for a in dataset.attributes])
        values, notes = found.values, ()
    splits, notes = fold_splits(dataset, config.folds, seed), (*notes, *persons_notes(dataset))
    order = np.concatenate([split.test for split in splits])
    return _problem(dataset.take(order), values, found.classes, splits, _mended(config, dataset)), notes


def _mended(config: HeadsConfig, dataset: FaceDataset) -> np.ndarray | None:
    """Group of each image by which heads are mended, int [N]; None if none are.

    Raises:
        InputError: there is no such attribute.
    """
    if not config.mends:
        return None
    attributes = {a.name: a for a in (*dataset.attributes, *dataset.solo_attributes)}
    own = config.mended_groups or dataset.groups.name
    parts = (own,) if own in attributes else tuple(own.split(" x "))
    if not all(part in attributes for part in parts):
        remedy = f"choose among {', '.join(attributes)}, or several joined by ' x '"
        raise InputError(f"heads: mended_groups names {own!r}, which is no attribute", remedy=remedy)
    return Target(tuple(attributes[part] for part in parts)).encode(dataset.labels)


def _problem(
    evaluated: FaceDataset, values: csr_array, classes: tuple[str, ...], splits: tuple[Split, ...],
    groups: np.ndarray | None = None,
) -> Problem:  # fmt: skip
    categories = {attribute.name: evaluated.labels[attribute.name] for attribute in evaluated.attributes}
    return Problem(evaluated.name, values, classes, splits, evaluated.attributes, categories, evaluated.persons, groups)


def _separate(config: HeadsConfig, seen: Seen, faces: FaceDataset, context: Context) -> tuple[Problem, tuple[str, ...]]:
    """Training images with labels of their own; evaluated images with labels by their categories."""
    assert isinstance(seen.dataset, LabelledImages)
    names, known = seen.dataset.image_names, seen.dataset.known
    trained = [name.removeprefix(TRAINING) for name in names if name.startswith(TRAINING)]
    readable, first = set(names), len(trained)
    evaluated = faces.take(np.array([i for i, n in enumerate(faces.image_names) if EVALUATED + n in readable], int))
    if not len(evaluated):
        raise InputError("not one evaluated image can be decoded", file=faces.source, remedy="check the download")
    values = vstack([align_labels(known, known.classes, trained), category_truth(config, evaluated, known)], "csr")
    kept, notes = distinct_images(evaluated, seen.rows[first:], context.drop_contradictory)
    training = np.flatnonzero(~np.isin(seen.rows[:first], seen.rows[first + kept]))
    if shared := first - len(training):
        notes = (*notes, f"{counted(shared, 'training image was', 'training images were')} left out because evaluated")
    if len(np.unique(seen.rows[training])) < 2:
        problem = "fewer than two training images" + (" that are not evaluated" if shared else "")
        raise InputError(problem, file=config.images, remedy="add images")
    split = tuning_split(training, first + kept, context.seed, seen.rows)
    chosen = evaluated.take(kept)
    found = _problem(chosen, csr_array(values), known.classes, (split,))
    return found, (*known.notes, *faces.notes, *notes, *persons_notes(chosen))


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
        InputError: fewer images or persons than folds.
    """
    check_folds(dataset, folds)
    number = stratified_folds(dataset, folds, seed)
    members = [np.flatnonzero(number == f) for f in range(folds)]
    splits = []
    for f in range(folds):
        tuning = (f + 1) % folds
        rest = np.concatenate([m for i, m in enumerate(members) if i not in (f, tuning)])
        splits.append(Split(np.sort(rest), members[tuning], members[f]))
    return tuple(splits)


def tuning_split(training: np.ndarray, test: np.ndarray, seed: int, pictures: np.ndarray | None = None) -> Split:
    """Part of the training images, by seed, is set aside for tuning; equal pictures stay together.

    Args:
        training, test: rows of images.
        seed: of the draw.
        pictures: number of each image's picture, int [N]; default: all differ.
    """
    of = numbered(training if pictures is None else pictures[training])
    order = np.random.default_rng(stable_hash(seed, "tuning images")).permutation(of.max() + 1)
    tuned = np.isin(of, order[: max(1, round(SHARE * len(order)))])
    return Split(training[~tuned], training[tuned], test)
