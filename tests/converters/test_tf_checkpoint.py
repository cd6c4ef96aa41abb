"""TensorFlow's checkpoints: one that TensorFlow wrote, many that a writer of these tests did, and damaged ones."""

import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bias_jax.errors import InputError
from converters.contents import NoNumbers
from converters.crc32c import crc32c, masked
from converters.tf_checkpoint import LazyArray, index_of, is_tensorflow, read_tf_checkpoint
from tests.converters import tensorflow_files as files

# Written by tf.compat.v1.train.Saver(sharded=True) of TensorFlow 2.21: an iGPT of two blocks, beside what an optimizer
# and others leave in such files.
REAL = Path(__file__).parents[1] / "reference/tensorflow"


def written(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Values of the file that TensorFlow wrote."""
    return np.random.default_rng([*name.encode()]).standard_normal(shape).astype(np.float32)


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(0)
    names = [f"model/h{i}/{leaf}" for i in range(12) for leaf in ("attn/q_proj", "ln_1/g")]
    found = {name: rng.standard_normal((2, 3) if "proj" in name else (5,)).astype(np.float32) for name in names}
    return found | {
        "global_step": np.array(7),
        "rate": np.array(0.1),
        "model/empty": np.zeros((0, 2), np.float32),
        "one": np.float32(1.5),
    }


def test_the_file_that_tensorflow_wrote():
    found = read_tf_checkpoint(REAL)
    assert index_of(REAL).name == "model.ckpt-1000000.index" and len(found) == 26
    assert set(found) == {"cut", "empty", "global_step", "scalar", "model/wte/adam_m"} | {
        f"model/{name}" for name in ("sos", "wpe", "wte", "wtet", "ln_f/g")
    } | {f"model/h{i}/{leaf}" for i in range(2) for leaf in (
        "attn/c_proj", "attn/k_proj", "attn/q_proj", "attn/v_proj", "ln_1/g", "ln_2/g", "mlp/c_fc/w", "mlp/c_proj/w"
    )}  # fmt: skip
    for name in found:
        if name.startswith("model/"):
            assert np.array_equal(found[name], written(name, found[name].shape)), name
    assert found["model/h1/mlp/c_proj/w"].shape == (16, 4) and found["empty"].shape == (0, 3)
    assert np.asarray(found["empty"]).shape == (0, 3)
    assert found["scalar"].shape == () and np.asarray(found["scalar"]) == 1.5
    assert np.asarray(found["scalar"], np.float64).dtype == np.float64
    assert isinstance(found["model/sos"], LazyArray) and found["model/sos"].dtype == np.float32
    assert found["global_step"].dtype == np.int64 and np.asarray(found["global_step"]) == 1_000_000
    assert found["cut"] == NoNumbers("cut into parts, which are not put together", (4, 3))


@pytest.mark.parametrize("shards", [1, 4])
@pytest.mark.parametrize("options", [{"every": 1}, {"every": 16, "a_block": 3}])
def test_what_was_written_is_read(arrays, shards, options, tmp_path):
    index = files.write_checkpoint(tmp_path, arrays, shards, **options)
    data = index.with_name(f"model.ckpt-7.data-00000-of-{shards:05d}")
    for path in (index, tmp_path, data, index.with_suffix(""), index.with_suffix(".meta")):
        assert is_tensorflow(path)
        found = read_tf_checkpoint(path)
        assert set(found) == set(arrays)
    for name, array in arrays.items():
        if array.dtype == np.float64:
            assert found[name] == NoNumbers("of TensorFlow's type 2, which is not read")
        else:
            assert np.array_equal(found[name], array) and np.asarray(found[name]).dtype == array.dtype
    assert not is_tensorflow(tmp_path / "other") and not is_tensorflow(tmp_path.parent)


def test_only_what_is_asked_for_is_read(arrays, tmp_path):
    index = files.write_checkpoint(tmp_path, arrays, shards=2)
    (tmp_path / "model.ckpt-7.data-00001-of-00002").unlink()
    found = read_tf_checkpoint(index)
    there = sorted(arrays)[0::2]
    assert all(np.array_equal(found[name], arrays[name]) for name in there if arrays[name].dtype == np.float32)
    with pytest.raises(InputError, match=r"data-00001-of-00002: a part of the checkpoint cannot be read.*Way out"):
        np.asarray(found[sorted(arrays)[1]])


DAMAGE = {
    "cut off": (lambda d: d[:-3], r"is cut off: array 'model/h9/attn/q_proj' ends at byte \d+ of \d+"),
    "a changed bit": (lambda d: d[:50] + bytes([d[50] ^ 1]) + d[51:], "the checksum of array 'model/.*' is another"),
    "empty": (lambda d: b"", "is cut off"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_data(kind, tmp_path):
    arrays = {f"model/h{i}/attn/q_proj": np.full((2, 3), i, np.float32) for i in range(12)}
    damage, said = DAMAGE[kind]
    index = files.write_checkpoint(tmp_path, arrays, shards=1)
    data = index.with_name("model.ckpt-7.data-00000-of-00001")
    data.write_bytes(damage(data.read_bytes()))
    found = read_tf_checkpoint(index)
    with pytest.raises(InputError, match=f"^{re.escape(str(data))}: .*{said}.*Way out: download or copy"):
        [np.asarray(found[name]) for name in arrays]


def test_other_forms_are_refused(arrays, tmp_path):
    index = files.write_checkpoint(tmp_path, arrays)
    whole = index.read_bytes()

    def refused(content: bytes, said: str) -> None:
        index.write_bytes(content)
        with pytest.raises(InputError, match=f"{re.escape(str(index))}: .*{said}.*Way out"):
            np.asarray(read_tf_checkpoint(index)["x"])

    header, one = files.field(1, 1), (1, (2,), 0, 0, 8, 0)
    refused(files.table([(b"", header)], packing=1), r"compressed \(type 1\)")
    refused(files.table([(b"", header + files.field(2, 1))]), "numbers begin with the highest byte")
    refused(files.table([(b"x", files.entry(*one))]), "damaged index")  # without a header
    refused(files.table([(b"", header), (b"x", files.entry(1, (3,), 0, 0, 8, 0))]), r"8 bytes for shape \(3,\)")
    refused(files.table([(b"", header), (b"x", files.entry(1, (2,), 1, 0, 8, 0))]), "into part 1 of 1")
    (tmp_path / "model.ckpt-7.data-00000-of-00001").write_bytes(b"")
    refused(files.table([(b"", header), (b"x", files.entry(1, (0, 2**62), 0, 0, 0, files.crc(b"")))]), "has shape")
    refused(whole[:-1], "its end is missing")
    refused(b"", "its end is missing")
    refused(whole[:20] + bytes([whole[20] ^ 4]) + whole[21:], "checksum of a block")
    index.unlink()
    with pytest.raises(InputError, match="the index of the TensorFlow checkpoint is not there"):
        read_tf_checkpoint(index)
    with pytest.raises(InputError, match="holds 0 indices"):
        read_tf_checkpoint(tmp_path)
    for name in ("a.index", "b.index"):
        (tmp_path / name).write_bytes(whole)
    with pytest.raises(InputError, match=r"holds 2 indices.*give the one that ends in \.index"):
        read_tf_checkpoint(tmp_path)


@pytest.mark.parametrize("length", [0, 1, 3, 4, 5, 63, 64, 65, 129, 1000, 4096, 5001])
def test_checksum(length):
    data = np.random.default_rng(length).integers(0, 256, length).astype(np.uint8).tobytes()
    assert masked(crc32c(data)) == files.crc(data)
    assert masked(crc32c(np.frombuffer(data, np.uint8))) == files.crc(data)


def all_or_said(index: Path) -> None:
    """Everything can be read, or one message says why not."""
    try:
        found = read_tf_checkpoint(index)
        for name in found:
            assert isinstance(found[name], NoNumbers) or np.asarray(found[name]).dtype == found[name].dtype
    except InputError as error:
        assert "Way out" in str(error)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_anything_changed_in_the_files_is_said(data):
    with tempfile.TemporaryDirectory() as folder:
        for path in REAL.iterdir():
            shutil.copy(path, folder)
        target = data.draw(st.sampled_from(sorted(Path(folder).iterdir())))
        content = bytearray(target.read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            place = data.draw(st.integers(0, len(content) - 1))
            content[place : place + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
        target.write_bytes(bytes(content))
        all_or_said(next(Path(folder).glob("*.index")))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=40)), max_size=12), st.binary(max_size=8),
       st.integers(1, 5))  # fmt: skip
def test_any_table_with_right_checksums_is_said(entries, header, a_block):
    """Messages of any bytes: what the checksums let through must not get further either."""
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "m.index"
        (index.with_name("m.data-00000-of-00001")).write_bytes(bytes(range(64)))
        index.write_bytes(files.table([(b"", files.field(1, 1) + header), *entries], a_block))
        all_or_said(index)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 20), st.lists(st.integers(0, 2**70), max_size=4), *(st.integers(0, 2**70) for _ in range(3)))
def test_any_entry_is_said(kind, shape, shard, offset, size):
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "m.index"
        (index.with_name("m.data-00000-of-00001")).write_bytes(bytes(64))
        row = files.entry(kind, tuple(shape), shard, offset, size, files.crc(bytes(size % 65)))
        index.write_bytes(files.table([(b"", files.field(1, 1)), (b"x", row)]))
        all_or_said(index)
