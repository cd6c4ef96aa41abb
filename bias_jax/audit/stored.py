"""What a run directory holds of one instrument: facts, arrays, tables; opened without images or network."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bias_jax.audit.protocol import Layer, Rows
from bias_jax.errors import InputError
from bias_jax.results import DamagedError, Folder
from bias_jax.results.tables import TABLES as TABLES
from bias_jax.results.tables import read_tables as read_tables

IDENTITY, ABOUT, TASK = "instrument.json", "about.json", "task.arrow"
INTERVENTIONS = "interventions"  # folder of what `intervene` yielded
ABOUT_SHAPE = {"model": str, "weights": str, "data": str, "images": int, "seed": int}


def layer_file(source: str, layer: str) -> str:
    """Where the arrays of a layer lie."""
    folder, file = (name.replace(" ", "-").replace("/", "-") for name in (source, layer))
    return f"{folder}/{file}.arrow"


@dataclass(frozen=True)
class Stored:
    """Everything an instrument needs for its tables, figures and findings."""

    folder: Folder
    run: Mapping[str, Any]  # model, weights, data, images (of this instrument), seed
    sources: Mapping[str, tuple[Layer, ...]]  # source -> layers, in depth order

    @cached_property
    def facts(self) -> Mapping[str, Any]:
        """`Task.facts`."""
        return self.folder.load_json("facts.json", {})

    @cached_property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """`Task.arrays`."""
        return self.folder.load_arrays(TASK)

    @property
    def source(self) -> str:
        """The source of activations that is audited: the first."""
        return next(iter(self.sources))

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Layers of the audited network."""
        return self.sources[self.source]

    def load(self, layer: str, source: str | None = None) -> dict[str, np.ndarray]:
        """Arrays of one layer, as `measure` yielded them."""
        return self.folder.load_arrays(layer_file(source or self.source, layer))

    def interventions(self, layer: str) -> dict[str, np.ndarray]:
        """Arrays of one layer, as `intervene` yielded them."""
        return self.folder.load_arrays(layer_file(INTERVENTIONS, layer))

    def intervened(self) -> list[str]:
        """Layers of which there are interventions, in depth order."""
        return [one.name for one in self.layers if self.folder.has(layer_file(INTERVENTIONS, one.name))]

    def illustrations(self, name: str) -> dict[str, np.ndarray]:
        """Arrays of one illustration, as `illustrate` yielded them."""
        return self.folder.load_arrays(f"illustrations/{name}.arrow")

    def illustrated(self) -> list[str]:
        """Names of the illustrations there are."""
        return sorted(path.stem for path in (self.folder.path / "illustrations").glob("[!.]*.arrow"))

    @property
    def common(self) -> dict[str, str]:
        """First columns of every table."""
        return {"model": self.run["model"], "weights": self.run["weights"], "data": self.run["data"]}

    @property
    def title(self) -> str:
        """What is audited, for figures: network, weights, data."""
        return f"{self.run['model']} ({self.run['weights']}) on {self.run['data']}, {self.run['images']} images"

    def layer_columns(self) -> dict[str, dict[str, Any]]:
        """layer -> the first columns of a table with one layer a row."""
        return {
            layer.name: {**self.common, "layer": layer.name, "depth": depth, "features": layer.features}
            for depth, layer in enumerate(self.layers)
        }


def save_tables(stored: Stored, tables: Iterator[tuple[str, Rows]]) -> None:
    """Write an instrument's tables; `TABLES` appears when all are there."""
    digests = {name: stored.folder.save_table(f"{name}.parquet", rows) for name, rows in tables if rows}
    stored.folder.save_json(TABLES, digests)


def as_rows(tables: Mapping[str, pa.Table]) -> dict[str, Rows]:
    """Tables as one mapping a row."""
    return {name: table.to_pylist() for name, table in tables.items()}


def open_stored(folder: str | Path) -> Stored:
    """An instrument's folder in a run that is there already, e.g. ``runs/mine/probes``.

    Raises:
        InputError: nothing of it was finished.
    """
    found = Folder(folder)
    if not found.has("layers.json"):
        raise InputError("holds nothing of this instrument", file=folder, remedy="run it first: --instruments")
    sources = found.load_json("layers.json", {str: [[str, [int, int, int]]]})
    if not sources or {"", ".", ".."} & sources.keys():
        raise DamagedError(found.path / "layers.json", "it names no source")
    layers = {source: tuple(Layer(name, tuple(grid)) for name, grid in own) for source, own in sources.items()}
    return Stored(found, found.load_json(ABOUT, ABOUT_SHAPE), layers)
