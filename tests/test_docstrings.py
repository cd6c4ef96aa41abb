"""Examples in docstrings are executed: every statement gives what stands below it."""

import doctest
import importlib
from pathlib import Path

import pytest

import bias_jax

ROOT = Path(bias_jax.__file__).parent
FILES = sorted(path for path in ROOT.rglob("*.py") if ">>>" in path.read_text())
MODULES = [".".join((ROOT.name, *path.relative_to(ROOT).with_suffix("").parts)) for path in FILES]


def examples(module_name: str) -> list[doctest.DocTest]:
    module = importlib.import_module(module_name)
    return [found for found in doctest.DocTestFinder(exclude_empty=True).find(module, module_name) if found.examples]


@pytest.mark.parametrize("module_name", MODULES)
def test_examples_give_what_they_say(module_name):
    printed: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    written = Path(importlib.import_module(module_name).__file__).read_text().count(">>>")
    attempted = 0
    for example in examples(module_name):
        result = runner.run(example, out=printed.append)
        assert not result.failed, "".join(printed)
        attempted += result.attempted
    assert attempted == written  # none is hidden from the finder, e.g. below a decorator


def test_a_dozen_functions_have_examples():
    assert sum(len(examples(name)) for name in MODULES) >= 12
