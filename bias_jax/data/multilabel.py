"""Images with any number of labels each: who verified what, vocabularies, and the files the images lie in."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array

from bias_jax.data.attributes import Attribute
from bias_jax.data.dataset import FaceDataset
from bias_jax.data.stores import ImageStore
from bias_jax.errors import InputError, counted

SUFFIXES = ("", ".jpg", ".jpeg", ".png")  # tried after an image's id


@dataclass(frozen=True)
class LabelSet:
    """Labels of N images, C classes."""

    images: tuple[str, ...]  # ids or relative paths, unique
    classes: tuple[str, ...]
    values: csr_array  # int8 [N, C]: 1 present, -1 verified absent; what is not stored, nobody verified
    source: str  # file, for messages
    rows: tuple[int, ...]  # first row of each image in that file
    notes: tuple[str, ...] = ()  # what was merged, left out or contradictory, one sentence each

    def take(self, rows: Sequence[int] | np.ndarray) -> "LabelSet":
        """The images of the given rows, in that order."""
        return replace(
            self,
            images=tuple(self.images[i] for i in rows),
            rows=tuple(self.rows[i] for i in rows),
            values=csr_array(self.values[np.asarray(rows, int)]),
        )

    def restrict(self, names: Sequence[str] = (), *, minimum: int = 1, most: int | None = None) -> "LabelSet":
        """A smaller vocabulary.

        Args:
            names: the classes to keep, in this order (default: all, the most frequent first).
            minimum: images in which a class must be present.
            most: number of classes at most, the most frequent ones.

        Raises:
            InputError: a name that is no class, or no class left.
        """
        number = {name: i for i, name in enumerate(self.classes)}
        if unknown := [name for name in names if name not in number]:
            known = ", ".join(self.classes[:5])
            remedy = f"name classes of the file, such as {known}"
            raise InputError(f"no image has the label {unknown[0]!r}", file=self.source, remedy=remedy)
        counts = np.bincount(self.values.indices[self.values.data > 0], minlength=len(self.classes))
        order = sorted(range(len(self.classes)), key=lambda c: (-counts[c], self.classes[c]))
        kept = [c for c in order if counts[c] >= minimum and (not names or self.classes[c] in names)][:most]
        if not kept:
            remedy = "lower --min-images (in a sweep --heads.min-images)"
            raise InputError(f"no label is present in {minimum} images", file=self.source, remedy=remedy)
        if names:
            kept = [number[name] for name in dict.fromkeys(names) if number[name] in kept]
        lost = len(names or self.classes) - len(kept)
        note = (f"{counted(lost, 'label is', 'labels are')} left out as too rare",) if lost else ()
        return replace(
            self,
            classes=tuple(self.classes[c] for c in kept),
            values=csr_array(self.values[:, np.array(kept)]),
            notes=(*self.notes, *note),
        )


def attribute_labels(dataset: FaceDataset, names: Sequence[str]) -> LabelSet:
    """Every category of some attributes as a label; each is known for every image."""
    attributes: list[Attribute] = []
    for name in names:
        found = [a for a in (*dataset.attributes, *dataset.solo_attributes) if a.name == name]
        if not found:
            known = ", ".join(a.name for a in (*dataset.attributes, *dataset.solo_attributes))
            raise InputError(f"no attribute {name!r}", file=dataset.source, remedy=f"choose among {known}")
        attributes += found
    blocks = [np.where(dataset.labels[a.name][:, None] == np.arange(len(a.categories)), 1, -1) for a in attributes]
    categories = [category for a in attributes for category in a.categories]
    repeated = {c for c, n in Counter(categories).items() if n > 1}
    classes = [f"{a.name} {c}" if c in repeated else c for a in attributes for c in a.categories]
    values = csr_array(np.concatenate(blocks, axis=1).astype(np.int8))
    return LabelSet(dataset.image_names, tuple(classes), values, dataset.source, dataset.rows)


def align_labels(labels: LabelSet, classes: Sequence[str], images: Sequence[str]) -> csr_array:
    """Values [N, C] of other images and classes; what the label set does not hold is unverified."""
    shape = labels.values.shape
    padded = csr_array((labels.values.data, labels.values.indices, np.append(labels.values.indptr, labels.values.nnz)),
                       shape=(shape[0] + 1, shape[1] + 1))  # fmt: skip
    rows = {image: i for i, image in enumerate(labels.images)}
    columns = {name: c for c, name in enumerate(labels.classes)}
    picked = padded[[rows.get(image, shape[0]) for image in images]]
    return csr_array(picked[:, [columns.get(name, shape[1]) for name in classes]])


def locate_images(labels: LabelSet, folder: ImageStore, name: str) -> tuple[FaceDataset, LabelSet]:
    """The images that exist, as a data set without attributes, and their labels; absent ones are skipped and counted.

    The label set that is returned calls the images by their files.

    Raises:
        InputError: an id that leaves the folder or means several files, two of one file, or not one image.
    """
    files: dict[int, str] = {}
    listed: dict[str, str] = {}  # file -> image
    for i, image in enumerate(labels.images):
        if not folder.inside(image):
            problem, remedy = f"path {image!r} leaves the folder", f"list only images inside {folder.source}"
            raise InputError(problem, file=labels.source, row=labels.rows[i], remedy=remedy)
        found = next((same for suffix in SUFFIXES if (same := folder.find(image + suffix))), ())
        if len(found) > 1 or (found and found[0] in listed):
            problem = f"image {image!r} may be {' or '.join(map(repr, found))}"
            if len(found) == 1:
                problem = f"images {listed[found[0]]!r} and {image!r} are the same file {found[0]!r}"
            raise InputError(problem, file=labels.source, row=labels.rows[i], remedy="list images as files are called")
        if found:
            files[i] = found[0]
            listed[found[0]] = image
    if not files:
        remedy = f"put <image id>.jpg below {folder.source}"
        raise InputError(f"not one of {len(labels.images)} listed images exists", file=labels.source, remedy=remedy)
    kept = labels.take(list(files))
    if missing := len(labels.images) - len(files):
        first = next(image for i, image in enumerate(labels.images) if i not in files)
        kept = replace(kept, notes=(*kept.notes, f"{missing} listed images do not exist, the first {first!r}"))
    names = tuple(files.values())
    kept = replace(kept, images=names)
    dataset = FaceDataset(
        name=name,
        attributes=(),
        labels={},
        image_names=names,
        rows=kept.rows,
        read_bytes=lambda i: folder.read(names[i]),
        source=labels.source,
        notes=kept.notes,
    )
    return dataset, kept
