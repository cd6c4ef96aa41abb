"""Whatever a file holds: a network, or one message."""

import json
import struct
from contextlib import suppress

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bias_jax.errors import InputError
from bias_jax.networks import Manifest, Transform, load_checkpoint, params_digest, save_checkpoint
from converters import convert
from converters.contents import NoNumbers
from converters.sources import read_content
from tests.converters.conftest import floats, under

numpy_safetensors = pytest.importorskip("safetensors.numpy")

PARTS = st.sampled_from(["module", "_orig_mod", "model", "encoder_q", "fc", "conv1", "layer1", "0", "a b", "é", "\x1b"])
PREFIXES = st.lists(PARTS, max_size=4).map(lambda parts: "".join(f"{part}." for part in parts))
TYPES = [np.float16, np.float32, np.float64, np.int64, np.int8, np.bool_, np.complex64, "U2", object,
         ml_dtypes.bfloat16, ml_dtypes.float8_e5m2, ml_dtypes.int4]  # fmt: skip
ARRAYS = st.builds(
    lambda shape, dtype, value: np.full(shape, value).astype(dtype),
    st.lists(st.integers(0, 4), max_size=4),
    st.sampled_from(TYPES),
    st.sampled_from([0.0, 1.0]),
)
VALUES = st.one_of(
    ARRAYS, st.none(), st.integers(), st.floats(), st.text(max_size=3), st.builds(NoNumbers, st.just("odd")),
    st.lists(ARRAYS, max_size=2),
)  # fmt: skip
KEYS = st.one_of(st.text(max_size=6), st.integers(), st.none(), st.tuples(st.integers()))
NESTED = st.recursive(VALUES, lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=6)


@st.composite
def contents(draw, tiny):
    """A state dict under a prefix and in mappings, with arrays taken away, changed and added."""
    arrays = dict(tiny)
    for key in draw(st.lists(st.sampled_from(sorted(tiny)), max_size=2)):
        arrays.pop(key, None)
    for key in draw(st.lists(st.sampled_from(sorted(tiny)), max_size=2)):
        arrays[key] = draw(VALUES)
    content = under(draw(PREFIXES), arrays)
    if draw(st.booleans()):
        content |= under(draw(PREFIXES), tiny)
    content |= draw(
        st.dictionaries(st.one_of(KEYS, st.sampled_from(["fc.1.weight", "queue", "n"])), NESTED, max_size=3)
    )
    for wrapper in draw(st.lists(PARTS, max_size=2)):
        content = {wrapper: content, **draw(st.dictionaries(KEYS, NESTED, max_size=2))}
    return content


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_contents_of_any_kind(tiny, data):
    take = data.draw(st.one_of(st.none(), st.sampled_from([".", "", "module", "encoder_q", "a b"])))
    try:
        params = convert("tiny", data.draw(contents(tiny)), take=take, ignore_extra=data.draw(st.booleans()))
    except InputError as error:
        assert str(error).isprintable()
        return
    for path in (("conv1", "kernel"), ("bn1", "mean"), ("bn1", "scale")):  # those of the body are there and sound
        array = np.asarray(params[path[0]][path[1]])
        assert array.dtype == np.float32 and np.isfinite(array).all()
    assert (np.asarray(params["bn1"]["var"]) >= 0).all()


@given(PREFIXES, st.sampled_from(["loss.weight", "queue", "head.0.bias"]), st.booleans())
@settings(max_examples=50, deadline=None)
def test_no_array_is_dropped_in_silence(tiny, prefix, extra, ignore):
    content = {**under(prefix, tiny), extra: floats(3)}
    if not ignore:
        with pytest.raises(InputError, match=f"{extra} is not part of tiny"):
            convert("tiny", content)
    params = convert("tiny", content, ignore_extra=True)
    assert (np.asarray(params["layer1"][1]["kernel"])[0, 0] == tiny["layer1.1.weight"][:, :, 0, 0].T).all()


@given(st.one_of(st.binary(max_size=200), st.builds(lambda a, b: a + b, st.sampled_from(
    [b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", b"\x08\x07\x12", struct.pack("<Q", 60) + b"{"]),
    st.binary(max_size=200))))  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_files_of_random_bytes(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "random"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_content(path)
    assert str(path) in str(caught.value) and "Way out: " in str(caught.value)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_safetensors(tmp_path_factory, tiny, data):
    """Bytes of the header changed, or the file cut: the shapes are still those of the names, or one message."""
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    whole = bytearray(numpy_safetensors.save(tiny))
    end = 8 + struct.unpack("<Q", whole[:8])[0]
    if data.draw(st.booleans()):
        del whole[data.draw(st.integers(0, len(whole) - 1)) :]
    else:
        for place in data.draw(st.lists(st.integers(0, end - 1), min_size=1, max_size=3)):
            whole[place] = data.draw(st.integers(0, 255))
    path.write_bytes(whole)
    with suppress(InputError):
        convert("tiny", read_content(path), ignore_extra=data.draw(st.booleans()))


@pytest.fixture(scope="module")
def manifest(tiny, tmp_path_factory):
    params = convert("tiny", tiny)
    whole = Manifest(
        network="tiny", classes=3, weights="custom", source="x.pth", source_sha256="0",
        params_sha256=params_digest(params), transform=Transform(8, 8), accuracy=(1.0, 2.0), changes=("one",),
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    save_checkpoint(folder, params, whole)
    assert load_checkpoint(folder)[1] == whole
    return folder / "manifest.json", json.loads((folder / "manifest.json").read_text())


JSON = st.one_of(st.none(), st.booleans(), st.integers(-2, 300), st.floats(), st.text(max_size=3),
                 st.lists(st.one_of(st.integers(0, 2), st.text(max_size=2)), max_size=3), st.just({}))  # fmt: skip


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_manifests_with_other_values(manifest, data):
    """One of another network, classes or digest is refused; texts may be any."""
    path, fields = manifest
    field, value = data.draw(st.sampled_from([*sorted(fields), "more"])), data.draw(JSON)
    changed = {**fields, field: value}
    if data.draw(st.booleans()) and field != "transform":
        changed = {
            **fields,
            "transform": {**fields["transform"], data.draw(st.sampled_from(sorted(fields["transform"]))): value},
        }
    path.write_text(json.dumps(changed))
    try:
        _, found = load_checkpoint(path.parent)
    except InputError:
        return
    t = found.transform
    assert found.classes == 3 and all(isinstance(text, str) for text in (found.weights, found.source, *found.changes))
    assert t.resize > 0 and t.crop > 0 and len(t.mean) == len(t.std) == 3 and min(t.std) > 0
    assert found.accuracy is None or len(found.accuracy) == 2


@given(st.one_of(st.binary(max_size=60), st.just(b"[" * 100_000), st.just(b"{}"), st.just(b"[1]"), st.just(b'"x"')))
@settings(max_examples=40, deadline=None)
def test_manifests_that_are_none(manifest, content):
    path, _ = manifest
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged manifest"):
        load_checkpoint(path.parent)
