"""One page that a reader can trust: HTML in one file, with tables, figures and words, that asks no server.

It is made of run directories alone, through templates that escape everything, and is the same byte for byte whenever it
is made again.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from bias_jax.errors import InputError
from bias_jax.report.account import Column, Excerpt
from bias_jax.report.comparing import Shared, lines_by_layer, shared_columns
from bias_jax.report.embedding import Download, picture_uri, svg_uri, table_download, text_download
from bias_jax.report.reading import Run, Section, read_run, told_apart
from bias_jax.report.words import cell_text, latex, markdown, visible
from bias_jax.results import Folder
from bias_jax.results.drawings import vector

FILE = "report.html"
MOST_BYTES = 3_000_000  # of the figures of a section: a page must open on a telephone
PACKAGE = "bias_jax.report"


@dataclass(frozen=True)
class Table:
    """An excerpt as text."""

    id: str
    excerpt: Excerpt
    cells: tuple[tuple[str, ...], ...]

    @property
    def more(self) -> int:
        """Rows that are not shown."""
        return max(0, self.excerpt.of - len(self.cells))


@dataclass(frozen=True)
class Picture:
    """A figure and its words."""

    id: str
    uri: str
    caption: str


@dataclass(frozen=True)
class Part:
    """A section of a page: what one instrument of a run told."""

    id: str
    section: Section
    tables: tuple[Table, ...]
    pictures: tuple[Picture, ...]
    left: int  # figures that the page has no room for
    withheld: int  # figures that show pictures of people, and are left out
    downloads: tuple[tuple[Download, str, int], ...]  # a whole table, what a row of it is, number of rows


@dataclass(frozen=True)
class Comparison:
    """One number of several runs."""

    instrument: str
    table: Table
    picture: Picture | None


def write_report(paths: Sequence[str | Path], *, with_images: bool = False, out: str | Path | None = None) -> Path:
    """Write the report of one run, or of several side by side.

    Args:
        paths: run directories.
        with_images: whether figures that show pictures of people are in it.
        out: the file; None: ``report.html`` in the run directory, of several runs in the working directory.

    Returns:
        Where it is.

    Raises:
        InputError: no run directory.
        WriteError: it cannot be written.
    """
    text = page(told_apart([read_run(path) for path in paths]), with_images=with_images)
    target = Path(out) if out is not None else Path(paths[0] if len(paths) == 1 else ".") / FILE
    Folder(target.parent).save_text(target.name, text)
    return target


def page(runs: Sequence[Run], *, with_images: bool = False) -> str:
    """The page as text; of several runs, what they share and what was found in each.

    Raises:
        InputError: no run is given.
    """
    if not runs:
        raise InputError("no run to report", remedy="give at least one run directory")
    ids = (f"n{number}" for number in count(1))
    alone = len(runs) == 1
    parts = [part for run in runs for part in _parts(run, ids, with_images)] if alone else []
    comparisons = [] if alone else [_comparison(*found, ids) for found in shared_columns(runs)]
    counts = [[_table(excerpt, ids) for excerpt in _counts(run)] for run in runs]
    tables = [part_table for part in parts for part_table in part.tables] + [one.table for one in comparisons]
    given: dict[str, Any] = {"runs": runs, "alone": alone, "parts": parts, "comparisons": comparisons}
    fragments = _environment("tex").get_template("tables.tex").render(tables=tables)
    cards = [_environment("md").get_template("model_card.md").render(run=run, tables=_tables_of(run)) for run in runs]
    files = [text_download("tables.tex", fragments), *(_cards(cards))]
    about = {"counts": counts, "fragments": fragments, "cards": cards, "files": files, "with_images": with_images}
    return _environment("html").get_template("page.html").render(**given, **about)


def _parts(run: Run, ids: Iterator[str], with_images: bool) -> Iterator[Part]:
    for section in run.sections:
        account = section.told.account
        shown = [name for name in section.told.figures if with_images or not account.shows_people(name)]
        pictures, left = _pictures(section, shown, ids)
        yield Part(
            next(ids),
            section,
            tuple(_table(excerpt, ids) for excerpt in section.told.excerpts),
            pictures,
            left,
            len(section.told.figures) - len(shown),
            tuple(
                (table_download(name, table), account.tables.get(name, ""), table.num_rows)
                for name, table in section.tables.items()
            ),
        )


def _pictures(section: Section, shown: Sequence[str], ids: Iterator[str]) -> tuple[tuple[Picture, ...], int]:
    """Figures that fit a page, and how many are left in the run directory."""
    found: list[Picture] = []
    room = MOST_BYTES
    there = [name for name in shown if name in section.figures]
    for name in there:
        uri = picture_uri(section.figures[name])
        room -= len(uri)
        if room < 0 and found:
            break
        found.append(Picture(next(ids), uri, section.told.account.caption(name)))
    return tuple(found), len(there) - len(found)


def _table(excerpt: Excerpt, ids: Iterator[str]) -> Table:
    forms = [column.form for column in excerpt.columns]
    cells = tuple(tuple(cell_text(c, form) for c, form in zip(row, forms, strict=True)) for row in excerpt.rows)
    return Table(next(ids), excerpt, cells)


def _tables_of(run: Run) -> list[Table]:
    """The main table of every instrument."""
    ids = (f"n{number}" for number in count(1))
    return [_table(section.told.excerpts[0], ids) for section in run.sections if section.told.excerpts]


def _comparison(instrument: str, shared: Shared, ids: Iterator[str]) -> Comparison:
    table, picture = _table(shared.excerpt, ids), None
    if len(shared.lines) > 1:
        title = shared.excerpt.title
        svg = vector(lines_by_layer(shared.lines, shared.reference, title), ".svg")
        picture = Picture(next(ids), svg_uri(svg), f"{title}. A line for each run.")
    return Comparison(instrument, table, picture)


def _counts(run: Run) -> Iterator[Excerpt]:
    """Images of every category and group, of a run that noted them."""
    for name, classes in run.record["counts"].items():
        rows = tuple(classes.items())
        columns = (Column(name), Column("images", "count"))
        yield Excerpt(f"counts-{name}", f"Images by {name}", columns, rows, of=len(rows))


def _cards(cards: Sequence[str]) -> list[Download]:
    names = ["model_card.md"] if len(cards) == 1 else [f"model_card_{n}.md" for n in range(1, len(cards) + 1)]
    return [text_download(name, card) for name, card in zip(names, cards, strict=True)]


@cache
def _environment(kind: str) -> Environment:
    """Templates of one language, in which everything that is filled in is escaped."""
    common: dict[str, Any] = {"loader": PackageLoader(PACKAGE), "undefined": StrictUndefined, "trim_blocks": True,
                              "lstrip_blocks": True}  # fmt: skip
    if kind == "html":
        made = Environment(autoescape=True, finalize=_shown, **common)
    elif kind == "md":
        made = Environment(autoescape=False, finalize=lambda value: markdown(str(value)), **common)
    else:
        marks: dict[str, Any] = {"block_start_string": "<%", "block_end_string": "%>", "variable_start_string": "<<",
                                    "variable_end_string": ">>", "comment_start_string": "<#",
                                    "comment_end_string": "#>"}  # fmt: skip
        made = Environment(autoescape=False, finalize=lambda value: latex(str(value)), **marks, **common)
    made.filters["slug"] = slug
    made.filters["unbroken"] = unbroken
    return made


def _shown(value: Any) -> Any:
    """What is filled into a page; what is markup already stays as it is."""
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def unbroken(text: str) -> Markup:
    """A number as HTML whose line may break before its interval only, so that wide tables grow higher instead.

    >>> print(unbroken("0.1 [< 0.0001, 0.2]"))
    0.1 [&lt;&nbsp;0.0001,&nbsp;0.2]
    """
    return Markup(re.sub(r" (?!\[)", "&nbsp;", str(escape(visible(text)))))


def slug(text: str) -> str:
    """Text as part of a label: lower case, digits and hyphens.

    >>> slug("Accuracy, by layer")
    'accuracy-by-layer'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
