"""The run directory: finished work survives `kill -9`, and a rerun does only what is missing.

Every file is written under a temporary name and renamed when complete, so a file that exists is whole. The directory
has one identity, that of the network and of how its activations are made; every instrument has a folder with an
identity of its own, so that one can be added or changed without the others being done again.
"""

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bias_jax.errors import InputError
from bias_jax.results.arrays import read_arrays, write_arrays

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MANIFEST = "run.json"
REPEAT = "delete this file and run the same command again"


class Folder:
    """Files that appear whole or not at all."""

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def has(self, name: str) -> bool:
        """Whether a file of this name is complete."""
        return (self.path / name).exists()

    def save_arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Write ``name`` (an ``.arrow`` file, see `results.arrays`) at once."""
        with self._replacing(self.path / name) as partial:
            write_arrays(partial, arrays)

    def load_arrays(self, name: str) -> dict[str, np.ndarray]:
        """Read what `save_arrays` wrote."""
        try:
            return read_arrays(self.path / name)
        except Exception as error:  # pyarrow raises many kinds on damaged files
            raise InputError(f"damaged result ({error})", file=self.path / name, remedy=REPEAT) from None

    def save_table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write ``name`` (a tidy ``.parquet`` table, one row a mapping) at once; equal rows give equal bytes."""
        with self._replacing(self.path / name) as partial:
            save_columns(partial, columns(rows))

    def load_table(self, name: str) -> pa.Table:
        """Read what `save_table` wrote."""
        try:
            return pq.read_table(self.path / name)
        except Exception as error:
            raise InputError(f"damaged table ({error})", file=self.path / name, remedy=REPEAT) from None

    def save_figure(self, name: str, figure: "Figure") -> None:
        """Write a figure at once; the suffix decides the format."""
        with self._replacing(self.path / name) as partial:
            if figure.get_layout_engine() is not None:  # otherwise laid out twice, which takes as long as drawing
                figure.draw_without_rendering()
                figure.set_layout_engine("none")
            # Packing harder takes as long as drawing, for a third of the size.
            packing: Any = {"pil_kwargs": {"compress_level": 1}} if name.endswith(".png") else {}
            figure.savefig(partial, **packing)

    def save_json(self, name: str, content: Any) -> None:
        """Write a JSON file at once."""
        with self._replacing(self.path / name) as partial:
            partial.write_text(json.dumps(content, indent=2) + "\n")

    def load_json(self, name: str) -> Any:
        """Read what `save_json` wrote.

        Raises:
            InputError: it is damaged.
        """
        try:
            return json.loads((self.path / name).read_text())
        except (OSError, ValueError) as error:
            raise InputError(f"damaged result ({error})", file=self.path / name, remedy=REPEAT) from None

    @contextmanager
    def _replacing(self, target: Path) -> Iterator[Path]:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".partial-{target.name}")  # keeps the suffix, which decides image formats
        yield partial
        with partial.open("rb+") as stream:
            os.fsync(stream.fileno())
        partial.replace(target)


class RunDirectory(Folder):
    """Files of one run: one network on one set of faces, with a folder for each instrument."""

    def __init__(self, path: str | Path, identity: Mapping[str, Any], record: Mapping[str, Any]):
        """Open or create a run directory.

        Args:
            path: the directory.
            identity: what decides the activations; a directory begun with another identity is refused. What is None,
                here or there, is not compared: a run without faces may follow one with them, and the other way round.
            record: further facts for ``run.json`` that do not decide the numbers.
        """
        super().__init__(path)
        plain = json.loads(json.dumps(dict(identity)))
        manifest = self.path / MANIFEST
        kept: dict[str, Any] = {}
        if manifest.exists():
            kept = _manifest(manifest, "choose another --out")
            found = kept["identity"]
            given = {k for k in {*plain, *found} if plain.get(k) is not None and found.get(k) is not None}
            if different := sorted(k for k in given if plain[k] != found[k]):
                what = "; ".join(f"{k} was {_short(found[k])}, is {_short(plain[k])}" for k in different[:3])
                raise InputError(f"holds another run ({what})", file=path, remedy="choose another --out or delete it")
            plain = {k: plain.get(k) if plain.get(k) is not None else found.get(k) for k in {**found, **plain}}
        elif self.path.exists() and (not self.path.is_dir() or any(p.name != ".lock" for p in self.path.iterdir())):
            raise InputError("exists and is not a run directory", file=path, remedy="choose another --out")
        wanted = {**kept, "identity": plain, **{k: v for k, v in record.items() if v is not None}}
        wanted = json.loads(json.dumps(wanted))
        if wanted != kept:
            self.save_json(MANIFEST, wanted)

    @classmethod
    def existing(cls, path: str | Path) -> tuple["RunDirectory", dict[str, Any]]:
        """A run directory to read from, and the content of its ``run.json``.

        Raises:
            InputError: it is none.
        """
        manifest = Path(path) / MANIFEST
        if not manifest.exists():
            raise InputError("no such run", file=manifest, remedy="give the --out of a sweep")
        found = _manifest(manifest, "run that sweep again")
        directory = cls.__new__(cls)
        Folder.__init__(directory, path)
        return directory, found

    def instrument(self, name: str, identity: Mapping[str, Any]) -> Folder:
        """The folder of an instrument; what an instrument with another identity left there is deleted first."""
        folder = Folder(self.path / name)
        plain = json.loads(json.dumps(dict(identity)))
        if folder.path.exists():
            try:
                if json.loads((folder.path / "instrument.json").read_text())["identity"] == plain:
                    return folder
            except (OSError, ValueError, KeyError, TypeError):
                pass  # nothing was finished there
            shutil.rmtree(folder.path)
        folder.save_json("instrument.json", {"identity": plain})
        return folder


def columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list]:
    """Rows of a table as columns."""
    return {key: [row[key] for row in rows] for key in rows[0]} if rows else {}


def save_columns(path: Path, columns: Mapping[str, list]) -> None:
    """Write a tidy table as parquet."""
    pq.write_table(pa.table(dict(columns)), path)


@contextmanager
def exclusive(path: str | Path) -> Iterator[None]:
    """Hold the directory for one process; the lock vanishes with the process, however it ends."""
    directory = Path(path)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / ".lock").open("w")
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", file=path, remedy="choose another --out") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            remedy = "wait for it, or choose another --out"
            raise InputError("another process is writing there", file=path, remedy=remedy) from None
        yield


def _manifest(path: Path, remedy: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
        dict(found["identity"])
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError("damaged manifest", file=path, remedy=remedy) from None
    return found


def _short(value: Any) -> str:
    text = re.sub(r"\s+", " ", str(value))
    return text if len(text) <= 60 else text[:57] + "..."
