import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from bias_jax.audit import look
from bias_jax.data import distinct_images, read_utkface
from bias_jax.data.decoding import decode
from bias_jax.errors import InputError
from tests.data.test_decoding import encoded

STAMP = "20170109150557335"


def touch(root, *names):
    for name in names:
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(root / name, "jpeg")


def test_names_become_labels_and_incomplete_ones_are_counted(tmp_path):
    touch(
        tmp_path,
        f"0_0_0_{STAMP}.jpg",
        f"2_1_1_{STAMP}.jpg.chip.jpg",
        f"3_0_2_{STAMP}.jpg.chip.jpg",
        f"69_0_3_{STAMP}.jpg",
        f"70_1_4_{STAMP}.jpg",
        f"116_1_4_{STAMP}.jpg",
    )
    touch(tmp_path, f"61_1_{STAMP}.jpg.chip.jpg", f"117_0_0_{STAMP}.jpg", f"20_0_5_{STAMP}.jpg", "24_0_1_.jpg", "x.jpg")
    dataset = read_utkface(tmp_path)
    found = {n: dataset.groups.classes[g] for n, g in zip(dataset.image_names, dataset.group_labels, strict=True)}
    assert found == {
        f"0_0_0_{STAMP}.jpg": "White / 0-2 / Male",
        f"2_1_1_{STAMP}.jpg.chip.jpg": "Black / 0-2 / Female",
        f"3_0_2_{STAMP}.jpg.chip.jpg": "Asian / 3-9 / Male",
        f"69_0_3_{STAMP}.jpg": "Indian / 60-69 / Male",
        f"70_1_4_{STAMP}.jpg": "Others / more than 70 / Female",
        f"116_1_4_{STAMP}.jpg": "Others / more than 70 / Female",
    }
    assert dataset.notes[0].startswith("5 files without a complete name")


def test_folders_without_utkface(tmp_path):
    with pytest.raises(InputError, match="no such directory"):
        read_utkface(tmp_path / "nowhere")
    touch(tmp_path, "x.jpg")
    with pytest.raises(InputError, match="holds no image named"):
        read_utkface(tmp_path)


def read(path):
    """Name -> group of what was read, and the notes."""
    dataset = read_utkface(path)
    for i in range(len(dataset)):
        decode(dataset.read_bytes(i))
    groups = [dataset.groups.classes[g] for g in dataset.group_labels]
    return dict(zip(dataset.image_names, groups, strict=True)), dataset.notes


NAMES = [
    "0_0_0_{}.jpg", "1_0_0_{}.JPG", "2_0_0_{}.jpeg", "3_0_0_{}.png", "4_0_0_{}.Jpg", "5_0_0_{}.jpg.chip.jpg",
    "6_0_0_{}.JPG.CHIP.JPG", "7_0_0_{}.png.chip.png", "8_0_0_{}jpg.chip.jpg", "9_0_0_{}.pg.chip.jpg",
    "10_0_0_{}.jpg.chip.png", "11_0_0_{}.chip.jpg", "12_0_0_{}.bmp", "13_0_0_{}.webp", "14_0_0_{}.tif",
    "15_0_0_{}.gif", "16_0_0_{}.jfif",
]  # fmt: skip


def test_pictures_of_every_kind_are_read(tmp_path):
    names = [name.format(STAMP) for name in NAMES]
    touch(tmp_path, *names)
    found, notes = read(tmp_path)
    assert list(found) == sorted(names) and notes == ()


def test_what_is_left_out_is_counted_by_reason(tmp_path):
    touch(tmp_path, f"1_0_0_{STAMP}.jpg", f"2_0_0_{STAMP} (1).jpg", f"3_0_0_{STAMP}_flip.jpg", f"4_0_{STAMP}.jpg")
    for name in ("readme.txt", "labels.csv", f"5_0_0_{STAMP}.heic", "crop_part1.tar.gz", ".DS_Store",
                 f"._6_0_0_{STAMP}.jpg"):  # fmt: skip
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "__MACOSX").mkdir()
    touch(tmp_path / "__MACOSX", f"7_0_0_{STAMP}.jpg")
    found, notes = read(tmp_path)
    assert list(found) == [f"1_0_0_{STAMP}.jpg"]
    assert sorted(notes) == [
        "1 archives inside were not opened, the first 'crop_part1.tar.gz'",
        "3 files that are no pictures were skipped, the first '5_0_0_20170109150557335.heic'",
        "3 files without a complete name were skipped (age up to 116, gender, race, time), the first "
        "'2_0_0_20170109150557335 (1).jpg'",
    ]


def test_links(tmp_path):
    root = tmp_path / "in"
    (root / "a").mkdir(parents=True)
    touch(root / "a", f"1_0_0_{STAMP}.jpg")
    touch(tmp_path, f"2_0_0_{STAMP}.jpg")
    (root / f"2_0_0_{STAMP}.jpg").symlink_to(tmp_path / f"2_0_0_{STAMP}.jpg")
    (root / f"3_0_0_{STAMP}.jpg").symlink_to(root / f"a/1_0_0_{STAMP}.jpg")
    (root / "circle").symlink_to(root)
    found, notes = read(root)
    assert list(found) == [f"3_0_0_{STAMP}.jpg", f"a/1_0_0_{STAMP}.jpg"]
    assert notes == (f"1 links that leave the folder were skipped, the first '2_0_0_{STAMP}.jpg'",)


def pack(path, files, below=""):
    with zipfile.ZipFile(path, "w") as archive:
        for name in files:
            archive.writestr(below + name, encoded(np.zeros((8, 8, 3), np.uint8)))
    return path


@pytest.mark.parametrize("below", ["", "UTKFace/", "archive/UTKFace/UTKFace/", "./x//", "UTKFace\\"])
def test_one_zip(tmp_path, below):
    pack(tmp_path / "archive.zip", [f"1_0_0_{STAMP}.jpg", f"20_1_3_{STAMP}.jpg.chip.jpg", "x.jpg", "._1.jpg"], below)
    for path in (tmp_path / "archive.zip", tmp_path):
        found, notes = read(path)
        assert sorted(found.values()) == ["Indian / 20-29 / Female", "White / 0-2 / Male"]
        assert [note.split(" were")[0] for note in notes] == ["1 files without a complete name"]


def test_several_parts_in_a_folder(tmp_path):
    pack(tmp_path / "crop_part1.zip", [f"1_0_0_{STAMP}.jpg"], "crop_part1/")
    (tmp_path / "deeper").mkdir()
    pack(tmp_path / "deeper/UTKFace.ZIP", [f"2_0_0_{STAMP}.jpg"])
    for name in ("UTKFace", "utkface_aligned_cropped/UTKFace", "utkface_aligned_cropped/crop_part1"):
        (tmp_path / name).mkdir(parents=True)
        touch(tmp_path / name, f"3_0_0_{STAMP}.jpg")
    found, notes = read(tmp_path)
    assert notes == () and list(found) == [
        f"UTKFace/3_0_0_{STAMP}.jpg",
        f"crop_part1.zip/crop_part1/1_0_0_{STAMP}.jpg",
        f"deeper/UTKFace.ZIP/2_0_0_{STAMP}.jpg",
        f"utkface_aligned_cropped/UTKFace/3_0_0_{STAMP}.jpg",
        f"utkface_aligned_cropped/crop_part1/3_0_0_{STAMP}.jpg",
    ]
    (tmp_path / "part2.zip").write_bytes(b"PK cut off")  # half of the data must not be lost in silence
    with pytest.raises(InputError, match=r"part2\.zip: is not a readable zip archive"):
        read_utkface(tmp_path)


def test_what_was_found_is_named(tmp_path):
    (tmp_path / "crop_part1.tar.gz").write_bytes(b"x")
    with pytest.raises(InputError, match=r"not opened, crop_part1.tar.gz. Way out: unpack"):
        read_utkface(tmp_path)
    with pytest.raises(InputError, match=r"crop_part1.tar.gz: is not a readable zip archive"):
        read_utkface(tmp_path / "crop_part1.tar.gz")


def test_folders_that_may_not_be_listed_are_noted(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    touch(tmp_path, f"1_0_0_{STAMP}.jpg")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert read(tmp_path)[1] == ("1 folders may not be listed, the first 'closed'",)


def test_folders_of_any_name_do_not_stop_it(tmp_path):
    folder = os.fsencode(tmp_path) + b"/\xff\xe4"
    try:
        os.mkdir(folder)
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    touch(tmp_path, name := f"1_0_0_{STAMP}.jpg")
    os.rename(tmp_path / name, folder + b"/" + name.encode())
    (images, (seen,)) = look([read_utkface(tmp_path)])
    assert len(images) == len(seen.dataset) == 1


def test_messages_name_files_and_no_rows(tmp_path):
    touch(tmp_path, f"1_0_0_{STAMP}.jpg", f"2_1_1_{STAMP}.jpg")
    (tmp_path / f"3_0_0_{STAMP}.jpg").write_bytes(b"cut")
    with pytest.raises(
        InputError, match=rf"/3_0_0_{STAMP}.jpg: image .* cannot be decoded.*delete it, or pass"
    ) as told:
        look([read_utkface(tmp_path)])
    assert "row" not in str(told.value)
    (tmp_path / f"3_0_0_{STAMP}.jpg").unlink()
    with pytest.raises(InputError, match=rf"/2_1_1_{STAMP}.jpg: image .* is the same picture as .*rename or") as told:
        distinct_images(read_utkface(tmp_path), np.zeros(2, int))
    assert "row" not in str(told.value)


@pytest.mark.parametrize("inner", ["part1.zip", "UTKFace.tar.gz"])
def test_archives_in_an_archive_are_named(inner, tmp_path):
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.writestr(f"data/{inner}", b"packed")
    with pytest.raises(InputError, match=rf"an archive that is not opened, data/{inner}. Way out: unpack data/{inner}"):
        read_utkface(tmp_path / "outer.zip")
