"""Files and folders of features: every form gives the same numbers, and what is wrong is told in one line."""

import json
import struct
import zipfile

import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from bias_jax.errors import InputError
from bias_jax.features import as_float32, block_rows, hold_features, needed_blocks, of_layers, open_features, values

ROWS = 11


@pytest.fixture
def arrays(rng):
    return {"block2": rng.normal(size=(ROWS, 6)).astype("f4"), "block10": rng.normal(size=(ROWS, 3)).astype("f4")}


def whole(features, layer, rows=None):
    """All blocks of a layer, joined, in float32."""
    layer = features.layers[layer]
    size = rows or block_rows(layer.shape)
    needed = np.ones(-(-layer.shape[0] // size), bool)
    return np.concatenate([as_float32(block) for _, block in layer.blocks(size, needed)])


def write_parquet(path, columns, rows=4):
    pq.write_table(pa.table(columns), path, row_group_size=rows)


def lists(array, kind=None):
    return pa.array(list(array), kind or pa.list_(pa.from_numpy_dtype(array.dtype)))


def write(form, folder, arrays):
    """Arrays in a form, and where they lie."""
    path, rows = folder / f"clip.{form}", len(next(iter(arrays.values())))
    if form == "npz":
        np.savez(path, **arrays)
    elif form == "compressed":
        path = folder / "clip.npz"
        np.savez_compressed(path, **arrays)
    elif form == "safetensors":
        save_file(arrays, path)
    elif form == "folder":
        path.mkdir()
        for name, array in arrays.items():
            np.save(path / f"{name}.npy", array)
    elif form == "columns first":
        path = folder / "clip.npz"
        np.savez(path, **{name: np.asfortranarray(array) for name, array in arrays.items()})
    elif form == "parquet":
        write_parquet(path, {name: lists(array) for name, array in arrays.items()})
    elif form == "fixed":
        path = folder / "clip.parquet"
        columns = {name: lists(array, pa.list_(pa.float32(), array.shape[1])) for name, array in arrays.items()}
        write_parquet(path, columns)
    elif form == "shards":
        path.mkdir()
        for i, start in enumerate((0, 4, 9)):
            own = {name: lists(array[start : (4, 9, rows)[i]]) for name, array in arrays.items()}
            write_parquet(path / f"train-{i:05d}-of-00003.parquet", own, 3)
    elif form == "numbered":
        path = folder / "clip.parquet"
        columns = {f"{name}_{i}": array[:, i] for name, array in arrays.items() for i in range(array.shape[1])}
        write_parquet(path, {"label": np.arange(rows), **columns})
    return path


FORMS = ("npz", "compressed", "safetensors", "folder", "columns first", "parquet", "fixed", "shards", "numbered")


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_numbers(form, arrays, tmp_path):
    """In the order of the numbers in the names; in blocks of any size, of which some are passed over."""
    features = open_features(write(form, tmp_path, arrays))
    assert list(features.layers) == ["block2", "block10"] and len(features) == ROWS and features.model == "clip"
    for name, array in arrays.items():
        for rows in (1, 2, 5, ROWS):
            np.testing.assert_array_equal(whole(features, name, rows), array)
        needed = needed_blocks(np.array([3, ROWS - 1]), ROWS, 2)
        found = dict(features.layers[name].blocks(2, needed))
        assert list(found) == [2, 10]
        np.testing.assert_array_equal(found[2], array[2:4])
        np.testing.assert_array_equal(found[10], array[10:])


@pytest.mark.parametrize("form", FORMS)
def test_layers_are_chosen_and_ordered(form, arrays, tmp_path):
    path = write(form, tmp_path, arrays)
    assert list(open_features(path, layers=["block10", "block2"]).layers) == ["block10", "block2"]
    assert list(of_layers(open_features(path), ["block10"]).layers) == ["block10"]
    with pytest.raises(InputError, match=r"clip.*has no layer 'late'. Way out: choose among 'block2', 'block10'"):
        open_features(path, layers=["late"])


def test_kinds_of_numbers(tmp_path):
    """What float32 holds is exact; bfloat16 is read from safetensors, whose reader is not the one that wrote them."""
    kinds = ("f2", "f4", ">f4", "f8", "i1", "u1", "i4", "u8", "?")
    arrays = {kind.strip(">") + str(i): np.arange(6).reshape(3, 2).astype(kind) for i, kind in enumerate(kinds)}
    np.savez(tmp_path / "x.npz", **arrays)
    features = open_features(tmp_path / "x.npz")
    for name, array in arrays.items():
        np.testing.assert_array_equal(whole(features, name), array.astype("f4"))
    assert features.notes == ("'f83': float64, rounded to float32",)
    brain = jnp.asarray([[1.5, -2.0], [0.1, 3.0]], jnp.bfloat16)
    from safetensors.flax import save_file as save_jax

    save_jax({"x": brain}, tmp_path / "x.safetensors")
    found = whole(open_features(tmp_path / "x.safetensors"), "x")
    np.testing.assert_array_equal(found, np.asarray(brain.astype(jnp.float32)))
    np.save(tmp_path / "x.npy", np.asarray(brain))  # NumPy loses its name
    with pytest.raises(InputError, match=r"layer 'x' holds numbers of type \|V2: bfloat16 from which NumPy has lost"):
        open_features(tmp_path / "x.npy")
    assert np.isinf(as_float32(np.array([[2**24 + 1, 1]])))[0, 0] and np.isinf(as_float32(np.array([1e300])))[0]


FAULTY = {
    "text": ({"x": np.array([["a"]])}, r"x\.npz: layer 'x' holds text"),
    "objects": ({"x": np.array([[{}]], object)}, r"layer 'x' holds Python objects, which are never unpickled"),
    "complex": ({"x": np.ones((2, 2), complex)}, r"layer 'x' holds complex numbers"),
    "tokens": ({"x": np.ones((2, 3, 4))}, r"layer 'x' has the shape \[2, 3, 4\], not \[N, D\].*mean or the first"),
    "channels first": ({"x": np.ones((2, 3, 7, 7))}, r"channels came first.*transpose\(0, 2, 3, 1\)"),
    "no features": ({"x": np.ones((2, 0))}, r"shape \[2, 0\]: no features"),
    "no rows": ({"x": np.ones((0, 2))}, r"shape \[0, 2\]: no rows"),
    "other rows": ({"x": np.ones((2, 2)), "y": np.ones((3, 2))}, r"layer 'y' has 3 rows, layer 'x' has 2"),
    "labels alone": ({"x": np.arange(3)}, r"holds no layer \(found: 'x'\)"),
    "one file": ({"a/b": np.ones((2, 2)), "a-b": np.ones((2, 2))}, r"'a/b' and 'a-b' differ in spaces and slashes"),
    "records": ({"x": np.zeros((2, 2), [("a", "f4")])}, r"layer 'x' holds records of several fields"),
}


@pytest.mark.parametrize("what", FAULTY)
def test_what_is_no_layer_is_told(what, tmp_path):
    arrays, message = FAULTY[what]
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(InputError, match=message):
        open_features(tmp_path / "x.npz")


def test_labels_and_names_beside_the_layers_are_left_alone(tmp_path):
    """Whatever cannot be read is no harm there, if nobody asks for it."""
    np.savez(tmp_path / "x.npz", x=np.ones((2, 2)), labels=np.arange(2), ids=np.array(["a", "b"]), scale=1.0,
             objects=np.array(["a", None], object))  # fmt: skip
    features = open_features(tmp_path / "x.npz")
    assert list(features.layers) == ["x"]
    assert features.notes[0] == "no layers, and not read: 'labels', 'ids', 'scale', 'objects'"
    with pytest.raises(InputError, match=r"layer 'labels' has the shape \[2\]"):
        open_features(tmp_path / "x.npz", layers=["labels"])
    with pytest.raises(InputError, match=r"array 'objects' is Python objects, which are never unpickled"):
        open_features(tmp_path / "x.npz", id_column="objects")


@pytest.mark.parametrize("form", ["npz", "compressed", "safetensors", "parquet"])
def test_files_that_are_cut_short(form, arrays, tmp_path):
    """Anywhere: refused when they are opened, or when they are read."""
    path = write(form, tmp_path, arrays)
    data = path.read_bytes()
    for end in (0, 5, 60, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:end])
        with pytest.raises(InputError, match="clip"):
            whole(open_features(path), "block2")


def test_damaged_and_encrypted_archives(arrays, tmp_path):
    path = write("npz", tmp_path, arrays)
    data = bytearray(path.read_bytes())
    place = data.find(arrays["block10"].tobytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"array 'block10' cannot be read \(Bad CRC-32"):
        whole(open_features(path), "block10", 4)
    data[data.find(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"array 'block2' is encrypted"):
        open_features(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("x.npy", b"x")
    with pytest.raises(InputError, match="packed in a way that is not read"):
        open_features(path)
    np.savez_compressed(path, x=np.asfortranarray(arrays["block2"]))
    with pytest.raises(InputError, match=r"column by column.*ascontiguousarray"):
        open_features(path)


@pytest.mark.parametrize(
    "header, message",
    [
        ({"x": {"dtype": "F8_E4M3", "shape": [1, 1], "data_offsets": [0, 1]}}, "is of type F8_E4M3"),
        ({"x": {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 4]}}, r"\[1, 2\] in F32 has 4 bytes"),
        ({"x": {"dtype": "F32", "shape": [1, 2], "data_offsets": [8, 16]}}, "has 0 bytes"),
        ({"x": {"dtype": "F32", "shape": [-1, -2], "data_offsets": [0, 8]}}, "no shape or place"),
        ({"x": 3}, "no readable .safetensors"),
        ([], "no readable .safetensors"),
    ],
)
def test_faulty_tensors(header, message, tmp_path):
    text = json.dumps(header).encode()
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))
    with pytest.raises(InputError, match=message):
        open_features(tmp_path / "x.safetensors")


def test_other_files_are_named(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n")
    (tmp_path / "x.pt").write_bytes(b"PK\x03\x04")
    (tmp_path / "empty").mkdir()
    for name, message in {"x.csv": "of a form", "x.pt": "a zip archive", "empty": "no .npy", "none": "no such"}.items():
        with pytest.raises(InputError, match=rf"{name}: .*{message}.*"):
            open_features(tmp_path / name)


def test_columns_of_parquet(tmp_path):
    """Numbers that are not numbered are labels, not features, unless they are named."""
    path = tmp_path / "x.parquet"
    write_parquet(path, {"age": [20, 30, 40], "x": [1.0, 2.0, 3.0], "y": [4, 5, 6], "f0": [1, 2, 3], "f1": [0, 1, 0],
                         "g3": [1, 1, 1], "name": ["a", "b", "c"]})  # fmt: skip
    features = open_features(path)
    assert list(features.layers) == ["f"] and "not read: 'age', 'x', 'y', 'g3', 'name'" in features.notes[0]
    assert features.notes[1] == "layer 'f' is 2 columns, 'f0' to 'f1'"
    named = open_features(path, columns=["x", "y"])
    np.testing.assert_array_equal(whole(named, "features"), [[1, 4], [2, 5], [3, 6]])
    with pytest.raises(InputError, match="holds no layer"):
        open_features(path, labels=["f1"])  # what is a label is no feature
    with pytest.raises(InputError, match="column 'name' holds no numbers"):
        open_features(path, columns=["x", "name"])
    with pytest.raises(InputError, match=r"column 'z' is missing \(found: age"):
        open_features(path, columns=["z"])


@pytest.mark.parametrize(
    "column, message",
    [
        ([[1.0, 2.0], [1.0], [3.0, 4.0]], "row 2: column 'x' has 1 numbers, not 2"),
        ([[1.0, 2.0], [1.0, 2.0], None], "row 3: column 'x' has no value"),
        ([[1.0, 2.0], [1.0, None], [3.0, 4.0]], "row 2: column 'x' holds a list with missing numbers"),
        ([[[1.0]], [[1.0]], [[3.0]]], "column 'x' holds lists of list"),
        ([["a"], ["b"], ["c"]], "column 'x' holds lists of string"),
        ([[], [], []], r"shape \[3, 0\]: no features"),
    ],
)
def test_faulty_lists(column, message, tmp_path):
    write_parquet(tmp_path / "x.parquet", {"x": pa.array(column, None if any(column) else pa.list_(pa.float32()))})
    with pytest.raises(InputError, match=message):
        whole(open_features(tmp_path / "x.parquet"), "x")


@pytest.mark.parametrize("form", ["npz", "folder", "parquet", "shards", "safetensors"])
def test_identifiers(form, arrays, tmp_path):
    """An array of that name, or a column of a CSV that is called as the features."""
    ids = np.array([f"img {i}" for i in range(ROWS)])
    path = write(form, tmp_path, arrays)
    (tmp_path / "clip.csv").write_text("who\n" + "".join(f"{i}\n" for i in ids))
    if form in ("npz", "folder"):
        path = write("npz", tmp_path, {**arrays, "who": ids}) if form == "npz" else path
        if form == "folder":
            np.save(path / "who.npy", ids)
        (tmp_path / "clip.csv").unlink()
    features = open_features(path, id_column="who")
    assert features.names == tuple(ids) and list(features.layers) == list(arrays)


def test_identifiers_that_are_none(arrays, tmp_path):
    for ids, message in (
        (["a"] * ROWS, r"'who' is 'a' in rows 0 and 1 \(from 0\)"),
        (["a", "b"], "'who' has 2 rows, the features have 11"),
        ([""] + [str(i) for i in range(ROWS - 1)], r"row 0 \(from 0\) has no 'who'"),
    ):
        path = write("npz", tmp_path, {**arrays, "who": np.array(ids)})
        with pytest.raises(InputError, match=message):
            open_features(path, id_column="who")
    with pytest.raises(InputError, match=r"has no 'name'.*beside it there is no clip\.csv"):
        open_features(path, id_column="name")


def test_arrays_that_are_there_already(arrays, tmp_path):
    """NumPy, JAX, mapped, nested lists."""
    np.save(tmp_path / "x.npy", arrays["block2"])
    given = {"numpy": arrays["block2"], "jax": jnp.asarray(arrays["block2"]), "list": arrays["block2"].tolist(),
             "mapped": np.load(tmp_path / "x.npy", mmap_mode="r")}  # fmt: skip
    features = hold_features(given)
    for name in given:
        np.testing.assert_array_equal(whole(features, name, 4), arrays["block2"])
    with pytest.raises(InputError, match=r"layer 'x' has the shape \[3\]"):
        hold_features({"x": np.ones(3)})


def test_blocks_do_not_depend_on_the_form(monkeypatch):
    assert block_rows((10**6, 1024)) == values.BLOCK_BYTES // 4096 and block_rows((3, 10**9)) == 1
    assert block_rows((5, 2)) == 5
