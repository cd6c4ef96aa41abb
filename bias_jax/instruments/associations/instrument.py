"""Association tests as an instrument."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import jax
from matplotlib.figure import Figure

from bias_jax.association import check_directions
from bias_jax.association.permutation import Method
from bias_jax.association.statistic import Alternative
from bias_jax.audit import BASELINE, NETWORK, UNTRAINED, Arrays, Choice, Context, Layer, Rows, Seen, Stored, Task
from bias_jax.data import (
    FaceDataset,
    StimulusRequest,
    check_pictures,
    folder_images,
    folder_tests,
    group_images,
    locate_tests,
    stimulus_pictures,
)
from bias_jax.errors import InputError
from bias_jax.instruments.associations.account import ACCOUNT, association_excerpts, association_findings
from bias_jax.instruments.associations.checks import check_options, check_sizes
from bias_jax.instruments.associations.figures import association_figures
from bias_jax.instruments.associations.listing import effect_table
from bias_jax.instruments.associations.measuring import measure_tests
from bias_jax.instruments.associations.stored import arrays_of, facts_of, tests_of
from bias_jax.instruments.associations.tables import association_rows
from bias_jax.instruments.faces import require_faces
from bias_jax.report.account import Account, Excerpt


@dataclass(frozen=True)
class Associations:
    """Association tests in every layer, beside raw pixels, the mean colour and an untrained network.

    Steed & Caliskan 2021 (arXiv 2010.15052), section 3; p-values are also corrected for all layers of a source and for
    all tests.
    """

    stimuli: str = ""  # folder of tests, each with the folders x, y, a and b, or a download of ryansteed/ieat
    tests: tuple[str, ...] = ()  # names of the tests (default: all that are complete)
    x: str = ""  # first group of the faces, e.g. 'White / 20-29 / Male' or 'White / Male', instead of stimuli
    y: str = ""  # second group of the faces
    a: str = ""  # folder of the first attribute's images, for x and y
    b: str = ""  # folder of the second attribute's images
    per_set: int = 40  # images of x and of y at most
    method: Method = "auto"  # p-values: exact where feasible, else bounds
    alternative: Alternative = "two-sided"  # greater is the published one-sided test
    draws: int = 1_000_000  # sampled relabellings, for max-T over layers and method sampled
    bootstrap: int = 4000  # bootstrap draws for intervals of d

    name: ClassVar[str] = "associations"
    account: ClassVar[Account] = ACCOUNT
    sources: ClassVar[tuple[str, ...]] = (NETWORK, UNTRAINED, BASELINE)
    places: ClassVar[tuple[str, ...]] = ("stimuli", "a", "b")
    looks: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_options(self)

    def pictures(self, faces: FaceDataset | None, context: Context) -> FaceDataset:
        source = self.stimuli or f"faces, a: {self.a}, b: {self.b}"
        return stimulus_pictures(self._requests(faces), source)

    def choose(self, available: Choice) -> tuple[str, ...]:
        return available.layers

    def prepare(
        self, seen: Seen, faces: FaceDataset | None, layers: Mapping[str, tuple[Layer, ...]], context: Context
    ) -> Task:
        requests = self._requests(faces)
        located = zip(locate_tests(requests, seen.dataset.image_names), requests, strict=True)
        checked = [check_pictures(test, seen.rows, seen.dataset, request.published) for test, request in located]
        tests, notes = tuple(test for test, _ in checked), tuple(note for _, own in checked for note in own)
        check_sizes(tests, self.method)
        if self.x and faces is not None and faces.persons is not None:
            notes = (*notes, "associations: one image of each person; who is in x is not in y")
        return Task(seen.rows, seen.sha256, facts_of(tests), arrays_of(tests), notes)

    def measure(
        self, task: Task, layers: Sequence[Layer], features: Mapping[str, jax.Array], wanted: Sequence[str],
        context: Context,
    ) -> Iterator[tuple[str, Arrays]]:  # fmt: skip
        tests = tests_of(task.facts, task.arrays)
        for layer in wanted:
            found = jax.device_get(features[layer])
            for test in tests:
                sets = zip(test.labels, test.rows, strict=True)
                check_directions(**{f"{label} ({test.name}) in layer {layer}": found[rows] for label, rows in sets})
            try:
                yield layer, measure_tests(found, tests)
            except ValueError as error:  # features without a direction, such as NaN
                remedy = "check the weights, or use --precision float32"
                raise InputError(f"layer {layer}: {error}", remedy=remedy) from None

    def tables(self, stored: Stored) -> Iterator[tuple[str, Rows]]:
        yield self.name, association_rows(stored, self)

    def figures(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[tuple[str, Callable[[], Figure]]]:
        return association_figures(stored, tables[self.name])

    def findings(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[str]:
        return association_findings(tables[self.name], stored.source)

    def excerpts(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[Excerpt]:
        return association_excerpts(tables[self.name], stored.source)

    def listing(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[str]:
        yield effect_table(tables[self.name], stored.source)

    def _requests(self, faces: FaceDataset | None) -> list[StimulusRequest]:
        """The tests that are asked for, before any image was looked at.

        Raises:
            InputError: there is nothing to test.
        """
        if self.stimuli:
            return folder_tests(self.stimuli, self.tests)
        if not self.x:
            problem = "associations: there is nothing to test: give either stimuli, or x, y, a and b"
            raise InputError(problem, remedy="see --help")
        known = require_faces(self.name, faces)
        sets = (
            group_images(known, self.x, self.per_set),
            group_images(known, self.y, self.per_set, without=self.x),
            folder_images(self.a, "a"),
            folder_images(self.b, "b"),
        )
        labels = (self.x, self.y, Path(self.a).name, Path(self.b).name)
        return [StimulusRequest(f"{self.x} - {self.y}", labels, sets)]
