"""Files of the zero-shot instrument: prompts in TOML that says anything, embeddings of their texts of any form."""

import io
import json
import tempfile
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from bias_jax.instruments.zeroshot.prompts import PromptFamily, read_prompts, row_of
from bias_jax.instruments.zeroshot.texts import read_texts
from tests.fuzz.places import damage
from tests.fuzz.watching import nothing_outside, outcome

WORDS = st.one_of(
    st.sampled_from(["man", "woman", "a photo of a {}.", "{}", "{} {}", "", " ", "\u2028", "é", "\x1b[31m", "{0}"]),
    st.text(max_size=4),
)
TOML = st.recursive(
    st.one_of(WORDS, st.booleans(), st.integers(-(2**70), 2**70), st.floats()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
FAMILY = st.dictionaries(
    st.sampled_from(["prompts", "prompts", "templates", "attribute", "more"]),
    st.one_of(st.lists(WORDS, min_size=1, max_size=4), st.dictionaries(WORDS, WORDS, min_size=2, max_size=3), TOML),
    max_size=4,
)
PIECES = st.sampled_from(
    [*"[]{}=\"'#,.\n\r\t", '"""', "'''", "[[", "]]", "[a]\n", "prompts = ", "templates = ", "attribute = ",
     '["b", "c"]', "1979-05-27T07:32:00Z", "inf", "nan", "0x1F", "\\u0000", "\\U0010FFFF", "\ufeff", "\0", "é",
     "a = " + "[" * 3000, "a = {" * 2000, "a." * 5000, "9" * 5000]
)  # fmt: skip


def written(content: object) -> str:
    """Any value as TOML; keys and texts with JSON's escapes, which TOML has as well."""
    if isinstance(content, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {written(value)}" for key, value in content.items()) + "}"
    if isinstance(content, list):
        return "[" + ", ".join(map(written, content)) + "]"
    return repr(content) if isinstance(content, float) else json.dumps(content)


@st.composite
def like_prompts(draw) -> bytes:
    """Families and templates, mostly in their form."""
    families = draw(st.dictionaries(WORDS, FAMILY | TOML, max_size=3))
    lines = [f"templates = {written(draw(st.lists(WORDS, min_size=1, max_size=3)))}"] if draw(st.booleans()) else []
    lines += [f"{json.dumps(name)} = {written(own)}" for name, own in families.items()]
    return "\n".join(lines).encode(errors="replace")


ANY = st.builds(
    lambda pieces, codec: "".join(pieces).encode(codec, errors="replace"),
    st.lists(PIECES, max_size=12),
    st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1"]),
)
PROMPTS = {"content": st.one_of(like_prompts(), like_prompts(), ANY, st.binary(max_size=60))}


def any_prompts(content):
    """Families of two prompts or more, whose texts are told apart from their templates."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "prompts.toml"
        file.write_bytes(content)
        with nothing_outside(Path(folder)):
            families = outcome(lambda: read_prompts(file))
        for family in families or ():
            assert len(family.labels) == len(family.prompts) == len(family.texts) >= 2 and family.templates
            assert len({*family.prompts}) == len(family.prompts) and all(map(str.strip, family.prompts))
            for text in (text for own in family.texts for text in own):
                row = row_of(file, families, text)
                assert row is None or row >= 1


ASKED = (PromptFamily("sex", ("a", "b"), ("man", "woman"), ("a {}", "the {}")),
         PromptFamily("job", ("nurse", "judge"), ("nurse", "judge"), ("a {}",)))  # fmt: skip
TEXTS = [text for family in ASKED for own in family.texts for text in own]
TYPES = [np.float16, np.float32, np.float64, np.int64, np.uint8, np.bool_, np.complex64, "U2", "S3", object, "M8[s]",
         ml_dtypes.bfloat16, np.dtype([("x", "f4")])]  # fmt: skip
ARRAYS = st.builds(
    lambda shape, kind, value: (
        np.full(shape, value).astype(kind) if np.dtype(kind).names is None else np.zeros(3, kind)
    ),
    st.one_of(st.just([3]), st.lists(st.integers(0, 4), max_size=3)),
    st.sampled_from(TYPES),
    st.sampled_from([0, 1, 200]),
)
USUAL = {text: np.linspace(-1, 1, 3) + number for number, text in enumerate(TEXTS)}
CHANGED = st.dictionaries(st.sampled_from(TEXTS) | st.text(max_size=4), st.none() | ARRAYS, max_size=3)
COLUMN = st.one_of(
    st.lists(st.lists(st.floats(width=32) | st.none(), min_size=2, max_size=3), min_size=6, max_size=6),
    st.lists(st.none() | st.integers(-3, 3) | st.text(max_size=3), min_size=6, max_size=6),
    st.just([[1.0, 2.0, 3.0]] * 6), st.just([[1, 2]] * 6), st.just([0.5] * 6),
)  # fmt: skip
COLUMNS = st.dictionaries(st.sampled_from(["text", "embedding", "emb_0", "emb_1", "model", ""]), COLUMN, max_size=4)
BROKEN = st.lists(st.tuples(st.integers(-900, 900), st.integers(0, 255)), max_size=4)
EMBEDDED = {
    "changed": CHANGED, "columns": COLUMNS, "twice": st.booleans(), "form": st.sampled_from(["npz", "parquet"]),
    "broken": st.one_of(st.just([]), st.just([]), BROKEN),
}  # fmt: skip


def any_texts(changed, columns, twice, form, broken):
    """Directions of one length for every text that is asked for, or one message."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"texts.{form}"
        if form == "parquet":
            usual = {"text": [*TEXTS], "embedding": [array.tolist() for array in USUAL.values()]}
            rows = {name: pa_column(values) for name, values in (usual | columns).items()}
            pq.write_table(pa.table({name: pa.concat_arrays([c, c]) if twice else c for name, c in rows.items()}), file)
        else:
            write_npz(file, {name: array for name, array in (USUAL | changed).items() if array is not None})
        damage(file, broken)
        with nothing_outside(Path(folder)):
            found = outcome(lambda: read_texts(file, ASKED))
        if found is not None:
            assert [array.shape[:2] for array in found] == [(2, 2), (2, 1)]
            assert len({array.shape[2:] for array in found}) == 1
            for array in found:
                np.testing.assert_allclose(np.linalg.norm(array, axis=-1), 1, atol=1e-5)


def pa_column(values: list) -> pa.Array:
    """A column of the values, as text where they are of several kinds."""
    try:
        return pa.array(values)
    except pa.ArrowException:
        return pa.array([None if value is None else str(value) for value in values])


def write_npz(file: Path, arrays: dict[str, np.ndarray]) -> None:
    """Arrays under any names, as `np.savez` does it."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            stream = io.BytesIO()
            np.save(stream, array, allow_pickle=True)
            archive.writestr(f"{name.encode(errors='replace').decode()}.npy", stream.getvalue())
