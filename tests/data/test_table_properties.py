"""Any bytes as a table, any text as a label: a data set or one message, never another exception."""

import csv
import io
import unicodedata

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bias_jax.data import Table, read_table
from bias_jax.data.file_kinds import require_text
from bias_jax.data.labels import folded, is_missing, read_label
from bias_jax.data.numeric_labels import number
from bias_jax.errors import InputError
from tests.fuzz.tables import IMAGE_LABELS, PIECES, RULES, TABLES, Everything, any_labels, any_table
from tests.fuzz.watching import outcome

FEW = settings(max_examples=60, deadline=None)
test_any_bytes_as_a_table = FEW(given(**TABLES)(any_table))
test_any_bytes_as_labels_of_images = FEW(given(**IMAGE_LABELS)(any_labels))


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


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_columns_are_found_however_their_letters_are_composed(form):
    other = {"NFC": "NFD", "NFD": "NFC"}[form]
    content = unicodedata.normalize(form, "file;größe;Länge\n1.jpg;a;\n2.jpg;b;\n").encode()
    name = unicodedata.normalize(other, "größe")
    faces = read_table([Table("t.csv", lambda: content)], Everything(), [name], name="t")
    assert faces.labels[name].tolist() == [0, 1]
    twice = unicodedata.normalize(form, "file,é,") + unicodedata.normalize(other, "é\n1.jpg,a,b\n")
    with pytest.raises(InputError, match="columns 2 and 3 are both called"):
        read_table([Table("t.csv", twice.encode)], Everything(), ["é"], name="t")
