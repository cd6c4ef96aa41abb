"""The first look at features: every row that is needed is read once, checked and hashed; equal rows count once.

It reads the layers that are audited, and of these the rows with labels only. What is equal, and what the data's digest
is made of, are values in float32, so that the same features in another kind of file are the same data.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bias_jax.audit.features import FeatureSubject, placed_blocks
from bias_jax.audit.images import ImageSet, NearDuplicates, Seen
from bias_jax.data import FaceDataset, distinct_images
from bias_jax.data.equal_pictures import ROWS
from bias_jax.errors import InputError, counted
from bias_jax.progress import bar

ALIKE = "--near-duplicates join compares pictures, and features have none"


def look_at_rows(
    datasets: Sequence[FaceDataset],
    subject: FeatureSubject,
    *,
    skip_unreadable: bool = False,
    drop_contradictory: bool = False,
    near_duplicates: NearDuplicates = "ignore",
) -> tuple[ImageSet, list[Seen]]:
    """As `images.look`, of rows of features in the place of pictures; all data sets must be one.

    Raises:
        InputError: values that are not finite, unless `skip_unreadable`; rows that are equal in all layers and differ
            in their labels, unless `drop_contradictory`; several data sets; look-alikes are to be joined.
    """
    if near_duplicates == "join":
        raise InputError(ALIKE, remedy="leave it out; equal rows count once anyway")
    dataset, features = datasets[0], subject.features
    if any(other is not dataset for other in datasets):
        raise InputError("features have rows of the labelled data alone", remedy="leave other pictures out")
    digests, broken = _digests(subject, dataset)
    if broken and not skip_unreadable:
        i = min(broken)
        remedy = "correct the features, or pass --skip-unreadable"
        raise InputError(broken[i], file=features.source, remedy=remedy)
    notes = list(features.notes)
    readable = np.array([i for i in range(len(dataset)) if i not in broken], int)
    if not len(readable):
        raise InputError(broken[0], file=features.source, remedy="no row is left: compute the features again")
    if broken:
        skipped = counted(len(broken), "row is not finite and was", "rows are not finite and were")
        notes.append(f"{skipped} skipped, the first: {broken[min(broken)]}")
    mine = dataset.take(readable)
    number: dict[bytes, int] = {}
    which = np.array([number.setdefault(digests[i], len(number)) for i in readable])
    kept, told = distinct_images(mine, which, drop_contradictory, ROWS)
    left_out = len(mine) - len(kept)
    mine = replace(mine.take(kept), notes=(*dataset.notes, *notes, *told))
    whole = hashlib.sha256(repr([(name, v.shape[1:]) for name, v in features.layers.items()]).encode())
    for place, (i, name) in enumerate(zip(readable[kept], mine.image_names, strict=True)):
        labels = [int(values[place]) for values in mine.labels.values()]
        if mine.people is not None:
            labels.append(int(mine.people[place]))
        whole.update(f"{name}\x1f{labels}\x1f".encode())
        whole.update(digests[i])
    pictures = replace(mine, name="rows", attributes=(), solo_attributes=(), labels={}, people=None, notes=())
    seen = Seen(mine, np.arange(len(mine)), whole.hexdigest(), left_out)
    return ImageSet(pictures, None), [seen] * len(datasets)


def _digests(subject: FeatureSubject, dataset: FaceDataset) -> tuple[list[bytes], dict[int, str]]:
    """Of each image, SHA-256 of its rows in all layers; and in words what is not finite, by image."""
    features = subject.features
    rows = subject.rows(dataset.image_names)
    digests = [hashlib.sha256() for _ in rows]
    broken: dict[int, str] = {}
    with bar("check features", len(rows) * len(features.layers), "row") as progress:
        for layer, values in features.layers.items():
            for block, places in placed_blocks(values, rows):
                flat = block.reshape(len(block), -1)
                finite = np.isfinite(flat).all(axis=1)
                for row, place in zip(np.flatnonzero(places >= 0), places[places >= 0], strict=True):
                    if not finite[row]:
                        broken.setdefault(int(place), _trouble(layer, int(rows[place]), flat[row], values.dtype))
                    digests[place].update((flat[row] + 0.0).data)  # -0.0 is 0.0
                progress.update(int((places >= 0).sum()))
    return [digest.digest() for digest in digests], broken


def _trouble(layer: str, row: int, values: np.ndarray, kind: np.dtype) -> str:
    """What is wrong with a row."""
    feature = int(np.flatnonzero(~np.isfinite(values))[0])
    what = str(values[feature])
    if np.isinf(values[feature]) and kind.kind in "iu":
        what = "a whole number that float32 does not hold"
    elif np.isinf(values[feature]) and kind.itemsize == 8:
        what = "infinite in float32"
    return f"layer {layer!r}, row {row} (from 0): feature {feature} is {what}"
