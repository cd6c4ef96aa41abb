"""The report: labels stay text, nothing is asked of anybody, everything is there, and what is missing is said."""

import base64
import csv
import gzip
import io
import re
import shutil
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from itertools import pairwise
from urllib.parse import unquote_to_bytes

import pyarrow as pa
import pytest

from bias_jax.errors import InputError
from bias_jax.report.account import Column, Excerpt, Told, told_as_json, told_of
from bias_jax.report.embedding import table_download
from bias_jax.report.page import write_report
from bias_jax.report.reading import SECTION, read_run
from bias_jax.report.words import cell_text, latex, markdown, number, one_line, visible
from bias_jax.results import Folder
from tests.report.runs import HOSTILE, LAYERS, told, write_run

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """What a browser would make of a page: elements with their attributes and text."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.text = [], [], []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def content(uri: str) -> bytes:
    kind, data = uri.split(",", 1)
    return base64.b64decode(data) if kind.endswith(";base64") else unquote_to_bytes(data)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("report") / "run")


@pytest.fixture(scope="module")
def page(run):
    return Page(write_report([run]).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def several(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("several")
    other = write_run(folder / "b", weights="trained", shift=0.1, begun=False)
    return write_report([run, other], out=folder / "both.html")


def test_labels_stay_text(page):
    """None of them became an element, an attribute or a template, and every one can be read."""
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "b", "i", "iframe", "object", "link", "base", "form"}
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    text = "".join(page.text)
    for label in HOSTILE:
        assert f"The group {visible(label)} is found" in text
        assert visible(label) in page.text  # alone, in a cell
    assert "49" not in re.findall(r"\d+", "".join(t for t in page.text if "7 * 7" in t))


def test_nothing_is_asked_of_anybody(page):
    """No address but places in the page and what it brings along; and the browser is told so."""
    for tag, attributes in page.elements:
        for name in ("href", "src", "srcset", "action", "data", "poster", "background"):
            if value := attributes.get(name):
                assert value.startswith(("#", "data:")), (tag, name, value[:80])
    assert not any("url(" in t or "@import" in t for t in page.text)
    (policy,) = (a["content"] for a in page.all("meta") if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'; img-src data:")


def test_everybody_can_read_it(page):
    """Headings in order, ids once and found, captions, scopes, alternative texts."""
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    wanted = [a["href"][1:] for a in page.all("a") if a["href"].startswith("#")]
    wanted += [a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a]
    assert set(wanted) <= set(ids)
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    assert len(page.all("table")) == len(page.all("caption")) > 3
    assert all(a.get("scope") in ("col", "row") for a in page.all("th"))
    assert page.all("img") and all(len(a["alt"]) > 20 for a in page.all("img"))
    assert page.all("html")[0]["lang"] == "en" and page.all("main") and page.all("nav")


def test_figures_are_drawings_and_people_are_left_out(run, page):
    """The figure of people appears when it is asked for, and only then."""
    (image,) = page.all("img")
    root = ET.fromstring(content(image["src"]))
    assert root.tag.endswith("svg") and not [e for e in root.iter() if e.tag.endswith(("script", "foreignObject"))]
    drawn = " ".join("".join(e.itertext()) for e in root.iter() if e.tag.endswith("text"))
    assert "<script>" in drawn and "$a_{b}$" in drawn
    assert "1 figure that shows pictures of people is left out" in "".join(page.text)
    shown = Page(write_report([run], with_images=True, out=run / "with.html").read_text())
    assert len(shown.all("img")) == 2
    (run / "with.html").unlink()


def test_a_section_that_is_too_large_says_where_its_figures_are(run, monkeypatch):
    monkeypatch.setattr("bias_jax.report.page.MOST_BYTES", 1000)
    page = Page(write_report([run], with_images=True, out=run / "small.html").read_text())
    (run / "small.html").unlink()
    assert len(page.all("img")) == 1 and "1 more of them are in the run directory: scores/figures/" in "".join(
        page.text
    )


def test_what_is_missing_is_said(page):
    text = "".join(page.text)
    assert "others was begun and is not finished" in text and "figure absent of scores is not there" in text


def test_every_table_is_a_download(page):
    files = {a["download"]: content(a["href"]) for a in page.all("a") if "download" in a}
    assert files.keys() == {"scores.csv", "many.csv.gz", "tables.tex", "model_card.md"}
    rows = list(csv.DictReader(io.StringIO(files["scores.csv"].decode())))
    shown = [row["group"] for row in rows]
    assert shown == [("'" if label.startswith("=") else "") + label for label in HOSTILE]
    assert [float(row["value"]) for row in rows] == [i / 7 for i in range(len(HOSTILE))]
    assert len(gzip.decompress(files["many.csv.gz"]).splitlines()) == 6001


def test_spreadsheets_compute_nothing():
    column = ["=1+1", "@SUM(A1)", "+cmd", "-cmd", "-5", "+5", "", None, "a=b"]
    text = content(table_download("x", pa.table({"label": column})).uri).decode()
    assert [line.strip('"') for line in text.splitlines()[1:]] == [
        "'=1+1", "'@SUM(A1)", "'+cmd", "'-cmd", "-5", "+5", "", "", "a=b"]  # fmt: skip


def test_the_same_run_gives_the_same_bytes(run, tmp_path):
    first = write_report([run]).read_bytes()
    assert write_report([run]).read_bytes() == first
    copy = write_run(tmp_path / "elsewhere")  # paths are no part of it
    assert write_report([copy]).read_bytes() == first


def test_a_report_that_is_killed_leaves_the_last_one(run, tmp_path, monkeypatch):
    copy = shutil.copytree(run, tmp_path / "run")
    before = write_report([copy]).read_bytes()

    def killed(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr("pathlib.Path.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_report([copy], with_images=True)
    assert (copy / "report.html").read_bytes() == before
    assert not [p for p in copy.iterdir() if p.name.startswith(".partial")]


def test_damaged_files_become_sentences(run, tmp_path):
    """Of an instrument that cannot be read, the reason; the page appears all the same."""
    for place, (name, damage) in enumerate(
        {"scores/scores.parquet": b"x", f"scores/{SECTION}": b"{", "scores/tables.json": b"[]",
         "scores/instrument.json": b"", "failures.json": b"{"}.items()
    ):  # fmt: skip
        copy = shutil.copytree(run, tmp_path / str(place))
        (copy / name).write_bytes(damage)
        text = "".join(Page(write_report([copy]).read_text()).text)
        assert "damaged" in text and "not finished" in text
    (copy / "run.json").write_bytes(b"{}")
    with pytest.raises(InputError, match="damaged"):
        write_report([copy])
    with pytest.raises(InputError, match="no such run"):
        write_report([tmp_path / "nowhere"])


def test_failures_are_told(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    Folder(copy).save_json("failures.json", {"others": "ValueError: <b>", "third": "OSError: no"})
    missing = read_run(copy).missing
    assert "others failed: ValueError: <b>" in missing and "third failed: OSError: no" in missing


def test_several_runs_side_by_side(several):
    page = Page(several.read_text(encoding="utf-8"))
    text = "".join(page.text)
    assert "2 runs side by side" in text and "1: toy & co, random weights" in text and "2: toy & co, trained" in text
    assert len(page.all("img")) == 3  # a curve for each target
    assert len([t for t in page.text if t == "40.0 [20.0,\N{NO-BREAK SPACE}50.0]"]) == 6  # three targets, both
    root = ET.fromstring(content(page.all("img")[0]["src"]))
    drawn = "".join(root.itertext())
    assert "1: toy & co, random weights" in drawn and "2: toy & co, trained" in drawn and "guessing" in drawn
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert write_report([several.parent / "b"]).exists()


def test_runs_of_one_network_are_told_apart_by_their_directories(run, tmp_path):
    other = write_run(tmp_path / "subsample", begun=False)
    text = "".join(Page(write_report([run, other], out=tmp_path / "both.html").read_text()).text)
    assert "1: toy & co, random weights (run)" in text and "2: toy & co, random weights (subsample)" in text


def test_runs_with_other_layers_share_an_axis_of_depth(run, tmp_path):
    other = write_run(tmp_path / "b", layers=("one", "two"), begun=False)
    page = Page(write_report([run, other], out=tmp_path / "both.html").read_text())
    drawn = "".join(ET.fromstring(content(page.all("img")[0]["src"])).itertext())
    assert "depth" in drawn and "middle" not in drawn


def test_what_is_told_goes_through_a_file_unchanged(tmp_path):
    given, folder = told(), Folder(tmp_path)
    folder.save_json(SECTION, told_as_json(given))
    found = told_of(folder.load_json(SECTION))
    assert isinstance(found, Told) and found.account == given.account and found.findings == given.findings
    assert found.excerpts[0] == given.excerpts[0]
    assert repr(found.excerpts[1]) == repr(given.excerpts[1])  # with NaN, which no number equals
    empty = Excerpt("a", "b", (Column("x", "number"),), ((float("nan"),), (None,)))
    assert empty.as_json()["rows"] == [[None], [None]]


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("rows", [["late", {}, 1, 1]], "{}' is no number"),
        ("rows", [["late", 10**400, 1, 1]], "too large"),
        ("rows", [["late", [1, 2, "x"], 1, 1]], "is no number"),
        ("rows", [["late"]], "do not fit"),
        ("keys", -1, "do not fit"),
        ("columns", [["layer", "text"], ["a", "percent"], ["b", "percent"], ["c", "weight"]], "'weight' is no form"),
        ("compared", ["other"], "no column 'other'"),
        ("reference", {"late": None}, "is no number"),
    ],
)
def test_what_was_not_told_so_is_damage(field, value, problem, run, tmp_path):
    """Beside another run, too, where columns are looked up by their names."""
    copy = shutil.copytree(run, tmp_path / "run")
    found = Folder(copy / "scores").load_json(SECTION)
    found["excerpts"][0][field] = value
    Folder(copy / "scores").save_json(SECTION, found)
    (said,) = (sentence for sentence in read_run(copy).missing if "scores cannot be read" in sentence)
    assert problem in said and SECTION in said
    write_report([run, copy], out=tmp_path / "both.html")


def test_numbers_as_readers_want_them():
    assert cell_text((0.4512, 0.4, 0.5), "percent") == "45.1 [40.0, 50.0]"
    assert cell_text((-0.1, 0.02, float("nan")), "points") == "\N{MINUS SIGN}10.0 [+2.0, \N{EN DASH}]"
    assert [number(p, "p") for p in (0.0, 0.00012, 0.05, 1.0)] == ["< 0.0001", "0.00012", "0.05", "1"]
    assert cell_text((-2.8e-17, -0.1, 0.25), "number") == "\N{MINUS SIGN}0.000 [\N{MINUS SIGN}0.100, 0.250]"
    assert number(1e-5, "number") == "1e\N{MINUS SIGN}05" and number(-2.8e-17, "number") == "0"
    assert number(-1.23456, "number") == "\N{MINUS SIGN}1.23" and number(1234567, "count") == "1234567"
    assert cell_text(None, "number") == cell_text(float("inf"), "number") == "\N{EN DASH}"
    assert cell_text("=1", "number") == "=1"


def test_markdown_keeps_labels_text():
    """Read back by another program: the text is the label, and nothing else came of it."""
    reader = pytest.importorskip("markdown_it").MarkdownIt("gfm-like", {"linkify": False}).enable("table")
    for label in (*HOSTILE, "1. one", "- two", "# three", "+ four", "> five", "===", "---", "a\n\n# b", "~~c~~"):
        for before, inside in (("", "p"), ("- ", "li")):
            html = reader.render(f"{before}{markdown(label)}\n")
            tags = set(re.findall(r"<(\w+)", html))
            assert tags <= {"p", "ul", "li"} and inside in tags, (label, html)
            plain = ET.fromstring(f"<r>{html}</r>")
            assert " ".join("".join(plain.itertext()).split()) == " ".join(one_line(label).split())
        table = reader.render(f"| a | b |\n|---|---|\n| {markdown(label)} | 1 |\n")
        assert table.count("<td>") == 2 and not {"a", "img", "em", "code"} & set(re.findall(r"<(\w+)", table))


def test_latex_keeps_labels_text():
    """No character that means something is left, except in the commands and groups that stand for characters."""
    for label in (*HOSTILE, "line\nbreak", "a -- b `` ''"):
        text = latex(label)
        rest = re.sub(r"\\text[a-z]+\{\}|\\[{}$&#%_]|\{\[\}|\{\]\}|\\ensuremath\{-\}", "", text)
        assert not set(rest) & set("\\{}$&#%_~^\n"), (label, rest)
    assert latex("50 % of $x$") == r"50 \% of \$x\$"


def test_fragments_are_whole(page):
    files = {a["download"]: content(a["href"]) for a in page.all("a") if "download" in a}
    tex, card = (files[name].decode() for name in ("tables.tex", "model_card.md"))
    assert tex.count(r"\begin{tabular}{lrrr}") == tex.count(r"\end{tabular}") == 2
    assert r"30.0 {[}20.0, 50.0{]}" in tex
    for row in re.findall(r"\\midrule\n(.*?)\\bottomrule", tex, re.DOTALL):
        assert all(len(re.findall(r"(?<!\\)&", line)) == 3 and line.endswith(r"\\") for line in row.strip().split("\n"))
    headings = [line for line in card.splitlines() if line.startswith("## ")]
    assert headings == ["## Bias, Risks, and Limitations", "## Evaluation"]
    assert "#### Testing Data" in card and "#### Factors" in card and "#### Metrics" in card and "### Results" in card
    reader = pytest.importorskip("markdown_it").MarkdownIt().enable("table")
    html = reader.render(card)
    assert html.count("<table>") == 1 and html.count("<tr>") == 1 + len(LAYERS) and "<script" not in html
