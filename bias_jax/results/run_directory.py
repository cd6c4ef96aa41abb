"""The run directory: finished work survives `kill -9`, and a rerun does only what is missing.

Every file is written under a temporary name and renamed when it is complete and on the disk, so a file that exists is
whole; what a disk damages later is found when it is read (`DamagedError`). The directory has one identity, that of the
network and of how its activations are made; every instrument has a folder with an identity of its own, so that one can
be added or changed without the others being done again.
"""

import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
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

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MANIFEST = "run.json"
CHOOSE = "choose another --out, or delete this one"
LOCK = ".lock"
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
        """Write a figure at once; the suffix decides the format."""
        with self._replacing(self.path / name) as partial:
            if figure.get_layout_engine() is not None:  # otherwise laid out twice, which takes as long as drawing
                figure.draw_without_rendering()
                figure.set_layout_engine("none")
            # Packing harder takes as long as drawing, for a third of the size.
            packing: Any = {"pil_kwargs": {"compress_level": 1}} if name.endswith(".png") else {}
            figure.savefig(partial, **packing)

    def has_figure(self, name: str) -> bool:
        """Whether a figure is complete; one that is damaged is thrown away."""
        path = self.path / name
        if path.exists() and path.suffix == ".png":
            try:
                with Image.open(path) as image:
                    image.verify()  # the checksums of all parts
                if not path.read_bytes().endswith(b"IEND\xaeB`\x82"):
                    raise ValueError("it is cut short")
            except Exception as error:  # pillow raises many kinds on damaged files
                self.discard(name, error)
        return path.exists()

    def discard(self, name: str, reason: object) -> None:
        """Delete a damaged file, so that it is made again, and say so."""
        log.info("note: %s is damaged (%s): it is thrown away and made again", self.path / name, reason)
        with writing(self.path / name):
            (self.path / name).unlink(missing_ok=True)

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

    def load_json(self, name: str) -> Any:
        """Read what `save_json` wrote.

        Raises:
            DamagedError: it is damaged.
        """
        try:
            return json.loads((self.path / name).read_text())
        except (OSError, ValueError) as error:
            raise DamagedError(self.path / name, error) from None

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
            kept = _manifest(manifest, CHOOSE)
            found = kept["identity"]
            given = {k for k in {*plain, *found} if plain.get(k) is not None and found.get(k) is not None}
            if different := sorted(k for k in given if plain[k] != found[k]):
                what = "; ".join(f"{k} was {_short(found[k])}, is {_short(plain[k])}" for k in different[:3])
                raise InputError(f"holds another run ({what})", file=path, remedy="choose another --out or delete it")
            plain = {k: plain.get(k) if plain.get(k) is not None else found.get(k) for k in {**found, **plain}}
        elif self.path.exists() and (not self.path.is_dir() or any(_foreign(p) for p in self.path.iterdir())):
            raise InputError("exists and is not a run directory", file=path, remedy="choose another --out")
        wanted = {**kept, "identity": plain, **{k: v for k, v in record.items() if v is not None}}
        wanted = json.loads(json.dumps(wanted))
        with writing(self.path):
            for partial in self.path.rglob(f"{PARTIAL}*"):  # of a process that was killed
                partial.unlink(missing_ok=True)
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

    def note(self, name: str, content: Any) -> None:
        """Record a fact in ``run.json`` that shows while the run goes on."""
        self.save_json(MANIFEST, {**_manifest(self.path / MANIFEST, CHOOSE), name: content})

    def noted(self, name: str) -> Any:
        """What `note` recorded, by this process or an earlier one; None: nothing."""
        return _manifest(self.path / MANIFEST, CHOOSE).get(name)

    def instrument(self, name: str, identity: Mapping[str, Any]) -> Folder:
        """The folder of an instrument; what an instrument with another identity left there is deleted first."""
        folder = Folder(self.path / name, self.path)
        plain = json.loads(json.dumps(dict(identity)))
        if folder.path.exists():
            try:
                if json.loads((folder.path / "instrument.json").read_text())["identity"] == plain:
                    return folder
            except FileNotFoundError:
                pass  # nothing was finished there
            except (OSError, ValueError, KeyError, TypeError) as error:
                folder.discard("instrument.json", error)  # nobody knows any more what the rest belongs to
            with writing(folder.path):
                shutil.rmtree(folder.path)
        folder.save_json("instrument.json", {"identity": plain})
        return folder


@contextmanager
def exclusive(path: str | Path) -> Iterator[None]:
    """Hold the directory for one process; the lock vanishes with the process, however it ends."""
    directory = Path(path)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / LOCK).open("w")
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", file=path, remedy="choose another --out") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            remedy = "wait for it, or choose another --out"
            raise InputError("another process is writing there", file=path, remedy=remedy) from None
        except OSError as error:  # some network file systems
            remedy = "choose another --out, on a disk of this machine"
            raise InputError(f"cannot be locked ({error.strerror})", file=path, remedy=remedy) from None
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


def _foreign(path: Path) -> bool:
    """Whether it was not left by a run that ended before its manifest was there."""
    return path.name != LOCK and not path.name.startswith(PARTIAL)
