"""Tables of pictures in parquet files, as the Hugging Face hub has them."""

import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bias_jax.audit import RunConfig
from bias_jax.data import embedded_images
from bias_jax.errors import InputError
from experiments.datasets import DataConfig, read_faces
from tests.data.test_fairface_places import picture
from tests.data.test_parquet_copies import images, table

NAMES = {"smile": ["no", "yes"]}
COUNT = 4


def columns(**others) -> dict:
    """Four pictures with a class by number, text, and yes or no."""
    return {"image": images(path=True), "smile": [1, 0, 1, 0], "city": ["Rome", "Oslo", "Oslo", "Rome"],
            "hat": [True, False, None, True], "score": [0.1, 0.2, 0.3, 0.4]} | others  # fmt: skip


def read(given, attributes=("smile", "city"), **options):
    config = DataConfig(data="table", table=str(given), attributes=attributes, **options)
    return read_faces(config, RunConfig())


def labels(faces, name):
    attribute = next(a for a in faces.attributes if a.name == name)
    return [attribute.categories[code] for code in faces.labels[name]]


def bytes_of(faces):
    return [faces.read_bytes(i) for i in range(len(faces))]


EXPECTED = [picture(10 + i) for i in range(COUNT)]


def test_classes_text_and_pictures(tmp_path):
    """Numbers are called by their names; images are bytes of the rows, called by their paths."""
    pq.write_table(table(columns(), NAMES), tmp_path / "x.parquet", row_group_size=3)
    faces = read(tmp_path / "x.parquet")
    assert faces.image_names == ("1.jpg", "2.jpg", "3.jpg", "4.jpg") and faces.rows == (1, 2, 3, 4)
    assert labels(faces, "smile") == ["yes", "no", "yes", "no"] and labels(faces, "city") == columns()["city"]
    assert bytes_of(faces) == EXPECTED
    hats = read(tmp_path / "x.parquet", ("hat",), missing="drop")
    assert labels(hats, "hat") == ["True", "False", "True"] and bytes_of(hats) == [EXPECTED[i] for i in (0, 1, 3)]
    with pytest.raises(InputError, match=r"x\.parquet: row 3: hat is missing"):
        read(tmp_path / "x.parquet", ("hat",))


def test_a_class_of_no_name_is_a_number_and_minus_one_is_missing(tmp_path):
    pq.write_table(table(columns(smile=[1, -1, 1, 0]), {}), tmp_path / "x.parquet")
    assert labels(read(tmp_path / "x.parquet"), "smile") == ["1", "-1", "1", "0"]
    pq.write_table(table(columns(smile=[1, -1, 1, 0]), NAMES), tmp_path / "x.parquet")
    with pytest.raises(InputError, match="row 2: smile is missing"):
        read(tmp_path / "x.parquet")


def test_shards(tmp_path):
    """A folder, or files parted by commas; of a folder all must be there. Rows without paths are numbered."""
    whole = columns(image=images())
    for i in range(2):
        part = {name: values[2 * i : 2 * i + 2] for name, values in whole.items()}
        pq.write_table(table(part, NAMES), tmp_path / f"train-0000{i}-of-00002.parquet", row_group_size=1)
    for given in (tmp_path, ", ".join(str(tmp_path / f"train-0000{i}-of-00002.parquet") for i in range(2))):
        faces = read(given)
        assert faces.image_names == ("row 1", "row 2", "row 3", "row 4") and bytes_of(faces) == EXPECTED
    (tmp_path / "train-00001-of-00002.parquet").rename(tmp_path / "train-00001-of-00003.parquet")
    with pytest.raises(InputError, match="shards of several data sets"):
        read(tmp_path)
    pq.write_table(table({"image": images(), "smile": [1] * 4, "city": [b"x"] * 4}), tmp_path / "other.parquet")
    with pytest.raises(InputError, match=r"other\.parquet: has other columns or types than train-00000"):
        read(f"{tmp_path}/train-00000-of-00002.parquet,{tmp_path}/other.parquet")


@pytest.mark.parametrize("held", [0, 10**9])
def test_little_room_reads_groups_again(tmp_path, monkeypatch, held):
    """In any order, with room for one group of rows or for all."""
    monkeypatch.setattr(embedded_images, "HELD", held)
    pq.write_table(table(columns(), NAMES), tmp_path / "x.parquet", row_group_size=2)
    faces = read(tmp_path / "x.parquet")
    order = [3, 0, 2, 1, 3, 0]
    assert [faces.read_bytes(i) for i in order] == [EXPECTED[i] for i in order]


def test_paths_in_the_place_of_bytes(tmp_path):
    """Text, or the hub's pairs without bytes: files beside the table."""
    for i in range(COUNT):
        (tmp_path / f"{i}.png").write_bytes(EXPECTED[i])
    paths = [f"{i}.png" for i in range(COUNT)]
    pairs = [{"bytes": None, "path": path} for path in paths]
    for name, column in {"file": paths, "image": pairs}.items():
        given = {key: values for key, values in columns().items() if key != "image"} | {name: column}
        pq.write_table(table(given, NAMES), tmp_path / "x.parquet")
        faces = read(tmp_path / "x.parquet")
        assert faces.image_names == tuple(paths) and bytes_of(faces) == EXPECTED
    (tmp_path / "2.png").unlink()
    with pytest.raises(InputError, match=r"x\.parquet: row 3: image '2\.png' is listed but absent"):
        read(tmp_path / "x.parquet")


def test_the_column_of_images(tmp_path):
    """The only one there is, or the one that is named; nothing else will do."""
    both = columns(crop=EXPECTED)
    pq.write_table(table(both, NAMES), tmp_path / "x.parquet")
    with pytest.raises(InputError, match=r"columns 'image' and 'crop' may hold images.*--image-column"):
        read(tmp_path / "x.parquet")
    faces = read(tmp_path / "x.parquet", image_column="crop")
    assert bytes_of(faces) == EXPECTED and faces.image_names[0] == "row 1"
    faulty = {"none": r"column 'none' is missing \(found: image", "score": "holds no images or paths, but double"}
    for column, message in faulty.items():
        with pytest.raises(InputError, match=message):
            read(tmp_path / "x.parquet", image_column=column)
    del both["image"], both["crop"]
    pq.write_table(table(both, NAMES), tmp_path / "x.parquet")
    with pytest.raises(InputError, match="no column holds images"):
        read(tmp_path / "x.parquet")


def test_what_is_told(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(table(columns(image=[*images()[:3], None]), NAMES), path)
    with pytest.raises(OSError, match="holds no image bytes"):
        read(path).read_bytes(3)
    for options, message in (
        ({"attributes": ("age",)}, r"column 'age' is missing \(found: image, smile"),
        ({"data_dir": str(tmp_path)}, "holds the images themselves"),
        ({"encoding": "cp1252"}, "for CSVs"),
    ):
        with pytest.raises(InputError, match=message):
            read(path, **options)
    days = [datetime.date(2020, 1, 1 + i) for i in range(COUNT)]
    pq.write_table(table(columns(day=days), NAMES), path)
    assert labels(read(path, ("day",)), "day")[0] == "2020-01-01"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match="cannot be read as parquet"):
        read(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="a folder without parquet files"):
        read(tmp_path / "empty")


def test_labels_of_features(tmp_path):
    """A table without images, for features that were computed elsewhere."""
    np.savez(tmp_path / "x.npz", late=np.eye(COUNT), who=np.array(list("abcd")))
    pq.write_table(pa.table({"who": list("dcba"), "city": columns()["city"]}), tmp_path / "labels.parquet")
    from experiments.datasets import read_features

    config = DataConfig(features=str(tmp_path / "x.npz"), table=str(tmp_path / "labels.parquet"),
                        attributes=("city",), id_column="who")  # fmt: skip
    features = read_features(config, RunConfig())
    faces = read_faces(config, RunConfig(), features=features)
    assert faces.image_names == tuple("abcd") and labels(faces, "city") == columns()["city"][::-1]
    with pytest.raises(InputError, match="--features has no pictures, which this command needs"):
        read_faces(config, RunConfig())
    faulty = {"id_column": ("", "x", "--id-column and --feature-columns are for --features"),
              "data_dir": ("x.npz", "y", "are for pictures, not for --features")}  # fmt: skip
    for option, (given, value, message) in faulty.items():
        with pytest.raises(InputError, match=message):
            DataConfig(data="table", features=given, table="t.csv", attributes=("city",), **{option: value})
    with pytest.raises(InputError, match="--features is for --data table"):
        DataConfig(data="fairface", data_dir="x", features="x.npz")
