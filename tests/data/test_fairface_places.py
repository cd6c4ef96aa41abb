"""FairFace as it lies on people's disks: what was asked for is what is read, or an error that says what is there."""

import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bias_jax.data import read_fairface
from bias_jax.data.decoding import decode
from bias_jax.data.fairface_places import padding_of
from bias_jax.errors import InputError
from tests.data.test_fairface import HEADER

OFFICIAL = {"0.25": "fairface-img-margin025-trainval", "1.25": "fairface-img-margin125-trainval"}
RACES = ("White", "Black", "Indian")


def picture(shade: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, shade, shade)).save(stream, "png")
    return stream.getvalue()


def pictures(padding: str = "0.25") -> dict[str, bytes]:
    """Three of train and two of val, whose shade tells split and padding."""
    first = {"0.25": 10, "1.25": 110}[padding]
    files = {f"train/{i}.jpg": picture(first + i) for i in (1, 2, 3)}
    return files | {f"val/{i}.jpg": picture(first + 50 + i) for i in (1, 2)}


def labels() -> dict[str, bytes]:
    rows = {"train": (1, 2, 3), "val": (1, 2)}
    return {
        f"fairface_label_{split}.csv": (
            HEADER + "".join(f"{split}/{i}.jpg,20-29,Male,{RACES[i - 1]},True\n" for i in numbers)
        ).encode()
        for split, numbers in rows.items()
    }


def lay(root: Path, files: dict[str, bytes], below: str = "") -> Path:
    for name, content in files.items():
        (root / below / name).parent.mkdir(parents=True, exist_ok=True)
        (root / below / name).write_bytes(content)
    return root


def pack(path: Path, files: dict[str, bytes], below: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(below + name, content)
    return path


def shades(path: Path, **options) -> dict[str, int]:
    """Image name -> grey level, of what was read."""
    faces = read_fairface(path, **options)
    assert [faces.attributes[0].categories[n] for n in faces.labels["race"]] == [
        RACES[int(name[-5]) - 1] for name in faces.image_names
    ]
    return {name: int(decode(faces.read_bytes(i))[0, 0, 0]) for i, name in enumerate(faces.image_names)}


def expected(padding: str = "0.25", *splits: str) -> dict[str, int]:
    return {
        name: int(decode(data)[0, 0, 0])
        for name, data in pictures(padding).items()
        if name.split("/")[0] in (splits or ("train",))
    }


def plain_folder(root):
    lay(root, pictures() | labels())
    return root


def one_level_down(root):
    lay(lay(root, labels()), pictures(), "images")
    return root


def all_one_level_down(root):
    return lay(root, pictures() | labels(), "FairFace")


def labels_one_level_down(root):
    lay(lay(root, pictures()), labels(), "labels")
    return root


def labels_and_pictures_in_folders_of_their_own(root):
    lay(lay(root, pictures(), "a/b"), labels(), "labels")
    return root


def official_zip_beside(root):
    pack(lay(root, labels()) / f"{OFFICIAL['0.25']}.zip", pictures())
    return root


def zip_with_labels(root):
    return pack(root / "all.zip", pictures() | labels())


def zip_with_labels_beside(root):
    lay(root, labels())
    return pack(root / "all.zip", pictures())


def zip_with_labels_deeper(root):
    return pack(
        root / "all.zip", {f"x/{n}": d for n, d in pictures().items()} | {f"y/z/{n}": d for n, d in labels().items()}
    )


def zip_of_a_mac(root):
    junk = {"__MACOSX/FairFace/train/._1.jpg": b"x", "FairFace/.DS_Store": b"x", "FairFace/train/.DS_Store": b"x"}
    inside = {f"FairFace/{name}": data for name, data in (pictures() | labels()).items()}
    return pack(root / "all.zip", junk | inside | {"README.md": b"x"})


def zip_with_dots(root):
    return pack(root / "all.zip", pictures() | labels(), "./a/./b//")


def zip_of_windows(root):
    return pack(root / "all.zip", {name.replace("/", "\\"): data for name, data in (pictures() | labels()).items()})


def zip_of_a_zip_folder_one_level_down(root):
    pack(lay(root, labels()) / "downloads" / "faces.zip", pictures(), "faces/")
    return root


def a_zip_per_split(root):
    lay(root, labels())
    for split in ("train", "val"):
        pack(root / f"{split}.zip", {name: data for name, data in pictures().items() if name.startswith(split)})
    return root


def a_zip_of_pictures_per_split(root):
    lay(root, labels())
    for split in ("train", "val"):
        pack(root / f"{split}.zip", {n.split("/")[1]: d for n, d in pictures().items() if n.startswith(split)})
    return root


def a_common_copy(root):
    names = {"fairface_label_train.csv": "train_labels.csv", "fairface_label_val.csv": "val_labels.csv"}
    return lay(root, pictures() | {names[name]: data for name, data in labels().items()}, "FairFace")


def other_case(root):
    upper = {name.replace("train/", "Train/").replace(".jpg", ".JPG"): data for name, data in pictures().items()}
    return lay(root, upper | {name.upper(): data for name, data in labels().items()})


def linked_inside(root):
    lay(lay(root, labels()), pictures(), "store/somewhere")
    for split in ("train", "val"):
        (root / split).symlink_to(Path("store/somewhere") / split)
        shutil.move(root / "store/somewhere" / split, root / "store" / f"{split} images")
        (root / split).unlink()
        (root / split).symlink_to(Path("store") / f"{split} images")
    return root


def unpacked_beside_its_zip(root):
    lay(root, pictures() | labels())
    pack(root / f"{OFFICIAL['0.25']}.zip", pictures())
    return root


def beside_a_damaged_zip(root):
    lay(root, pictures() | labels())
    (root / "backup.zip").write_bytes(b"PK no")
    return root


LAYOUTS = (
    plain_folder, one_level_down, all_one_level_down, labels_one_level_down,
    labels_and_pictures_in_folders_of_their_own, official_zip_beside, zip_with_labels, zip_with_labels_beside,
    zip_with_labels_deeper, zip_of_a_mac, zip_with_dots, zip_of_windows, zip_of_a_zip_folder_one_level_down,
    a_zip_per_split, a_zip_of_pictures_per_split, a_common_copy, other_case, linked_inside, unpacked_beside_its_zip,
    beside_a_damaged_zip,
)  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_layouts(tmp_path, layout):
    path = layout(tmp_path)
    for splits, wanted in (("train", ("train",)), ("val", ("val",)), ("both", ("train", "val"))):
        assert shades(path, splits=splits) == expected("0.25", *wanted)


def both_zips(root, names=OFFICIAL):
    lay(root, labels())
    for padding, name in names.items():
        pack(root / f"{name}.zip", pictures(padding))
    return root


def both_zips_with_folders_inside(root):
    lay(root, labels())
    for padding, name in OFFICIAL.items():
        pack(root / f"{name}.zip", pictures(padding), f"{name}/")
    return root


def renamed_zips_with_folders_inside(root):
    lay(root, labels())
    for padding, name in OFFICIAL.items():
        pack(root / f"{'ab'[padding == '1.25']}.zip", pictures(padding), f"{name}/")
    return root


def both_unpacked(root):
    lay(root, labels())
    for padding, name in OFFICIAL.items():
        lay(root, pictures(padding), name)
    return root


def both_with_labels(root):
    for padding in OFFICIAL:
        lay(root, pictures(padding) | labels(), padding)
    return root


def one_zip_with_both(root):
    inside = {f"{name}/{n}": data for padding, name in OFFICIAL.items() for n, data in pictures(padding).items()}
    return pack(root / "all.zip", inside | labels())


def unpacked_and_zip(root):
    lay(root, labels())
    lay(root, pictures("0.25"), OFFICIAL["0.25"])
    pack(root / f"{OFFICIAL['1.25']} (1).zip", pictures("1.25"))
    return root


def plain_folder_beside_both_zips(root):
    return lay(both_zips(root), {name: picture(0) for name in pictures()})


BOTH = (
    both_zips, lambda root: both_zips(root, {"0.25": "0.25", "1.25": "1.25"}),
    lambda root: both_zips(root, {"0.25": "FairFace_pad025", "1.25": "FairFace_PAD125"}),
    lambda root: both_zips(root, {"0.25": "fairface_025_v2", "1.25": "padding=1.25"}),
    lambda root: both_zips(root, {"0.25": "025", "1.25": "125"}),
    both_zips_with_folders_inside, renamed_zips_with_folders_inside, both_unpacked, both_with_labels,
    one_zip_with_both, unpacked_and_zip, plain_folder_beside_both_zips,
)  # fmt: skip


@pytest.mark.parametrize("layout", BOTH)
@pytest.mark.parametrize("padding", OFFICIAL)
def test_of_two_paddings_the_one_that_was_asked_for_is_read(tmp_path, layout, padding):
    assert shades(layout(tmp_path), padding=padding, splits="both") == expected(padding, "train", "val")


def only(padding: str, kind: str, root: Path) -> Path:
    """A folder, or an archive, of one padding alone."""
    name = OFFICIAL[padding]
    if kind == "zip":
        pack(lay(root, labels()) / f"{name}.zip", pictures(padding))
    elif kind == "zip beside plain folders":
        pack(lay(root, labels() | pictures(padding)) / f"{name}.zip", pictures(padding))
    elif kind == "zip itself":
        return pack(lay(root, labels()) / f"{name}.zip", pictures(padding))
    elif kind == "renamed zip, folder inside":
        return pack(root / "all.zip", {f"{name}/{n}": data for n, data in (pictures(padding) | labels()).items()})
    elif kind == "folder":
        lay(lay(root, labels()), pictures(padding), name)
    elif kind == "folder itself":
        return lay(root / f"FairFace {padding}", pictures(padding) | labels())
    elif kind == "folder and labels":
        lay(root, pictures(padding) | labels(), padding)
    return root


KINDS = ("zip", "zip beside plain folders", "zip itself", "renamed zip, folder inside", "folder", "folder itself",
         "folder and labels")  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("padding", OFFICIAL)
def test_another_padding_is_refused(tmp_path, padding, kind):
    path = only(padding, kind, tmp_path)
    (other,) = set(OFFICIAL) - {padding}
    assert shades(path, padding=padding) == expected(padding)
    with pytest.raises(InputError) as caught:
        read_fairface(path, padding=other)
    message = str(caught.value)
    assert message.startswith(str(path)) and f"of another padding than {other}: {padding} in " in message
    assert f"pass --padding {padding}" in message


def test_where_no_name_tells_the_padding_a_note_does(tmp_path):
    for path in (plain_folder(tmp_path / "a"), zip_with_labels(tmp_path / "b")):
        assert shades(path, padding="1.25") == expected()  # taken as it is
        assert read_fairface(path).notes == ()
        (note,) = read_fairface(path, padding="1.25").notes
        assert note == "padding 1.25 was asked for, and no name tells which one the images have"


@pytest.mark.parametrize("name", ["real-fairface-1.25", f"{OFFICIAL['1.25']}/data", "margin1_25/a/b"])
@pytest.mark.parametrize("linked", [False, True])
def test_the_end_of_the_path_tells_the_padding_also_behind_a_link(tmp_path, name, linked):
    path = lay(tmp_path / name, pictures("1.25") | labels())
    if linked:
        path = tmp_path / "link"
        path.symlink_to(tmp_path / name)
    assert shades(path, padding="1.25") == expected("1.25") and read_fairface(path, padding="1.25").notes == ()
    with pytest.raises(InputError, match=r"of another padding than 0\.25: 1\.25 in "):
        read_fairface(path)


def test_a_linked_split_tells_the_padding(tmp_path):
    lay(lay(tmp_path / "x", labels()), pictures("1.25"), "a/b/c/d/1.25")
    (tmp_path / "x/train").symlink_to(tmp_path / "x/a/b/c/d/1.25/train")
    assert shades(tmp_path / "x", padding="1.25") == expected("1.25")
    with pytest.raises(InputError, match=r"of another padding than 0\.25: 1\.25 in train"):
        read_fairface(tmp_path / "x")


def test_a_link_that_tells_another_padding_than_what_it_leads_to_is_refused(tmp_path):
    lay(tmp_path / "margin125", pictures("1.25") | labels())
    (tmp_path / "0.25").symlink_to(tmp_path / "margin125")
    for padding in OFFICIAL:
        with pytest.raises(InputError, match=r"is called padding 0\.25, but leads to padding 1\.25, .*margin125"):
            read_fairface(tmp_path / "0.25", padding=padding)


NAMES = {
    "fairface-img-margin025-trainval.zip": "0.25", "fairface-img-margin125-trainval (1).zip": "1.25", "0.25": "0.25",
    "padding_1.25": "1.25", "pad=0.25": "0.25", "1.25.zip": "1.25", "125": "1.25", "FAIRFACE-125": "1.25",
    "1.25/data/0.25": "0.25", "0.25/data": "0.25", "0.25/all 0.25 and 1.25": "0.25", "train": None, "": None,
    "fairface": None, "0.25 and 1.25": None, "v10.25": None, "0.250": None, "1.0.25": None, "2025": None,
    "fairface1250": None, "pictures125": None, "padding": None, "1.25.3": None,
    "margin1_25": "1.25", "1_25": "1.25", "img-125": "1.25", "0-25": "0.25", "crop_0,25.zip": "0.25", "img125": None,
    "2021_1_25": None, "backup_1_25": None, "margin-1.25.3": None,
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_paddings_in_names(name):
    assert padding_of(name) == NAMES[name]


def test_an_archive_of_another_padding_is_not_opened(tmp_path):
    both_zips(tmp_path)
    (tmp_path / f"{OFFICIAL['1.25']}.zip").write_bytes(b"no zip")
    assert shades(tmp_path) == expected()
    with pytest.raises(InputError, match=r"margin125-trainval\.zip: is not a readable zip"):
        read_fairface(tmp_path, padding="1.25")


def test_equally_near_places_are_refused(tmp_path):
    for name in ("a", "b"):
        lay(tmp_path / "folders", pictures(), name)
        pack(tmp_path / f"zips/{name}.zip", pictures(), "x/" if name == "b" else "")
        lay(tmp_path / name, labels())
    lay(tmp_path / "folders", labels())
    lay(tmp_path / "zips", labels())
    with pytest.raises(InputError, match=r"folders: holds images more than once: in a/train and in b/train"):
        read_fairface(tmp_path / "folders")
    with pytest.raises(InputError, match=r"zips: holds images more than once: in a.zip/train and in b.zip/x/train"):
        read_fairface(tmp_path / "zips")


def test_labels_nearest_to_the_images(tmp_path):
    both_with_labels(tmp_path)
    csv = tmp_path / "1.25/fairface_label_train.csv"
    csv.write_text("\n".join(csv.read_text().splitlines()[:3]) + "\n")
    assert len(read_fairface(tmp_path, padding="0.25")) == 3 and len(read_fairface(tmp_path, padding="1.25")) == 2
    lay(tmp_path, labels())  # further away
    assert len(read_fairface(tmp_path, padding="1.25")) == 2


def test_labels_that_differ_and_are_equally_near_are_refused(tmp_path):
    lay(tmp_path, pictures())
    lay(lay(tmp_path, labels(), "a"), labels(), "b")
    assert len(read_fairface(tmp_path)) == 3
    (tmp_path / "b/fairface_label_train.csv").write_text(HEADER)
    with pytest.raises(InputError, match=r"label files that differ, a/fairface_label_train.csv and b/fairface_label"):
        read_fairface(tmp_path)


def test_images_spelled_otherwise_are_noted(tmp_path):
    other_case(tmp_path)
    faces = read_fairface(tmp_path, splits="both")
    assert faces.image_names[0] == "train/1.jpg"  # as listed: the same sample is drawn
    assert faces.notes == ("5 images are spelled otherwise in the list, the first 'train/1.jpg'",)
    text = labels()["fairface_label_train.csv"].decode().replace("train/1", "train\\1").replace("train/2", "./train//2")
    root = lay(tmp_path / "x", pictures() | {"fairface_label_train.csv": text.encode()})
    faces = read_fairface(root)
    assert faces.image_names == ("train/1.jpg", "train/2.jpg", "train/3.jpg")
    assert faces.notes == ("2 images are spelled otherwise in the list, the first 'train\\\\1.jpg'",)


@pytest.mark.parametrize("again", ["./train/1.jpg", r"train\1.jpg", "TRAIN/1.jpg", "train//1.jpg", "x/../train/1.jpg"])
def test_an_image_listed_twice_in_two_spellings_is_refused(tmp_path, again):
    lay(tmp_path, pictures() | labels())
    csv = tmp_path / "fairface_label_train.csv"
    csv.write_text(csv.read_text() + f"{again},20-29,Male,White,True\n")
    with pytest.raises(InputError, match=r"row 5: image .* is listed twice"):
        read_fairface(tmp_path)


def test_files_that_differ_in_case_alone_are_refused_unless_listed_exactly(tmp_path):
    lay(tmp_path, pictures() | labels() | {"train/1.JPG": picture(0)})
    assert shades(tmp_path) == expected()
    csv = tmp_path / "fairface_label_train.csv"
    csv.write_text(csv.read_text().replace("train/1.jpg", "train/1.Jpg"))
    with pytest.raises(InputError, match=r"row 2: image 'train/1.Jpg' may be 'train/1.JPG' or 'train/1.jpg'"):
        read_fairface(tmp_path)


def test_messages_say_where_and_what_was_found(tmp_path):
    with pytest.raises(InputError) as caught:
        read_fairface(tmp_path)
    assert "fairface_label_train.csv: no such file, nor in the folders and archives there (found: nothing)" in str(
        caught.value
    )
    lay(tmp_path, {"fairface_label_val.csv": b"", "b.txt": b"", "pictures/1.jpg": b""})
    with pytest.raises(InputError, match=r"\(found: pictures/, b.txt, fairface_label_val.csv\).*--splits val"):
        read_fairface(tmp_path)
    lay(tmp_path, labels())
    with pytest.raises(InputError) as caught:
        read_fairface(tmp_path)
    assert f"row 2: image 'train/1.jpg' is listed but absent from {tmp_path} (found there: pictures/" in str(
        caught.value
    )
    pack(tmp_path / "outer.zip", {"inner.zip": b"x", "train.csv": b""})
    with pytest.raises(InputError, match=r"outer\.zip: holds no picture, but an archive that is not opened, inner.zip"):
        (tmp_path / "fairface_label_train.csv").unlink()
        read_fairface(tmp_path / "outer.zip")


def test_links_out_of_the_folder_are_refused(tmp_path):
    lay(tmp_path / "outside", pictures() | labels())
    root = lay(tmp_path / "in", pictures())
    (root / "fairface_label_train.csv").symlink_to(tmp_path / "outside/fairface_label_train.csv")
    with pytest.raises(InputError, match=r"fairface_label_train.csv is a link that leaves the data directory"):
        read_fairface(root)
    lay(other := tmp_path / "other", labels())
    (other / "train").symlink_to(tmp_path / "outside/train")
    with pytest.raises(InputError, match=r"row 2: path 'train/1.jpg' leaves the data directory"):
        read_fairface(other)


def test_prepared_data_one_level_up_and_of_unknown_padding(tmp_path):
    from bias_jax.data.fairface_tfds import main as prepare

    plain_folder(tmp_path / "FairFace")
    assert prepare(["--source", str(tmp_path / "FairFace"), "--out", str(tmp_path / "prepared")]) == 0
    for path in (tmp_path / "prepared", tmp_path / "prepared/fairface"):
        assert shades(path, splits="both") == expected("0.25", "train", "val")
    assert "no name tells" in read_fairface(tmp_path / "prepared", padding="1.25").notes[0]
    next((tmp_path / "prepared/fairface/1.0.0").glob("*train*")).unlink()
    with pytest.raises(InputError, match="cannot be read as prepared FairFace"):
        read_fairface(tmp_path / "prepared")


def test_the_shades_of_the_tests_differ():
    every = [*expected("0.25", "train", "val").values(), *expected("1.25", "train", "val").values()]
    assert len(np.unique(every)) == 10


@pytest.mark.parametrize("inner", ["fairface.zip", "fairface.tar.gz"])
def test_archives_in_an_archive_are_named(inner, tmp_path):
    pack(tmp_path / "outer.zip", labels() | {inner: b"packed"})
    with pytest.raises(InputError, match=rf"an archive that is not opened, {inner}. Way out: unpack {inner}"):
        read_fairface(tmp_path / "outer.zip")
