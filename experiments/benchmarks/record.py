"""What a run of all benchmarks leaves: one JSON file of numbers and one Markdown file of tables, always up to date."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from bias_jax.errors import writing
from bias_jax.results import versions
from experiments.benchmarks.report import Report

PEER_PACKAGES = ("torch", "torchvision", "transformers", "scikit-learn", "minisom", "simplejpeg")
State = Literal["waiting", "running", "done", "failed", "skipped"]


@dataclass
class Entry:
    """One benchmark."""

    state: State = "waiting"
    options: Any = None  # its configuration
    left_out: dict[str, str] = field(default_factory=dict)  # peer -> the package that is not installed
    report: Report = field(default_factory=Report)
    seconds: float | None = None
    reason: str = ""  # why it failed or was skipped

    def as_json(self) -> dict[str, Any]:
        """All of it; numbers with their units."""
        return {
            "state": self.state,
            "reason": self.reason,
            "seconds": self.seconds,
            "options": None if self.options is None else asdict(self.options),
            "left_out": self.left_out,
            "notes": self.report.notes,
            "tables": [table.as_json() for table in self.report.tables],
        }

    def as_markdown(self, name: str) -> str:
        """A heading, what happened, notes and tables."""
        happened = self.state + (f" after {self.seconds:.1f} s" if self.seconds is not None else "")
        parts = [f"## {name}", happened + (f": {self.reason}" if self.reason else "")]
        parts += [f"- {peer} was left out: {package} is not installed" for peer, package in self.left_out.items()]
        parts += ["\n".join(f"- {note}" for note in self.report.notes)] if self.report.notes else []
        return "\n\n".join(parts + [table.as_markdown() for table in self.report.tables])


@dataclass
class Record:
    """The run."""

    folder: Path
    command: str
    device: str
    date: str  # UTC, ISO 8601
    entries: dict[str, Entry]

    def write(self) -> None:
        """Write both files anew.

        Raises:
            WriteError: one cannot be written.
        """
        packages = versions() | installed(PEER_PACKAGES)
        about = {"device": self.device, "versions": packages, "command": self.command, "date": self.date}
        content = about | {"benchmarks": {name: entry.as_json() for name, entry in self.entries.items()}}
        _replace(self.folder / "benchmarks.json", json.dumps(content, indent=1, allow_nan=False) + "\n")
        made_with = ", ".join(f"{name} {number}" for name, number in packages.items())
        parts = [f"# Benchmarks on {self.device}", f"`{self.command}`, {self.date}; {made_with}"]
        parts += [entry.as_markdown(name) for name, entry in self.entries.items()]
        _replace(self.folder / "benchmarks.md", "\n\n".join(parts) + "\n")


def installed(packages: Sequence[str]) -> dict[str, str]:
    """Versions of those that are."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _replace(path: Path, text: str) -> None:
    """Write a file at once: a run that is killed leaves the last whole one."""
    partial = path.with_name(f".partial-{path.name}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text)
        partial.replace(path)
