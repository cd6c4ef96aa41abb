"""Names of a network's classes, and families of them."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from bias_jax.errors import InputError, quoted

IMAGENET = Path(__file__).with_name("imagenet_classes.txt")  # of ILSVRC 2012, in the order of torchvision's outputs
PUBLISHED = "IMAGENET1K"  # how the name of published ImageNet weights begins

Families = Mapping[str, Sequence[str]]  # name -> names of its classes


def read_names(file: str | Path) -> tuple[str, ...]:
    """Lines of a text file, in order.

    Raises:
        InputError: it cannot be read, or a line is empty.
    """
    names = [line.strip() for line in _text(file).rstrip().splitlines()]
    if "" in names or not names:
        raise InputError("names no class", file=file, row=names.index("") + 1 if names else 1, remedy="one name a line")
    return tuple(names)


def read_families(entries: Sequence[str], file: str | Path) -> dict[str, tuple[str, ...]]:
    """Families of the option and of a file, each written ``weapon=rifle|revolver``.

    Raises:
        InputError: one is written otherwise, or a name is there twice.
    """
    lines = _text(file).splitlines() if file else []
    given: list[tuple[str, str | Path | None, int | None]] = [(entry, None, None) for entry in entries]
    given += [(line.strip(), file, row) for row, line in enumerate(lines, start=1) if line.strip()]
    found: dict[str, tuple[str, ...]] = {}
    for entry, place, row in given:
        name, equals, labels = entry.partition("=")
        members = tuple(dict.fromkeys(label.strip() for label in labels.split("|")))
        if not equals or not name.strip() or "" in members:
            problem, remedy = f"{quoted(entry)} is no family of classes", "write weapon=rifle|revolver"
            raise InputError(problem, file=place, row=row, remedy=remedy)
        if name.strip() in found:
            problem = f"the family {quoted(name.strip())} is there twice"
            raise InputError(problem, file=place, row=row, remedy="join its classes")
        found[name.strip()] = members
    return found


def check_families(families: Families, given: Sequence[str]) -> None:
    """What can be said before the number of outputs is known.

    Raises:
        InputError: a class that is neither among the given names nor, without any, among those that may be used.
    """
    if given:
        family_members(families, given)
        return
    usual = read_names(IMAGENET)
    for name, labels in families.items():
        for label in labels:
            if label not in usual and not re.fullmatch(r"class \d+", label):
                raise _unknown(name, label, usual)


def class_names(given: Sequence[str], outputs: int, weights: str) -> tuple[str, ...]:
    """A name for every output; a name that is there more than once gets the number of its class.

    Args:
        given: names of a file, none or one per output.
        outputs: number of classes C.
        weights: what is audited, in words: ImageNet's names are used only for published weights, and for random ones,
            which have ImageNet's number of classes.
    """
    names = tuple(given)
    if not names and outputs == len(usual := read_names(IMAGENET)) and (PUBLISHED in weights or "random" in weights):
        names = usual
    if not names:
        return tuple(f"class {c}" for c in range(outputs))
    times = Counter(names)
    return tuple(f"{name} (class {c})" if times[name] > 1 else name for c, name in enumerate(names))


def family_members(families: Families, names: Sequence[str]) -> dict[str, np.ndarray]:
    """name -> numbers of its classes.

    Raises:
        InputError: the network has no such class.
    """
    number = {name: c for c, name in enumerate(names)}
    for family, labels in families.items():
        for label in labels:
            if label not in number:
                raise _unknown(family, label, names)
    return {family: np.array([number[label] for label in labels]) for family, labels in families.items()}


def _unknown(family: str, label: str, names: Sequence[str]) -> InputError:
    close = get_close_matches(label, names) or names[:3]
    remedy = f"names are such as {', '.join(map(quoted, close))}; give others by a file of class names"
    problem = f"the family {quoted(family)} has a class {quoted(label)}, but the network has none"
    return InputError(problem, remedy=remedy)


def _text(file: str | Path) -> str:
    try:
        return Path(file).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read ({error})", file=file, remedy="give a text file in UTF-8") from None
