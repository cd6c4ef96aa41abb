"""What commands have in common: options generated from frozen dataclasses, progress, messages, ends."""

import logging
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, get_args, get_origin

import tyro
from tqdm import tqdm
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from bias_jax.endings import memory_message
from bias_jax.endings import run as end_properly
from bias_jax.errors import InputError, out_of_memory
from bias_jax.progress import messages, shown_by

log = logging.getLogger("bias_jax.experiments")
_REGISTRY = ConstructorRegistry()


@_REGISTRY.primitive_rule
def _lists(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
    """Tuples of text or numbers: ``--layers a,b`` and ``--layers a b`` mean the same."""
    kinds = get_args(info.type)
    if get_origin(info.type) is not tuple or len(kinds) != 2 or kinds[1] is not Ellipsis or kinds[0] not in (
        str, int, float
    ):  # fmt: skip
        return None
    element = kinds[0]

    def parse(texts: list[str]) -> tuple:
        return tuple(element(part.strip()) for text in texts for part in text.split(",") if part.strip())

    def show(values: tuple) -> list[str]:
        return [",".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values)] if values else []

    return PrimitiveConstructorSpec(
        nargs="*",
        metavar=f"{element.__name__.upper()},..",
        instance_from_str=parse,
        is_instance=lambda x: isinstance(x, tuple) and all(isinstance(v, element) for v in x),
        str_from_instance=show,
    )


def parse(config: Any, argv: Sequence[str] | None, program: str, description: str) -> Any:
    """Build `config` from the command line; its fields are the options, the comments beside them the help."""
    return tyro.cli(
        config, args=argv, prog=f"python -m experiments.{program}", description=description, registry=_REGISTRY
    )


def run(program: Callable[[], int]) -> int:
    """Run a program with progress bars and messages; bad input becomes one line on standard error and status 2."""

    def shown() -> int:
        with shown_by(lambda text, total, unit: tqdm(desc=text, total=total, unit=unit, leave=False)), messages(), \
                cache_troubles_told_once():  # fmt: skip
            return program()

    return end_properly(shown)


@contextmanager
def cache_troubles_told_once() -> Iterator[None]:
    """JAX warns of every program that it cannot keep or read, dozens in a run; the first says it all."""
    show, told = warnings.showwarning, False

    def shown(message: Warning | str, *about: Any, **named: Any) -> None:
        nonlocal told
        if "persistent compilation cache entry" not in str(message):
            show(message, *about, **named)
        elif not told:
            told = True
            log.info("note: compiled programs are not kept on disk, so the next run is slower (%s)", message)

    warnings.showwarning = shown
    try:
        yield
    finally:
        warnings.showwarning = show


def tell_failures(failures: Mapping[str, Exception]) -> int:
    """One line for each instrument that failed; the exit status: 0 if none did, 2 if all for bad input, else 1."""
    for name, error in failures.items():
        if isinstance(error, InputError):
            print(f"error: {name}: {error}", file=sys.stderr)
            continue
        if out_of_memory(error):
            print(f"error: {name}: {memory_message(error)}", file=sys.stderr)
            continue
        where = traceback.extract_tb(error.__traceback__)[-1]
        notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
        reason = str(error).splitlines()[0] if str(error) else ""
        print(f"error: {name} failed{notes}: {type(error).__name__}: {reason} at {where.filename}:{where.lineno}. "
              "Everything else is complete; run the same command again to repeat it", file=sys.stderr)  # fmt: skip
    if not failures:
        return 0
    return min(error.status if isinstance(error, InputError) else 1 for error in failures.values())
