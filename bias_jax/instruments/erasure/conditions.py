"""What is erased from a layer, and the controls beside it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

NOTHING = "nothing"  # erased: the layer as it is
ERASED, RANDOM, SHUFFLED = "none", "random subspace", "shuffled labels"  # controls; the first is the real thing


class Condition(NamedTuple):
    """One way to change a layer before it is probed."""

    erased: str  # name of a target, or `NOTHING`
    control: str

    def targets(self, every: Sequence[str]) -> list[str]:
        """What is probed: everything, and in a control what it is the control of."""
        return list(every) if self.control == ERASED else [self.erased]


def conditions_of(facts: Mapping[str, Any]) -> list[Condition]:
    """All of them, in the order in which they are stored; the first is the layer as it is."""
    found = [Condition(NOTHING, ERASED)]
    for name in facts["erased"]:
        found += [Condition(name, control) for control in (ERASED, RANDOM, SHUFFLED)]
    return found
