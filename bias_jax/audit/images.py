"""The pictures of a run: those of all its instruments in one set, looked at once, equal ones kept once."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from bias_jax.data import FaceDataset, distinct_images
from bias_jax.data.decoding import THREADS, decode, one_colour
from bias_jax.data.look_alikes import joined, look_alikes, miniature, perceptual_hashes
from bias_jax.errors import InputError, counted
from bias_jax.progress import track

NearDuplicates = Literal["report", "join", "ignore"]


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

    dataset: FaceDataset  # readable images only; of labelled ones, equal pictures once
    rows: np.ndarray  # of the image set, int [n]; equal pictures have the same row
    sha256: str  # of names, labels and pixels: two runs with the same digest saw the same data
    left_out: int = 0  # labelled images, because an equal one is there
    look_alikes: int | None = None  # labelled images that look like one before them; None: not looked for


class _Look(NamedTuple):
    """What was found of one file."""

    size: tuple[int, int]
    digest: bytes  # of the pixels
    one_colour: bool
    miniature: bytes  # what look-alikes are found by; empty if they are not looked for

    @property
    def key(self) -> tuple[tuple[int, int], bytes]:
        """What equal pictures share."""
        return self.size, self.digest


def look(
    datasets: Sequence[FaceDataset],
    *,
    skip_unreadable: bool = False,
    drop_contradictory: bool = False,
    near_duplicates: NearDuplicates = "ignore",
) -> tuple[ImageSet, list[Seen]]:
    """Decode every image once, and put the distinct pictures of all data sets into one set.

    Args:
        datasets: in the order in which their pictures enter the set; one that is there twice is looked at once.
        skip_unreadable: leave out what cannot be decoded, with a note, instead of refusing it.
        drop_contradictory: leave out equal pictures with different labels, with a note, instead of refusing them.
        near_duplicates: ``report`` labelled pictures that look alike in a note, or ``join`` them as well: they become
            one person; ``ignore`` saves the time.

    Returns:
        The set, and for each data set what was seen of it. Of a labelled one, equal pictures are there once: else they
        would stand on both sides of a split, and count as if they were several people.

    Raises:
        InputError: at the first image that cannot be decoded, unless `skip_unreadable`; a data set without any; equal
            pictures of a data set with different labels, unless `drop_contradictory`.
    """
    kept: list[tuple[FaceDataset, int]] = []
    row_of: dict[tuple, int] = {}
    sizes = set()
    seen: dict[int, Seen] = {}
    by_bytes: dict[bytes, _Look | str] = {}
    for dataset in datasets:
        if id(dataset) in seen:
            continue
        looks, readable, unreadable, blank = [], [], [], []
        for i, found in enumerate(_looks(dataset, by_bytes, skip_unreadable, near_duplicates != "ignore")):
            if isinstance(found, str):
                unreadable.append(dataset.image_names[i])
            else:
                looks.append(found)
                readable.append(i)
                if found.one_colour:
                    blank.append(dataset.image_names[i])
        if not readable:
            raise InputError("not one image can be decoded", file=dataset.source, remedy="check the download")
        mine = dataset
        if unreadable:
            skipped = counted(len(unreadable), "image cannot be decoded and was", "images cannot be decoded and were")
            note = f"{skipped} skipped, the first {unreadable[0]!r}"
            mine = replace(dataset.take(np.array(readable)), notes=(*dataset.notes, note))
        if blank:
            note = f"{counted(len(blank), 'image is', 'images are')} of one colour, the first {blank[0]!r}"
            mine = replace(mine, notes=(*mine.notes, note))
        alike = None
        if mine.attributes or mine.solo_attributes:
            number: dict[tuple, int] = {}
            chosen, notes = distinct_images(
                mine, np.array([number.setdefault(found.key, len(number)) for found in looks]), drop_contradictory
            )
            if notes:
                looks, readable = [looks[i] for i in chosen], [readable[i] for i in chosen]
                mine = replace(mine.take(chosen), notes=(*mine.notes, *notes))
            if near_duplicates != "ignore":
                mine, alike = _with_look_alikes(mine, looks, near_duplicates == "join")
        digest, rows = hashlib.sha256(), []
        for place, (i, name, found) in enumerate(zip(readable, mine.image_names, looks, strict=True)):
            if found.key not in row_of:
                row_of[found.key] = len(kept)
                kept.append((dataset, i))
                sizes.add(found.size)
            labels = [int(values[place]) for values in mine.labels.values()]
            if mine.people is not None:
                labels.append(int(mine.people[place]))
            digest.update(f"{name}\x1f{labels}\x1f{found.size}\x1f".encode())
            digest.update(found.digest)
            rows.append(row_of[found.key])
        left_out = len(dataset) - len(unreadable) - len(rows)
        seen[id(dataset)] = Seen(mine, np.array(rows), digest.hexdigest(), left_out, alike)
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


def _with_look_alikes(dataset: FaceDataset, looks: Sequence[_Look], join: bool) -> tuple[FaceDataset, int]:
    """The data set with a note on pictures that look alike, which may be joined; and how many look like one before."""
    numbers = look_alikes(perceptual_hashes([found.miniature for found in looks]))
    several = len(numbers) - len(np.unique(numbers))
    if not several:
        return dataset, 0
    first = np.unique(numbers, return_index=True)[1]
    second = int(np.setdiff1d(np.arange(len(numbers)), first)[0])
    names = dataset.image_names[first[numbers[second]]], dataset.image_names[second]
    what = counted(several, "image looks", "images look")
    what = f"{what} like another one (perceptual hash), e.g. {names[1]!r} and {names[0]!r}"
    if not join:
        return replace(
            dataset, notes=(*dataset.notes, f"{what}; --near-duplicates join keeps such in one fold")
        ), several
    people = np.arange(len(dataset)) if dataset.persons is None else dataset.persons
    people = joined(people, np.stack([people, people[first[numbers]]], axis=1))
    return replace(dataset, people=people, notes=(*dataset.notes, f"{what}; they count as one person")), several


def _looks(
    dataset: FaceDataset, by_bytes: dict[bytes, _Look | str], skip_unreadable: bool, hashed: bool
) -> list[_Look | str]:
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
        digest = hashlib.sha256(np.ascontiguousarray(pixels).data).digest()
        return key, _Look((height, width), digest, one_colour(pixels), miniature(pixels) if hashed else b"")

    found = []
    with ThreadPoolExecutor(THREADS) as pool:
        for i, (key, result) in enumerate(track(pool.map(one, range(len(dataset))), "check images", len(dataset),
                                                "image")):  # fmt: skip
            if isinstance(result, str) and not skip_unreadable:
                problem = f"image {dataset.image_names[i]!r} cannot be decoded ({result})"
                listed = bool(dataset.attributes)  # pictures without labels are listed in no file
                delete = "delete its row" if listed and dataset.in_table else "delete it"
                remedy = f"replace the file, {delete}, or pass --skip-unreadable"
                pool.shutdown(cancel_futures=True)
                place = dataset.place(i) if listed else {"file": dataset.source}
                raise InputError(problem, remedy=remedy, **place)
            if key:
                by_bytes[key] = result
            found.append(result)
    return found
