"""Multi-label heads as an instrument."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from matplotlib.figure import Figure

from bias_jax.audit import NETWORK, Arrays, Choice, Context, Layer, Rows, Seen, Stored, Subject, Task
from bias_jax.data import FaceDataset
from bias_jax.errors import counted
from bias_jax.instruments.heads.account import ACCOUNT, head_excerpts
from bias_jax.instruments.heads.checks import check_problem
from bias_jax.instruments.heads.config import HeadsConfig
from bias_jax.instruments.heads.figures import head_figures
from bias_jax.instruments.heads.findings import head_findings, head_listing
from bias_jax.instruments.heads.illustrations import illustrations
from bias_jax.instruments.heads.material import pictures_of
from bias_jax.instruments.heads.preparing import problem_and_notes
from bias_jax.instruments.heads.problem import problem_of
from bias_jax.instruments.heads.tables import head_tables
from bias_jax.instruments.heads.training import fit, train, trainings
from bias_jax.progress import bar
from bias_jax.report.account import Account, Excerpt

PLANTED_LAYERS = 4  # of the self-test by default: the shallow blocks see lines and palette, and are quick to run


@dataclass(frozen=True)
class Heads(HeadsConfig):
    """Multi-label heads with several training losses on every layer: who is recognised, and does the loss change it?

    The question of Mahadev & Chakravarti 2021 (arXiv 2107.09211). Heads on frozen features compare losses given the
    representation; networks trained end to end are another experiment.
    """

    name: ClassVar[str] = "heads"
    account: ClassVar[Account] = ACCOUNT
    sources: ClassVar[tuple[str, ...]] = (NETWORK,)
    places: ClassVar[tuple[str, ...]] = (
        "labels", "machine_labels", "descriptions", "images", "label_encoding", "label_skip_lines"
    )  # fmt: skip
    looks: ClassVar[tuple[str, ...]] = ("examples", "attention", "cam_layer", "occlusion")

    def pictures(self, faces: FaceDataset | None, context: Context) -> FaceDataset:
        return pictures_of(self, faces, context.seed)

    def choose(self, available: Choice) -> tuple[str, ...]:
        return available.layers[:PLANTED_LAYERS] if self.planted and not available.by_user else available.layers

    def prepare(
        self, seen: Seen, faces: FaceDataset | None, layers: Mapping[str, tuple[Layer, ...]], context: Context
    ) -> Task:
        problem, notes = problem_and_notes(self, seen, faces, context)
        check_problem(self, problem, [layer.name for layer in next(iter(layers.values()))])
        split = problem.splits[0]
        sizes = f"{len(split.training)} training, {len(split.tuning)} tuning and {len(split.test)} test images"
        splits = counted(len(problem.splits), "split", "splits")
        about = f"heads: {len(problem.classes)} labels; {splits} of about {sizes}"
        return Task(seen.rows, seen.sha256, problem.facts(), problem.arrays(), (about, *notes))

    def measure(
        self, task: Task, layers: Sequence[Layer], features: Mapping[str, jax.Array], wanted: Sequence[str],
        context: Context,
    ) -> Iterator[tuple[str, Arrays]]:  # fmt: skip
        problem = problem_of(task.facts, task.arrays)
        seeds = [context.seed * self.seeds + seed for seed in range(self.seeds)]
        # All layers of the width, also those that are stored: layers that are trained together share their programs,
        # and a resumed run must give the same numbers.
        bank = _stack([features[layer.name] for layer in layers])
        with bar("train heads", self.epochs * trainings(self), "epoch") as progress:
            heads = train(bank, problem, self, seeds, progress.update)
        for number, layer in enumerate(layers):
            if layer.name in wanted:
                yield layer.name, vars(fit(bank, heads, number, problem, self))

    def tables(self, stored: Stored) -> Iterator[tuple[str, Rows]]:
        return head_tables(stored, self)

    def illustrate(
        self, task: Task, seen: Seen, subject: Subject, stored: Stored, tables: Mapping[str, Rows], context: Context
    ) -> Iterator[tuple[str, Arrays]]:
        return illustrations(stored, self, seen.dataset, subject, tables, context)

    def figures(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[tuple[str, Callable[[], Figure]]]:
        return head_figures(stored, self, tables)

    def findings(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[str]:
        return head_findings(stored, self, tables)

    def excerpts(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[Excerpt]:
        return head_excerpts(tables)

    def listing(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[str]:
        return head_listing(stored, self, tables)


@jax.jit
def _stack(features: list[jax.Array]) -> jax.Array:
    return jnp.stack(features).astype(jnp.float32)
