"""The pictures of a run: those of all its instruments in one set, looked at once, equal ones kept once."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from bias_jax.data import FaceDataset
from bias_jax.data.decoding import THREADS, decode, one_colour
from bias_jax.errors import InputError
from bias_jax.progress import track


@dataclass(frozen=True)
class ImageSet:
    """N distinct pictures; these, and in this order, go through a network."""

    pictures: FaceDataset  # without attributes
    image_size: tuple[int, int] | None  # (height, width) if all share it

    def __len__(self) -> int:
        return len(self.pictures)

    def take(self, rows: np.ndarray) -> "ImageSet":
        """The pictures of some rows, prepared as all are."""
        return replace(self, pictures=self.pictures.take(rows))


@dataclass(frozen=True)
class Seen:
    """One data set after the first look at it, n images."""

    dataset: FaceDataset  # readable images only
    rows: np.ndarray  # of the image set, int [n]; equal pictures have the same row
    sha256: str  # of names, labels and pixels: two runs with the same digest saw the same data


class _Look(NamedTuple):
    """What was found of one file."""

    size: tuple[int, int]
    digest: bytes  # of the pixels
    one_colour: bool


def look(datasets: Sequence[FaceDataset], *, skip_unreadable: bool = False) -> tuple[ImageSet, list[Seen]]:
    """Decode every image once, and put the distinct pictures of all data sets into one set.

    Args:
        datasets: in the order in which their pictures enter the set; one that is there twice is looked at once.
        skip_unreadable: leave out what cannot be decoded, with a note, instead of refusing it.

    Returns:
        The set, and for each data set what was seen of it.

    Raises:
        InputError: at the first image that cannot be decoded, unless `skip_unreadable`; a data set without any.
    """
    kept: list[tuple[FaceDataset, int]] = []
    row_of: dict[tuple, int] = {}
    sizes = set()
    seen: dict[int, Seen] = {}
    by_bytes: dict[bytes, _Look | str] = {}
    for dataset in datasets:
        if id(dataset) in seen:
            continue
        digest = hashlib.sha256()
        rows, readable, unreadable, blank = [], [], [], []
        for i, found in enumerate(_looks(dataset, by_bytes, skip_unreadable)):
            if isinstance(found, str):
                unreadable.append(dataset.image_names[i])
                continue
            if found.one_colour:
                blank.append(dataset.image_names[i])
            if found not in row_of:
                row_of[found] = len(kept)
                kept.append((dataset, i))
                sizes.add(found.size)
            labels = [int(values[i]) for values in dataset.labels.values()]
            digest.update(f"{dataset.image_names[i]}\x1f{labels}\x1f{found.size}\x1f".encode())
            digest.update(found.digest)
            rows.append(row_of[found])
            readable.append(i)
        if not readable:
            raise InputError("not one image can be decoded", file=dataset.source, remedy="check the download")
        mine = dataset
        if unreadable:
            note = f"{len(unreadable)} images cannot be decoded and were skipped, the first {unreadable[0]!r}"
            mine = replace(dataset.take(np.array(readable)), notes=(*dataset.notes, note))
        if blank:
            note = f"{len(blank)} images are of one colour, the first {blank[0]!r}"
            mine = replace(mine, notes=(*mine.notes, note))
        seen[id(dataset)] = Seen(mine, np.array(rows), digest.hexdigest())
    pictures = FaceDataset(
        name="pictures",
        attributes=(),
        labels={},
        image_names=tuple(dataset.image_names[i] for dataset, i in kept),
        rows=tuple(dataset.rows[i] for dataset, i in kept),
        read_bytes=lambda row: kept[row][0].read_bytes(kept[row][1]),
        source=", ".join(dict.fromkeys(dataset.source for dataset in datasets)),
    )
    image_size = sizes.pop() if len(sizes) == 1 else None
    return ImageSet(pictures, image_size), [seen[id(dataset)] for dataset in datasets]


def _looks(dataset: FaceDataset, by_bytes: dict[bytes, _Look | str], skip_unreadable: bool) -> list[_Look | str]:
    """What is found of every image, a message where it cannot be decoded; equal files are decoded once."""

    def one(i: int) -> tuple[bytes, _Look | str]:
        try:
            encoded = dataset.read_bytes(i)
        except OSError as error:
            return b"", str(error)
        key = hashlib.sha256(encoded).digest()
        if key in by_bytes:
            return key, by_bytes[key]
        try:
            pixels = decode(encoded)
        except OSError as error:
            return key, str(error)
        height, width, _ = pixels.shape
        return key, _Look((height, width), hashlib.sha256(pixels.tobytes()).digest(), one_colour(pixels))

    found = []
    with ThreadPoolExecutor(THREADS) as pool:
        for i, (key, result) in enumerate(track(pool.map(one, range(len(dataset))), "check images", len(dataset),
                                                "image")):  # fmt: skip
            if isinstance(result, str) and not skip_unreadable:
                problem = f"image {dataset.image_names[i]!r} cannot be decoded ({result})"
                listed = bool(dataset.attributes)  # pictures without labels are listed in no file
                remedy = f"replace the file, {'delete its row' if listed else 'delete it'}, or pass --skip-unreadable"
                pool.shutdown(cancel_futures=True)
                row = dataset.rows[i] if listed else None
                raise InputError(problem, file=dataset.source, row=row, remedy=remedy)
            if key:
                by_bytes[key] = result
            found.append(result)
    return found
