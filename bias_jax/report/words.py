"""Numbers as text, and text that stays text in LaTeX and Markdown: labels come from strangers."""

import math
import re
from typing import Literal

from bias_jax.errors import printable
from bias_jax.report.account import Cell, Form

MINUS = "\N{MINUS SIGN}"
NOISE = 1e-12  # what rounding leaves of nothing
NOTHING = "\N{EN DASH}"  # where there is no number
LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    '"': r"\textquotedbl{}", "'": r"\textquotesingle{}", "`": r"\textasciigrave{}", "|": r"\textbar{}", "[": "{[}",
    "]": "{]}", MINUS: r"\ensuremath{-}", NOTHING: "--",
}  # fmt: skip
MARKDOWN = re.compile(r"([\\`*_{}\[\]|#~$])")
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
LEADING = re.compile(r"^(\s*)([-+=]|\d+(?=[.)]))")  # would begin a list or underline a heading
LINKS = re.compile(r"(?<=[a-zA-Z])(:)(?=//)|(?<=www)(\.)|(@)", re.IGNORECASE)  # of themselves, without brackets


def number(value: float, form: Form | Literal["fixed"]) -> str:
    """One number as a reader wants it: shares in percent, p-values with two digits, differences with their sign."""
    if not math.isfinite(value):
        return NOTHING
    if form == "p":
        return "< 0.0001" if value < 1e-4 else f"{value:.2g}"
    if form == "count":
        return f"{value:.0f}"
    plain = f"{value:.3g}" if abs(value) > NOISE else "0"
    shown = {"percent": f"{100 * value:.1f}", "points": f"{100 * value:+.1f}", "fixed": f"{value:.3f}"}.get(form, plain)
    return shown.replace("-", MINUS)


def cell_text(cell: Cell, form: Form) -> str:
    """A cell of an excerpt; an estimate with its interval in brackets."""
    if cell is None:
        return NOTHING
    if isinstance(cell, str):
        return cell
    if isinstance(cell, tuple):
        small = form == "number" and all(abs(part) < 10 for part in cell if math.isfinite(part))
        value, low, high = (number(part, "fixed" if small else form) for part in cell)
        return value if low == high == NOTHING else f"{value} [{low}, {high}]"
    return number(cell, form)


def one_line(text: str) -> str:
    """Without line breaks, and with escapes for what no reader sees, such as marks that turn the direction of text."""
    return printable(re.sub(r"\s+", " ", text))


def visible(text: str) -> str:
    """With escapes for what no reader sees, such as marks that turn the direction of text; lines stay lines."""
    return "\n".join(printable(line) for line in text.split("\n"))


def latex(text: str) -> str:
    """Text for LaTeX, where nothing of it is a command."""
    return "".join(LATEX.get(character, character) for character in one_line(text))


def markdown(text: str) -> str:
    """Text for Markdown, where nothing of it is a mark, a tag or a link."""
    escaped = MARKDOWN.sub(r"\\\1", one_line(text))
    escaped = "".join(ENTITIES.get(character, character) for character in escaped)
    escaped = LEADING.sub(lambda m: f"{m[1]}{m[2]}\\" if m[2].isdigit() else f"{m[1]}\\{m[2]}", escaped)
    return LINKS.sub(lambda m: "\\" + m[0], escaped)
