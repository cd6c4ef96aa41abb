"""Prompts from a TOML file: families of prompts that compete with each other, and templates they are put into.

templates = ["a photo of a {}.", "a portrait of a {}."]

[gender]                       # a family
attribute = "gender"           # its prompts are categories of this attribute (may be left out)
prompts = {Male = "man", Female = "woman"}

[occupation]
templates = ["a photo of a {}."]    # of this family alone
prompts = ["doctor", "nurse"]
"""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bias_jax.errors import InputError

FORM = 'write [family], prompts = ["doctor", "nurse"] and templates = ["a photo of a {}."]'
PLAIN = ("{}",)  # without templates


@dataclass(frozen=True)
class PromptFamily:
    """Prompts of which the nearest one is what is said of a picture."""

    name: str
    labels: tuple[str, ...]  # of the prompts P >= 2, e.g. categories
    prompts: tuple[str, ...]  # what stands in the templates
    templates: tuple[str, ...]  # M
    attribute: str = ""  # whose categories the labels are

    @property
    def texts(self) -> tuple[tuple[str, ...], ...]:
        """P prompts in M templates."""
        return tuple(tuple(template.replace("{}", prompt) for template in self.templates) for prompt in self.prompts)


def read_prompts(file: str | Path) -> tuple[PromptFamily, ...]:
    """Families of a file, in its order.

    Raises:
        InputError: it cannot be read, or says something else than families of prompts.
    """
    try:
        found = tomllib.loads(Path(file).read_text(encoding="utf-8-sig"))
    except RecursionError:
        raise InputError("is nested too deeply", file=file, remedy=FORM) from None
    except (OSError, ValueError) as error:  # among these, what is no UTF-8 and no TOML
        raise InputError(f"cannot be read ({error})", file=file, remedy=FORM) from None
    usual = _texts(found.pop("templates", list(PLAIN)), "templates", file)
    families = tuple(_family(name, own, usual, file) for name, own in found.items())
    if not families:
        raise InputError("holds no family of prompts", file=file, remedy=FORM)
    return families


def _family(name: str, own: Any, usual: tuple[str, ...], file: str | Path) -> PromptFamily:
    if not isinstance(own, dict) or not name.strip():
        raise InputError(f"{name!r} is no family", file=file, remedy=FORM)
    if unknown := own.keys() - {"prompts", "templates", "attribute"}:
        problem = f"family {name!r} has {min(unknown)!r}"
        raise InputError(problem, file=file, remedy="it may have prompts, templates and attribute")
    given = own.get("prompts", [])
    labels = list(given) if isinstance(given, dict) else given
    labels = _texts(labels, f"prompts of {name!r}", file)
    prompts = _texts(list(given.values()), f"prompts of {name!r}", file) if isinstance(given, dict) else labels
    templates = _texts(own["templates"], f"templates of {name!r}", file) if "templates" in own else usual
    attribute = own.get("attribute", "")
    if not isinstance(attribute, str):
        raise InputError(f"attribute of {name!r} is no text", file=file, remedy=FORM)
    if len(labels) < 2:
        raise InputError(f"family {name!r} has fewer than two prompts", file=file, remedy="one is always the nearest")
    for template in templates:
        if len(re.findall(re.escape("{}"), template)) != 1:
            raise InputError(f"template {template!r} has not one {{}}", file=file, remedy="e.g. 'a photo of a {}.'")
    return PromptFamily(name, labels, prompts, templates, attribute)


def _texts(given: Any, what: str, file: str | Path) -> tuple[str, ...]:
    """Texts, each its own."""
    if not isinstance(given, list) or not given or not all(isinstance(one, str) and one.strip() for one in given):
        raise InputError(f"{what}: no list of texts", file=file, remedy=FORM)
    if twice := [one for one in given if given.count(one) > 1]:
        raise InputError(f"{what}: {twice[0]!r} is there twice", file=file, remedy="delete one")
    return tuple(given)


def row_of(file: str | Path, families: Sequence[PromptFamily], text: str) -> int | None:
    """Line of the file, from 1, that holds the prompt of a text; None where it is written with escapes."""
    prompt = next(
        prompt for family in families for prompt, own in zip(family.prompts, family.texts, strict=True) if text in own
    )
    lines = Path(file).read_text(encoding="utf-8-sig").splitlines()
    return next((number for number, line in enumerate(lines, start=1) if prompt in line), None)
