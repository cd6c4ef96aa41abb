"""State dicts with anything in them, weights files and checkpoints with anything changed."""

import functools
import io
import json
import shutil
import struct
import tempfile
from pathlib import Path

import ml_dtypes
import numpy as np
from hypothesis import strategies as st

from bias_jax.networks import Manifest, Transform, load_checkpoint, params_digest, save_checkpoint
from converters import convert
from converters.contents import NoNumbers
from converters.sources import read_content
from tests.converters.tiny import tiny_network, under
from tests.fuzz.runs import HOW, spoil
from tests.fuzz.watching import nothing_outside, outcome

with tiny_network() as TINY:
    pass
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
def contents(draw):
    """A state dict under a prefix and in mappings, with arrays taken away, changed and added."""
    arrays = dict(TINY)
    for key in draw(st.lists(st.sampled_from(sorted(TINY)), max_size=2)):
        arrays.pop(key, None)
    for key in draw(st.lists(st.sampled_from(sorted(TINY)), max_size=2)):
        arrays[key] = draw(VALUES)
    content = under(draw(PREFIXES), arrays)
    if draw(st.booleans()):
        content |= under(draw(PREFIXES), TINY)
    content |= draw(
        st.dictionaries(st.one_of(KEYS, st.sampled_from(["fc.1.weight", "queue", "n"])), NESTED, max_size=3)
    )
    for wrapper in draw(st.lists(PARTS, max_size=2)):
        content = {wrapper: content, **draw(st.dictionaries(KEYS, NESTED, max_size=2))}
    return content


STATE_DICTS = {
    "content": contents(),
    "take": st.one_of(st.none(), st.sampled_from([".", "", "module", "encoder_q", "a b"])),
    "ignore_extra": st.booleans(),
}


def any_state_dict(content, take, ignore_extra):
    with tiny_network():
        params = outcome(lambda: convert("tiny", content, take=take, ignore_extra=ignore_extra))
    if params is not None:
        for path in (("conv1", "kernel"), ("bn1", "mean"), ("bn1", "scale")):  # those of the body are there and sound
            array = np.asarray(params[path[0]][path[1]])
            assert array.dtype == np.float32 and np.isfinite(array).all()
        assert (np.asarray(params["bn1"]["var"]) >= 0).all()


BEGINNINGS = [b"", b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", b"\x08\x07\x12",
              struct.pack("<Q", 60) + b"{", struct.pack("<Q", 2) + b"{}"]  # fmt: skip
FILES = {"content": st.builds(lambda a, b: a + b, st.sampled_from(BEGINNINGS), st.binary(max_size=200))}


def any_weights_file(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights"
        path.write_bytes(content)
        with nothing_outside(Path(folder)):
            assert not outcome(lambda: read_content(path)) or content[8:10] == b"{}"


SAFETENSORS = {
    "places": st.none() | st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=3),
    "cut": st.integers(0),
    "ignore_extra": st.booleans(),
}


@functools.cache
def whole_safetensors() -> bytes:
    from safetensors.numpy import save

    return save(TINY)


def damaged_safetensors(places, cut, ignore_extra):
    """Bytes of the header changed, or the file cut: the shapes are still those of the names, or one message."""
    whole = bytearray(whole_safetensors())
    end = 8 + struct.unpack("<Q", whole[:8])[0]
    if places is None:
        del whole[cut % len(whole) :]
    else:
        for place, value in places:
            whole[place % end] = value
    with tempfile.TemporaryDirectory() as folder, tiny_network():
        path = Path(folder) / "damaged.safetensors"
        path.write_bytes(whole)
        with nothing_outside(Path(folder)):
            outcome(lambda: convert("tiny", read_content(path), ignore_extra=ignore_extra))


TORCH = {
    "zipped": st.booleans(),
    "places": st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=3),
    "cut": st.none() | st.integers(0),
    "ignore_extra": st.booleans(),
}


@functools.cache
def whole_torch(zipped: bool) -> bytes:
    import torch

    stream = io.BytesIO()
    tensors = {key: torch.from_numpy(array) for key, array in TINY.items()}
    torch.save({"state_dict": tensors, "epoch": 3}, stream, _use_new_zipfile_serialization=zipped)
    return stream.getvalue()


def damaged_torch(zipped, places, cut, ignore_extra):
    """Bytes changed, or the file cut."""
    whole = bytearray(whole_torch(zipped))
    for place, value in places:
        whole[place % len(whole)] = value
    if cut is not None:
        del whole[cut % len(whole) :]
    with tempfile.TemporaryDirectory() as folder, tiny_network():
        path = Path(folder) / "damaged.pth"
        path.write_bytes(whole)
        with nothing_outside(Path(folder)):
            outcome(lambda: convert("tiny", read_content(path), ignore_extra=ignore_extra))


@functools.cache
def checkpoint() -> dict[str, bytes]:
    """Files of a checkpoint."""
    with tempfile.TemporaryDirectory() as folder, tiny_network() as weights:
        params, root = convert("tiny", weights), Path(folder) / "tiny"
        manifest = Manifest(
            network="tiny", classes=3, weights="custom", source="x.pth", source_sha256="0",
            params_sha256=params_digest(params), transform=Transform(8, 8), accuracy=(1.0, 2.0), changes=("one",),
        )  # fmt: skip
        save_checkpoint(root, params, manifest)
        assert load_checkpoint(root)[1] == manifest
        return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


CHECKPOINTS = {"how": HOW, "file": st.integers(0), "only_manifest": st.booleans()}


def any_checkpoint(how, file, only_manifest):
    """One of another network, classes or digest is refused; texts may be any."""
    files = checkpoint()
    name = "manifest.json" if only_manifest else sorted(files)[file % len(files)]
    with tempfile.TemporaryDirectory() as folder, tiny_network():
        for other, content in files.items():
            (Path(folder) / "c" / other).parent.mkdir(parents=True, exist_ok=True)
            (Path(folder) / "c" / other).write_bytes(content)
        spoil(Path(folder) / "c" / name, how)
        with nothing_outside(Path(folder)):
            found = outcome(lambda: load_checkpoint(Path(folder) / "c"))
        if found is not None:
            params, manifest = found
            t = manifest.transform
            texts = manifest.weights, manifest.source, *manifest.changes
            assert manifest.classes == 3 and all(isinstance(text, str) for text in texts)
            assert t.resize > 0 and t.crop > 0 and len(t.mean) == len(t.std) == 3 and min(t.std) > 0
            assert manifest.accuracy is None or len(manifest.accuracy) in (1, 2)  # top-5 is not published everywhere
            assert params_digest(params) == json.loads(files["manifest.json"])["params_sha256"]
            shutil.rmtree(Path(folder) / "c")
