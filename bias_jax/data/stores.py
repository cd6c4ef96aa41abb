"""Where images lie: a folder or a zip archive, never outside of it. An archive in a folder is a folder, too."""

import os
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from bias_jax.data.archives import ZipImages
from bias_jax.data.listings import (
    ARCHIVE,
    FILE,
    FOLDER,
    LARGEST_FILE,
    LINKED_FOLDER,
    LISTS,
    OUTSIDE,
    Store,
    is_picture,
    plain,
)
from bias_jax.errors import InputError


class ImageStore(Protocol):
    """What readers of lists need."""

    @property
    def source(self) -> Path:
        """The folder or archive, for messages."""

    def inside(self, name: str) -> bool:
        """Whether the name stays inside the store."""

    def find(self, name: str) -> tuple[str, ...]:
        """The files that a list may mean by this name, as the store calls them; several differ in case alone."""

    def read(self, name: str) -> bytes:
        """The encoded image, by the store's name; OSError if it cannot be read."""

    def summary(self) -> str:
        """What lies at the top, for messages."""


class FolderImages(Store):
    """Files below a folder; symbolic links are followed unless they lead out of it."""

    def __init__(self, root: Path):
        super().__init__()
        self.source = root
        resolved = root.resolve()
        self._roots = (resolved, *_hub_files(resolved))
        self._prefixes = tuple(f"{folder}{os.sep}" for folder in (root.absolute(), resolved))
        self._listings: dict[str, dict[str, str]] = {}
        self._archives: dict[str, ZipImages] = {}

    def parts(self, name: str) -> tuple[str, ...] | None:
        """As `plain`; an absolute path inside the folder is a name, too, and a file's own name may hold backslashes."""
        for prefix in self._prefixes:
            if name.startswith(prefix):
                return plain(name.removeprefix(prefix))
        if "\\" in name and name in self.listing(""):
            return (name,)
        return plain(name)

    def listing(self, folder: str) -> Mapping[str, str]:
        if folder not in self._listings:
            self._listings[folder] = dict(self._list(folder))
        return self._listings[folder]

    def _list(self, folder: str) -> Iterable[tuple[str, str]]:
        if (inner := self._in_archive(folder)) is not None:
            return inner[0].listing(inner[1]).items()
        try:
            with os.scandir(self.source / folder) as entries:
                kinds = [(entry.name, self._kind(entry)) for entry in entries]
        except PermissionError:
            self.closed.append(folder)
            return ()
        except OSError:  # no such folder
            return ()
        return [(name, kind) for name, kind in kinds if kind is not None]

    def _kind(self, entry: os.DirEntry) -> str | None:
        linked = entry.is_symlink()
        if linked and not self._stays(Path(entry.path)):
            return OUTSIDE
        if entry.is_dir():
            return LINKED_FOLDER if linked else FOLDER
        if not entry.is_file():  # a broken link, a device
            return None
        return ARCHIVE if entry.name.lower().endswith(".zip") else FILE

    def _stays(self, link: Path) -> bool:
        try:
            target = link.resolve()
        except (OSError, RuntimeError):  # a loop
            return False
        return any(target.is_relative_to(root) for root in self._roots)

    def _in_archive(self, path: str) -> tuple[ZipImages, str] | None:
        """The archive that a path leads into, and the path in it."""
        parts = path.split("/")
        for i, part in enumerate(parts):
            archive = "/".join(parts[: i + 1])
            if part.lower().endswith(".zip") and self.listing("/".join(parts[:i])).get(part) == ARCHIVE:
                if archive not in self._archives:
                    self._archives[archive] = ZipImages(self.source / archive)
                return self._archives[archive], "/".join(parts[i + 1 :])
        return None

    def read(self, name: str) -> bytes:
        if ".zip/" in name.lower() and (inner := self._in_archive(name)) is not None:
            return inner[0].read(inner[1])
        path = self.source / name
        if path.stat().st_size > LARGEST_FILE:
            raise OSError(f"file is larger than {LARGEST_FILE >> 20} MiB")
        return path.read_bytes()


def open_images(path: str | Path) -> FolderImages | ZipImages:
    """The store of a folder or a zip archive.

    Raises:
        InputError: no such file or directory, or a file that is no zip archive; one that lies in what should be given.
    """
    root = Path(path)
    if root.is_dir():
        return FolderImages(root)
    if not root.is_file():
        raise InputError("no such file or directory", file=root, remedy="give the folder or zip archive of the images")
    if not zipfile.is_zipfile(root) and (is_picture(root.name) or LISTS.fullmatch(root.name)):
        remedy = f"give the folder of the data set, such as {root.absolute().parent}"
        raise InputError("is one file of a data set, neither a folder nor a zip archive", file=root, remedy=remedy)
    return ZipImages(root)


def _hub_files(root: Path) -> list[Path]:
    """In the cache of the Hugging Face hub, the files of ``NAME/snapshots/REVISION`` are links to ``NAME/blobs``."""
    repositories = [folder.parent.parent for folder in (root, *root.parents) if folder.parent.name == "snapshots"]
    return [blobs for repository in repositories if (blobs := repository / "blobs").is_dir()]
