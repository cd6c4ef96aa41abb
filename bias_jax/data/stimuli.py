"""Stimuli of association tests: the images of all tests as one data set, and the tests as rows of it.

Attribute images that many tests share are there once. A picture counts once in its set. One in two sets of a test is
refused: between targets or between attributes it is on both sides, and as target and attribute its cosine with itself
is 1. Published tests stay as they are, with a note, so that their numbers can be compared.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from bias_jax.data.dataset import FaceDataset
from bias_jax.data.stimulus_sources import StimulusRequest
from bias_jax.errors import InputError, counted


@dataclass(frozen=True)
class AssociationStimuli:
    """One test as rows of a set of n images."""

    name: str
    labels: tuple[str, str, str, str]  # of X, Y, A, B
    rows: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # int [|X|], [|Y|], [|A|], [|B|]


def stimulus_pictures(requests: Sequence[StimulusRequest], source: str) -> FaceDataset:
    """The images of all tests, each once, without attributes.

    Args:
        requests: of `folder_tests`, or put together of `group_images` and `folder_images`.
        source: where they come from, for messages.
    """
    sources = tuple({image.name: image for request in requests for images in request.sets for image in images}.values())
    return FaceDataset(
        name="stimuli",
        attributes=(),
        labels={},
        image_names=tuple(image.name for image in sources),
        rows=tuple(range(1, len(sources) + 1)),
        read_bytes=lambda i: sources[i].read(),
        source=source,
    )


def locate_tests(requests: Sequence[StimulusRequest], image_names: Sequence[str]) -> tuple[AssociationStimuli, ...]:
    """The tests as rows of the images that could be read.

    Args:
        requests: as for `stimulus_pictures`.
        image_names: of the readable images [n]; the others are left out of the tests.

    Raises:
        InputError: a set without any readable image.
    """
    row_of = {name: row for row, name in enumerate(image_names)}
    tests = []
    for request in requests:
        x, y, a, b = (
            np.array([row_of[image.name] for image in images if image.name in row_of], int) for images in request.sets
        )
        for label, rows in zip(request.labels, (x, y, a, b), strict=True):
            if not len(rows):
                raise InputError(f"no image of {label} can be decoded", file=request.name, remedy="check the files")
        tests.append(AssociationStimuli(request.name, request.labels, (x, y, a, b)))
    return tuple(tests)


def check_pictures(
    test: AssociationStimuli, pictures: np.ndarray, dataset: FaceDataset, published: bool
) -> tuple[AssociationStimuli, tuple[str, ...]]:
    """The test with every picture once, and a note on each set where one was repeated.

    Args:
        test: rows of n images.
        pictures: number of each image's picture, int [n]; the same number, the same pixels.
        dataset: the n images.
        published: whether the test stays as it is, with notes alone.

    Raises:
        InputError: a picture in two sets of a test that is not published.
    """
    sets, notes, names = [pictures[rows] for rows in test.rows], [], dataset.image_names
    for label, rows, own in zip(test.labels, test.rows, sets, strict=True):
        if repeated := [picture for picture, count in Counter(own.tolist()).items() if count > 1]:
            what = f"{counted(len(repeated), 'picture is', 'pictures are')} more than once in {label}"
            what = f"{what}, e.g. {names[rows[own == repeated[0]][1]]}"
            notes.append(f"{test.name}: {what}; {'as published, all count' if published else 'each counts once'}")
    for i, j in combinations(range(4), 2):
        if len(shared := np.intersect1d(sets[i], sets[j])):
            first, second = (names[test.rows[k][sets[k] == shared[0]][0]] for k in (i, j))
            kind = "target and attribute images at once" if i < 2 <= j else "in both sets"
            what = f"{test.name}: {counted(len(shared), 'picture is', 'pictures are')} {kind}"
            what = f"{what} ({test.labels[i]} and {test.labels[j]})"
            if not published:
                problem = f"{what}, {first!r} is the same as {second!r}"
                remedy = "delete them from one of the two sets, or choose groups that share no image"
                raise InputError(problem, file=dataset.source, remedy=remedy)
            notes.append(f"{what}, e.g. {first}")
    if published:
        return test, tuple(notes)
    x, y, a, b = (
        rows[np.sort(np.unique(own, return_index=True)[1])] for rows, own in zip(test.rows, sets, strict=True)
    )
    return replace(test, rows=(x, y, a, b)), tuple(notes)
