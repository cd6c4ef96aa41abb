"""Stimuli of association tests: the images of all tests as one data set, and the tests as rows of it.

Attribute images that many tests share are there once. What can spoil a test is noted: duplicates within a set, and
pictures that are in two sets, above all targets that are attributes as well (their cosine with themselves is 1).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from bias_jax.data.dataset import FaceDataset
from bias_jax.data.stimulus_sources import StimulusRequest
from bias_jax.errors import InputError


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


def suspicious_pictures(test: AssociationStimuli, pictures: np.ndarray, image_names: Sequence[str]) -> list[str]:
    """Repeated pictures within and between the sets of a test, one sentence each.

    Args:
        test: rows of n images.
        pictures: number of each image's picture, int [n]; the same number, the same pixels.
        image_names: of the n images.
    """
    sets = [pictures[rows] for rows in test.rows]

    def example(picture: int) -> str:
        return image_names[int(np.flatnonzero(pictures == picture)[0])]

    notes = []
    for label, own in zip(test.labels, sets, strict=True):
        if repeated := [picture for picture, count in Counter(own.tolist()).items() if count > 1]:
            where = f"more than once in {label}, e.g. {example(repeated[0])}"
            notes.append(f"{test.name}: {len(repeated)} pictures are {where}")
    for i, j in combinations(range(4), 2):
        if len(shared := np.intersect1d(sets[i], sets[j])):
            kind = "target and attribute images at once" if i < 2 <= j else "in both sets"
            where = f"{test.labels[i]} and {test.labels[j]}"
            notes.append(f"{test.name}: {len(shared)} pictures are {kind} ({where}), e.g. {example(shared[0])}")
    return notes
