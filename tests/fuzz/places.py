"""Anything in a zip archive or in a folder, with links that lead out of it."""

import os
import tempfile
import zipfile
from pathlib import Path

from hypothesis import strategies as st

from bias_jax.data import read_fairface, read_table, read_utkface
from bias_jax.data.attributes import Attribute
from bias_jax.data.stores import open_images
from bias_jax.data.table import Table
from tests.data.test_fairface_places import labels, pictures
from tests.fuzz.watching import reads_or_refuses

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
BROKEN = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=3)
PACKINGS = st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
SPLITS, PADDINGS = st.sampled_from(["train", "val", "both"]), st.sampled_from(["0.25", "1.25"])


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


ARCHIVES = {
    "tree": TREES, "whole": st.booleans(), "packing": PACKINGS, "broken": BROKEN, "splits": SPLITS, "padding": PADDINGS
}  # fmt: skip


def any_archive(tree, whole, packing, broken, splits, padding):
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
            except (OSError, UnicodeError):
                continue
    for name, target in links:
        path = Path(os.path.normpath(root / name.replace("\0", "").lstrip("/")))
        if path.is_relative_to(root):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(target)
            except (OSError, UnicodeError):
                continue


TARGETS = st.sampled_from([".", "..", "../secret", "../secret/train", "/etc", "/etc/passwd", "train", "../data/train",
                           "../secret/train/1.jpg", "../secret/fairface_label_train.csv", "../secret.zip"])  # fmt: skip
LINKS = st.lists(st.tuples(st.one_of(NAMES, st.sampled_from(["train", "train/1.jpg", "fairface_label_train.csv",
                                                              "a.zip", "x/train"])), TARGETS), max_size=4)  # fmt: skip
FOLDERS = {
    "tree": TREES, "whole": st.booleans(), "links": LINKS, "splits": SPLITS, "padding": PADDINGS,
    "listed": st.lists(NAMES, max_size=5),
}  # fmt: skip


def any_folder(tree, whole, links, splits, padding, listed):
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
