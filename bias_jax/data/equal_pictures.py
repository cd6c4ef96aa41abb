"""Pictures that are in a labelled data set more than once: each counts once, whatever its copies are called."""

from typing import NamedTuple

import numpy as np

from bias_jax.data.dataset import FaceDataset
from bias_jax.errors import InputError, counted


class Words(NamedTuple):
    """How messages speak of what is there more than once."""

    thing: str = "image"
    equals: str = "is the same picture as"
    equal: str = "picture"


PICTURES, ROWS = Words(), Words("row", "has the same features as", "row")


def distinct_images(
    dataset: FaceDataset, pictures: np.ndarray, drop_contradictory: bool = False, words: Words = PICTURES
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Of equal pictures the one whose name comes first.

    Args:
        dataset: n labelled images.
        pictures: number of each image's picture, int [n]; the same number, the same pixels.
        drop_contradictory: leave out all copies of a picture whose labels differ.
        words: for messages.

    Returns:
        Rows that are kept, int, ascending; and a sentence for each reason to leave out others.

    Raises:
        InputError: copies with different labels, unless `drop_contradictory`; nothing is left.
    """
    copies: dict[int, list[int]] = {}
    for i in sorted(range(len(dataset)), key=lambda i: dataset.image_names[i]):
        copies.setdefault(int(pictures[i]), []).append(i)
    several = [own for own in copies.values() if len(own) > 1]
    contrary = {own[0]: i for own in several for i in reversed(own) if _difference(dataset, own[0], i)}
    if contrary and not drop_contradictory:
        first, other = next(iter(contrary.items()))
        row = f" of row {dataset.rows[first]}" if dataset.in_table else ""
        problem = (f"{words.thing} {dataset.image_names[other]!r} {words.equals} {dataset.image_names[first]!r}{row}, "
                   f"but {_difference(dataset, first, other)}")  # fmt: skip
        remedy = f"{contradiction_remedy(dataset)}, or pass --drop-contradictory"
        if len(contrary) > 1:
            remedy += f"; there are {len(contrary)} such {words.equal}s"
        raise InputError(problem, remedy=remedy, **dataset.place(other))
    kept = sorted(own[0] for own in copies.values() if own[0] not in contrary)
    if not kept:
        problem = f"every {words.equal} is there more than once, with different labels"
        raise InputError(problem, file=dataset.source, remedy="check where the labels come from")
    notes = []
    if repeated := [own for own in several if own[0] not in contrary]:
        here, there = (dataset.image_names[i] for i in repeated[0][:2])
        number = sum(len(own) - 1 for own in repeated)
        reason = f"an equal {words.equal} counts, e.g. {there!r} beside {here!r}"
        notes.append(f"{counted(int(number), f'{words.thing} was', f'{words.thing}s were')} left out because {reason}")
    if contrary:
        number = sum(len(own) for own in several if own[0] in contrary)
        example = dataset.image_names[next(iter(contrary))]
        reason = f"an equal {words.equal} has other labels, e.g. {example!r}"
        notes.append(f"{counted(int(number), f'{words.thing} was', f'{words.thing}s were')} left out because {reason}")
    return np.array(kept), tuple(notes)


def contradiction_remedy(dataset: FaceDataset) -> str:
    """What to do with two images of one picture whose labels differ."""
    return "correct or delete one of the two rows" if dataset.in_table else "rename or delete one of the two files"


def label_differences(first: FaceDataset, i: int, second: FaceDataset, j: int) -> list[str]:
    """Where the labels of an image differ from those of another, whose data set has the same attributes, in words."""
    words = []
    for attribute in (*first.attributes, *first.solo_attributes):
        own, other = int(first.labels[attribute.name][i]), int(second.labels[attribute.name][j])
        if own != other:
            words.append(f"{attribute.name} is {attribute.categories[other]!r}, not {attribute.categories[own]!r}")
    return words


def _difference(dataset: FaceDataset, first: int, second: int) -> str:
    """Where the labels of two images differ, in words; empty where they do not."""
    words = label_differences(dataset, first, dataset, second)
    if dataset.people is not None and dataset.people[first] != dataset.people[second]:
        words.append("it shows another person")
    return " and ".join(words)
