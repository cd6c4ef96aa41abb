"""Run directories of which files are damaged, edited, exchanged or gone: read, compared and continued."""

import functools
import io
import json
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from bias_jax.audit import RunConfig, audit, open_stored
from bias_jax.audit.stored import read_tables
from bias_jax.report.page import write_report
from bias_jax.results import Folder, RunDirectory
from experiments.compare import CompareConfig, compare
from tests.audit.toys import Other, Recorder, ToySubject, faces, pictures
from tests.experiments.test_compare import finished_run
from tests.fuzz.watching import nothing_outside, outcome

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-2, 300), st.floats(), st.text(max_size=3),
              st.sampled_from(["../../secret/x", "/etc/passwd", "gender", "kind", "late"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip
# What happens to a file: (kind, a number that chooses the place, a value).
HOW = st.tuples(
    st.sampled_from(["edited"] * 6 + ["removed", "renamed", "emptied", "cut", "zeroed", "bit", "garbage", "gone"]),
    st.integers(0, 10**6),
    JSON,
)


def spoil(path: Path, how: tuple[str, int, Any]) -> None:
    """Do to a file what people and disks do; JSON is edited, any other file gets a bit turned over instead."""
    kind, number, value = how
    content = path.read_bytes()
    if kind in ("edited", "removed", "renamed") and path.suffix == ".json":
        changed = json.dumps(edited(json.loads(content), kind, number, value))
        if changed != json.dumps(json.loads(content)):  # a value in place of itself is no damage
            path.write_text(changed)
    elif kind == "gone":
        path.unlink()
    else:
        place = number % max(1, len(content))
        turned = bytes([content[place] ^ 1 << number % 8]) if content else b"x"
        damaged = {"emptied": b"", "cut": content[:place], "zeroed": bytes(len(content)), "garbage": b"[" * 10**5}
        path.write_bytes(damaged.get(kind, content[:place] + turned + content[place + 1 :]))


def edited(content: Any, kind: str, number: int, value: Any) -> Any:
    """JSON with one of its values replaced or removed, or one key renamed."""
    places: list[tuple[Any, Any]] = []

    def walk(inner: Any) -> None:
        keys = list(inner) if isinstance(inner, dict) else range(len(inner)) if isinstance(inner, list) else ()
        for key in keys:
            places.append((inner, key))
            walk(inner[key])

    walk(content)
    if not places or (number % (len(places) + 1) == len(places)):
        return value
    where, key = places[number % len(places)]
    if kind == "edited":
        where[key] = value
    elif kind == "renamed" and isinstance(where, dict):
        where[str(value)] = where.pop(key)
    else:
        del where[key]
    return content


@functools.cache
def finished(kind: str) -> dict[str, bytes]:
    """Files of a run of probes, or of toys."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "run"
        if kind == "probes":
            finished_run(root, 0.9)
        else:
            begin(root)
        return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.suffix}


@functools.cache
def read_templates() -> None:
    """Before anybody watches which files are opened."""
    with tempfile.TemporaryDirectory() as folder:
        begin(Path(folder)).report()


def begin(out: Path):
    """Start or continue a run of toys."""
    instruments = Recorder(), Other(files=tuple(pictures(2, first=20)))
    return audit(ToySubject(), instruments, faces=faces(pictures(6)), config=RunConfig(), out=out)


def lay(root: Path, files: dict[str, bytes], hows: list[tuple], exchange: tuple[str, ...] = ()) -> None:
    """Write files, and spoil some of them, or exchange those with the given suffixes."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    for how, file, instead in hows:
        path = root / sorted(files)[file % len(files)]
        same = [name for name in sorted(files) if name.endswith(path.suffix)]
        if instead is not None and path.suffix in exchange:
            path.write_bytes(files[same[instead % len(same)]])
        elif path.exists() and path.stat().st_size:
            try:
                spoil(path, how)
            except (ValueError, RecursionError):  # no JSON any more
                continue


HOWS = st.lists(
    st.tuples(HOW, st.integers(0, 100), st.none() | st.none() | st.integers(0, 100)), min_size=1, max_size=3
)
RUNS = {"hows": HOWS}


def any_run_of_probes(hows):
    """Compared with a whole one, and opened part by part."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        lay(root / "whole", finished("probes"), [])
        lay(root / "run", finished("probes"), hows, exchange=(".json", ".arrow"))
        for pair in (("whole", "run"), ("run", "whole")):
            config = CompareConfig(*(str(root / name) for name in pair), out=str(root / "out"), draws=100)
            with redirect_stdout(io.StringIO()):
                outcome(lambda config=config: compare(config))


def any_run(hows):
    """Opened part by part, and continued: it ends as if nothing had happened, or in one message."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "run"
        lay(Path(folder) / "secret", finished("toys"), [])
        # A whole array in place of another one is nothing that disks do: only tables and figures would be told apart.
        lay(root, finished("toys"), hows, exchange=(".json", ".parquet", ".png"))
        read_templates()
        with nothing_outside(root):
            outcome(lambda: RunDirectory.existing(root))
            for name in ("recorder", "other"):
                stored = outcome(lambda name=name: open_stored(root / name))
                outcome(lambda name=name: read_tables(Folder(root / name)))
                if stored is not None:
                    outcome(lambda stored=stored: stored.facts)
                    outcome(lambda stored=stored: stored.arrays)
                    for layer in outcome(lambda stored=stored: stored.layers) or ():
                        outcome(lambda stored=stored, layer=layer: stored.load(layer.name))
            outcome(lambda: write_report([root]))
        found = outcome(lambda: begin(root))
        if found is not None:
            assert not found.failures, found.failures
            whole, manifest = finished("toys"), root / "run.json"
            other = [name for name, content in whole.items()
                     if (root / name).read_bytes() != content and root / name != manifest]  # fmt: skip
            assert not other, other
