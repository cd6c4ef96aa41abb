"""The run directory: finished work survives `kill -9`, and a rerun does only what is missing.

Every file is written under a temporary name and renamed when complete, so a file that exists is whole.
"""

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bias_jax.errors import InputError

MANIFEST = "run.json"


class RunDirectory:
    """Files of one run, tied to one identity (configuration, versions, data and weights)."""

    def __init__(self, path: str | Path, identity: Mapping[str, Any], record: Mapping[str, Any]):
        """Open or create a run directory.

        Args:
            path: the directory.
            identity: what decides the numbers; a directory begun with another identity is refused.
            record: further facts for ``run.json`` that do not decide the numbers.
        """
        self.path = Path(path)
        plain = json.loads(json.dumps(dict(identity)))
        manifest = self.path / MANIFEST
        if manifest.exists():
            try:
                found = json.loads(manifest.read_text())["identity"]
            except (ValueError, KeyError, TypeError):
                raise InputError("damaged manifest", file=manifest, remedy="choose another --out") from None
            if different := sorted(k for k in {*plain, *found} if plain.get(k) != found.get(k)):
                what = "; ".join(f"{k} was {_short(found.get(k))}, is {_short(plain.get(k))}" for k in different[:3])
                raise InputError(f"holds another run ({what})", file=path, remedy="choose another --out or delete it")
        elif self.path.exists() and (not self.path.is_dir() or any(p.name != ".lock" for p in self.path.iterdir())):
            raise InputError("exists and is not a run directory", file=path, remedy="choose another --out")
        else:
            with self._replacing(manifest) as partial:
                partial.write_text(json.dumps({"identity": plain, **record}, indent=2) + "\n")

    @classmethod
    def existing(cls, path: str | Path) -> tuple["RunDirectory", dict[str, Any]]:
        """A run directory to read from, and the content of its ``run.json``.

        Raises:
            InputError: it is none.
        """
        manifest = Path(path) / MANIFEST
        try:
            found = json.loads(manifest.read_text())
            return cls(path, found["identity"], {}), found
        except FileNotFoundError:
            raise InputError("no such run", file=manifest, remedy="give the --out of a sweep") from None
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError("damaged manifest", file=manifest, remedy="run that sweep again") from None

    def has(self, name: str) -> bool:
        """Whether a file of this name is complete."""
        return (self.path / name).exists()

    def save_arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Write ``name`` (an ``.npz`` file) at once."""
        with self._replacing(self.path / name) as partial, partial.open("wb") as stream:
            np.savez_compressed(stream, allow_pickle=False, **arrays)

    def load_arrays(self, name: str) -> dict[str, np.ndarray]:
        """Read what `save_arrays` wrote."""
        try:
            with np.load(self.path / name, allow_pickle=False) as stored:
                return dict(stored)
        except Exception as error:  # zipfile and numpy raise many kinds on damaged files
            remedy = "delete this file and run the same command again"
            raise InputError(f"damaged result ({error})", file=self.path / name, remedy=remedy) from None

    def save_table(self, name: str, columns: Mapping[str, list]) -> None:
        """Write ``name`` (a tidy ``.parquet`` table) at once; equal columns give equal bytes."""
        with self._replacing(self.path / name) as partial:
            save_columns(partial, columns)

    @contextmanager
    def figure(self, name: str) -> Iterator[Path]:
        """A path to draw to; the figure appears under its name when the block ends."""
        with self._replacing(self.path / name) as partial:
            yield partial

    @contextmanager
    def _replacing(self, target: Path) -> Iterator[Path]:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".partial-{target.name}")  # keeps the suffix, which decides image formats
        yield partial
        with partial.open("rb+") as stream:
            os.fsync(stream.fileno())
        partial.replace(target)


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


def _short(value: Any) -> str:
    text = re.sub(r"\s+", " ", str(value))
    return text if len(text) <= 60 else text[:57] + "..."
