"""Which arrays of a file are the network.

Training scripts save a network in a mapping of their own (``state_dict``, ``model``, ``teacher``, ``state_dict_ema``,
...), under a prefix (``module.``, ``_orig_mod.``, ``model.``, ``backbone.``, ``module.encoder_q.``, ...), beside
averages of it, queues, losses and optimizers. None of these words is looked for: a mapping is a prefix like any other,
and whatever stands before the names of the network's own arrays is their prefix.
"""

import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bias_jax.errors import InputError, printable
from converters.contents import SAVE, Leaf, flatten, listed, shape_of
from converters.families import FAMILIES, checked_options, family_of
from converters.naming import Family, Naming

Leaves = Mapping[str, Leaf]


@dataclass(frozen=True)
class Recognised:
    """One network of a file."""

    naming: Naming  # by whose names
    arrays: dict[str, Any]  # by these names, values as in the file, of those that it needs
    strange: tuple[str, ...]  # arrays inside its modules that it does not have: another architecture
    extra: tuple[str, ...]  # arrays that are no part of it, unless they are ignored
    missing: tuple[str, ...]  # linear layers at the end that the file does not hold; NaN stands for them
    changes: tuple[str, ...]  # what was done to get here, for the reader
    instead: Callable[[], Sequence[str]]  # networks that the file holds in its place; looks at every one there is
    source: str  # the way out where there is none

    @property
    def remedy(self) -> str:
        """Where it does not fit."""
        better = self.instead()
        return f"convert it as {better[0]}" if better else self.source

    def shown(self, name: str) -> str:
        """A name as the file has it."""
        return name.replace(".", self.naming.separator)


def recognise(
    name: str, content: Any, *, take: str | None = None, ignore_extra: bool = False,
    options: Mapping[str, str] | None = None, family: Family | None = None,
) -> Recognised:  # fmt: skip
    """Find a network in what a file holds.

    Args:
        name: a network.
        content: mapping of names to arrays in the layouts of published files, or to further mappings.
        take: which network, where there are several: its prefix, or a part of it that no other has; ``.``: no prefix.
        ignore_extra: leave out arrays that are no part of the network.
        options: what files do not say, by the names of `naming.Option`.
        family: whose conversion it is (default: that of the network of this name).

    Raises:
        InputError: there is no such network, or several and `take` does not choose one.
    """
    given, held = family, flatten(content)
    family = given or family_of(name)
    namings = family.namings(name, checked_options(family, options or {}))
    with_prefixes = [(naming, leaves, _prefixes(naming, leaves)) for naming in namings
                     for leaves in [_dotted(naming, held)]]  # fmt: skip
    naming, leaves, prefixes = next((one for one in with_prefixes if one[2]), with_prefixes[0])
    if not prefixes:
        raise _absent(name, naming, held, family.source)
    chosen = _chosen(naming, leaves, prefixes, take)
    usual = naming.preferred(chosen) if len(chosen) > 1 else None
    if len(chosen) > 1 and usual is None:
        first = recognise(name, content, take=chosen[0] or ".", options=options, family=given)
        raise _several(name, chosen, first.extra)
    prefix = chosen[0] if usual is None else usual
    passed = [other for other in prefixes if other != prefix] if take is not None or usual is not None else []
    changes = [f"taken off every name: {prefix!r}"] if prefix else []
    if passed:
        changes.append(f"taken: {_shown(prefix)}, and not {', '.join(map(_shown, passed))}")

    own, others = _split(naming, leaves, prefix, passed)
    arrays, missing, said = naming.complete({key: leaf.value for key, leaf in own.items()})
    changes += said

    unused = {key: own[key] for key in arrays if key not in naming.shapes and not naming.training_only(key)}
    modules = {key.partition(".")[0] for key in naming.shapes}
    heads = tuple(f"{layer}." for layer in missing)
    strange = [key for key in unused if key.partition(".")[0] in modules and not key.startswith(heads)]
    strange = [key for key in strange if unused[key].is_array and not unused[key].is_counter]
    rest = {prefix + key: leaf for key, leaf in unused.items() if key not in strange} | others
    near = {leaf.mapping for leaf in others.values() if leaf.is_matrix} | {_home(leaves, prefix)}
    beside = {key: leaf for key, leaf in rest.items() if leaf.is_array and (key not in others or leaf.mapping in near)}
    counters = [key for key, leaf in beside.items() if leaf.is_counter]
    extra = sorted(set(beside) - set(counters))
    unread = {leaf.top for key, leaf in rest.items() if key not in beside}
    if counters:
        changes.append(f"counters of training left out: {listed(counters)}")
    if extra and ignore_extra:
        changes.append(f"ignored: {listed(extra)}")
    if unread := unread - {leaf.top for leaf in own.values() if leaf.is_array}:
        changes.append(f"not read: {listed(unread)}")
    kept = {key: array for key, array in arrays.items() if key in naming.shapes}
    told = tuple(printable(change) for change in changes)

    def instead() -> list[str]:
        fits = not strange and _fits(naming, leaves, prefix)
        return [] if fits else [one for one in _fitting(held) if one != name]

    found = () if ignore_extra else tuple(extra)
    return Recognised(naming, kept, tuple(strange), found, missing, told, instead, family.source)


def _dotted(naming: Naming, leaves: Leaves) -> Leaves:
    """Names with dots between their parts."""
    if naming.separator == ".":
        return leaves
    return {key.replace(naming.separator, "."): leaf for key, leaf in leaves.items()}


def _prefixes(naming: Naming, leaves: Leaves) -> list[str]:
    """What stands before the names of at least half of the arrays up to the classifier."""
    names = naming.body
    longest = max(key.count(".") for key in names) + 1
    found: Counter[str] = Counter()
    for key in leaves:
        parts = key.split(".")
        for start in range(max(0, len(parts) - longest), len(parts)):
            if ".".join(parts[start:]) in names:
                found[".".join((*parts[:start], ""))] += 1
    return [prefix for prefix, count in found.items() if 2 * count >= len(names)]


def _chosen(naming: Naming, leaves: Leaves, prefixes: Sequence[str], take: str | None) -> list[str]:
    """The prefix to take, or those among which the user must choose."""
    if take is not None:
        found = _named(prefixes, take.strip("."))
        if len(found) != 1:
            problem = f"{take!r} names {len(found)} of the networks in it: {', '.join(map(_shown, prefixes))}"
            raise InputError(problem, remedy=_ways(prefixes))
        return found
    if len(prefixes) == 1:
        return list(prefixes)
    return [prefix for prefix in prefixes if _fits(naming, leaves, prefix)] or list(prefixes)


def _named(prefixes: Sequence[str], wanted: str) -> list[str]:
    """The prefixes that are this; else those of which it is a part between dots; else those of which it is any part."""
    whole = [prefix for prefix in prefixes if prefix.strip(".") == wanted]
    parts = [prefix for prefix in prefixes if wanted and f".{wanted}." in f".{prefix}"]
    return whole or parts or [prefix for prefix in prefixes if wanted and wanted in prefix]


def _fits(naming: Naming, leaves: Leaves, prefix: str) -> bool:
    """Whether everything up to the classifier is there, in the right shapes, and nothing else in its modules."""
    names = naming.body
    if any(key not in leaves or shape_of(leaves[key].value) != names[short]
           for short in names if (key := prefix + short)):  # fmt: skip
        return False
    modules = {short.partition(".")[0] for short in names}
    inside = (key.removeprefix(prefix) for key in leaves if key.startswith(prefix))
    return all(
        short in naming.shapes or naming.training_only(short) for short in inside if short.partition(".")[0] in modules
    )


def _suspected(held: Leaves) -> Iterator[tuple[str, Naming, Leaves]]:
    """(network, its naming, the arrays by such names) for every network that may be in a file."""
    for name, family in FAMILIES.items():
        mark = family.marks.get(name)
        if mark is None or any(f".{key}".endswith(f".{mark}") for key in held):
            for naming in family.namings(name, checked_options(family, {})):
                yield name, naming, _dotted(naming, held)


def _fitting(held: Leaves) -> list[str]:
    """Networks that are in a file, and have neither too much nor too little."""
    return [
        name for name, naming, leaves in _suspected(held)
        if any(_fits(naming, leaves, prefix) for prefix in _prefixes(naming, leaves))
    ]  # fmt: skip


def _split(
    naming: Naming, leaves: Leaves, prefix: str, passed: Sequence[str]
) -> tuple[dict[str, Leaf], dict[str, Leaf]]:
    """What is under the prefix, by its names there; and what else there is, but for networks that were passed."""
    own, others = {}, {}
    elsewhere = {_home(leaves, other) for other in passed} - {_home(leaves, prefix)}
    for key, leaf in leaves.items():
        owner = max((p for p in (prefix, *passed) if key.startswith(p)), key=len, default=None)
        if owner == prefix:
            own[key.removeprefix(prefix)] = leaf
        elif not (
            owner or leaf.mapping in elsewhere or naming.training_only(key) or (owner == "" and key in naming.shapes)
        ):
            others[key] = leaf
    return own, others


def _home(leaves: Leaves, prefix: str) -> str:
    """The mapping in which a network lies."""
    return max((leaf.mapping for leaf in leaves.values() if prefix.startswith(leaf.mapping)), key=len, default="")


def _absent(name: str, naming: Naming, held: Leaves, source: str) -> InputError:
    problem = f"does not fit {name}: it holds less than half of the {len(naming.body)} arrays up to the classifier"
    others = [one for one, other, leaves in _suspected(held) if one != name and _prefixes(other, leaves)]
    if fitting := [*_fitting(held), *others]:
        return InputError(f"{problem}, but those of {fitting[0]}", remedy=f"convert it as {fitting[0]}")
    problem += f"; its keys are: {_first(held) or 'none'}"
    remedy = source if any(leaf.is_array for leaf in held.values()) else SAVE
    return InputError(problem, remedy=remedy)


def _first(leaves: Leaves) -> str:
    keys = list(leaves)
    return ", ".join(keys[:8]) + (f" and {len(keys) - 8} more" if len(keys) > 8 else "")


def _several(name: str, prefixes: Sequence[str], extra: Sequence[str]) -> InputError:
    problem = f"holds {len(prefixes)} networks that fit {name}: {', '.join(map(_shown, prefixes))}"
    if not extra:
        return InputError(problem, remedy=_ways(prefixes))
    return InputError(f"{problem}; and beside them {listed(extra)}", remedy=f"{_ways(prefixes)}; and --ignore-extra")


def _shown(prefix: str) -> str:
    return repr(prefix) if prefix else "the one without a prefix"


def _ways(prefixes: Sequence[str]) -> str:
    return " or ".join(f"--take {shlex.quote(prefix.rstrip('.') or '.')}" for prefix in prefixes[:4])
