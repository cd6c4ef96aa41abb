"""Any bytes as a table of labels, or as labels of images."""

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from bias_jax.data import LabelRules, Table, read_labels, read_table
from bias_jax.data.labels import folded
from tests.fuzz.watching import nothing_outside, outcome


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
TABLES = {
    "content": BYTES,
    "rules": RULES,
    "encoding": st.sampled_from(["", "", "", "cp1252", "utf-16-le"]),
    "skip_lines": st.sampled_from([0, 0, 0, 1, 2, 60]),
    "group_column": st.sampled_from(["", "age"]),
}


def any_table(content, rules, encoding, skip_lines, group_column):
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


LABEL_FILES = st.builds(
    lambda header, content: header + content,
    st.sampled_from([b"", b"", b"image,labels\n", b"ImageID,Source,LabelName,Confidence\n",
                     b"ImageID,LabelName,Confidence\n"]),
    BYTES,
)  # fmt: skip
IMAGE_LABELS = {
    "content": LABEL_FILES,
    "machine": st.none() | LABEL_FILES,
    "descriptions": st.none() | BYTES,
}


def any_labels(content, machine, descriptions):
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / name for name in ("labels.csv", "machine.csv", "descriptions.csv")}
        for path, given in zip(paths.values(), (content, machine, descriptions), strict=True):
            if given is not None:
                path.write_bytes(given)
        labels, further, names = (path if path.exists() else None for path in paths.values())
        with nothing_outside(Path(folder)):
            found = outcome(lambda: read_labels(labels, machine=further, descriptions=names))
        if found is not None:
            assert len(set(found.images)) == len(found.images) == len(found.rows) > 0
            assert found.values.shape == (len(found.images), max(1, len(found.classes)))
            assert set(found.values.data.tolist()) <= {1, -1}
            outcome(lambda: found.restrict(minimum=2))
