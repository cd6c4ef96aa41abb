"""Where the images of an association test come from: folders, or groups of a labelled data set."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from bias_jax.data.dataset import FaceDataset
from bias_jax.data.listings import PICTURES, is_junk, is_picture
from bias_jax.data.published_tests import PUBLISHED_TESTS
from bias_jax.errors import InputError

SETS = ("x", "y", "a", "b")


@dataclass(frozen=True)
class Source:
    """One image before it is looked at."""

    name: str  # unique in its tests; the same wherever their folder lies
    read: Callable[[], bytes]


@dataclass(frozen=True)
class StimulusRequest:
    """One test: what its four sets are called, and their images."""

    name: str
    labels: tuple[str, str, str, str]
    sets: tuple[tuple[Source, ...], ...]  # X, Y, A, B
    published: bool = False  # by others, whose numbers hold for these images as they are


def folder_tests(directory: str | Path, names: Sequence[str] = ()) -> list[StimulusRequest]:
    """Tests found in a folder.

    Args:
        directory: holds ``NAME/x``, ``NAME/y``, ``NAME/a`` and ``NAME/b`` for every test (or is itself one such NAME),
            or is a download of ryansteed/ieat (its root, or its ``data/experiments``).
        names: tests to read; all that are complete if empty.

    Raises:
        InputError: nothing there, an unknown name, or a set without images.
    """
    root = Path(directory)
    if not root.is_dir():
        remedy = "give a folder of tests, each with the folders x, y, a and b"
        raise InputError("no such directory", file=root, remedy=remedy)
    found = {p.name: tuple(p / s for s in SETS) for p in (root, *sorted(root.iterdir())) if _complete(p)}
    published = root / "data/experiments" if (root / "data/experiments").is_dir() else root
    for name, folders in PUBLISHED_TESTS.items():
        paths = tuple(published / folder for folder in folders)
        if name not in found and all(path.is_dir() for path in paths):
            found[name] = paths
    if not found:
        remedy = "make folders NAME/x, NAME/y, NAME/a and NAME/b, or give a download of ryansteed/ieat"
        raise InputError("holds no association test", file=root, remedy=remedy)
    for name in names:
        if name not in found:
            raise InputError(f"holds no test {name!r}", file=root, remedy=f"choose among {', '.join(found)}")
    return [
        StimulusRequest(
            name,
            _labels(root, name, found[name]),
            tuple(folder_images(path, path.relative_to(root).as_posix()) for path in found[name]),
            _is_published(root, name),
        )
        for name in (names or found)
    ]


def _complete(folder: Path) -> bool:
    return all((folder / s).is_dir() for s in SETS)


def _labels(root: Path, name: str, paths: tuple[Path, ...]) -> tuple[str, str, str, str]:
    x, y, a, b = PUBLISHED_TESTS[name] if _is_published(root, name) else (path.name for path in paths)
    return x, y, a, b


def _is_published(root: Path, name: str) -> bool:
    return name in PUBLISHED_TESTS and not _complete(root / name)


def folder_images(folder: str | Path, name: str) -> tuple[Source, ...]:
    """Images of a folder by their names' suffixes, sorted.

    Args:
        folder: it alone, not the folders in it.
        name: of the folder; the images are called ``NAME/FILE``.

    Raises:
        InputError: if there is none.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError("no such directory", file=root, remedy="give a folder of images")
    paths = sorted(p for p in root.iterdir() if is_picture(p.name) and not is_junk(p.name) and p.is_file())
    if not paths:
        raise InputError("holds no image", file=root, remedy=f"put files ending in {', '.join(PICTURES)} there")
    return tuple(Source(f"{name}/{path.name}", path.read_bytes) for path in paths)


def group_images(dataset: FaceDataset, group: str, most: int | None = None, without: str = "") -> tuple[Source, ...]:
    """Images of one group of a labelled data set; where persons are known, the first of each.

    Args:
        dataset: e.g. of `read_fairface`.
        group: categories of different attributes, joined by a slash: ``Black / 20-29 / Female`` or ``Black / Female``.
        most: keep at most so many, in the order of the data set.
        without: another group, whose persons are left out.

    Raises:
        InputError: an unknown category, two of the same attribute, or no image.
    """
    inside, persons = _inside(dataset, group), dataset.persons
    rows = np.flatnonzero(inside)
    if persons is not None:
        rows = rows[np.sort(np.unique(persons[rows], return_index=True)[1])]
        if without:
            rows = rows[~np.isin(persons[rows], persons[_inside(dataset, without)])]
    if not len(rows):
        problem = f"group {group!r} has no image" + (f" of other persons than {without!r}" if inside.any() else "")
        raise InputError(problem, file=dataset.source, remedy="choose a larger group")
    return tuple(
        Source(f"faces/{dataset.image_names[r]}", partial(dataset.read_bytes, r)) for r in rows[:most].tolist()
    )


def _inside(dataset: FaceDataset, group: str) -> np.ndarray:
    """Whether each image is of a group, bool [N]."""
    chosen = group_categories(dataset, group).items()
    return np.asarray(np.all([dataset.labels[name] == number for name, number in chosen], axis=0))


def group_categories(dataset: FaceDataset, group: str) -> dict[str, int]:
    """Attribute -> number of its category, from text such as ``Black / 20-29 / Female`` or ``Black / Female``.

    Raises:
        InputError: an unknown category, or two of the same attribute.
    """
    chosen: dict[str, int] = {}
    for part in (text.strip() for text in group.split("/")):
        owner = next((a for a in dataset.attributes if part in a.categories), None)
        if owner is None or owner.name in chosen:
            problem = f"group {group!r}: {part!r} is " + ("no category" if owner is None else f"a second {owner.name}")
            remedy = "; ".join(f"{a.name}: {', '.join(a.categories)}" for a in dataset.attributes)
            raise InputError(problem, file=dataset.source, remedy=f"join categories by a slash, of {remedy}")
        chosen[owner.name] = owner.categories.index(part)
    return chosen
