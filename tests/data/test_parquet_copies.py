"""FairFace's parquet files as the hub and its copies have them: whole, or an error that says what is missing."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bias_jax.data import LabelRules, read_fairface
from bias_jax.data.checking import OFFICIAL
from bias_jax.data.decoding import decode
from bias_jax.errors import InputError
from tests.data.test_fairface_places import picture
from tests.data.test_forms import HUB
from tests.data.test_stores import hub_cache

LABELS = {"race": ["Indian", "White", "Black", "East Asian"], "age": ["3-9", "0-2", "more than 70", "20-29"],
          "gender": ["Male", "Female", "Female", "Male"]}  # fmt: skip


def numbers() -> dict:
    return {name: [HUB[name].index(text) for text in texts] for name, texts in LABELS.items()}


def images(first: int = 10, path: bool = False) -> list[dict]:
    return [{"bytes": picture(first + i), "path": f"{i + 1}.jpg" if path else None} for i in range(4)]


def table(columns: dict, names: dict | None = HUB) -> pa.Table:
    found = pa.table(columns)
    if names is not None:
        features = {name: {"names": texts, "_type": "ClassLabel"} for name, texts in names.items()}
        found = found.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    return found


def labelled(columns: dict, names: dict | None = HUB) -> pa.Table:
    return table({"image": images()} | columns, names)


def write(path, found: pa.Table | None = None):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(labelled(numbers()) if found is None else found, path)
    return path


def shards(folder, split="train", total=2, first=10, suffix="-4a1f"):
    whole = table({"image": images(first)} | numbers())
    for i in range(total):
        part = whole[4 * i // total : 4 * (i + 1) // total]
        write(folder / f"{split}-{i:05d}-of-{total:05d}{suffix}.parquet", part)
    return folder


def check(faces, first=10, splits=("train",)):
    assert faces.image_names == tuple(f"{split}/{i}.jpg" for split in splits for i in (1, 2, 3, 4))
    for attribute in faces.attributes:
        found = [attribute.categories[n] for n in faces.labels[attribute.name]]
        assert found == LABELS[attribute.name] * len(splits)
    assert [int(decode(faces.read_bytes(i))[0, 0, 0]) for i in range(4)] == [first + i for i in range(4)]


def names_of_the_hub(root):
    shards(shards(root), "validation", 1)


def without_hashes(root):
    shards(shards(root, suffix=""), "validation", 1, suffix="")


def in_data(root):
    shards(shards(root / "data", total=4), "validation", 2)


def in_a_paddings_data(root):
    shards(shards(root / "0.25/data"), "validation")


def converted_by_the_hub(root):
    write(root / "0.25/train/0000.parquet", table({"image": images()[:3]} | {k: v[:3] for k, v in numbers().items()}))
    write(root / "0.25/train/0001.parquet", table({"image": images()[3:]} | {k: v[3:] for k, v in numbers().items()}))
    write(root / "0.25/validation/0000.parquet")


def one_file_a_split(root):
    write(root / "train.parquet")
    write(root / "val.parquet")


def cached_by_the_hub(root):
    shards(shards(root / "made"), "validation", 1)
    files = {f"data/{path.name}": path.read_bytes() for path in (root / "made").iterdir()}
    hub_cache(root, files)
    for path in (root / "made").iterdir():
        path.unlink()


def with_other_files(root):
    names_of_the_hub(root)
    for name in ("README.md", ".gitattributes", "dataset_infos.json", "._train-00000-of-00002-4a1f.parquet"):
        (root / name).write_text("x")
    write(root / "statistics.parquet", pa.table({"x": [1]}))


LAYOUTS = (names_of_the_hub, without_hashes, in_data, in_a_paddings_data, converted_by_the_hub, one_file_a_split,
           cached_by_the_hub, with_other_files)  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_layouts(tmp_path, layout):
    layout(tmp_path)
    check(read_fairface(tmp_path))
    check(read_fairface(tmp_path, splits="both"), splits=("train", "val"))


def test_the_cache_from_every_folder_of_it(tmp_path):
    cached_by_the_hub(tmp_path)
    snapshot = next((tmp_path / "datasets--somebody--faces/snapshots").iterdir())
    for path in (snapshot.parents[1], snapshot, snapshot / "data"):
        check(read_fairface(path))
    next((snapshot / "data").glob("train-00001*")).resolve().unlink()  # a download that was interrupted
    with pytest.raises(InputError, match=r"missing: train-00001-of-00002"):
        read_fairface(snapshot)


def test_two_revisions_in_the_cache_are_refused(tmp_path):
    cached_by_the_hub(tmp_path)
    repository = tmp_path / "datasets--somebody--faces"
    shards(repository / "snapshots/5b2e/data")
    with pytest.raises(InputError, match="more than once: in snapshots/4a1f/data and in snapshots/5b2e/data"):
        read_fairface(repository)
    check(read_fairface(repository / "snapshots/5b2e"))


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    shards(tmp_path / "elsewhere")
    (tmp_path / "in").mkdir()
    for path in (tmp_path / "elsewhere").iterdir():
        (tmp_path / "in" / path.name).symlink_to(path)
    with pytest.raises(InputError, match=r"in: train-00000-of-00002-4a1f.parquet is a link that leaves"):
        read_fairface(tmp_path / "in")


@pytest.mark.parametrize("padding", ["0.25", "1.25"])
def test_paddings(tmp_path, padding):
    (other,) = {"0.25", "1.25"} - {padding}
    shards(shards(tmp_path / "both/0.25"), first=10)
    shards(tmp_path / "both/1.25", first=110)
    check(read_fairface(tmp_path / "both", padding=padding), {"0.25": 10, "1.25": 110}[padding])
    for root, place in ((tmp_path / "one", padding), (tmp_path / padding, "")):
        shards(root / place)
        check(read_fairface(root, padding=padding))
        with pytest.raises(InputError, match=f"parquet files of another padding than {other}: {padding} in {padding}"):
            read_fairface(root, padding=other)
    shards(tmp_path / "plain/data")
    notes = read_fairface(tmp_path / "plain", padding=padding).notes
    assert [("no name tells" in note) for note in notes] == ([True] if padding == "1.25" else [])


def missing(*names):
    def change(root):
        for name in names:
            next(root.glob(f"{name}*")).unlink()

    return change


def renamed(old, new):
    return lambda root: next(root.glob(f"{old}*")).rename(root / new)


DEFECTS = {
    "the last shard": (missing("train-00003"), r"holds 3 of 4 shards; missing: train-00003-of-00004"),
    "the first shard": (missing("train-00000"), r"holds 3 of 4 shards; missing: train-00000-of-00004"),
    "all but one": (
        missing("train-00000", "train-00001", "train-00003"),
        r"1 of 4 shards; missing: train-00000-of-00004, train-00001-of-00004, train-00003-of-00004",
    ),
    "of another data set": (renamed("train-00003", "train-00001-of-00003.parquet"), "the same shard twice"),
    "of two data sets": (renamed("train-00003", "train-00003-of-00005.parquet"), "shards of several data sets"),
    "beyond the last": (renamed("train-00003", "train-00004-of-00004.parquet"), "shards of several data sets"),
    "beside the whole": (renamed("train-00003", "train.parquet"), "the same shard twice"),
    "renamed by a browser": (
        renamed("train-00003", "train-00003-of-00004 (1).parquet"),
        r"missing: train-00003-of-00004",
    ),
    "a split": (
        missing(*(f"train-0000{i}" for i in range(4))),
        r"no parquet file of train \(found: validation-00000-of-00001-4a1f.parquet\).*pass --splits val",
    ),
}


@pytest.mark.parametrize("what", DEFECTS)
def test_what_is_missing_is_named(tmp_path, what):
    change, message = DEFECTS[what]
    shards(shards(tmp_path, total=4), "validation", 1)
    change(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        read_fairface(tmp_path)
    assert "Way out" in str(caught.value) and str(tmp_path) in str(caught.value)
    check(read_fairface(tmp_path, splits="val"), splits=("val",))


def test_a_gap_in_the_hubs_own_conversion_is_named(tmp_path):
    converted_by_the_hub(tmp_path)
    (tmp_path / "0.25/train/0000.parquet").unlink()
    with pytest.raises(InputError, match=r"train: holds 1 of 2 shards; missing: 0000.parquet"):
        read_fairface(tmp_path)


def test_an_end_that_is_missing_from_the_hubs_own_conversion_is_noted(tmp_path, monkeypatch):
    converted_by_the_hub(tmp_path)
    monkeypatch.setitem(OFFICIAL, "train", {"gender": (2, len(images()) - 2)})
    assert read_fairface(tmp_path).notes == ()
    (tmp_path / "0.25/train/0001.parquet").unlink()
    (note,) = read_fairface(tmp_path).notes
    assert note.startswith("3 of the official 4 images of train: a subset, or files are missing after 0000.parquet")
    both = read_fairface(tmp_path, splits="both").notes
    assert len(both) == 2 and "of the official 10,954 images of val" in both[1]
    shards(tmp_path / "numbered")
    assert read_fairface(tmp_path / "numbered").notes == ()  # names tell that all are there


def as_floats() -> dict:
    return {name: [float(n) for n in values] for name, values in numbers().items()}


COPIES = {
    "labels as text": lambda: labelled(LABELS, None),
    "labels as text in dictionaries": lambda: table(
        {"image": images()} | {k: pa.array(v).dictionary_encode() for k, v in LABELS.items()}, None
    ),
    "labels as bytes": lambda: labelled({k: [t.encode() for t in v] for k, v in LABELS.items()}),
    "labels with spaces": lambda: labelled({k: [f" {t} " for t in v] for k, v in LABELS.items()}),
    "whole floats": lambda: labelled(as_floats()),
    "numbers as text": lambda: labelled({k: list(map(str, v)) for k, v in numbers().items()}),
    "whole floats as text": lambda: labelled({k: list(map(str, v)) for k, v in as_floats().items()}),
    "one byte a label": lambda: labelled({k: pa.array(v, pa.int8()) for k, v in numbers().items()}),
    "img": lambda: table({"img": images()} | numbers()),
    "IMAGE, Race, AGE, Gender": lambda: table(
        {"IMAGE": images(), "Race": numbers()["race"], "AGE": numbers()["age"], "Gender": numbers()["gender"]},
        {"Race": HUB["race"], "AGE": HUB["age"], "Gender": HUB["gender"]},
    ),
    "bytes alone, in file": lambda: table({"file": [i["bytes"] for i in images()]} | numbers()),
    "large bytes": lambda: table(
        {"image": pa.array([i["bytes"] for i in images()], pa.large_binary())} | numbers()
    ),
    "bytes in views": lambda: table(
        {"image": pa.array([i["bytes"] for i in images()], pa.binary_view())} | numbers()
    ),
    "race_label": lambda: labelled({f"{k}_label": v for k, v in LABELS.items()}, None),
    "sex, label_race, age_group": lambda: table(
        {"image": images(), "sex": LABELS["gender"], "label_race": LABELS["race"], "age_group": LABELS["age"]}, None
    ),
    "numbers beside text": lambda: labelled(numbers() | {f"{k}_label": v for k, v in LABELS.items()}),
    "numbers without names beside text": lambda: table(
        {"image": images()} | numbers() | {f"{k}_label": v for k, v in LABELS.items()}, None
    ),
    "names of the files": lambda: table({"image": images(path=True)} | numbers()),
    "names in a column": lambda: table(
        {"image": images(), "file": [f"train/{i}.jpg" for i in (1, 2, 3, 4)]} | numbers()
    ),
    "another column of images": lambda: table({"image": images(), "mask": images(99)} | numbers()),
    "more columns": lambda: table({"service_test": [True] * 4, "x.y": [1.5] * 4, "image": images()} | numbers()),
}  # fmt: skip


@pytest.mark.parametrize("copy", COPIES)
def test_copies_are_the_same_data(tmp_path, copy):
    write(tmp_path / "train.parquet", COPIES[copy]())
    check(read_fairface(tmp_path))


def changed(name, row, value):
    values = {key: list(texts) for key, texts in LABELS.items()}
    values[name][row] = value
    return labelled(values, None)


TWICE = pa.table([pa.array([1] * 4), pa.array([2] * 4)], names=["race", "race"])
WRONG = {
    "no images": (lambda: table(numbers()), r"no column holds images \(found: race, age, gender\)"),
    "paths for images": (lambda: table({"image": ["1.jpg"] * 4} | numbers()), "no column holds images"),
    "two columns of images": (lambda: table({"a": images(), "b": images()} | numbers()), "columns 'a' and 'b' hold"),
    "no race": (lambda: table({"image": images(), "age": [1] * 4}), r"column 'race' is missing \(found: image, age\)"),
    "race twice": (
        lambda: pa.table([*labelled(numbers()).columns, *TWICE.columns],
                         names=["image", "x", "age", "gender", "race", "race"]),
        "column 'race' is there twice",
    ),
    "numbers without names": (lambda: labelled(numbers(), None), "what the integers of 'race' mean"),
    "booleans": (lambda: labelled(numbers() | {"gender": [True] * 4}), "row 1: gender 'True' is not"),
    "booleans without names": (
        lambda: labelled(LABELS | {"gender": [True] * 4}, None), "what the integers of 'gender'"
    ),
    "a broken number": (lambda: labelled(as_floats() | {"age": [0, 1, 2.5, 3]}), "row 3: age '2.5' is not"),
    "no number": (lambda: labelled(as_floats() | {"age": [0, float("nan"), 2, 3]}), "row 2: age is missing"),
    "an infinite number": (lambda: labelled(as_floats() | {"age": [0, 1, 2, np.inf]}), "row 4: age"),
    "a number beyond": (lambda: labelled(numbers() | {"race": [0, 1, 2, 7]}), "row 4: race '7' is not"),
    "minus one": (lambda: labelled(numbers() | {"race": [-1, 1, 2, 6]}), "row 1: race is missing"),
    "minus two": (lambda: labelled(numbers() | {"race": [-2, 1, 2, 6]}), "row 1: race '-2' is not"),
    "nothing": (lambda: changed("race", 1, None), "row 2: race is missing"),
    "another text": (lambda: changed("race", 2, "Asian"), "row 3: race 'Asian' is not one of White"),
    "labels that disagree": (
        lambda: labelled(numbers() | {"race_label": LABELS["race"][::-1]}),
        "row 1: columns 'race' and 'race_label' disagree",
    ),
    "an empty image": (
        lambda: table({"image": [*images()[:3], {"bytes": b"", "path": None}]} | numbers()),
        "row 4: holds no image bytes",
    ),
    "a missing image": (lambda: table({"image": [None, *images()[1:]]} | numbers()), "row 1: holds no image bytes"),
    "one name twice": (
        lambda: table({"image": [{**image, "path": "1.jpg"} for image in images()]} | numbers()),
        "row 2: image 'train/1.jpg' is there twice",
    ),
    "more rows than bytes": (
        lambda: pa.table({name: ["White"] * 10**5 for name in ("image", "race", "age", "gender")}),
        "says that it has 100,000 rows",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_defects_are_named(tmp_path, what):
    build, message = WRONG[what]
    write(tmp_path / "train.parquet", build())
    with pytest.raises(InputError, match=rf"train\.parquet: .*{message}") as caught:
        read_fairface(tmp_path)
    assert "Way out" in str(caught.value)


def test_images_whose_label_is_missing_are_left_out_if_asked(tmp_path):
    for number, value in enumerate((None, "", "NaN", " ")):
        write(tmp_path / f"{number}/train.parquet", changed("race", 1, value))
        with pytest.raises(InputError, match="row 2: race is missing"):
            read_fairface(tmp_path / str(number))
        faces = read_fairface(tmp_path / str(number), rules=LabelRules(missing="drop"))
        assert faces.image_names == ("train/1.jpg", "train/3.jpg", "train/4.jpg") and faces.rows == (1, 3, 4)
        assert faces.notes == ("1 image was left out because a label is missing (race 1)",)
        assert decode(faces.read_bytes(1))[0, 0, 0] == 12


@pytest.mark.parametrize(
    ("content", "what"),
    [(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"), (b"<html>", "a web page"),
     (b"", "it is empty"), (b"PAR1", "cannot be read as parquet"), (b"x" * 999, "cannot be read as parquet")],
)  # fmt: skip
def test_files_that_are_no_parquet_say_what_they_are(tmp_path, content, what):
    (tmp_path / "train-00000-of-00001.parquet").write_bytes(content)
    with pytest.raises(InputError, match=what) as caught:
        read_fairface(tmp_path)
    assert "train-00000-of-00001.parquet: cannot be read as parquet" in str(caught.value)


def test_parquet_in_an_archive_must_be_unpacked(tmp_path):
    import zipfile

    shards(tmp_path / "made")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in sorted((tmp_path / "made").iterdir()):
            archive.write(path, f"data/{path.name}")
            path.unlink()
    for root in (tmp_path, tmp_path / "a.zip"):
        with pytest.raises(InputError, match="parquet files in an archive"):
            read_fairface(root)
