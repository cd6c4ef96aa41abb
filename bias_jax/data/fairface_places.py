"""Which folders and archives hold FairFace's splits, and in which padding: what was asked for is what is taken.

Nothing in a picture tells its padding; names do (``fairface-img-margin025-trainval.zip``, ``0.25``).
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bias_jax.data.listings import FILE, Folder, Store, below, is_picture, plain
from bias_jax.errors import InputError

USUAL = "0.25"
DEEPEST = 4  # folders below the given one that are looked into
ABOVE = 3  # names at the end of the given path that may tell the padding
_DOTTED = r"(?<!\d)(?<!\d\.)([01]\.25)(?!\.?\d)"
_SPELLED = r"([01][._,-]?25)"  # too close to dates and numbers to tell anything by itself
_NAMED = rf"(?:(?:margin|padding|pad|crop|fairface)[-_= ]*|img[-_= ]+){_SPELLED}(?!\.?\d)"
_PADDING = re.compile(rf"{_DOTTED}|{_NAMED}|^{_SPELLED}(?:\.zip)?$", re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """Where something lies."""

    path: str  # below the given folder or archive, which is ""; archives count as folders
    padding: str | None  # as names tell


@dataclass(frozen=True)
class Survey:
    """What lies in a folder or archive."""

    store: Store
    folders: tuple[Folder, ...]  # also those in archives
    unopened: tuple[Place, ...]  # archives whose names tell another padding; to open one takes seconds
    damaged: tuple[InputError, ...]  # why archives cannot be opened


def padding_of(path: str) -> str | None:
    """The padding that names tell, the last of them first.

    >>> padding_of("fairface-img-margin125-trainval.zip"), padding_of("0.25/data"), padding_of("train")
    ('1.25', '0.25', None)
    """
    for part in reversed(path.split("/")):
        told = {re.sub(r"\D", "", "".join(found)) for found in _PADDING.findall(part)}
        if len(told) == 1:
            digits = told.pop()
            return f"{digits[0]}.{digits[1:]}"
    return None


def survey(store: Store, padding: str) -> Survey:
    """Look into all folders near the top, and into the archives in these."""
    folders: list[Folder] = []
    unopened, damaged = [], []
    for folder in store.walk(depth=DEEPEST):
        folders.append(folder)
        for name in folder.archives:
            path = below(folder.path, name)
            if (told := padding_of(path)) not in (None, padding):
                unopened.append(Place(path, told))
                continue
            try:
                folders += store.walk(path)
            except InputError as error:
                damaged.append(error)
    return Survey(store, tuple(folders), tuple(unopened), tuple(damaged))


def choose(places: Sequence[Place], padding: str, source: Path, what: str) -> Place:
    """The place of the padding that was asked for; one of unknown padding only where none is known.

    Args:
        places: at least one.
        padding: as asked.
        source: the given folder or archive; the end of its path tells a padding, too, as given and behind links.
        what: lies there, for messages.

    Raises:
        InputError: only another padding is there, or several places fit equally well; a link and what it leads to
            tell different ones.
    """
    told = [Place(place.path, _told(place, source)) for place in places]
    fitting = [place for place in told if place.padding == padding]
    if not fitting and (others := [place for place in told if place.padding is not None]):
        named = ", ".join(f"{place.padding} in {place.path or source.name}" for place in others)
        remedy = f"pass --padding {others[0].padding}, or put those of padding {padding} into a folder {padding}"
        raise InputError(f"holds {what} of another padding than {padding}: {named}", file=source, remedy=remedy)

    def archive(place: Place) -> str:
        before, end, _ = place.path.lower().partition(".zip")
        return before + end if end else ""

    def rank(place: Place) -> tuple[bool, int]:
        return archive(place) != "", place.path.count("/")  # unpacked ones first, then near ones

    first, *rest = sorted(fitting or told, key=lambda place: (rank(place), place.path))
    for other in rest:
        if rank(other) == rank(first) or "" != archive(first) != archive(other):
            problem = f"holds {what} more than once: in {first.path} and in {other.path}"
            raise InputError(problem, file=source, remedy="give one of them, or move one away")
    return first


def _told(place: Place, source: Path) -> str | None:
    """The padding that names tell: of the place, or else of the end of the path to it, with links and without."""
    given = place.padding or padding_of("/".join(Path(os.path.abspath(source)).parts[-ABOVE:]))
    real = (source / place.path).resolve()
    behind = padding_of("/".join(real.parts[-ABOVE - len(PurePosixPath(place.path).parts) :]))
    if given and behind and given != behind:
        problem = f"is called padding {given}, but leads to padding {behind}, {real}"
        raise InputError(problem, file=source / place.path, remedy="give the folder that it leads to")
    return given or behind


def padding_note(places: Sequence[Place], padding: str) -> tuple[str, ...]:
    """A sentence if a padding was chosen and nothing tells whether it is there."""
    if padding != USUAL and any(place.padding is None for place in places):
        return (f"padding {padding} was asked for, and no name tells which one the images have",)
    return ()


def image_folders(found: Survey, split: str) -> list[Place]:
    """Folders of pictures that are called as the split, or archives of pictures."""
    opened = {folder.path for folder in found.folders}
    paths = [below(folder.path, name) for folder in found.folders for name in folder.folders]
    paths += [
        path for folder in found.folders for name in folder.archives if (path := below(folder.path, name)) in opened
    ]
    return [
        Place(path, padding_of(path))
        for path in paths
        if path.casefold().rpartition("/")[2] in (split, f"{split}.zip")
        and any(kind == FILE and is_picture(name) for name, kind in found.store.listing(path).items())
    ]


def label_files(folders: Sequence[Folder], split: str, *, linked: bool = False) -> list[str]:
    """Label files of a split, by the official name and that of a common copy; or `linked` ones out of the store."""
    names = (f"fairface_label_{split}.csv", f"{split}_labels.csv")
    paths = [below(f.path, name) for f in folders for name in (f.outside if linked else f.files)]
    return [path for path in paths if path.casefold().rpartition("/")[2] in names]


def choose_labels(files: Sequence[str], images: str, store: Store) -> str:
    """The label file that belongs to images: nearest above them, or else nearest to the top.

    Args:
        files: at least one.
        images: their folder.
        store: that holds both.

    Raises:
        InputError: several are equally near, and differ.
    """

    def content(file: str) -> bytes:
        try:
            return store.read(file)
        except OSError as error:
            problem = f"{file} cannot be read ({error})"
            raise InputError(problem, file=store.source, remedy="download it again") from None

    def rank(file: str) -> tuple[bool, int]:
        folder = PurePosixPath(file).parent
        above = folder in PurePosixPath(images).parents
        return not above, -len(folder.parts) if above else len(folder.parts)

    first, *rest = sorted(files, key=lambda file: (rank(file), file))
    for other in rest:
        if rank(other) == rank(first) and content(other) != content(first):
            problem = f"holds label files that differ, {first} and {other}"
            raise InputError(problem, file=store.source, remedy="move one of them away")
    return first


@dataclass(frozen=True)
class SplitImages:
    """Images called ``train/1.jpg`` and ``val/1.jpg``, wherever the folders of the splits lie."""

    store: Store
    folders: Mapping[str, str]  # split -> its folder

    @property
    def source(self) -> Path:
        """The given folder or archive."""
        return self.store.source

    def inside(self, name: str) -> bool:
        """Whether the name stays inside the store."""
        return plain(name) is not None and self.store.inside(self._full(name))

    def find(self, name: str) -> tuple[str, ...]:
        """The files that a list may mean by this name."""
        return self.store.find(self._full(name)) if plain(name) is not None else ()

    def read(self, name: str) -> bytes:
        """A file that was found."""
        return self.store.read(name)

    def summary(self) -> str:
        """What lies at the top."""
        return self.store.summary()

    def _full(self, name: str) -> str:
        split, *rest = plain(name) or ("",)
        return below(self.folders.get(split.casefold(), split), *rest)
