"""Files by name, wherever they lie: a name is looked up part by part in listings, so that none reaches a file outside.

It is found however it is spelled: with backslashes, ``./`` or doubled slashes, in another case, with letters composed
otherwise.
"""

import re
import unicodedata
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from bias_jax.errors import InputError

LARGEST_FILE = 2**28  # bytes; a file that unpacks to more is an attack or a mistake
PICTURES = (
    ".jpg",
    ".jpeg",
    ".jpe",
    ".jfif",
    ".png",
    ".bmp",
    ".gif",
    ".webp",
    ".tif",
    ".tiff",
)  # how photographs are called
# Files of data sets that are given by their folder, packed or not.
LISTS = re.compile(r".*\.(csv|tsv|tab|txt|json|jsonl|parquet|arrow|array_record)(-\d+-of-\d+|\.gz)?", re.IGNORECASE)
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")  # and archives
FILE, FOLDER, LINKED_FOLDER, ARCHIVE, OUTSIDE = "file", "folder", "linked folder", "archive", "link out"


class Folder(NamedTuple):
    """What lies in a folder, sorted, without what systems and editors put there."""

    path: str  # from the top, which is ""
    folders: tuple[str, ...]
    archives: tuple[str, ...]
    files: tuple[str, ...]
    outside: tuple[str, ...]  # links out of the store


class Store(ABC):
    """Files by relative name; what kind of store it is says where from."""

    source: Path

    def __init__(self) -> None:
        self.closed: list[str] = []  # folders that may not be listed
        self._folded: dict[str, dict[str, list[str]]] = {}  # folder -> name without case -> names

    @abstractmethod
    def listing(self, folder: str) -> Mapping[str, str]:
        """Name -> kind of everything in a folder; nothing if there is no such folder."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """A file by the store's own name; OSError if it cannot be read."""

    def parts(self, name: str) -> tuple[str, ...] | None:
        """As `plain`."""
        return plain(name)

    def inside(self, name: str) -> bool:
        """Whether the name stays inside the store; a symbolic link out of it does not."""
        parts = self.parts(name)
        return parts is not None and OUTSIDE not in self._kinds(parts)

    def find(self, name: str) -> tuple[str, ...]:
        """The files that a list may mean by this name, as the store calls them.

        One that is spelled alike goes before all others; several of these differ in case alone.
        """
        parts = self.parts(name)
        if parts is None:
            return ()
        if len(kinds := self._kinds(parts)) == len(parts) and kinds[-1] in (FILE, ARCHIVE):
            return ("/".join(parts),)
        found = [""]
        for part in parts:
            found = [below(folder, same) for folder in found for same in self._alike(folder).get(_fold(part), ())]
        return tuple(path for path in sorted(found) if self._kinds(tuple(path.split("/")))[-1:] in ([FILE], [ARCHIVE]))

    def _kinds(self, parts: tuple[str, ...]) -> list[str]:
        """Of each folder on the way and of the file, as far as they exist and do not lead out."""
        kinds: list[str] = []
        folder = ""
        for part in parts:
            kind = self.listing(folder).get(part)
            if kind is None:
                break
            kinds.append(kind)
            if kind == OUTSIDE:
                break
            folder = below(folder, part)
        return kinds

    def _alike(self, folder: str) -> dict[str, list[str]]:
        if folder not in self._folded:
            names: dict[str, list[str]] = {}
            for name, kind in self.listing(folder).items():
                if kind != OUTSIDE:
                    names.setdefault(_fold(name), []).append(name)
            self._folded[folder] = names
        return self._folded[folder]

    def walk(self, folder: str = "", depth: int = 99) -> Iterator[Folder]:
        """A folder and those below it, the nearest first; archives and linked folders are named, not entered."""
        pending = deque([(folder, depth)])
        while pending:
            path, left = pending.popleft()
            kinds: dict[str, list[str]] = {FOLDER: [], LINKED_FOLDER: [], ARCHIVE: [], FILE: [], OUTSIDE: []}
            for name, kind in sorted(self.listing(path).items()):
                if not is_junk(name):
                    kinds[kind].append(name)
            folders = tuple(sorted(kinds[FOLDER] + kinds[LINKED_FOLDER]))
            yield Folder(path, folders, tuple(kinds[ARCHIVE]), tuple(kinds[FILE]), tuple(kinds[OUTSIDE]))
            if left:
                pending.extend((below(path, name), left - 1) for name in kinds[FOLDER])

    def summary(self) -> str:
        """What lies at the top, for messages."""
        top = next(self.walk(depth=0))
        names = [f"{name}/" for name in top.folders] + [*top.archives, *top.files]
        names += [f"{name}, a link out of it" for name in top.outside]
        return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "") or "nothing"


@lru_cache(maxsize=2**10)
def plain(name: str) -> tuple[str, ...] | None:
    r"""The parts of a relative name in any spelling; None if it is empty or leads outside.

    >>> plain(r".\train\\8.jpg"), plain("train/../../8.jpg"), plain("C:/8.jpg")
    (('train', '8.jpg'), None, None)
    """
    if "\0" in name or re.match(r"[\\/]|[A-Za-z]:[\\/]", name):
        return None
    parts: list[str] = []
    for part in re.split(r"[\\/]", name):
        if part == ".." and not parts:
            return None
        if part == "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return tuple(parts) or None


def below(*parts: str) -> str:
    """Names joined by slashes; empty ones are the top."""
    return "/".join(part for part in parts if part)


def is_picture(name: str) -> bool:
    """Whether a file is called as photographs are."""
    return name.lower().endswith(PICTURES)


def is_archive(name: str) -> bool:
    """Whether a file is called as archives are."""
    return name.lower().endswith(ARCHIVES)


def packed_inside(name: str, source: str | Path) -> InputError:
    """What to say where everything that is needed lies in an archive that is not opened, such as one in another one."""
    remedy = f"unpack {name} and give the folder"
    return InputError(f"holds no picture, but an archive that is not opened, {name}", file=source, remedy=remedy)


def is_junk(name: str) -> bool:
    """What systems and editors put beside people's files: hidden ones, a Mac's and Windows' own."""
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
