"""The run directory: finished work survives `kill -9`, and a rerun does only what is missing.

Every file is written under a temporary name and renamed when it is complete and on the disk, so a file that exists is
whole; what a disk damages later is found when it is read (`DamagedError`). The directory has one identity, that of the
network and of how its activations are made; every instrument has a folder with an identity of its own, so that one can
be added or changed without the others being done again.
"""

import fcntl
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bias_jax.errors import InputError, writing
from bias_jax.results.folder import MANIFEST, PARTIAL, Folder
from bias_jax.results.shapes import misfit

CHOOSE = "choose another --out, or delete this one"
LOCK = ".lock"


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
            InputError: it is none, or its ``run.json`` is damaged.
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

    def noted(self, name: str, shape: Any = None) -> Any:
        """What `note` recorded, by this process or an earlier one; None: nothing.

        Raises:
            InputError: it is not of this shape, see `shapes.misfit`.
        """
        found = _manifest(self.path / MANIFEST, CHOOSE).get(name)
        if found is not None and (said := misfit(found, shape, name)):
            raise InputError(f"damaged manifest ({said})", file=self.path / MANIFEST, remedy=CHOOSE)
        return found

    def instrument(self, name: str, identity: Mapping[str, Any]) -> Folder:
        """The folder of an instrument; what an instrument with another identity left there is deleted first."""
        folder = Folder(self.path / name, self.path)
        plain = json.loads(json.dumps(dict(identity)))
        if folder.path.exists():
            try:
                kept = json.loads((folder.path / "instrument.json").read_text())["identity"]
                if json.dumps(kept) == json.dumps(plain):  # as text: to Python, true is 1
                    return folder
            except FileNotFoundError:
                pass  # nothing was finished there
            except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
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
    except (OSError, ValueError, RecursionError):
        raise InputError("damaged manifest", file=path, remedy=remedy) from None
    if said := misfit(found, {"identity": {}}):
        raise InputError(f"damaged manifest ({said})", file=path, remedy=remedy)
    return found


def _short(value: Any) -> str:
    text = re.sub(r"\s+", " ", str(value))
    return text if len(text) <= 60 else text[:57] + "..."


def _foreign(path: Path) -> bool:
    """Whether it was not left by a run that ended before its manifest was there."""
    return path.name != LOCK and not path.name.startswith(PARTIAL)
