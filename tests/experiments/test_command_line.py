from dataclasses import dataclass
from typing import Literal

import pytest

from bias_jax.errors import InputError
from experiments.command_line import option, parse, run


@dataclass(frozen=True)
class Config:
    name: str = option("x", "a name, 100 % text")
    kind: Literal["a", "b"] = option("a", "a choice")
    numbers: tuple[float, ...] = option((1.0, 2.5), "numbers")
    words: tuple[str, ...] = option((), "words")
    limit: int | None = option(None, "a limit")
    flag: bool = option(False, "a flag")


def test_defaults_and_every_kind_of_field():
    assert parse(Config, [], "") == Config()
    argv = ["--name", "y", "--kind", "b", "--numbers", "1e-3, 4", "--words", "p,q", "--limit", "7", "--flag"]
    assert parse(Config, argv, "") == Config("y", "b", (1e-3, 4.0), ("p", "q"), 7, True)


@pytest.mark.parametrize("argv", [["--unknown", "1"], ["--kind", "c"], ["--numbers", "1,x"], ["--limit", "many"]])
def test_unknown_options_and_values_exit_with_status_2(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        parse(Config, argv, "")
    assert caught.value.code == 2 and "error:" in capsys.readouterr().err


def test_help_shows_comments_and_defaults(capsys):
    with pytest.raises(SystemExit) as caught:
        parse(Config, ["--help"], "What it does.")
    text = capsys.readouterr().out
    assert caught.value.code == 0
    assert "What it does." in text and "100 % text" in text and "(default: 1,2.5)" in text


def test_bad_input_is_one_line_and_status_2(capsys):
    def program() -> int:
        raise InputError("is bad", file="a\nb.csv", row=3, remedy="mend it")

    assert run(program) == 2
    assert capsys.readouterr().err == "error: a\\nb.csv: row 3: is bad. Way out: mend it\n"
