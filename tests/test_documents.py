"""What README and docs tell readers to type: every command is understood, every name in Python exists."""

import argparse
import ast
import builtins
import contextlib
import importlib
import inspect
import io
import re
import shlex
import tomllib
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest

from bias_jax.data import CalibrationConfig, calibration_faces
from bias_jax.instruments import INSTRUMENTS
from experiments.benchmark import EXPLAINED
from experiments.reproduce import PAPERS

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`]+)`")
OPTION = re.compile(r"(?<![\w-])--[a-z][\w.-]*")
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")
EXTRA = re.compile(r"bias-jax\[(\w+)\]|\.\[(\w+)\]")
# What a reader brings along, by name.
BROUGHT = {"faces", "function", "features", "module", "races", "ages", "X", "Y", "A", "B"}
OTHERS = {"--help", "--nodes", "--ntasks-per-node", "--gpus-per-node", "--out"}  # of srun and pip, and of no parser


class Understood(Exception):
    """A command got as far as its options."""


def blocks(document: Path, *languages: str) -> list[str]:
    return [text for language, text in FENCE.findall(document.read_text(encoding="utf-8")) if language in languages]


def inline(document: Path) -> list[str]:
    """Code in sentences, each on one line."""
    prose = FENCE.sub("", document.read_text(encoding="utf-8"))
    return [" ".join(span.split()) for span in INLINE.findall(prose)]


def commands(document: Path) -> list[str]:
    """Command lines of blocks and sentences, without what stands before ``python``."""
    found = []
    for block in blocks(document, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            found += [part.strip() for part in shlex.join(words).replace("'&&'", "&&").split("&&") if part.strip()]
    found += [span for span in inline(document) if re.match(r"python -m \S+ ", span) and "..." not in span]
    return found


def module_and_arguments(command: str) -> tuple[str, list[str]] | None:
    """What ``python -m`` is given; None: it is another program's."""
    words = shlex.split(command)
    places = [i for i, word in enumerate(words) if Path(word).name == "python"]
    if not places or words[places[0] + 1 : places[0] + 2] != ["-m"]:
        return None
    module, *arguments = words[places[0] + 2 :]
    return None if module in ("venv", "pytest", "pip") else (module, arguments)


def understand(module_name: str, arguments: list[str]) -> None:
    """Hand arguments to a command's own parser, and stop there.

    Raises:
        AssertionError: it does not understand them.
    """
    name = f"{module_name}.__main__" if module_name in ("converters", "tests.storm", "tests.fuzz") else module_name
    module = importlib.import_module(name)

    def stopping(parse):
        def parsed(*given, **named):
            parse(*given, **named)
            raise Understood

        return parsed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", stopping(argparse.ArgumentParser.parse_args))
        if hasattr(module, "parse"):
            patch.setattr(module, "parse", stopping(module.parse))
        if hasattr(module, "run"):
            patch.setattr(module, "run", lambda program: program())
        try:
            module.main(arguments)
        except Understood:
            return
        except SystemExit as end:
            if end.code == 0:  # --help
                return
            raise AssertionError(f"not understood: python -m {module_name} {shlex.join(arguments)}") from end
    raise AssertionError(f"python -m {module_name} read no options")


@cache
def options_there_are() -> frozenset[str]:
    """Of all commands, as their help names them."""
    modules = ["sweep", "ieat", "topomaps", "disparity", "completions", "compare", "report", "data", "texts"]
    calls = [(f"experiments.{name}", ["--help"]) for name in modules]
    calls += [("experiments.benchmark", [name, "--help"]) for name in EXPLAINED]
    calls += [("experiments.reproduce", [name, "--help"]) for name in PAPERS]
    calls += [("converters", [name, "--help"]) for name in ("igpt_l", "simclrv2_r50_1x_sk0", "verify", "evaluate")]
    text = io.StringIO()
    for name, arguments in calls:
        module = importlib.import_module(f"{name}.__main__" if name == "converters" else name)
        with contextlib.redirect_stdout(text), pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "run", lambda program: program())
            with contextlib.suppress(SystemExit):
                module.main(arguments)
    return frozenset(option.rstrip(".") for option in OPTION.findall(text.getvalue()))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_are_understood(document):
    for command in commands(document):
        if found := module_and_arguments(command):
            understand(*found)
        elif "-m" not in shlex.split(command):
            assert Path(shlex.split(command)[0]).name in ("pip", "python3", "git", "pytest"), command


def test_a_misspelled_option_is_noticed(capsys):
    for line in ("experiments.sweep --data-dri X", "experiments.sweep --probes.darws 3", "converters vgg16 --sauce X",
                 "experiments.benchmark groth", "experiments.data chekc X"):  # fmt: skip
        module, *arguments = line.split()
        with pytest.raises(AssertionError, match="not understood"):
            understand(module, arguments)
    assert capsys.readouterr().err


def test_options_in_sentences_exist():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "400")
        known = options_there_are() | OTHERS
    for document in DOCUMENTS:
        for span in set(inline(document)) - set(commands(document)):  # those are understood as a whole
            unknown = [option for option in OPTION.findall(span) if option.rstrip(".") not in known]
            assert not unknown, f"{document.name}: {unknown}"


def test_extras_that_are_installed_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for document in DOCUMENTS:
        for pair in EXTRA.findall(document.read_text(encoding="utf-8")):
            assert "".join(pair) in extras, f"{document.name}: {pair}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_names_in_python_exist(document):
    known: dict[str, object] = {}
    for block in blocks(document, "python"):
        check_python(ast.parse(block), known)


def check_python(tree: ast.Module, known: dict[str, object]) -> None:
    """Names, arguments of calls, and attributes of what calls give; `known` goes on to the next block.

    Values of `known` are objects that were imported, classes of what was assigned (as `Of`), or None.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            space: dict[str, object] = {}
            exec(compile(ast.Module([node], []), "document", "exec"), space)
            known |= {name: value for name, value in space.items() if name != "__builtins__"}
    for statement in tree.body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Call):
                _check_call(node, known)
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                owner = known.get(node.value.id)
                assert owner is None or _has(owner, node.attr), f"{node.value.id}.{node.attr}"
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                assert node.id in known or node.id in BROUGHT or hasattr(builtins, node.id), f"{node.id} is not known"
        if isinstance(statement, ast.Assign):
            given = _given_by(statement.value, known)
            for target in statement.targets:
                for name in (node.id for node in ast.walk(target) if isinstance(node, ast.Name)):
                    known[name] = given if isinstance(target, ast.Name) else None


class Of:
    """What is assigned to a name is an instance of this class."""

    def __init__(self, kind: type):
        self.kind = kind


def _has(owner: object, name: str) -> bool:
    if not isinstance(owner, Of):
        return hasattr(owner, name)
    fields = getattr(owner.kind, "__dataclass_fields__", {}) if is_dataclass(owner.kind) else {}
    return hasattr(owner.kind, name) or name in fields or name in getattr(owner.kind, "__annotations__", {})


def _called(node: ast.AST, known: dict[str, object]) -> object:
    if isinstance(node, ast.Name):
        found = known.get(node.id)
        return None if isinstance(found, Of) else found
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        owner = known.get(node.value.id)
        return getattr(owner.kind if isinstance(owner, Of) else owner, node.attr, None)
    return None


def _check_call(node: ast.Call, known: dict[str, object]) -> None:
    function = _called(node.func, known)
    if not callable(function) or not getattr(function, "__module__", "").startswith("bias_jax"):
        return
    method = isinstance(node.func, ast.Attribute) and isinstance(known.get(getattr(node.func.value, "id", "")), Of)
    keywords = {keyword.arg: None for keyword in node.keywords if keyword.arg}
    inspect.signature(function).bind(*[None] * (len(node.args) + method), **keywords)


def _given_by(node: ast.AST, known: dict[str, object]) -> object:
    """The class of a call's result, where it says so."""
    function = _called(node.func, known) if isinstance(node, ast.Call) else None
    if isinstance(function, type):
        return Of(function)
    if not inspect.isfunction(function) or not function.__module__.startswith("bias_jax"):
        return None
    given = get_type_hints(function).get("return")
    return Of(given) if isinstance(given, type) else None


def test_wrong_python_is_noticed():
    for text, error in (("from bias_jax.probes import fit_konvex", ImportError), ("print(phases)", AssertionError),
                        ("from bias_jax.erasure import fit_eraser\nfit_eraser(features, races, ranks=1)", TypeError),
                        ("from bias_jax.erasure import fit_eraser\nfit_eraser(features, races).rank", None),
                        ("from bias_jax.erasure import fit_eraser\ne = fit_eraser(features, races)\ne.rnak",
                         AssertionError)):  # fmt: skip
        if error is None:
            check_python(ast.parse(text), {})
        else:
            with pytest.raises(error):
                check_python(ast.parse(text), {})


def test_links_lead_somewhere():
    for document in DOCUMENTS:
        for target in LINK.findall(FENCE.sub("", document.read_text(encoding="utf-8"))):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_every_instrument_has_a_page():
    pages = {path.stem for path in (ROOT / "docs/instruments").glob("*.md")}
    assert pages == set(INSTRUMENTS)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"(docs/instruments/{name}.md)" in readme for name in pages)
    assert len(readme.splitlines()) <= 130


def test_pictures_are_light_and_shown():
    shown = {target for document in DOCUMENTS for target in LINK.findall(document.read_text(encoding="utf-8"))}
    for path in (ROOT / "docs/figures").glob("*.png"):
        assert path.stat().st_size < 150_000, path.name
        assert any(target.endswith(f"figures/{path.name}") for target in shown), path.name


@pytest.mark.slow
@pytest.mark.parametrize("name", ["README.md", "docs/library.md", "docs/instruments/erasure.md",
                                  "docs/instruments/recipe.md"])  # fmt: skip
def test_python_does_what_it_says(name, tmp_path, monkeypatch):
    """Blocks that need no files are run, on drawn arrays and faces."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    brought = {
        "features": rng.standard_normal((60, 8)).astype(np.float32), "races": np.arange(60) % 3,
        "ages": np.arange(60) // 3 % 4, "faces": calibration_faces(CalibrationConfig(per_group=2), 0),
        "function": lambda images: {"mean": images.mean(axis=(1, 2))},
        **{name: rng.standard_normal((6, 5)) for name in "XYAB"},
    }  # fmt: skip
    run = [block for block in blocks(ROOT / name, "python") if "FAIRFACE" not in block]
    assert run
    for block in run:
        exec(compile(block, name, "exec"), dict(brought))
