"""Whatever lies in a folder, an archive or a parquet file: a data set or one message, and no file outside is opened."""

import os
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bias_jax.data.fairface_parquet
import bias_jax.data.fairface_tfds  # noqa: F401  # nothing is imported while files are watched
from bias_jax.audit import look
from bias_jax.data import read_fairface, read_table, read_utkface
from bias_jax.data.attributes import Attribute
from bias_jax.data.decoding import decode
from bias_jax.data.stores import open_images
from bias_jax.data.table import Table
from bias_jax.errors import InputError
from tests.data.test_decoding import encoded
from tests.data.test_fairface_places import labels, pictures
from tests.data.test_parquet_copies import HUB, LABELS, images, labelled, numbers, table

opened: list[str] | None = None  # while files are watched


def watch(event: str, arguments: tuple) -> None:
    if (
        opened is not None
        and event in ("open", "os.listdir", "os.scandir")
        and isinstance(arguments[0], str | bytes | os.PathLike)
    ):
        opened.append(os.fsdecode(arguments[0]))


sys.addaudithook(watch)


@contextmanager
def nothing_outside(root: Path) -> Iterator[None]:
    """Every file that is opened and every folder that is listed lies below the root, after links are followed, too."""
    global opened
    opened = []
    try:
        yield
    finally:
        found, opened = opened, None
    outside = [path for path in found if not Path(path).resolve().is_relative_to(root.resolve())]
    assert not [path for path in outside if not path.startswith((sys.prefix, sys.base_prefix, "/proc", "/sys", "/dev"))]


def reads_or_refuses(read, root: Path) -> None:
    """A data set whose pictures can be read, or an `InputError`."""
    with nothing_outside(root):
        try:
            look([read()], skip_unreadable=True)
        except InputError as error:
            assert str(error).isprintable()


def test_files_outside_would_be_seen(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "x").write_text("x")
    (tmp_path / "in/x").symlink_to(tmp_path / "x")
    for use in ((tmp_path / "in/x").read_bytes, lambda: os.listdir(tmp_path), lambda: list(os.scandir(tmp_path))):
        with pytest.raises(AssertionError), nothing_outside(tmp_path / "in"):
            use()


ANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FILES = pictures() | labels()
CONTENTS = st.one_of(st.binary(max_size=40), st.sampled_from(list(FILES.values())))
PARTS = st.one_of(
    st.sampled_from([
        "train", "val", "Train", "1.jpg", "1.JPG", "fairface_label_train.csv", "FAIRFACE_LABEL_VAL.CSV", "0.25",
        "fairface-img-margin125-trainval", "__MACOSX", "._1.jpg", ".DS_Store", "..", ".", "", " ", "a.zip", "C:", "\\",
        "1_0_0_20170109150557335.jpg", "20_1_3_20170109150557335.jpg.chip.jpg", "UTKFace", "dataset_info.json",
        "features.json", "train.parquet", "train-00000-of-00002.parquet", "snapshots", "blobs", "é", "e\u0301",
    ]),
    st.text(max_size=6),
)  # fmt: skip
NAMES = st.lists(PARTS, min_size=1, max_size=5).map(lambda parts: "/".join(parts)[:200])
TREES = st.dictionaries(st.one_of(NAMES, st.sampled_from(list(FILES))), CONTENTS, max_size=12)


def write_zip(path: Path, tree: dict[str, bytes], packing: int, broken: list[tuple[int, int]]) -> None:
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, content in tree.items():
            archive.writestr(zipfile.ZipInfo(name.encode(errors="replace").decode()), content, packing)
    damage(path, broken)


def damage(path: Path, broken: list[tuple[int, int]]) -> None:
    content = bytearray(path.read_bytes())
    for place, value in broken:
        content[place % len(content)] = value
    path.write_bytes(bytes(content))


BROKEN = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=3)
PACKINGS = st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
SPLITS, PADDINGS = st.sampled_from(["train", "val", "both"]), st.sampled_from(["0.25", "1.25"])


@ANY
@given(tree=TREES, whole=st.booleans(), packing=PACKINGS, broken=BROKEN, splits=SPLITS, padding=PADDINGS)
def test_any_archive(tree, whole, packing, broken, splits, padding):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_zip(root / "a.zip", (FILES | tree) if whole else tree, packing, broken)
        for path in (root, root / "a.zip"):
            reads_or_refuses(lambda path=path: read_fairface(path, splits=splits, padding=padding), root)
            reads_or_refuses(lambda path=path: read_utkface(path), root)


def write_tree(root: Path, tree: dict[str, bytes], links: list[tuple[str, str]]) -> None:
    """What of it the file system takes."""
    for name, content in tree.items():
        path = Path(os.path.normpath(root / name.replace("\0", "").lstrip("/")))
        if path.is_relative_to(root):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            except OSError:
                continue
    for name, target in links:
        path = Path(os.path.normpath(root / name.replace("\0", "").lstrip("/")))
        if path.is_relative_to(root):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(target)
            except OSError:
                continue


TARGETS = st.sampled_from([".", "..", "../secret", "../secret/train", "/etc", "/etc/passwd", "train", "../data/train",
                           "../secret/train/1.jpg", "../secret/fairface_label_train.csv", "../secret.zip"])  # fmt: skip
LINKS = st.lists(st.tuples(st.one_of(NAMES, st.sampled_from(["train", "train/1.jpg", "fairface_label_train.csv",
                                                              "a.zip", "x/train"])), TARGETS), max_size=4)  # fmt: skip


@ANY
@given(
    tree=TREES, whole=st.booleans(), links=LINKS, splits=SPLITS, padding=PADDINGS, listed=st.lists(NAMES, max_size=5)
)
def test_any_folder(tree, whole, links, splits, padding, listed):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "data"
        root.mkdir()
        write_tree(Path(folder) / "secret", FILES, [])
        write_zip(Path(folder) / "secret.zip", FILES, zipfile.ZIP_STORED, [])
        write_tree(root, (FILES | tree) if whole else tree, links)
        reads_or_refuses(lambda: read_fairface(root, splits=splits, padding=padding), root)
        reads_or_refuses(lambda: read_utkface(root), root)
        names = [*listed, *(name for name, _ in links)]
        rows = "".join(f'"{name}",a\n'.replace("\0", "") for name in names if '"' not in name)
        csv = Table("x.csv", ("file,kind\n" + rows).encode(errors="replace").decode().encode)

        def list_them():
            return read_table([csv], open_images(root), [Attribute("kind", ("a", "b"))], name="x", skip_unreadable=True)

        reads_or_refuses(list_them, root)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 9), st.floats(), st.text(max_size=5), st.binary(max_size=9),
    st.sampled_from([text for texts in HUB.values() for text in texts]),
)  # fmt: skip
USUAL = ["image", "img", "file", "race", "Race", "race_label", "age", "gender", "sex", "path"]
COLUMN_NAMES = st.one_of(st.sampled_from(USUAL), st.text(max_size=5))


@st.composite
def tables(draw) -> pa.Table:
    """Four rows of any columns, often with those that are needed."""
    columns = {"image": images()} | draw(st.sampled_from([numbers(), LABELS, {}]))
    for name in draw(st.lists(COLUMN_NAMES, max_size=4)):
        values = draw(st.lists(VALUES, min_size=4, max_size=4))
        columns[name] = draw(st.sampled_from([values, list(map(repr, values)), images(), [[1]] * 4]))
    for name in draw(st.lists(st.sampled_from(list(columns)), max_size=1)):
        del columns[name]
    found = {}
    for name, values in columns.items():
        try:
            found[name] = pa.array(values)
        except (pa.ArrowException, OverflowError):
            found[name] = pa.array(list(map(repr, values)))
    return table(found, draw(st.sampled_from([HUB, None, {}])))


@ANY
@given(found=tables(), splits=SPLITS)
def test_any_columns(found, splits):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        pq.write_table(found, root / "train-00000-of-00001.parquet")
        pq.write_table(found, root / "val.parquet")
        reads_or_refuses(lambda: read_fairface(root, splits=splits), root)


@settings(max_examples=150, deadline=None)
@given(
    broken=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.integers(0, 3000),
)
def test_any_damage_of_parquet(broken, cut):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.parquet"
        pq.write_table(labelled(numbers()), path)
        damage(path, broken)
        if cut > 2000:
            path.write_bytes(path.read_bytes()[: cut - 2000])
        reads_or_refuses(lambda: read_fairface(folder), Path(folder))


FORMATS = [
    encoded(np.random.default_rng(0).integers(0, 255, (9, 11, 3), dtype=np.uint8), kind)
    for kind in ("jpeg", "png", "gif", "tiff", "webp", "bmp", "ppm", "jpeg2000")
]


@settings(max_examples=300, deadline=None)
@given(data=st.sampled_from(FORMATS), broken=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=5))
def test_any_damage_of_pictures(data, broken):
    content = bytearray(data)
    for place, value in broken:
        content[place % len(content)] = value
    try:
        pixels = decode(bytes(content))
    except OSError:
        return
    assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
