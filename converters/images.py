"""Folders of images for checking a network; unlike the library's data sets they carry no attributes of people."""

from pathlib import Path

import numpy as np

from bias_jax.data import Attribute, FaceDataset
from bias_jax.errors import InputError

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".tif", ".tiff"}


def image_folder(directory: Path, limit: int | None = None) -> FaceDataset:
    """All images of a folder and its subfolders in the order of their names, without labels.

    Raises:
        InputError: there are none.
    """
    return _dataset(directory, _images(directory)[:limit], (), {})


def class_folders(directory: Path, classes: int) -> FaceDataset:
    """Images of a folder that has one subfolder per class, e.g. ImageNet's validation set sorted into WordNet ids.

    As in torchvision, class i is the i-th folder in the order of names. The labels are called ``class``.

    Args:
        directory: the folder.
        classes: number of classes there must be.

    Raises:
        InputError: another number of folders, or a folder without images.
    """
    folders = sorted(p for p in _existing(directory).iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(folders) != classes:
        remedy = "sort the validation images into one folder per class, and give the folder that holds these"
        raise InputError(
            f"has {len(folders)} class folders, the network {classes} classes", file=directory, remedy=remedy
        )
    found = [_images(folder) for folder in folders]
    labels = np.repeat(np.arange(classes, dtype=np.int32), [len(images) for images in found])
    attribute = Attribute("class", tuple(folder.name for folder in folders))
    return _dataset(directory, [image for images in found for image in images], (attribute,), {"class": labels})


def _existing(directory: Path) -> Path:
    if not directory.is_dir():
        raise InputError("is not a folder", file=directory, remedy="give an existing folder")
    return directory


def _images(directory: Path) -> list[Path]:
    found = sorted(p for p in _existing(directory).rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not found:
        raise InputError("holds no images", file=directory, remedy=f"files must end in {', '.join(sorted(SUFFIXES))}")
    return found


def _dataset(
    directory: Path, paths: list[Path], attributes: tuple[Attribute, ...], labels: dict[str, np.ndarray]
) -> FaceDataset:
    return FaceDataset(
        name=directory.name,
        attributes=attributes,
        labels=labels,
        image_names=tuple(str(path.relative_to(directory)) for path in paths),
        rows=tuple(range(1, len(paths) + 1)),
        read_bytes=lambda i: paths[i].read_bytes(),
        source=str(directory),
    )
