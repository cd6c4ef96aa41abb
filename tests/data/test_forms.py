"""The same photographs in every form people have: same order, same pixels, same labels, so identical banks."""

import csv
import io
import json
import shutil
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bias_jax.audit import look
from bias_jax.data import balanced_subset, read_fairface
from bias_jax.data.fairface_tfds import main as prepare
from bias_jax.errors import InputError
from tests.data.test_fairface import folder  # noqa: F401

# The hub's own order of races, neither alphabetical nor the CSV's.
HUB = {
    "age": ["0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70"],
    "gender": ["Male", "Female"],
    "race": ["East Asian", "Indian", "Black", "White", "Middle Eastern", "Latino_Hispanic", "Southeast Asian"],
}


def as_zip(root, path, prefix="", labels=True):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(root.rglob("*")):
            if file.is_file() and (labels or file.suffix != ".csv"):
                archive.write(file, prefix + str(file.relative_to(root)))
    return path


def as_parquet(root, path, names=HUB):
    path.mkdir()
    rows = list(csv.DictReader(io.StringIO((root / "fairface_label_train.csv").read_text())))
    columns = {k: [names[k].index(r[k]) for r in rows] for k in names}
    columns["image"] = [{"bytes": (root / r["file"]).read_bytes(), "path": r["file"].split("/")[1]} for r in rows]
    features = {k: {"names": v, "_type": "ClassLabel"} for k, v in names.items()}
    table = pa.table(columns).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    half = len(rows) // 2 or 1
    pq.write_table(table[:half], path / "train-00000-of-00002-abc.parquet")
    pq.write_table(table[half:], path / "train-00001-of-00002-abc.parquet")
    return path


def digest(path, per_group, **options):
    return look([balanced_subset(read_fairface(path, **options), per_group, 0)])[1][0].sha256


def all_forms(root, tmp):
    yield "zip", as_zip(root, tmp / "all.zip")
    yield "zip in a folder", as_zip(root, tmp / "nested.zip", "fairface/")
    (tmp / "beside").mkdir()
    shutil.copy(root / "fairface_label_train.csv", tmp / "beside")
    yield "zip beside labels", as_zip(root, tmp / "beside" / "images.zip", labels=False)
    yield "folder with zip", tmp / "beside"
    yield "parquet", as_parquet(root, tmp / "parquet")
    (tmp / "hub").mkdir()
    as_parquet(root, tmp / "hub" / "0.25")
    yield "parquet of one padding", tmp / "hub"
    assert prepare(["--source", str(root), "--out", str(tmp / "tfds")]) == 0
    yield "tfds", tmp / "tfds" / "fairface" / "1.0.0"


def test_every_form_is_the_same_data(folder, tmp_path_factory):  # noqa: F811
    expected = digest(folder, 5)
    for form, path in all_forms(folder, tmp_path_factory.mktemp("forms")):
        assert digest(path, 5) == expected, form


def test_every_form_of_real_photographs(fairface_dir, tmp_path):
    root = tmp_path / "small"
    for split, count in (("train", 400), ("val", 50)):
        (root / split).mkdir(parents=True)
        lines = (fairface_dir / f"fairface_label_{split}.csv").read_text().splitlines()[: count + 1]
        (root / f"fairface_label_{split}.csv").write_text("\n".join(lines) + "\n")
        for line in lines[1:]:
            shutil.copy(fairface_dir / line.split(",")[0], root / split)
    expected = digest(root, 3)
    forms = tmp_path / "forms"
    forms.mkdir()
    for form, path in all_forms(root, forms):
        assert digest(path, 3) == expected, form


def test_parquet_without_class_names_is_refused(folder, tmp_path):  # noqa: F811
    path = as_parquet(folder, tmp_path / "p")
    for file in path.iterdir():
        pq.write_table(pq.read_table(file).replace_schema_metadata(None), file)
    with pytest.raises(InputError, match="does not say what the integers of 'race' mean"):
        read_fairface(path)


def test_damaged_parquet_and_zip_are_named(folder, tmp_path):  # noqa: F811
    path = as_parquet(folder, tmp_path / "p")
    first = min(path.iterdir())
    first.write_bytes(first.read_bytes()[:100])
    with pytest.raises(InputError, match=r"train-00000.*cannot be read as parquet"):
        read_fairface(path)
    archive = as_zip(folder, tmp_path / "a.zip")
    archive.write_bytes(archive.read_bytes()[:300])
    with pytest.raises(InputError, match=r"a\.zip: is not a readable zip"):
        read_fairface(archive)


@pytest.mark.parametrize("name", ["../evil.jpg", "/etc/passwd", "train/../../x.jpg", "C:evil.jpg", "..\\evil.jpg"])
def test_zip_entries_outside_are_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(InputError, match="holds an entry outside of itself"):
        read_fairface(tmp_path / "a.zip")


def test_damaged_entry_is_named_or_skipped(folder, tmp_path):  # noqa: F811
    archive = as_zip(folder, tmp_path / "a.zip")
    content = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as opened:
        entry = opened.getinfo("train/2.jpg")
    content[entry.header_offset + 200] ^= 0xFF  # inside the stored bytes: the checksum no longer fits
    archive.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"row 3: image 'train/2.jpg' cannot be decoded"):
        look([read_fairface(archive)])
    assert len(look([read_fairface(archive)], skip_unreadable=True)[1][0].dataset) == 2
