"""Where files lie: every spelling of a name, archives as people's systems make them, and nothing outside."""

import contextlib
import os
import stat
import unicodedata
import zipfile
from pathlib import Path

import pytest

from bias_jax.data import FolderImages, open_images, read_fairface, read_utkface
from bias_jax.data.archives import DEEPEST, ZipImages
from bias_jax.data.listings import LARGEST_FILE, plain
from bias_jax.errors import InputError


def tree(root: Path, *names: str) -> Path:
    """Files that hold their own names."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def packed(path: Path, *names: str, content: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, content or name)
    return path


SPELLINGS = ["train/8.jpg", "./train/8.jpg", "train//8.jpg", r"train\8.jpg", r".\train\\8.jpg", "TRAIN/8.JPG",
             "x/../train/8.jpg", "train/./8.jpg", "/".join((".",) * 99) + "/train/8.jpg"]  # fmt: skip


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("kind", ["folder", "zip", "zip in a folder"])
def test_a_file_is_found_in_every_spelling(tmp_path, name, kind):
    if kind == "folder":
        store, top = FolderImages(tree(tmp_path, "train/8.jpg", "val/8.jpg")), ""
    else:
        packed(tmp_path / "a.zip", "train/8.jpg", "val/8.jpg")
        store, top = (ZipImages(tmp_path / "a.zip"), "") if kind == "zip" else (FolderImages(tmp_path), "a.zip/")
    assert store.inside(top + name) and store.find(top + name) == (top + "train/8.jpg",)
    assert store.read(top + "train/8.jpg") == b"train/8.jpg"


def test_accents_may_be_composed_otherwise(tmp_path):
    store = FolderImages(tree(tmp_path, unicodedata.normalize("NFD", "zoë.jpg")))
    assert len(store.find(unicodedata.normalize("NFC", "Zoë.jpg"))) == 1


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_files_that_differ_in_case_alone_are_both_named(tmp_path, kind):
    names = ("train/8.jpg", "train/8.JPG", "Train/8.jpg", "Train/9.jpg")
    store = open_images(packed(tmp_path / "a.zip", *names) if kind == "zip" else tree(tmp_path, *names))
    assert store.find("train/8.jpg") == ("train/8.jpg",)  # spelled alike
    assert set(store.find("TRAIN/8.jpg")) == {"train/8.jpg", "train/8.JPG", "Train/8.jpg"}
    assert store.find("train/9.jpg") == ("Train/9.jpg",)


def test_absolute_paths_inside_and_names_with_backslashes(tmp_path, monkeypatch):
    store = FolderImages(tree(tmp_path, "train/8.jpg", r"a\b.jpg"))
    assert store.find(str(tmp_path / "train/8.jpg")) == ("train/8.jpg",)
    assert store.find(r"a\b.jpg") == (r"a\b.jpg",) and store.read(r"a\b.jpg") == rb"a\b.jpg"
    monkeypatch.chdir(tmp_path)
    assert FolderImages(Path(".")).find(str(tmp_path / "train/8.jpg")) == ("train/8.jpg",)


OUTSIDE = ["", ".", "..", "/", "../x.jpg", "train/../../x.jpg", r"..\x.jpg", r"train\..\..\x.jpg", "/etc/passwd",
           r"\etc\passwd", "C:/x.jpg", r"C:\x.jpg", r"\\server\x", "//server/x.jpg", "train/8.jpg\0", "\0"]  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_name_leads_outside(tmp_path, name):
    tree(tmp_path, "x.jpg", "in/train/8.jpg")
    for store in (FolderImages(tmp_path / "in"), ZipImages(packed(tmp_path / "a.zip", "train/8.jpg"))):
        assert not store.inside(name) and store.find(name) == ()


def test_very_long_names_cost_nothing(tmp_path):
    store = FolderImages(tree(tmp_path, "8.jpg"))
    for name in ("a/" * 300_000 + "8.jpg", "a" * 10**6, "8.jpg/" * 1000):
        assert store.inside(name) and store.find(name) == ()


def test_links_are_followed_unless_they_lead_out(tmp_path):
    root = tree(tmp_path / "in", "train/8.jpg")
    tree(tmp_path, "secret.jpg", "elsewhere/9.jpg", "inner/8.jpg")
    links = {"same.jpg": root / "train/8.jpg", "folder": root / "train", "out.jpg": tmp_path / "secret.jpg",
             "out": tmp_path / "elsewhere", "beside": tmp_path / "inner", "loop": root / "loop",
             "gone.jpg": root / "nothing.jpg", "up": root}  # fmt: skip
    for name, target in links.items():
        (root / name).symlink_to(target)
    store = FolderImages(root)
    assert store.find("same.jpg") == ("same.jpg",) and store.find("folder/8.jpg") == ("folder/8.jpg",)
    for name in ("out.jpg", "OUT.jpg", "out/9.jpg", "beside/8.jpg", "loop", "gone.jpg"):
        assert store.find(name) == ()
    assert not any(store.inside(name) for name in ("out.jpg", "out/9.jpg", "beside/8.jpg"))
    assert len(list(store.walk())) == 2  # links are not walked into: no pictures twice, no circles
    assert "a link out of it" in store.summary()


@pytest.mark.parametrize(
    "name", ["fairface_label_train.csv", "train-00000-of-00002.parquet", "1.jpg", "labels.csv.gz", "a.TSV",
             "fairface-train.array_record-00000-of-00001", "dataset_info.json"]
)  # fmt: skip
@pytest.mark.parametrize("read", [read_fairface, read_utkface, open_images])
def test_a_file_of_a_data_set_is_not_the_data_set(tmp_path, read, name):
    (tmp_path / name).write_bytes(b"file,age\n")
    with pytest.raises(InputError) as caught:
        read(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name}: is one file of a data set")
    assert f"give the folder of the data set, such as {tmp_path}" in str(caught.value)
    with zipfile.ZipFile(tmp_path / name, "w") as archive:  # whatever it is called
        archive.writestr("1.jpg", b"x")
    assert open_images(tmp_path / name).find("1.jpg") == ("1.jpg",)


def hub_cache(root: Path, files: dict[str, bytes], repository: str = "datasets--somebody--faces") -> Path:
    """A snapshot as the hub's client keeps it: links to blobs."""
    snapshot = root / repository / "snapshots" / "4a1f"
    blobs = root / repository / "blobs"
    blobs.mkdir(parents=True)
    for number, (name, content) in enumerate(files.items()):
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (blobs / f"{number:064x}").write_bytes(content)
        (snapshot / name).symlink_to(os.path.relpath(blobs / f"{number:064x}", (snapshot / name).parent))
    return snapshot


def test_files_of_the_hubs_cache_are_found(tmp_path):
    snapshot = hub_cache(tmp_path, {"train/8.jpg": b"8", "a.zip": b""})
    (snapshot / "train/9.jpg").symlink_to(tree(tmp_path, "9.jpg") / "9.jpg")
    for root, name in ((snapshot, "train/8.jpg"), (snapshot / "train", "8.jpg")):
        store = FolderImages(root)
        assert store.find(name) == (name,) and store.read(name) == b"8"
        assert not store.inside(name.replace("8", "9"))
    other = hub_cache(tmp_path, {"x.jpg": b"x"}, "datasets--somebody--secrets")
    (snapshot / "x.jpg").symlink_to((other / "x.jpg").resolve())
    assert not FolderImages(snapshot).inside("x.jpg")  # a blob of another data set


MAC = ("faces/train/8.jpg", "__MACOSX/faces/train/._8.jpg", "__MACOSX/faces/._train", "faces/.DS_Store",
       "faces/train/.DS_Store")  # fmt: skip
ARCHIVES = {
    "of a Mac": MAC,
    "with a README at the top": (*MAC, "README.txt", "licence.pdf"),
    "two levels deep": ("a/b/train/8.jpg", "a/b/val/1.jpg"),
    "four levels deep, with a README at every one": ("a/b/c/d/train/8.jpg", "a/x.md", "a/b/x.md", "a/b/c/x.md"),
    "with dots": ("./train/8.jpg", "./val/1.jpg"),
    "with dots in a folder": (".//faces/./train//8.jpg",),
    "of Windows": ("faces\\", "faces\\train\\8.jpg", "faces\\Thumbs.db"),
    "with folders as entries": ("faces/", "faces/train/", "faces/train/8.jpg"),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_archives_as_systems_make_them(tmp_path, kind):
    store = ZipImages(packed(tmp_path / "a.zip", *ARCHIVES[kind], content="8"))
    (found,) = store.find("train/8.jpg")
    assert store.read(found) == b"8" and store.find(r".\Train\8.JPG") == (found,)
    walked = [(folder.path, name) for folder in store.walk() for name in folder.files]
    assert not any("MACOSX" in path or name.startswith(".") or name == "Thumbs.db" for path, name in walked)


def test_nothing_unpacks_to_more_than_it_says(tmp_path):
    path = packed(tmp_path / "a.zip", "x.jpg")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.jpg", b"\0" * 12_345_678)
    content = bytearray(path.read_bytes())
    true = (12_345_678).to_bytes(4, "little")
    assert content.count(true) == 2
    path.write_bytes(content.replace(true, (100).to_bytes(4, "little")))
    with pytest.raises(OSError, match="CRC"):
        ZipImages(path).read("x.jpg")
    path.write_bytes(content.replace(true, (LARGEST_FILE + 1).to_bytes(4, "little")))
    with pytest.raises(OSError, match="more than 256 MiB"):
        ZipImages(path).read("x.jpg")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packings_without_limit_are_refused(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr("x.jpg", b"x")
    with pytest.raises(OSError, match="packed in a way that is not read"):
        ZipImages(tmp_path / "a.zip").read("x.jpg")


def test_entries_of_one_name(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"):
        packed(tmp_path / "same.zip", "x.jpg", "x.jpg")
    assert ZipImages(tmp_path / "same.zip").read("x.jpg") == b"x.jpg"
    packed(tmp_path / "other.zip", "x.jpg", "./x.jpg")
    with pytest.raises(OSError, match="several files of this name"):
        ZipImages(tmp_path / "other.zip").read("x.jpg")


def test_links_in_archives_are_not_followed(tmp_path):
    link = zipfile.ZipInfo("x.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert ZipImages(tmp_path / "a.zip").read("x.jpg") == b"/etc/passwd"


def test_folders_without_end_are_refused(tmp_path):
    assert ZipImages(packed(tmp_path / "a.zip", "a/" * (DEEPEST - 1) + "x")).find("x")
    with pytest.raises(InputError, match=r"folders in folders, 301 deep"):
        ZipImages(packed(tmp_path / "b.zip", "a/" * 300 + "x"))


FILES = {
    b"": "empty",
    b"\0" * 999: "the download was not finished",
    b"<!DOCTYPE html><title>Google Drive - Virus scan warning</title>": "a web page",
    b"\n <html><body>": "a web page",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n": "git lfs pull",
    b"Rar!\x1a\x07": "a RAR archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\x1f\x8b\x08": "packed by gzip",
    b"x" * 257 + b"ustar": "a tar archive",
    b"PAR1\x15\x04": "a parquet file",
    b"PK\x03\x04 cut off": "not a zip file",
    b"whatever": "not a zip file",
}


@pytest.mark.parametrize("content", FILES)
def test_files_that_are_no_archive_say_what_they_are(tmp_path, content):
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.zip: is not a readable zip archive") as caught:
        open_images(tmp_path / "a.zip")
    assert FILES[content] in str(caught.value) and "Way out" in str(caught.value)


def test_what_is_neither_folder_nor_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.zip")
    for path in (tmp_path / "nothing", tmp_path / "pipe.zip"):
        with pytest.raises(InputError, match="no such file or directory"):
            open_images(path)
    assert FolderImages(tmp_path).find("pipe.zip") == ()


def test_damaged_archives_raise_nothing_else(tmp_path):
    path = packed(tmp_path / "a.zip", "x.jpg", content="x" * 500)
    content = path.read_bytes()
    for i in range(0, len(content), 7):
        path.write_bytes(content[:i] + bytes([content[i] ^ 0xFF]) + content[i + 1 :])
        with contextlib.suppress(InputError, OSError):
            store = ZipImages(path)
            for name in store.find("x.jpg"):
                store.read(name)


def test_spellings_as_examples():
    assert plain("a/../b") == ("b",) and plain("a/..") is None and plain("a:b.jpg") == ("a:b.jpg",)
