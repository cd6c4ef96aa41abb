"""The tests of a run as they are stored: names as facts, rows as arrays."""

from collections.abc import Mapping, Sequence
from typing import Any

from bias_jax.audit import Arrays
from bias_jax.data import AssociationStimuli
from bias_jax.data.stimulus_sources import SETS


def facts_of(tests: Sequence[AssociationStimuli]) -> dict[str, Any]:
    """Names of tests and of their sets, for `Task.facts`."""
    return {"tests": [{"name": test.name, "labels": list(test.labels)} for test in tests]}


def arrays_of(tests: Sequence[AssociationStimuli]) -> Arrays:
    """Rows of every set, for `Task.arrays`."""
    return {f"{number}.{s}": rows for number, test in enumerate(tests) for s, rows in zip(SETS, test.rows, strict=True)}


def tests_of(facts: Mapping[str, Any], arrays: Arrays) -> tuple[AssociationStimuli, ...]:
    """The tests again."""
    tests = []
    for number, test in enumerate(facts["tests"]):
        (x, y, a, b), rows = test["labels"], tuple(arrays[f"{number}.{s}"] for s in SETS)
        tests.append(AssociationStimuli(test["name"], (x, y, a, b), (rows[0], rows[1], rows[2], rows[3])))
    return tuple(tests)
