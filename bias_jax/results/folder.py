"""Files that appear whole or not at all, and that are known when a disk has damaged them."""

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from bias_jax.errors import CONTINUE, InputError, WriteError, writing
from bias_jax.results.arrays import is_whole, read_arrays, write_arrays
from bias_jax.results.drawings import check_drawing, write_drawing
from bias_jax.results.shapes import misfit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MANIFEST = "run.json"
PARTIAL = ".partial-"  # begins the name of a file that is being written
log = logging.getLogger("bias_jax.results")


class DamagedError(InputError):
    """A file of a run is absent or not what was written; the run makes it again."""

    def __init__(self, path: Path, reason: object):
        super().__init__(f"damaged result ({reason})", file=path, remedy="run the command that made it again")


class Folder:
    """Files that appear whole or not at all.

    Args:
        path: the folder; it is made when the first file is written.
        run: the run directory it belongs to: nothing is written any more when that has vanished.
    """

    def __init__(self, path: str | Path, run: Path | None = None):
        self.path, self.run = Path(path), run

    def has(self, name: str) -> bool:
        """Whether a file of this name is complete."""
        return (self.path / name).exists()

    def save_arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Write ``name`` (an ``.arrow`` file, see `results.arrays`) at once."""
        with self._replacing(self.path / name) as partial:
            write_arrays(partial, arrays)

    def has_arrays(self, name: str) -> bool:
        """Whether arrays are there and whole; damaged ones are thrown away."""
        try:
            if (self.path / name).exists() and not is_whole(self.path / name):
                self.discard(name, "its bytes are not those that were written")
        except OSError as error:
            raise InputError(f"cannot be read ({error.strerror})", file=self.path / name, remedy=CONTINUE) from None
        return self.has(name)

    def load_arrays(self, name: str) -> dict[str, np.ndarray]:
        """Read what `save_arrays` wrote."""
        try:
            return read_arrays(self.path / name)
        except (OSError, ValueError) as error:
            raise DamagedError(self.path / name, error) from None

    def save_table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> str:
        """Write ``name`` (a tidy ``.parquet`` table, one row a mapping) at once; equal rows give equal bytes.

        Returns:
            SHA-256 of the file.
        """
        with self._replacing(self.path / name) as partial:
            pq.write_table(pa.table({key: [row[key] for row in rows] for key in rows[0]} if rows else {}), partial)
            return hashlib.sha256(partial.read_bytes()).hexdigest()

    def load_table(self, name: str, sha256: str = "") -> pa.Table:
        """Read what `save_table` wrote, and check that it is that if its digest is given."""
        try:
            data = (self.path / name).read_bytes()
            if sha256 and hashlib.sha256(data).hexdigest() != sha256:
                raise ValueError("its bytes are not those that were written")
            return pq.read_table(pa.BufferReader(data))
        except (OSError, ValueError, pa.ArrowException) as error:
            raise DamagedError(self.path / name, error) from None

    def save_figure(self, name: str, figure: "Figure") -> None:
        """Write a figure at once; the suffix decides the format, see `results.drawings`."""
        with self._replacing(self.path / name) as partial:
            write_drawing(partial, figure)

    def save_picture(self, name: str, pixels: np.ndarray) -> None:
        """Write a picture, uint8 [H, W, 3], at once; the suffix decides the format."""
        with self._replacing(self.path / name) as partial:
            Image.fromarray(pixels).save(partial)

    def has_figure(self, name: str) -> bool:
        """Whether a figure is complete; one that is damaged is thrown away."""
        path = self.path / name
        if path.exists():
            try:
                check_drawing(path)
            except Exception as error:  # pillow raises many kinds on damaged files
                self.discard(name, error)
        return path.exists()

    def discard(self, name: str, reason: object) -> None:
        """Delete a damaged file, so that it is made again, and say so."""
        log.info("note: %s is damaged (%s): it is thrown away and made again", self.path / name, reason)
        with writing(self.path / name):
            (self.path / name).unlink(missing_ok=True)

    def save_text(self, name: str, text: str) -> None:
        """Write a text file, UTF-8, at once."""
        with self._replacing(self.path / name) as partial:
            partial.write_text(text, encoding="utf-8", newline="")

    def save_json(self, name: str, content: Any) -> None:
        """Write a JSON file at once."""
        with self._replacing(self.path / name) as partial:
            partial.write_text(json.dumps(content, indent=2) + "\n")

    def keep_json(self, name: str, content: Any) -> None:
        """See to it that a JSON file has this content; says so if it had another."""
        path = self.path / name
        if path.exists():
            if path.read_bytes() == (json.dumps(content, indent=2) + "\n").encode():
                return
            log.info("note: %s is not what this run would write: it is written again", path)
        self.save_json(name, content)

    def load_json(self, name: str, shape: Any = None) -> Any:
        """Read what `save_json` wrote.

        Args:
            name: of the file.
            shape: what it must be like, see `shapes.misfit`.

        Raises:
            DamagedError: it is damaged, or of another shape.
        """
        try:
            content = json.loads((self.path / name).read_text())
        except (OSError, ValueError, RecursionError) as error:
            raise DamagedError(self.path / name, error) from None
        if said := misfit(content, shape):
            raise DamagedError(self.path / name, said)
        return content

    @contextmanager
    def _replacing(self, target: Path) -> Iterator[Path]:
        partial = target.with_name(PARTIAL + target.name)  # keeps the suffix, which decides image formats
        try:
            with writing(target):
                if self.run is not None and not (self.run / MANIFEST).exists():
                    raise WriteError(
                        "has vanished, or its run.json", file=self.run, remedy=f"find out what took it away; {CONTINUE}"
                    )
                target.parent.mkdir(parents=True, exist_ok=True)
                yield partial
                with partial.open("rb+") as stream:
                    os.fsync(stream.fileno())  # a name must not outlast a loss of power without its content
                partial.replace(target)
        except BaseException:
            with suppress(OSError):
                partial.unlink()
            raise
