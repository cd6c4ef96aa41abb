"""Files of the names of classes, and of families of them, with anything in them."""

import tempfile
from pathlib import Path

from hypothesis import strategies as st

from bias_jax.instruments.predictions.classes import (
    check_families,
    class_names,
    family_members,
    read_families,
    read_names,
)
from tests.fuzz.watching import nothing_outside, outcome

PIECES = st.sampled_from(
    ["rifle", "revolver", "class 3", "weapon=rifle|revolver", "=", "|", "a=", "a=|", "\n", "\n", "\r\n", "\r", "\x0b",
     "\u2028", "\ufeff", "\0", " ", "\t", "é", "e\u0301", "#", ",", "\x1b[31m", "<b>", "x" * 3000]
)  # fmt: skip
CODECS = st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1"])
CONTENTS = st.one_of(
    st.builds(
        lambda pieces, codec: "".join(pieces).encode(codec, errors="replace"),
        st.lists(PIECES | st.text(max_size=3), max_size=12), CODECS,
    ),
    st.binary(max_size=40),
)  # fmt: skip
NAMES = {
    "content": CONTENTS,
    "families": CONTENTS,
    "entries": st.lists(st.lists(PIECES | st.text(max_size=3), max_size=5).map("".join), max_size=2),
    "outputs": st.sampled_from([1, 2, 3, 1000]),
    "weights": st.sampled_from(["random", "IMAGENET1K_V1", "custom"]),
}


def any_names(content, families, entries, outputs, weights):
    """A name for every output, each its own, and families of outputs that are there."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / "classes.txt", Path(folder) / "families.txt"]
        for file, given in zip(files, (content, families), strict=True):
            file.write_bytes(given)
        class_names((), 1000, "random")  # the list of ImageNet is opened before files are watched
        with nothing_outside(Path(folder)):
            given = outcome(lambda: read_names(files[0])) or ()
            asked = [outcome(lambda own=own: read_families(*own)) for own in ((entries, files[1]), ((), files[1]))]
        for found in asked:
            for members in (found or {}).values():
                assert members and len(set(members)) == len(members) and all(map(str.strip, members))
        found = asked[0] or {}
        outcome(lambda: check_families(found, given))
        names = class_names(given, len(given) or outputs, weights)
        assert len(set(names)) == len(names) == (len(given) or outputs), names
        for numbers in (outcome(lambda: family_members(found, names)) or {}).values():
            assert len(numbers) and max(numbers) < len(names)
