"""Arrays come back as they were, in small files that any Arrow library opens."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bias_jax.results import read_arrays, write_arrays

KINDS = ("?", "i1", "u1", "i4", "u4", "i8", "u8", "f2", "f4", "f8")


@settings(max_examples=60, deadline=None)
@given(data=st.data(), kind=st.sampled_from(KINDS))
def test_every_kind_of_number_comes_back(data, kind, tmp_path_factory):
    shape = data.draw(arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    given_array = data.draw(arrays.arrays(np.dtype(kind), shape))
    path = tmp_path_factory.mktemp("a") / "x.arrow"
    write_arrays(path, {"x": given_array})
    found = read_arrays(path)["x"]
    assert found.dtype == given_array.dtype and found.shape == given_array.shape
    np.testing.assert_array_equal(found, given_array)


def test_text_of_any_shape_and_several_arrays(tmp_path):
    given_arrays = {"names": np.array([["a", "größer"], ["", "x\n"]]), "one": np.array(3), "none": np.zeros((0, 3))}
    write_arrays(tmp_path / "x.arrow", given_arrays)
    found = read_arrays(tmp_path / "x.arrow")
    assert list(found) == list(given_arrays)
    for name, array in given_arrays.items():
        assert found[name].dtype == array.dtype and found[name].tolist() == array.tolist()
    found["one"] += 1  # what is read may be changed


def test_small_integers_take_little_room_and_equal_arrays_equal_bytes(tmp_path, rng):
    classes = rng.integers(0, 126, 100_000).astype(np.int32)
    write_arrays(tmp_path / "a.arrow", {"x": classes})
    write_arrays(tmp_path / "b.arrow", {"x": classes.copy()})
    assert (tmp_path / "a.arrow").read_bytes() == (tmp_path / "b.arrow").read_bytes()
    assert (tmp_path / "a.arrow").stat().st_size < 1.05 * classes.size  # a byte each
    negative = np.array([-1, 200], np.int64)
    write_arrays(tmp_path / "c.arrow", {"x": negative})
    np.testing.assert_array_equal(read_arrays(tmp_path / "c.arrow")["x"], negative)


def test_any_arrow_library_opens_it(tmp_path):
    write_arrays(tmp_path / "x.arrow", {"a": np.arange(6.0).reshape(2, 3)})
    with pa.memory_map(str(tmp_path / "x.arrow")) as source:
        frame = pa.ipc.open_file(source).read_all().to_pandas()
    assert isinstance(frame, pd.DataFrame) and frame["a"][0].tolist() == [0, 1, 2, 3, 4, 5]


def test_objects_are_refused(tmp_path):
    with pytest.raises(TypeError, match="'x' is of type object"):
        write_arrays(tmp_path / "x.arrow", {"x": np.array([None, 1], object)})
