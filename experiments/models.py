"""``--models module:name``: a network of the user's own, from a module that Python finds here.

The name is that of a network - what `own_network` or `torch_network` made, a torch module, a module of Flax NNX - or of
a function without arguments that returns one.
"""

import importlib
import inspect
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from flax import nnx

from bias_jax.audit import OwnNetwork, own_network, torch_network
from bias_jax.errors import InputError, out_of_memory, told

WAY = "name a network, or a function without arguments that returns one: own_network(...), torch_network(...), a module"
SHOWN = 12  # names in a message
PATTERN = re.compile(r"[\w.]+:[\w.]+")


def is_own(model: str) -> bool:
    """Whether it is written ``module:name``."""
    return ":" in model


def find_network(model: str) -> OwnNetwork:
    """The network that ``module:name`` names.

    Raises:
        InputError: there is none, or the user's code fails.
    """
    module_name, _, path = model.partition(":")
    if not PATTERN.fullmatch(model):
        raise InputError(
            f"--models {model!r} is no module:name", remedy="e.g. --models mynetworks:resnet, of mynetworks.py"
        )
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    imported = f"import {module_name}"
    with _failing(f"importing {module_name}", imported):
        found: Any = _module(module_name)
    for part in path.split("."):
        with _failing(f"looking for {path} in {module_name}", f"{imported}; {module_name}.{path}"):
            there, owner = hasattr(found, part), found
            found = getattr(found, part, None)
        if not there:
            names = [n for n, value in getattr(owner, "__dict__", {}).items() if callable(value) and n[0] != "_"]
            shown = get_close_matches(part, names) or names[:SHOWN]
            remedy = f"it has {', '.join(shown)}" if shown else WAY
            raise InputError(f"{module_name} has no {path!r}", file=_file(module_name), remedy=remedy)
    network = _as_network(found)
    if network is None and callable(found):
        if needed := _needed(found):
            problem = f"{path} takes arguments ({', '.join(needed)}), so it is no function that makes a network"
            remedy = "write one without arguments, e.g. def make(): return own_network(function, preparation=...)"
            raise InputError(problem, file=_file(module_name), remedy=remedy)
        with _failing(f"calling {path} of {module_name}", f"{imported}; {module_name}.{path}()"):
            found = found()
        network = _as_network(found)
    if network is None:
        problem = f"{path} is no network, but of the type {type(found).__name__}"
        raise InputError(problem, file=_file(module_name), remedy=WAY)
    return network


def _as_network(found: Any) -> OwnNetwork | None:
    if isinstance(found, OwnNetwork):
        return found
    if isinstance(found, nnx.Module):
        return own_network(found)
    torch = sys.modules.get("torch")
    return torch_network(found) if torch is not None and isinstance(found, torch.nn.Module) else None


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise  # something that it imports
        remedy = f"start the command where {error.name.replace('.', '/')}.py or its folder is, or set PYTHONPATH"
        raise InputError(f"--models: there is no module {error.name!r}", remedy=remedy) from None


def _needed(function: Any) -> list[str]:
    """Arguments without which it cannot be called."""
    try:
        arguments = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    free = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [one.name for one in arguments if one.default is one.empty and one.kind not in free]


def _file(module: str) -> str | None:
    return getattr(sys.modules.get(module), "__file__", None)


@contextmanager
def _failing(doing: str, again: str) -> Iterator[None]:
    """What goes wrong in a user's module becomes one `InputError`; `again` is the Python that shows more of it."""
    try:
        yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        if out_of_memory(error):
            raise
        remedy = f"mend it: python -c '{again}' shows more"
        if isinstance(error, ModuleNotFoundError) and error.name:
            remedy = f"install {error.name} where this command runs, or {remedy}"
        raise InputError(f"{doing} fails with {told(error)}", remedy=remedy) from error
