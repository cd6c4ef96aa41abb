import shutil

import pandas as pd
import pytest
from PIL import Image

from experiments.data import main
from tests.data.test_fairface import HEADER, ROWS, folder, write  # noqa: F401
from tests.data.test_utkface import pack


def check(root, out, *more):
    return main(["check", str(root), "--splits", "train", "--out", str(out), *more])


def test_sound_data_pass(folder, tmp_path_factory, capsys):  # noqa: F811
    out = tmp_path_factory.mktemp("out")
    assert check(folder, out) == 0
    text = capsys.readouterr().out
    assert "train: 3 images with complete labels, 0 of them unreadable" in text
    assert "groups: 126, 123 empty" in text and "3 of the official 86,744 images" in text
    assert "service_test is undocumented and left alone: True for 2 of 3" in text
    counts = pd.read_parquet(out / "counts.parquet")
    assert len(counts) == 126 and counts["images"].sum() == 3
    assert (out / "counts.png").stat().st_size > 10_000


def test_every_defect_is_listed_with_its_row(folder, tmp_path_factory, capsys):  # noqa: F811
    shutil.copy(folder / "train/1.jpg", folder / "train/4.jpg")
    (folder / "train/5.jpg").write_bytes(b"no")
    rows = [
        *ROWS,
        "train/4.jpg,3-9,Male,White,True\n",
        "train/5.jpg,3-9,Male,White,True\n",
        "train/6.jpg,3-9,Male,White,True\n",
        "train/1.jpg,3-9,Male,White,True\n",
        "train/2.jpg,Oct-19,Male,White,True\n",
        "train/2.jpg,3-9,Male,Martian,True\n",
        "../x.jpg,3-9,Male,White,True\n",
    ]
    write(folder, rows)
    assert check(folder, tmp_path_factory.mktemp("out")) == 1
    text = capsys.readouterr().out
    parts = (
        "row 6: image 'train/5.jpg' cannot be decoded",
        "row 7: image 'train/6.jpg' is listed but absent",
        "row 8: image 'train/1.jpg' is listed twice",
        "row 9: age 'Oct-19'",
        "row 10: race 'Martian'",
        "row 11: path '../x.jpg' leaves",
        "1 x age mangled by a spreadsheet",
        "duplicate images (same pixels): train/1.jpg, train/4.jpg",
        "row 5: image 'train/4.jpg' is the same picture as 'train/1.jpg' of row 2, but race is 'White'",
        "7 defects, 1 set of duplicates",
    )
    for part in parts:
        assert part in text, part


@pytest.mark.parametrize("race", ["East Asian", "Black"])
@pytest.mark.parametrize("split", ["train", "val"])
def test_equal_pixels_are_duplicates_however_they_are_encoded(folder, tmp_path_factory, capsys, split, race):  # noqa: F811
    with Image.open(folder / "train/1.jpg") as image:
        (folder / split).mkdir(exist_ok=True)
        image.save(folder / split / "4.png")
    row = f"{split}/4.png,3-9,Male,{race},True\n"
    write(folder, [*ROWS, row] if split == "train" else ROWS)
    (folder / "fairface_label_val.csv").write_text(HEADER + row)
    assert main(["check", str(folder), "--splits", "both" if split == "val" else "train",
                 "--out", str(tmp_path_factory.mktemp("out"))]) == 1  # fmt: skip
    text = capsys.readouterr().out
    assert f"duplicate images (same pixels): train/1.jpg, {split}/4.png" in text
    other = race != "East Asian"
    assert f"{'1 defect' if other else '0 defects'}, 1 set of duplicates" in text
    contrary = f"image '{split}/4.png' is the same picture as 'train/1.jpg' of row 2, but race is 'Black', not 'East"
    assert (f"row {5 if split == 'train' else 2}: {contrary}" in text) == other


def test_images_of_one_colour_are_noted(folder, tmp_path_factory, capsys):  # noqa: F811
    Image.new("RGB", (224, 224), (9, 9, 9)).save(folder / "train/2.jpg")
    assert check(folder, tmp_path_factory.mktemp("out")) == 0
    assert "note: 1 image is of one colour, the first 'train/2.jpg'" in capsys.readouterr().out


def test_utkface_as_a_zip(tmp_path, capsys):
    names = [f"{age}_0_0_20170109150557335.jpg" for age in (1, 20)]
    pack(tmp_path / "UTKFace.zip", [*names, "x.jpg"])
    assert main(["check", str(tmp_path / "UTKFace.zip"), "--data", "utkface", "--out", str(tmp_path / "out")]) == 1
    text = capsys.readouterr().out
    assert "all: 2 images with complete labels" in text and "note: 1 files without a complete name" in text


def test_repaired_labels_are_no_defects(folder, tmp_path_factory, capsys):  # noqa: F811
    write(folder, [ROWS[0], ROWS[2].replace("10-19", "Oct-19")])
    out = tmp_path_factory.mktemp("out")
    assert check(folder, out) == 1
    assert check(folder, out, "--repair-labels") == 0
    assert "1 label 'Oct-19' read as '10-19'" in capsys.readouterr().out


def test_data_that_cannot_be_checked(tmp_path, capsys):
    assert check(tmp_path / "nowhere", tmp_path / "out") == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert main(["check", str(tmp_path), "--data", "utkface", "--out", str(tmp_path / "out")]) == 2


ALL_DEFECTIVE = {
    "lower case": (lambda row: row.replace("Male", "male").replace("Female", "female"), "3 x label in another case"),
    "absent": (lambda row: row.replace("train/", "train/x"), "3 x image listed but absent"),
}


@pytest.mark.parametrize("what", ALL_DEFECTIVE)
def test_where_every_row_is_defective_all_are_told(folder, tmp_path_factory, capsys, what):  # noqa: F811
    change, kind = ALL_DEFECTIVE[what]
    write(folder, [change(row) for row in ROWS])
    out = tmp_path_factory.mktemp("out")
    assert check(folder, out) == 1
    text = capsys.readouterr().out
    assert "train: 0 images with complete labels" in text and kind in text
    assert all(f"row {row}: " in text for row in (2, 3, 4))
    assert "Way out: see to the 3 defective rows" in text and "no image is left to count" in text
    assert "--skip-unreadable" not in text and not list(out.iterdir())


def test_csvs_as_people_have_them(folder, tmp_path_factory, capsys):  # noqa: F811
    rows = [ROWS[0].replace("Male", "male"), ROWS[1].replace("Female", "NA"), ROWS[2].replace("TRUE", "w\xe4hr")]
    (folder / "fairface_label_train.csv").write_text("# a comment\n" + HEADER + "".join(rows), encoding="cp1252")
    out = tmp_path_factory.mktemp("out")
    assert check(folder, out, "--skip-lines", "1") == 2
    assert "such as --encoding cp1252" in capsys.readouterr().err
    read = ("--skip-lines", "1", "--encoding", "cp1252")
    assert check(folder, out, *read) == 1
    text = capsys.readouterr().out
    assert "2 defects" in text and "--merge-case accepts it" in text and "--missing drop leaves the image out" in text
    assert check(folder, out, *read, "--merge-case", "--missing", "drop") == 0
    text = capsys.readouterr().out
    assert "train: 2 images with complete labels" in text and "service_test is undocumented" in text


@pytest.mark.parametrize("option", [("--encoding", "cp1252"), ("--skip-lines", "1"), ("--splits", "both")])
def test_utkface_has_neither_csvs_nor_splits(tmp_path, capsys, option):
    assert main(["check", str(tmp_path), "--data", "utkface", *option, "--out", str(tmp_path / "out")]) == 2
    assert f"{option[0]} is for --data " in capsys.readouterr().err


def test_real_photographs(fairface_dir, tmp_path, capsys):
    main(["check", str(fairface_dir), "--splits", "val", "--out", str(tmp_path)])
    text = capsys.readouterr().out
    assert "0 of them unreadable" in text and "Middle Eastern Female" in text


@pytest.mark.parametrize("name", ["train", "val"])
def test_official_marginals_agree_with_each_other(name):
    from bias_jax.data.checking import OFFICIAL

    totals = {sum(counts) for counts in OFFICIAL[name].values()}
    assert totals == {86744 if name == "train" else 10954}
