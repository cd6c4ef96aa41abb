"""Command lines generated from frozen dataclasses, and one way to end on bad input."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import MISSING, field, fields
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from bias_jax.errors import run as run

Config = TypeVar("Config")


def option(default: Any, text: str) -> Any:
    """A config field with its default and the comment that also becomes its help."""
    return field(default=default, metadata={"help": text})


def parse(config: type[Config], argv: Sequence[str] | None, description: str) -> Config:
    """Build `config` from the command line; ``--name value`` for every field, lists separated by commas."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    hints = get_type_hints(config)
    for item in fields(config):  # type: ignore[arg-type]
        assert item.default is not MISSING
        kind, name = hints[item.name], "--" + item.name.replace("_", "-")
        text = item.metadata["help"].replace("%", "%%")
        if kind is bool:
            parser.add_argument(name, action="store_true", help=text)
            continue
        shown = ",".join(f"{v:g}" if isinstance(v, float) else str(v) for v in item.default) if isinstance(
            item.default, tuple
        ) else item.default  # fmt: skip
        text += f" (default: {shown})" if item.default not in (None, (), "") else ""
        choices = get_args(kind) if get_origin(kind) is Literal else None
        convert = str if choices else _converter(kind)
        parser.add_argument(name, type=convert, choices=choices, default=item.default, help=text)
    return config(**vars(parser.parse_args(argv)))


def _converter(kind: Any) -> Callable[[str], Any]:
    if get_origin(kind) is tuple:
        element = get_args(kind)[0]

        def split(text: str) -> tuple:
            return tuple(element(part.strip()) for part in text.split(",") if part.strip())

        split.__name__ = f"list of {element.__name__}"  # argparse shows it in its message
        return split
    concrete = [k for k in get_args(kind) if k is not type(None)]
    return concrete[0] if concrete else kind
