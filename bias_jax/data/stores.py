"""Where encoded images lie: a folder or a zip archive, never outside of it."""

import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Protocol

from bias_jax.errors import InputError

LARGEST_FILE = 2**28  # bytes; an image that unpacks to more is an attack or a mistake


class ImageStore(Protocol):
    """Images by relative name."""

    source: Path

    def inside(self, name: str) -> bool:
        """Whether the name stays inside the store."""

    def contains(self, name: str) -> bool:
        """Whether there is a file of this name."""

    def read(self, name: str) -> bytes:
        """The encoded image; OSError if it cannot be read."""


class FolderImages:
    """Images below a folder."""

    def __init__(self, root: Path):
        self.source = root
        self._resolved = root.resolve()

    def inside(self, name: str) -> bool:
        """Symbolic links are followed: a link out of the folder is outside."""
        try:
            return bool(name) and (self.source / name).resolve().is_relative_to(self._resolved)
        except (OSError, ValueError, RuntimeError):  # null bytes, link loops, names too long
            return False

    def contains(self, name: str) -> bool:
        return (self.source / name).is_file()

    def read(self, name: str) -> bytes:
        path = self.source / name
        if path.stat().st_size > LARGEST_FILE:
            raise OSError(f"file is larger than {LARGEST_FILE >> 20} MiB")
        return path.read_bytes()


class ZipImages:
    """Images in a zip archive; names may lie below one common folder of the archive."""

    def __init__(self, path: Path):
        self.source = path
        try:
            self._archive = zipfile.ZipFile(path)
            names = self._archive.namelist()
        except (OSError, zipfile.BadZipFile) as error:
            raise InputError(
                f"is not a readable zip archive ({error})", file=path, remedy="download it again"
            ) from None
        for name in names:
            if name.startswith(("/", "\\")) or ".." in PurePosixPath(name.replace("\\", "/")).parts or ":" in name[:2]:
                remedy = "use an archive from a source you trust"
                raise InputError(f"holds an entry outside of itself, {name!r}", file=path, remedy=remedy)
        self._names = {name: name for name in names if not name.endswith("/")}
        tops = {name.split("/", 1)[0] for name in names}
        if len(tops) == 1 and all("/" in name for name in names) and tops.isdisjoint(("train", "val")):
            prefix = tops.pop() + "/"
            self._names = {name.removeprefix(prefix): name for name in self._names}

    def inside(self, name: str) -> bool:
        """Entries outside were refused on opening; a name that tries to leave is refused as well."""
        return bool(name) and not name.startswith("/") and ".." not in PurePosixPath(name).parts

    def contains(self, name: str) -> bool:
        return name in self._names

    def read(self, name: str) -> bytes:
        entry = self._archive.getinfo(self._names[name])
        if entry.file_size > LARGEST_FILE:
            raise OSError(f"unpacks to more than {LARGEST_FILE >> 20} MiB")
        try:
            return self._archive.read(entry)
        except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:  # damaged or encrypted
            raise OSError(str(error)) from error
