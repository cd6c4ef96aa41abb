"""A look at a whole data set that stops at nothing: every defect listed, duplicates found, counts compared."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from bias_jax.data.dataset import FaceDataset
from bias_jax.data.decoding import THREADS, decode, one_colour
from bias_jax.data.equal_pictures import contradiction_remedy, label_differences
from bias_jax.errors import InputError
from bias_jax.progress import track

# Published numbers of images (marginals, in the order of the categories of `fairface`).
OFFICIAL = {
    "train": {
        "race": (16527, 12233, 13367, 12287, 10795, 12319, 9216),
        "age": (1792, 10408, 9103, 25598, 19250, 10744, 6228, 2779, 842),
        "gender": (40758, 45986),
    },
    "val": {
        "race": (2085, 1556, 1623, 1550, 1415, 1516, 1209),
        "age": (199, 1356, 1181, 3300, 2330, 1353, 796, 321, 118),
        "gender": (5162, 5792),
    },
}


@dataclass(frozen=True)
class SplitCheck:
    """What was found in one split."""

    split: str
    dataset: FaceDataset | None  # rows without defects, None if the split cannot be read at all
    problems: tuple[InputError, ...]
    unreadable: tuple[str, ...]  # images that cannot be decoded
    fingerprints: dict[int, str]  # row of the data set -> what equal pictures share: SHA-256 of size and pixels
    blank: tuple[str, ...]  # images of one colour


def check_split(split: str, read: Callable[..., FaceDataset]) -> SplitCheck:
    """Read one split with every defect collected, and decode every image.

    Args:
        split: its name.
        read: reader that takes `on_problem`.
    """
    problems: list[InputError] = []
    try:
        dataset = read(on_problem=problems.append)
    except InputError as error:
        return SplitCheck(split, None, (*problems, error), (), {}, ())

    def look(i: int) -> tuple[str, str | None, bool]:
        try:
            pixels = decode(dataset.read_bytes(i))
        except OSError as error:
            return str(error), None, False
        return "", hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest(), one_colour(pixels)

    unreadable, fingerprints, blank = [], {}, []
    with ThreadPoolExecutor(THREADS) as pool:
        looks = pool.map(look, range(len(dataset)))
        for i, (reason, digest, is_blank) in enumerate(track(looks, f"check {split}", len(dataset), unit="image")):
            name = dataset.image_names[i]
            if digest is None:
                unreadable.append(name)
                problem = f"image {name!r} cannot be decoded ({reason})"
                problems.append(InputError(problem, remedy="replace the file", **dataset.place(i)))
            else:
                fingerprints[i] = digest
                if is_blank:
                    blank.append(name)
    return SplitCheck(split, dataset, tuple(problems), tuple(unreadable), fingerprints, tuple(blank))


def duplicates(checks: Sequence[SplitCheck]) -> list[tuple[str, ...]]:
    """Groups of images with the same pixels, however they are encoded, across splits too."""
    return [tuple(dataset.image_names[i] for dataset, i in copies) for copies in _equal_pictures(checks)]


def contradictions(checks: Sequence[SplitCheck]) -> list[InputError]:
    """Images that are the same picture as one before them, with other labels, across splits too."""
    found = []
    for (first, i), *others in _equal_pictures(checks):
        for dataset, j in others:
            if words := label_differences(first, i, dataset, j):
                row = f" of row {first.rows[i]}" if first.in_table else ""
                problem = (f"image {dataset.image_names[j]!r} is the same picture as {first.image_names[i]!r}{row}, "
                           f"but {' and '.join(words)}")  # fmt: skip
                found.append(InputError(problem, remedy=contradiction_remedy(dataset), **dataset.place(j)))
    return found


def _equal_pictures(checks: Sequence[SplitCheck]) -> list[list[tuple[FaceDataset, int]]]:
    """Pictures that are there more than once: data set and row of each copy."""
    copies: dict[str, list[tuple[FaceDataset, int]]] = {}
    for check in checks:
        if check.dataset is not None:
            for i, digest in check.fingerprints.items():
                copies.setdefault(digest, []).append((check.dataset, i))
    return [own for own in copies.values() if len(own) > 1]


def official_differences(check: SplitCheck) -> list[str]:
    """Where the counts of a FairFace split differ from the published ones."""
    expected = OFFICIAL.get(check.split)
    if check.dataset is None or expected is None:
        return []
    total = sum(expected["gender"])
    differences = []
    if len(check.dataset) != total:
        differences.append(f"{len(check.dataset):,} of the official {total:,} images: a subset or a truncated copy")
    for attribute in check.dataset.attributes:
        found = np.bincount(check.dataset.labels[attribute.name], minlength=len(attribute.categories))
        more = [c for c, n, m in zip(attribute.categories, found, expected[attribute.name], strict=True) if n > m]
        if more:
            differences.append(f"more images than published for {attribute.name} {', '.join(more)}")
    return differences
