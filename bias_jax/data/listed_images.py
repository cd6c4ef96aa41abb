"""Where the rows of a table lead: to images of a store, by a column of their names."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from bias_jax.data.labels import trimmed
from bias_jax.data.listings import plain
from bias_jax.data.stores import ImageStore
from bias_jax.errors import InputError


class Places(Protocol):
    """What the rows of a table are about."""

    @property
    def source(self) -> str | Path:
        """Where that is, for messages."""

    @property
    def column(self) -> str:
        """The column that says it; empty where rows follow each other in an order of their own."""

    def locate(self, text: str, table: str, row: int) -> tuple[str, str] | None:
        """A name of its own for what a row is about, and how `read` calls it; None: it is left out.

        Raises:
            InputError: it is nothing, or was there before.
        """

    def told(self, table: str) -> Sequence[str]:
        """After the last row of all tables: a sentence for whatever was not as expected."""

    def read(self, file: str) -> bytes:
        """The encoded image; OSError if it cannot be read."""


class ListedImages:
    """Images of a store, listed by their relative names."""

    def __init__(self, images: ImageStore, column: str, *, skip_absent: bool = False, may_skip: bool = True):
        """Begin a list.

        Args:
            images: the store.
            column: of the names.
            skip_absent: leave out what is absent, and say how much that is.
            may_skip: whether a message should name that way out.
        """
        self.column, self.source = column, images.source
        self._images, self._skip_absent, self._may_skip = images, skip_absent, may_skip
        self._seen: set[str] = set()
        self._absent: list[str] = []
        self._respelled: list[str] = []

    def locate(self, text: str, table: str, row: int) -> tuple[str, str] | None:
        """The image's name, whatever its spelling, and its file; None if it is absent and skipped."""
        image, images = trimmed(text), self._images
        if not image:
            problem = f"column {self.column!r} names no image"
            raise InputError(problem, file=table, row=row, remedy="fill it in, or delete the row")
        if not images.inside(image):
            remedy = f"list only images inside {images.source}"
            raise InputError(f"path {image!r} leaves the data directory", file=table, row=row, remedy=remedy)
        found = images.find(image)
        if len(found) > 1:
            problem = f"image {image!r} may be {' or '.join(map(repr, found))}"
            raise InputError(problem, file=table, row=row, remedy="list it as the file is called")
        name = "/".join(plain(image) or found or (image,))
        file = found[0] if found else name
        if self._seen & {name, file}:
            raise InputError(f"image {image!r} is listed twice", file=table, row=row, remedy="delete one row")
        self._seen.update((name, file))
        if found:
            if not f"/{file}".endswith(f"/{image}"):
                self._respelled.append(image)
            return name, file
        if not self._skip_absent:
            problem = f"image {image!r} is listed but absent from {images.source} (found there: {images.summary()})"
            remedy = "restore the file or delete its row"
            if self._may_skip:
                remedy = "restore the file, delete its row, or pass --skip-unreadable"
            raise InputError(problem, file=table, row=row, remedy=remedy)
        self._absent.append(image)
        return None

    def told(self, table: str) -> Sequence[str]:
        lists = {
            "listed images are absent and were skipped": self._absent,
            "images are spelled otherwise in the list": self._respelled,
        }
        return [f"{len(images)} {what}, the first {images[0]!r}" for what, images in lists.items() if images]

    def read(self, file: str) -> bytes:
        return self._images.read(file)
