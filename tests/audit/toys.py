"""A subject and an instrument that take no time, to test the road by themselves."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import jax
import numpy as np
from matplotlib.figure import Figure

from bias_jax.activations import GroupMeans
from bias_jax.audit import BASELINE, NETWORK, Choice, Groups, Stored, Task
from bias_jax.data import Attribute, FaceDataset
from bias_jax.data.decoding import decode
from tests.data.test_decoding import encoded

SHAPES = {"pixels": (1, 4, 4, 3), "early": (1, 4, 4, 3), "late": (1, 2), "wide": (1, 4), "output": (1, 5)}


def pictures(number: int, first: int = 0, size: int = 6) -> list[bytes]:
    """Encoded pictures of noise; the same number, the same picture."""
    return [
        encoded(np.random.default_rng(first + i).integers(0, 255, (size, size, 3), dtype=np.uint8))
        for i in range(number)
    ]


def faces(files: list[bytes], name: str = "toy") -> FaceDataset:
    """Pictures with an attribute of two categories, in turn."""
    return FaceDataset(
        name=name,
        attributes=(Attribute("kind", ("even", "odd")),),
        labels={"kind": (np.arange(len(files)) % 2).astype(np.int32)},
        image_names=tuple(f"{name} {i}" for i in range(len(files))),
        rows=tuple(range(2, len(files) + 2)),
        read_bytes=lambda i: files[i],
        source=f"{name}.csv",
    )


def features_of(files: list[bytes], layer: str) -> np.ndarray:
    """What `ToySubject` computes, float32 [n, D]."""
    pixels = np.stack([decode(data) for data in files]).reshape(len(files), -1).astype(np.float32)
    width = int(np.prod(SHAPES[layer][1:])) if layer in ("late", "wide", "output") else 3
    return pixels[:, :width] + len(layer)


@dataclass
class ToySubject:
    """Its activations are the first grey levels of a picture; it counts what goes through it."""

    model: str = "toy"
    title: str = "no weights"
    sha256: str = "0"
    seen: list[str] = field(default_factory=list)  # names of all pictures that went through
    shapes: Mapping = field(default_factory=lambda: dict(SHAPES))

    def choice(self, requested):
        return Choice(requested or ("early", "late", "wide"), bool(requested))

    def extract(self, images, wave, labels, *, batch_size, precision, mesh):
        self.seen += images.pictures.image_names
        files = [images.pictures.read_bytes(i) for i in range(len(images))]
        kept = []
        for number, plan in enumerate(wave):
            x = features_of(files, plan.name)
            if plan.groups:
                own = labels[number]
                means = np.stack([x[own == g].mean(axis=0) for g in range(plan.groups)])
                counts = np.bincount(own[own >= 0], minlength=plan.groups).astype(np.float32)
                kept.append(GroupMeans(*jax.device_put((means, counts))))
            else:
                kept.append(jax.device_put(x))
        return kept


@dataclass(frozen=True)
class Recorder:
    """Stores what it gets."""

    scale: float = 1.0  # everything is multiplied by it
    folder: str = ""  # where something lies
    colour: str = "red"  # of the figure
    fails: str = ""  # where it fails: a layer, tables, figures or findings
    own: tuple[str, ...] = ()  # layers to measure instead of the run's

    name: ClassVar[str] = "recorder"
    sources: ClassVar[tuple[str, ...]] = (NETWORK,)
    places: ClassVar[tuple[str, ...]] = ("folder",)
    looks: ClassVar[tuple[str, ...]] = ("colour",)

    def pictures(self, faces, context):
        return faces

    def choose(self, available):
        return self.own or available.layers

    def prepare(self, seen, faces, layers, context):
        return Task(
            seen.rows, seen.sha256, {"groups": seen.dataset.groups.classes}, {"kind": seen.dataset.labels["kind"]}
        )

    def measure(self, task, layers, features, wanted, context) -> Iterator:
        for layer in layers:
            if layer.name == self.fails:
                raise RuntimeError("as told")
            if layer.name in wanted:
                yield layer.name, {"x": self.scale * np.asarray(jax.device_get(features[layer.name]))}

    def tables(self, stored: Stored) -> Iterator:
        if self.fails == "tables":
            raise RuntimeError("as told")
        yield (
            self.name,
            [
                {**common, "sum": float(stored.load(layer)["x"].sum())}
                for layer, common in stored.layer_columns().items()
            ],
        )

    def figures(self, stored, tables):
        def broken() -> Figure:
            raise RuntimeError("as told")

        if self.fails == "figures":
            yield "broken", broken
        yield "sums", lambda: Figure(facecolor=self.colour)

    def findings(self, stored, tables):
        if self.fails == "findings":
            raise RuntimeError("as told")
        yield f"{self.name}: {len(tables[self.name])} layers"


@dataclass(frozen=True)
class Other(Recorder):
    """The same under another name, on pictures of its own."""

    files: tuple[bytes, ...] = ()

    name: ClassVar[str] = "other"
    places: ClassVar[tuple[str, ...]] = ("folder", "files")

    def pictures(self, faces_, context):
        return faces(list(self.files), "other")


@dataclass(frozen=True)
class Beside(Other):
    """Wants pixels without a network, too."""

    name: ClassVar[str] = "beside"
    sources: ClassVar[tuple[str, ...]] = (NETWORK, BASELINE)


@dataclass(frozen=True)
class Means(Recorder):
    """Asks for means of groups only."""

    name: ClassVar[str] = "means"

    def prepare(self, seen, faces, layers, context):
        labels = seen.dataset.labels["kind"]
        groups = Groups({layer.name: labels for own in layers.values() for layer in own}, 2)
        return Task(seen.rows, seen.sha256, {}, {"kind": labels}, groups=groups)

    def measure(self, task, layers, features, wanted, context):
        for layer in wanted:
            yield layer, {"x": np.asarray(jax.device_get(features[layer].means))}
