"""Similarity of layers as an instrument."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import jax
import numpy as np
from matplotlib.figure import Figure

from bias_jax.audit import NETWORK, UNTRAINED, Arrays, Context, Layer, Rows, Seen, Stored, Task
from bias_jax.data import FaceDataset, Target
from bias_jax.errors import InputError
from bias_jax.instruments.faces import OfFaces, evenly, people_of
from bias_jax.instruments.similarity.account import ACCOUNT, similarity_excerpts, similarity_findings
from bias_jax.instruments.similarity.figures import similarity_map
from bias_jax.instruments.similarity.tables import similarity_listing, similarity_tables
from bias_jax.report.account import Account, Excerpt
from bias_jax.similarity import image_products

LEAST = 3  # images of a group whose distances are measured


@dataclass(frozen=True)
class Similarity(OfFaces):
    """How alike every two layers are, of the network and its untrained control: for images (CKA), for groups (RSA)."""

    images: int = 512  # of all groups, drawn evenly: their products with each other are kept of every layer

    name: ClassVar[str] = "similarity"
    account: ClassVar[Account] = ACCOUNT
    without_pictures: ClassVar[bool] = True
    sources: ClassVar[tuple[str, ...]] = (NETWORK, UNTRAINED)

    def __post_init__(self) -> None:
        if self.images < 10:
            raise InputError("similarity: images must be at least 10", remedy="give more, e.g. 512")

    def prepare(
        self, seen: Seen, faces: FaceDataset | None, layers: Mapping[str, tuple[Layer, ...]], context: Context
    ) -> Task:
        dataset = seen.dataset
        chosen = evenly(dataset, self.images, context.seed)
        mine = dataset.take(chosen)
        if len(mine) < 10:
            problem = f"has {len(mine)} images, and similarity needs at least 10"
            raise InputError(problem, file=dataset.source, remedy="add images")
        targets = [Target((a,)) for a in dataset.attributes]
        if len(targets) > 1:
            targets.append(dataset.groups)
        labels = {t.name: t.encode(mine.labels) for t in targets}
        measured = {name: y for name, y in labels.items() if len(_large(y)) >= 3}
        notes = [f"similarity: of {len(mine)} of {len(dataset)} images"] if len(mine) < len(dataset) else []
        if left_out := [name for name in labels if name not in measured]:
            notes.append(
                f"similarity: no distances of {', '.join(left_out)}: fewer than three groups with {LEAST} images"
            )
        arrays = {f"labels of {name}": np.where(np.isin(y, _large(y)), y, -1) for name, y in measured.items()}
        arrays |= {"strata": mine.group_labels, **people_of(mine)}
        facts = {"targets": list(measured)}
        return Task(np.asarray(seen.rows)[chosen], seen.sha256, facts, arrays, tuple(notes))

    def measure(
        self, task: Task, layers: Sequence[Layer], features: Mapping[str, jax.Array], wanted: Sequence[str],
        context: Context,
    ) -> Iterator[tuple[str, Arrays]]:  # fmt: skip
        for layer in wanted:
            yield layer, {"products": image_products(features[layer])}

    def tables(self, stored: Stored) -> Iterator[tuple[str, Rows]]:
        return similarity_tables(stored)

    def figures(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[tuple[str, Callable[[], Figure]]]:
        yield "cka", partial(similarity_map, tables["cka"], "CKA", f"Similarity for images. {stored.title}")
        for target in stored.facts["targets"]:
            own = [row for row in tables["rsa"] if row["target"] == target]
            title = f"Similarity of distances between groups of {target}. {stored.title}"
            yield f"rsa-{target.replace(' ', '-')}", partial(similarity_map, own, "correlation", title)

    def findings(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[str]:
        return similarity_findings(stored.source, tables)

    def excerpts(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[Excerpt]:
        return similarity_excerpts(stored.source, tables)

    def listing(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[str]:
        yield similarity_listing(stored, tables)


def _large(labels: np.ndarray) -> np.ndarray:
    """Groups with enough images."""
    return np.flatnonzero(np.bincount(labels) >= LEAST)
