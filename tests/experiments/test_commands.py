"""Options from dataclasses, messages, progress, and how programs end."""

import logging
import sys
import warnings
from dataclasses import dataclass
from typing import Literal

import pytest

from bias_jax.errors import InputError
from bias_jax.progress import track
from experiments.commands import parse, run, tell_failures
from experiments.sweep import main


@dataclass(frozen=True)
class Config:
    """What is chosen."""

    name: str = "x"  # a name, 100 % text
    kind: Literal["a", "b"] = "a"  # a choice
    numbers: tuple[float, ...] = (1.0, 2.5)  # numbers
    words: tuple[str, ...] = ()  # words
    limit: int | None = None  # a limit
    flag: bool = False  # a flag


def test_defaults_and_every_kind_of_field():
    assert parse(Config, [], "test", "") == Config()
    argv = ["--name", "y", "--kind", "b", "--numbers", "1e-3, 4", "--words", "p,q", "--limit", "7", "--flag"]
    assert parse(Config, argv, "test", "") == Config("y", "b", (1e-3, 4.0), ("p", "q"), 7, True)


@pytest.mark.parametrize("words", [["p,q"], ["p", "q"], ["p,", "q"]])
def test_lists_by_commas_or_spaces(words):
    assert parse(Config, ["--words", *words], "test", "").words == ("p", "q")


@pytest.mark.parametrize("argv", [["--unknown", "1"], ["--kind", "c"], ["--numbers", "1,x"], ["--limit", "many"]])
def test_unknown_options_and_values_exit_with_status_2(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        parse(Config, argv, "test", "")
    error = capsys.readouterr().err
    assert caught.value.code == 2 and argv[0] in error and "--help" in error and "Traceback" not in error


def test_help_shows_comments_and_defaults(capsys):
    with pytest.raises(SystemExit) as caught:
        parse(Config, ["--help"], "test", "What it does.")
    text = capsys.readouterr().out
    assert caught.value.code == 0
    assert "What it does." in text and "100 % text" in text and "(default: 1,2.5)" in text


def test_help_of_the_sweep_has_a_group_for_every_instrument(capsys):
    from bias_jax.instruments import INSTRUMENTS

    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert all(f"{name} options" in text for name in INSTRUMENTS) and "--data-dir" in text and "--cache" in text


def test_bad_input_is_one_line_and_status_2(capsys):
    def program() -> int:
        raise InputError("is bad", file="a\nb.csv", row=3, remedy="mend it")

    assert run(program) == 2
    assert capsys.readouterr().err == "error: a\\nb.csv: row 3: is bad. Way out: mend it\n"


def test_programs_show_messages_and_progress_the_library_shows_nothing(capsys):
    def program() -> int:
        logging.getLogger("bias_jax.audit").info("note: %s", "something")
        return len(list(track(range(3), "steps")))

    program()
    assert capsys.readouterr() == ("", "")
    assert run(program) == 3
    shown = capsys.readouterr()
    assert shown.out == "note: something\n" and "steps" in shown.err


def test_messages_are_said_once(capsys, monkeypatch):
    """Libraries give the root logger a handler on standard error."""
    monkeypatch.setattr(logging.root, "handlers", [logging.StreamHandler(sys.stderr)])
    assert run(lambda: logging.getLogger("bias_jax.audit").info("note") or 0) == 0
    assert capsys.readouterr() == ("note\n", "")


def test_failures_are_named_with_their_place(capsys):
    assert tell_failures({}) == 0
    assert tell_failures({"probes": InputError("is bad", remedy="mend it")}) == 2
    try:
        raise RuntimeError("broke\nin two")
    except RuntimeError as error:
        error.add_note("while drawing x.png")
        assert tell_failures({"maps": error}) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == "error: probes: is bad. Way out: mend it"
    assert "maps failed (while drawing x.png): RuntimeError: broke at" in second and "test_commands.py" in second


def test_troubles_of_the_cache_are_told_once(capsys):
    def program():
        for name in ("jit_f", "jit_g"):
            warnings.warn(f"Error writing persistent compilation cache entry for '{name}': OSError", stacklevel=1)
        return 0

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert run(program) == 0
    shown = capsys.readouterr()
    assert shown.out.count("not kept on disk") == 1 and "jit_f" in shown.out and "jit" not in shown.err
