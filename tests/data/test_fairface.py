import shutil

import numpy as np
import pytest
from PIL import Image

from bias_jax.audit import look
from bias_jax.data import balanced_subset, read_fairface
from bias_jax.data.fairface import unmangle_age
from bias_jax.errors import InputError

HEADER = "file,age,gender,race,service_test\n"
ROWS = [
    "train/1.jpg,3-9,Male,East Asian,True\n",
    "train/2.jpg,more than 70,Female,Latino_Hispanic,False\n",
    "train/3.jpg,10-19,Female,White,TRUE\n",
]


@pytest.fixture
def folder(tmp_path, rng):
    (tmp_path / "train").mkdir()
    for i in (1, 2, 3):
        Image.fromarray(rng.integers(0, 255, (224, 224, 3), dtype=np.uint8)).save(tmp_path / f"train/{i}.jpg")
    write(tmp_path, ROWS)
    return tmp_path


def write(folder, rows, header=HEADER):
    (folder / "fairface_label_train.csv").write_text(header + "".join(rows), encoding="utf-8")


def test_labels_are_mapped_by_name(folder):
    dataset = read_fairface(folder)
    assert [dataset.groups.classes[g] for g in dataset.group_labels] == [
        "East Asian / 3-9 / Male",
        "Latino_Hispanic / more than 70 / Female",
        "White / 10-19 / Female",
    ]
    assert dataset.rows == (2, 3, 4)


@pytest.mark.parametrize("prefix", ["\ufeff", ""])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_line_ends_and_byte_order_marks(folder, prefix, newline):
    text = prefix + (HEADER + "".join(ROWS)).replace("\n", newline)
    (folder / "fairface_label_train.csv").write_bytes(text.encode())
    assert len(read_fairface(folder)) == 3


@pytest.mark.parametrize(
    ("text", "age"),
    [("03-Sep", "3-9"), ("9-Mar", "3-9"), ("Oct-19", "10-19"), ("19-Oct", "10-19"), ("3-Sep", "3-9"), ("Sep-03", "3-9"),
     ("20-29", None), ("Oct-20", None), ("12-Dec", None), ("", None)],
)  # fmt: skip
def test_spreadsheet_ages(text, age):
    assert unmangle_age(text) == age


CASES = {
    "absent image": (ROWS + ["train/9.jpg,3-9,Male,White,True\n"], r"row 5: image 'train/9.jpg' is listed but absent"),
    "unknown race": ([ROWS[0].replace("East Asian", "Asian")], r"row 2: race 'Asian' is not one of White, Black"),
    "empty age": ([ROWS[0].replace("3-9", "")], r"row 2: age is missing"),
    "mangled age": ([ROWS[0], ROWS[2].replace("10-19", "Oct-19")], r"row 3: age 'Oct-19' is '10-19'.*--repair-labels"),
    "path outside": ([ROWS[0].replace("train/1", "../../etc/1")], r"row 2: path .* leaves the data directory"),
    "absolute path": ([ROWS[0].replace("train/1.jpg", "/etc/passwd")], r"row 2: path .* leaves the data directory"),
    "short row": ([ROWS[0], "train/2.jpg,3-9\n"], r"row 3: expected 5 fields"),
    "long row": ([ROWS[0].replace("True", "True,x")], r"row 2: expected 5 fields"),
    "twice": ([ROWS[0], ROWS[0]], r"row 3: image 'train/1.jpg' is listed twice"),
    "no rows": ([], r"no usable image"),
}


@pytest.mark.parametrize("case", CASES)
def test_defects_are_named_with_file_and_row(folder, case):
    rows, message = CASES[case]
    write(folder, rows)
    with pytest.raises(InputError, match=message) as caught:
        read_fairface(folder)
    assert "fairface_label_train.csv" in str(caught.value) and "Way out: " in str(caught.value)


def test_missing_column_directory_and_file(folder, tmp_path):
    write(folder, ["train/1.jpg,3-9,Male\n"], "file,age,gender\n")
    with pytest.raises(InputError, match="row 1: column 'race' is missing"):
        read_fairface(folder)
    with pytest.raises(InputError, match="no such file or directory"):
        read_fairface(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"fairface_label_val.csv: no such file"):
        read_fairface(folder, splits="val")
    (folder / "fairface_label_train.csv").write_bytes(b"\xff\xfe\x00garbage\x00")
    with pytest.raises(InputError, match="row 1: is not utf-16"):
        read_fairface(folder)


def test_symbolic_link_out_of_the_directory_is_refused(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "secret.jpg"
    shutil.copy(folder / "train/1.jpg", outside)
    (folder / "train/1.jpg").unlink()
    (folder / "train/1.jpg").symlink_to(outside)
    with pytest.raises(InputError, match="leaves the data directory"):
        read_fairface(folder)


def test_skipping_and_repairing_are_reported(folder):
    write(folder, [ROWS[0], ROWS[2].replace("10-19", "19-Oct"), "train/9.jpg,3-9,Male,White,True\n"])
    dataset = read_fairface(folder, skip_unreadable=True, repair_labels=True)
    assert len(dataset) == 2
    assert dataset.groups.classes[dataset.group_labels[1]] == "White / 10-19 / Female"
    assert any("1 label '19-Oct'" in note for note in dataset.notes)
    assert any("1 listed images are absent" in note for note in dataset.notes)


def test_real_photographs(fairface_dir):
    dataset = read_fairface(fairface_dir, splits="both")
    assert dataset.groups.size == 126
    subset = balanced_subset(dataset, 1, 0)
    assert len(subset) == 126
    assert look([subset])[0].image_size == (224, 224)
