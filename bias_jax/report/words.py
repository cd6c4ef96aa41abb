"""Numbers as text, and text that stays text in LaTeX and Markdown: labels come from strangers."""

import math
import re

from bias_jax.errors import printable
from bias_jax.report.account import Cell, Form

MINUS = "\N{MINUS SIGN}"
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


def number(value: float, form: Form) -> str:
    """One number as a reader wants it: shares in percent, p-values with two digits, differences with their sign."""
    if not math.isfinite(value):
        return NOTHING
    if form == "p":
        return "< 0.0001" if value < 1e-4 else f"{value:.2g}"
    if form == "count":
        return f"{value:.0f}"
    shown = {"percent": f"{100 * value:.1f}", "points": f"{100 * value:+.1f}"}.get(form) or f"{value:.3g}"
    return shown.replace("-", MINUS)


def cell_text(cell: Cell, form: Form) -> str:
    """A cell of an excerpt; an estimate with its interval in brackets."""
    if cell is None:
        return NOTHING
    if isinstance(cell, str):
        return cell
    if isinstance(cell, tuple):
        value, low, high = (number(part, form) for part in cell)
        return value if low == high == NOTHING else f"{value} [{low}, {high}]"
    return number(cell, form)


def one_line(text: str) -> str:
    """Without line breaks, and with escapes for what no reader sees, such as marks that turn the direction of text."""
    return printable(re.sub(r"\s+", " ", text))


def latex(text: str) -> str:
    """Text for LaTeX, where nothing of it is a command."""
    return "".join(LATEX.get(character, character) for character in one_line(text))


def markdown(text: str) -> str:
    """Text for Markdown, where nothing of it is a mark, a tag or a link."""
    escaped = MARKDOWN.sub(r"\\\1", one_line(text))
    escaped = "".join(ENTITIES.get(character, character) for character in escaped)
    escaped = LEADING.sub(lambda m: f"{m[1]}{m[2]}\\" if m[2].isdigit() else f"{m[1]}\\{m[2]}", escaped)
    return LINKS.sub(lambda m: "\\" + m[0], escaped)
