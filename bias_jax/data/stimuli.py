"""Stimuli of association tests: four sets of images per test, looked at once.

Every distinct picture is kept once, so that attribute images shared by many tests pass through a network once. What can
spoil a test is noted: damaged files, duplicates within a set, and images that are in two sets, above all targets that
are attributes as well (their cosine with themselves is 1).
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from bias_jax.data.dataset import FaceDataset
from bias_jax.data.decoding import THREADS, decode
from bias_jax.data.stimulus_sources import Source, StimulusRequest
from bias_jax.errors import InputError


@dataclass(frozen=True)
class AssociationStimuli:
    """One test as rows of `Stimuli.dataset`."""

    name: str
    labels: tuple[str, str, str, str]  # of X, Y, A, B
    rows: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # int [n] each; a duplicate repeats its row


@dataclass(frozen=True)
class Stimuli:
    """All tests of a run."""

    dataset: FaceDataset  # every distinct picture once; without attributes
    tests: tuple[AssociationStimuli, ...]
    image_size: tuple[int, int] | None  # (H, W) if all pictures share it
    sha256: str  # of tests and pixels
    notes: tuple[str, ...]  # what was skipped and what is suspicious, one sentence each


def collect(requests: Sequence[StimulusRequest], *, skip_unreadable: bool = False) -> Stimuli:
    """Look at every image once and keep every distinct picture once.

    Raises:
        InputError: an image that cannot be decoded, unless `skip_unreadable`; a set without any that can.
    """
    sources = {source.name: source for request in requests for images in request.sets for source in images}

    def look(source: Source) -> tuple[bytes, tuple[int, int]] | str:
        try:
            pixels = decode(source.read())
        except OSError as error:
            return str(error) or type(error).__name__
        shape = pixels.shape[0], pixels.shape[1]
        return hashlib.sha256(f"{shape}".encode() + pixels.tobytes()).digest(), shape

    with ThreadPoolExecutor(THREADS) as pool:
        looks = dict(zip(sources, pool.map(look, sources.values()), strict=True))
    notes: list[str] = []
    unreadable = {name: found for name, found in looks.items() if isinstance(found, str)}
    if unreadable:
        name, reason = next(iter(unreadable.items()))
        if not skip_unreadable:
            remedy = "replace or delete the file, or pass --skip-unreadable"
            raise InputError(f"cannot be decoded ({reason})", file=sources[name].file, remedy=remedy)
        first = sources[name].file
        notes.append(f"{len(unreadable)} images cannot be decoded and were skipped, the first {str(first)!r}")
    kept: list[Source] = []
    row_of_picture: dict[bytes, int] = {}
    row_of: dict[str, int] = {}
    sizes = set()
    for name, found in looks.items():
        if isinstance(found, str):
            continue
        if found[0] not in row_of_picture:
            row_of_picture[found[0]] = len(kept)
            kept.append(sources[name])
            sizes.add(found[1])
        row_of[name] = row_of_picture[found[0]]
    tests = []
    digest = hashlib.sha256()
    for request in requests:
        x, y, a, b = (np.array([row_of[s.name] for s in images if s.name in row_of], int) for images in request.sets)
        for label, rows in zip(request.labels, (x, y, a, b), strict=True):
            if not len(rows):
                raise InputError(f"no image of {label} can be decoded", file=request.name, remedy="check the files")
        tests.append(AssociationStimuli(request.name, request.labels, (x, y, a, b)))
        notes += _suspicious(tests[-1], [str(source.file) for source in kept])
        pictures = {row: key for key, row in row_of_picture.items()}
        digest.update(f"{request.name}\x1f{request.labels}".encode())
        for rows in (x, y, a, b):
            digest.update(b"".join(pictures[int(row)] for row in rows) + b"\x1f")
    dataset = FaceDataset(
        name="stimuli",
        attributes=(),
        labels={},
        image_names=tuple(source.name for source in kept),
        rows=tuple(range(1, len(kept) + 1)),
        read_bytes=lambda i: kept[i].read(),
        source="stimuli",
        notes=tuple(notes),
    )
    return Stimuli(dataset, tuple(tests), sizes.pop() if len(sizes) == 1 else None, digest.hexdigest(), tuple(notes))


def _suspicious(test: AssociationStimuli, files: Sequence[str]) -> list[str]:
    """Repeated pictures within and between the sets of a test, by their pixels."""
    notes = []
    for label, rows in zip(test.labels, test.rows, strict=True):
        repeated = [row for row, count in Counter(rows.tolist()).items() if count > 1]
        if repeated:
            notes.append(
                f"{test.name}: {len(repeated)} pictures are more than once in {label}, e.g. {files[repeated[0]]}"
            )
    for i, j in combinations(range(4), 2):
        if len(shared := np.intersect1d(test.rows[i], test.rows[j])):
            kind = "target and attribute images at once" if i < 2 <= j else "in both sets"
            where = f"{test.labels[i]} and {test.labels[j]}"
            notes.append(f"{test.name}: {len(shared)} pictures are {kind} ({where}), e.g. {files[shared[0]]}")
    return notes
