"""Topographic activation maps as an instrument."""

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from matplotlib.figure import Figure

from bias_jax.activations import GroupMeans
from bias_jax.audit import Arrays, Choice, Context, Groups, Layer, Rows, Seen, Stored, Task
from bias_jax.data import FaceDataset
from bias_jax.errors import InputError
from bias_jax.instruments.faces import OfFaces
from bias_jax.instruments.maps.account import ACCOUNT, map_excerpts
from bias_jax.instruments.maps.config import MapsConfig
from bias_jax.instruments.maps.figures import map_figures
from bias_jax.instruments.maps.findings import layout_table, map_findings
from bias_jax.instruments.maps.grouping import check_grouping, group_images
from bias_jax.instruments.maps.layouts import layer_maps
from bias_jax.instruments.maps.tables import map_tables
from bias_jax.report.account import Account, Excerpt
from bias_jax.topomaps import Method

EXTRAS: Mapping[Method, str] = {"tsne": "sklearn", "umap": "umap"}  # what some layouts are computed by
INSTALL = "pip install -e '.[layouts]'"


@dataclass(frozen=True)
class Maps(OfFaces, MapsConfig):
    """Topographic activation maps of every layer: units that respond alike lie side by side, coloured by group."""

    name: ClassVar[str] = "maps"
    account: ClassVar[Account] = ACCOUNT
    without_pictures: ClassVar[bool] = True
    places: ClassVar[tuple[str, ...]] = ("predictions",)
    looks: ClassVar[tuple[str, ...]] = ("order", "round", "align")

    def pictures(self, faces: FaceDataset | None, context: Context) -> FaceDataset:
        faces = super().pictures(faces, context)
        if self.layouts and (missing := self._missing()):
            raise InputError(f"maps: layout {missing[0]!r} needs {EXTRAS[missing[0]]}", remedy=INSTALL)
        check_grouping(self, faces)
        return faces

    def choose(self, available: Choice) -> tuple[str, ...]:
        return available.layers

    def prepare(
        self, seen: Seen, faces: FaceDataset | None, layers: Mapping[str, tuple[Layer, ...]], context: Context
    ) -> Task:
        names = tuple(dict.fromkeys(layer.name for own in layers.values() for layer in own))
        grouping, missing = group_images(self, seen, names), self._missing()
        facts = {
            "attributes": [[a.name, a.categories] for a in grouping.target.attributes],
            "chosen": grouping.chosen,
            "layouts": [method for method in self.methods if method not in missing],
            "forces": self.spreads,
        }
        labels = {f"groups in {layer}": own for layer, own in grouping.labels.items()}
        if self.errors == "none":  # the same in all layers
            labels = {"groups": seen.dataset.group_labels}
        notes = (f"maps: left out, not installed: {', '.join(missing)} ({INSTALL})",) if missing else ()
        return Task(seen.rows, seen.sha256, facts, labels, notes, Groups(grouping.labels, grouping.target.size))

    def measure(
        self, task: Task, layers: Sequence[Layer], features: Mapping[str, GroupMeans], wanted: Sequence[str],
        context: Context,
    ) -> Iterator[tuple[str, Arrays]]:  # fmt: skip
        for layer in layers:
            if layer.name in wanted:
                layouts, chosen = task.facts["layouts"], task.facts["chosen"]
                yield layer.name, layer_maps(features[layer.name], layer, layouts, chosen, self, context.seed)

    def tables(self, stored: Stored) -> Iterator[tuple[str, Rows]]:
        return map_tables(stored)

    def figures(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[tuple[str, Callable[[], Figure]]]:
        return map_figures(stored, tables, self)

    def findings(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[str]:
        return map_findings(tables)

    def excerpts(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[Excerpt]:
        return map_excerpts(tables)

    def listing(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[str]:
        if "layouts" in tables:
            yield layout_table(tables["layouts"])

    def _missing(self) -> list[Method]:
        """Layouts whose extra is not installed."""
        return [m for m in self.methods if m in EXTRAS and importlib.util.find_spec(EXTRAS[m]) is None]
