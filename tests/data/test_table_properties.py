"""Any bytes as a table, any text as a label: a data set or one message, never another exception."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bias_jax.data import LabelRules, Table, read_labels, read_table
from bias_jax.data.file_kinds import require_text
from bias_jax.data.labels import folded, is_missing, read_label
from bias_jax.data.numeric_labels import number
from bias_jax.errors import InputError

FEW = settings(max_examples=60, deadline=None)


class Everything:
    """A store that holds an image of every name."""

    source = Path("everywhere")

    def inside(self, name):
        return True

    def find(self, name):
        return (name,)

    def summary(self):
        return "everything"

    def read(self, name):
        return b""


RULES = st.builds(
    LabelRules,
    st.sampled_from(["refuse", "drop"]),
    st.booleans(),
    st.sampled_from([{}, {"race": (0, 18, 40)}, {"age": (-1.5, 0.25)}]),
)
PIECES = st.sampled_from(
    [*',;\t|"\n\r', '""', "\r\n", ", ", "\n\n", "\0", "\ufeff", "\xa0", " ", "nan", "NA", "White", "white", "Black",
     "1", "1.0", "01", "17", "inf", "Métis", "x.jpg", "file", "race", "sep=;\n", "# a comment\n", "\u2028",
     "file,race,age\n", "\ufefffile;race;age\r\n", "a,White,20\n", "b,Black,30\n", 'c,"Wh\nite",3\n', "<html>",
     "PK\x03\x04"]
)  # fmt: skip
LABEL = (
    st.sampled_from(["White", "Black", "1", "17", " White ", '"White"', "Black\u200b"]) | PIECES | st.text(max_size=3)
)
MOSTLY_UTF8 = st.sampled_from(["utf-8"] * 6 + ["utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-7"])


@st.composite
def like_tables(draw):
    """Tables of three columns, into which something odd was put, or not."""
    separator, end = draw(st.sampled_from(",,,;\t|")), draw(st.sampled_from(["\n", "\r\n", "\r"]))
    pairs = draw(st.lists(st.tuples(LABEL, LABEL), max_size=6))
    rows = [("file", "race", "age"), *((f"{i}.jpg", *pair) for i, pair in enumerate(pairs))]
    text = "".join(separator.join(row) + end for row in rows)
    odd, at = draw(st.just("") | PIECES), draw(st.integers(0, len(text)))
    return (text[:at] + odd + text[at:]).encode(draw(MOSTLY_UTF8))


CUT = st.builds(lambda content, at: content[: at % (len(content) + 1)], like_tables(), st.integers(0))
ANY = st.builds(lambda pieces, codec: "".join(pieces).encode(codec), st.lists(PIECES, max_size=30), MOSTLY_UTF8)
BYTES = st.one_of(like_tables(), like_tables(), like_tables(), CUT, ANY, st.binary(max_size=200))


def outcome(read):
    """A data set, or None if the input was refused; anything else is a fault."""
    try:
        return read()
    except InputError as error:
        assert str(error).isprintable() and "Way out: " in str(error) and len(str(error)) < 2000
        return None


@FEW
@given(BYTES, RULES, st.sampled_from(["", "", "", "cp1252", "utf-16-le"]), st.sampled_from([0, 0, 0, 1, 2, 60]),
       st.sampled_from(["", "age"]))  # fmt: skip
def test_any_bytes_as_a_table(content, rules, encoding, skip_lines, group_column):
    table = Table("t.csv", lambda: content, encoding, skip_lines)
    attributes = ["race"] if group_column else ["race", "age"]
    faces = outcome(
        lambda: read_table([table], Everything(), attributes, name="t", rules=rules, group_column=group_column)
    )
    if faces is not None:
        assert len(set(faces.image_names)) == len(faces) == len(faces.rows) > 0
        assert all(len(set(map(folded, a.categories))) == len(a.categories) for a in faces.attributes)
        assert all(codes.dtype == np.int32 and codes.min() >= 0 for codes in faces.labels.values())
        assert (faces.people is not None) == bool(group_column)


@FEW
@given(BYTES)
def test_any_bytes_as_a_file_of_labels(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "labels.csv"
    path.write_bytes(content)
    outcome(lambda: read_labels(path))
    path.write_bytes(b"image,labels\n" + content)
    outcome(lambda: read_labels(path, descriptions=path))


@FEW
@given(st.lists(st.text() | PIECES, min_size=1, max_size=8), RULES)
def test_any_text_as_a_label(texts, rules):
    stream = io.StringIO()
    csv.writer(stream, quoting=csv.QUOTE_ALL).writerows([["file", "race"], *((str(i), t) for i, t in enumerate(texts))])
    table = Table("t.csv", lambda: stream.getvalue().encode())
    faces = outcome(lambda: read_table([table], Everything(), ["race"], name="t", rules=rules))
    if faces is not None and not rules.bins:
        (race,) = faces.attributes
        for name, code in zip(faces.image_names, faces.labels["race"], strict=True):
            label = read_label(texts[int(name)], "race")
            assert not is_missing(label) and folded(race.categories[code]) == folded(label)


@FEW
@given(st.text(st.characters()))  # surrogates, too
def test_any_text_is_read_once_and_for_all(text):
    label = outcome(lambda: read_label(text, "race"))
    assert label is None or read_label(label, "race") == label
    assert number(text) is None or float(text) == number(text)


LABELS = st.text("abcdefg éß漢,;|'\"()/", min_size=1, max_size=9).filter(
    lambda text: read_label(text, "") == text and not is_missing(text)
)


@FEW
@given(
    rows=st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=12),
    separator=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
    told=st.booleans(),
)
def test_what_is_written_is_read(rows, separator, end, quoting, encoding, told):
    for labels in zip(*rows, strict=True):
        assume(len({" ".join(label.casefold().split()) for label in labels}) == len(set(labels)))
    stream = io.StringIO(newline="")
    stream.write(f"sep={separator}{end}" if told else "")
    writer = csv.writer(stream, delimiter=separator, lineterminator=end, quoting=quoting)
    writer.writerows([["", "race", "file", "kind"], *((i, a, f"{i}.jpg", b) for i, (a, b) in enumerate(rows))])
    table = Table("t.csv", lambda: stream.getvalue().encode(encoding))
    faces = read_table([table], Everything(), ["race", "kind"], name="t")
    found = [tuple(a.categories[faces.labels[a.name][i]] for a in faces.attributes) for i in range(len(rows))]
    assert found == rows and faces.image_names == tuple(f"{i}.jpg" for i in range(len(rows)))
    assert faces.rows == tuple(range(2 + told, 2 + told + len(rows)))


@pytest.mark.parametrize("content", [b"file,race", b"", b"PAR1,PAR2\n", b"[file],[race]\n", b"<3,age\n", b"{file}\n"])
def test_headers_that_are_no_other_kind_of_file(content):
    require_text(content, "t.csv")
