import shutil

import numpy as np
import pytest
from PIL import Image

from bias_jax.data import (
    FolderImages,
    LabelSet,
    align_labels,
    attribute_labels,
    locate_images,
    open_images,
    read_labels,
)
from bias_jax.errors import InputError
from tests.conftest import toy_dataset

HEADER = "ImageID,Source,LabelName,Confidence\n"
HUMAN = HEADER + (
    "one,verification,/m/a,1\n"
    "two,verification,/m/a,1\ntwo,crowdsource-verification,/m/a,1\ntwo,verification,/m/b,0\n"
    "three,verification,/m/b,1\nthree,verification,/m/b,0\nthree,verification,/m/c,0\n"
    "four,verification,/m/b,1\n"
)
MACHINE = HEADER + "one,machine,/m/b,0.9\none,machine,/m/c,0.3\nthree,machine,/m/c,0.8\nfive,machine,/m/c,0.7\n"


def write(path, text):
    path.write_text(text)
    return path


def table(labels: LabelSet):
    return labels.values.toarray().tolist()


def test_open_images_labels_of_people(tmp_path):
    labels = read_labels(write(tmp_path / "human.csv", HUMAN))
    assert labels.images == ("one", "two", "three", "four") and labels.classes == ("/m/a", "/m/b", "/m/c")
    # One label is not lost; repeated ones count once; a contradiction is unknown; confidence 0 is verified absence.
    assert table(labels) == [[1, 0, 0], [1, -1, 0], [0, 0, -1], [0, 1, 0]]
    assert labels.rows == (2, 3, 6, 9)
    notes = " / ".join(labels.notes)
    assert "1 labels are both present and absent" in notes and "2 repeated labels" in notes
    assert "2 labels are verified absent" in notes


def test_machine_labels_never_mean_absent_and_give_way_to_people(tmp_path):
    human, machine = write(tmp_path / "human.csv", HUMAN), write(tmp_path / "machine.csv", MACHINE)
    labels = read_labels(human, machine=machine)
    assert labels.images == ("one", "two", "three", "four", "five")
    assert table(labels) == [[1, 1, 0], [1, -1, 0], [0, 0, -1], [0, 1, 0], [0, 0, 1]]
    assert any(note.startswith("1 labels of a machine are below") for note in labels.notes)
    assert any(note.startswith("1 labels of a machine gave way") for note in labels.notes)
    strict = read_labels(human, machine=machine, machine_confidence=0.85)
    assert table(strict)[0] == [1, 1, 0] and table(strict)[4] == [0, 0, 0]


def test_descriptions_and_shared_names(tmp_path):
    text = "/m/a,Person\n/m/b,Bat\n/m/c,Bat\n/m/d,Unused\n"
    labels = read_labels(write(tmp_path / "h.csv", HUMAN), descriptions=write(tmp_path / "d.csv", text))
    assert labels.classes == ("Person", "Bat (/m/b)", "Bat (/m/c)")


def test_tuning_labels_have_no_header(tmp_path):
    labels = read_labels(write(tmp_path / "tuning.csv", "one,/m/a\ntwo,/m/b /m/a\nthree,\n"))
    assert labels.images == ("one", "two", "three") and labels.classes == ("/m/a", "/m/b")
    assert table(labels) == [[1, 0], [1, 1], [0, 0]]


@pytest.mark.parametrize("separator", ["|", ";", " "])
@pytest.mark.parametrize("column", ["image", "image_id", "file"])
def test_one_row_per_image(tmp_path, separator, column):
    first = "Man" if separator == " " else "Human face"
    text = f"{column},labels\na.jpg,{first}{separator}Person\nb.jpg,Person\nc.jpg,\n"
    labels = read_labels(write(tmp_path / "labels.csv", text))
    assert labels.images == ("a.jpg", "b.jpg", "c.jpg") and labels.classes == (first, "Person")
    assert table(labels) == [[1, 1], [0, 1], [0, 0]]


def test_white_space_and_separators_of_the_table(tmp_path):
    text = "\ufeffimage; labels\n a.jpg ;\xa0Human face | Person\u200b\n;\nb.jpg;Person\n"
    labels = read_labels(write(tmp_path / "labels.csv", text))
    assert labels.images == ("a.jpg", "b.jpg") and labels.classes == ("Human face", "Person")
    assert labels.rows == (2, 4) and table(labels) == [[1, 1], [0, 1]]


def test_quoted_lists_with_commas(tmp_path):
    labels = read_labels(write(tmp_path / "labels.csv", 'image,labels\na,"Human face, Person"\n'))
    assert labels.classes == ("Human face", "Person")


@pytest.mark.parametrize("header", ["Image,Labels", "IMAGE_ID,LABELS", "File,labels", "note,Labels,FILE"])
def test_case_in_the_header_does_not_count(header, tmp_path):
    rows = "a.jpg,Face|Person\nb.jpg,Person\n"
    if header.startswith("note"):
        rows = "x,Face|Person,a.jpg\nx,Person,b.jpg\n"
    labels = read_labels(write(tmp_path / "labels.csv", f"{header}\n{rows}"))
    assert labels.images == ("a.jpg", "b.jpg") and labels.classes == ("Face", "Person") and labels.rows == (2, 3)
    lower = read_labels(write(tmp_path / "human.csv", HUMAN.replace(HEADER, HEADER.lower())))
    upper = read_labels(write(tmp_path / "HUMAN.csv", HUMAN.replace(HEADER, HEADER.upper())))
    assert table(lower) == table(upper) == table(read_labels(write(tmp_path / "h.csv", HUMAN)))
    machine = write(tmp_path / "m.csv", MACHINE.replace("ImageID,Source", "imageId,SOURCE"))
    assert len(read_labels(tmp_path / "h.csv", machine=machine).images) == 5


LISTS = ["['a', 'b']", '["a", "b"]', "[]", "['a']", "('a', 'b')", "('a',)", "{'a', 'b'}", "['a' 'b']", "[a, b]",
         "['a [x]', 'b']", "[\"it's\", 'b']"]  # fmt: skip


@pytest.mark.parametrize("text", LISTS)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_lists_of_programs_are_no_labels(text, separator, tmp_path):
    doubled = text.replace('"', '""')
    path = write(tmp_path / "labels.csv", f'image{separator}labels\nx{separator}c\ny{separator}"{doubled}"\n')
    with pytest.raises(InputError, match=r"labels\.csv: row 3: labels .* are a list .*Way out: join them by \|"):
        read_labels(path)


def test_brackets_are_part_of_a_label(tmp_path):
    labels = read_labels(write(tmp_path / "labels.csv", "image,labels\nx,[a]|(man)|b [c]\ny,(man)\n"))
    assert labels.classes == ("[a]", "(man)", "b [c]")


DEFECTS = {
    "columns alike": ("image,labels,Labels\nx,a,b\n", "row 1: columns 'labels' and 'Labels' differ in case alone"),
    "label instead of labels": ("Image,Label\nx,a\n", "row 1: has the columns Image, Label"),
    "no known column of images": ("picture,Labels\nx,a\n", "row 1: column 'image' is missing (found: picture, Labels)"),
    "absent": (None, "no such file"),
    "empty": ("", "is empty"),
    "header only": (HEADER, "lists no image"),
    "other columns": ("a,b,c\n1,2,3\n", "row 1: has the columns a, b, c"),
    "no confidence": ("ImageID,LabelName\nx,y\n", "row 1: column 'Confidence' is missing"),
    "word as confidence": (HEADER + "x,verification,/m/a,1\ny,verification,/m/a,yes\n", "row 3: confidence 'yes'"),
    "confidence above 1": (HEADER + "x,verification,/m/a,2\n", "row 2: confidence '2'"),
    "nan as confidence": (HEADER + "x,verification,/m/a,nan\n", "row 2: confidence 'nan'"),
    "no image": (HEADER + ",verification,/m/a,1\n", "row 2: image is empty"),
    "no label": (HEADER + "x,verification,,1\n", "row 2: label is empty"),
    "short row": (HEADER + "x,verification\n", "row 2: expected 4 fields"),
    "image twice": ("image,labels\nx,a\nx,b\n", "row 3: image 'x' is listed twice"),
    "open quote": ('image,labels\nx,"a\n', "row 2: the quote before 'a' is not closed"),
    "not text": (b"image,labels\nx,\xff\xfe\n", "row 2: is not utf-8"),
    "missing label": ("image,labels\nx,a|nan\n", "row 2: label 'nan' stands for a missing value"),
    "control character": ("image,labels\nx,a|b\0c\n", r"row 2: label 'b\x00c' holds a control character"),
    "case alone": ("image,labels\nx,Dog|Cat\ny,dog\n", "row 3: label 'dog' and 'Dog' (row 2) differ in case alone"),
    "missing code": (HEADER + "x,verification,NA,1\n", "row 2: label 'NA' stands for a missing value"),
    "web page": ("<!DOCTYPE html>", "is a web page"),
}


@pytest.mark.parametrize("case", DEFECTS)
def test_defects_name_file_and_row(case, tmp_path):
    content, message = DEFECTS[case]
    path = tmp_path / "labels.csv"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as error:
        read_labels(path)
    assert message in str(error.value) and "labels.csv" in str(error.value) and "Way out" in str(error.value)


def test_vocabulary_by_frequency_and_by_list(tmp_path):
    labels = read_labels(write(tmp_path / "human.csv", HUMAN))
    assert labels.restrict(minimum=1).classes == ("/m/a", "/m/b")  # /m/c is only ever absent
    assert labels.restrict(most=1).classes == ("/m/a",)
    chosen = labels.restrict(["/m/b", "/m/a"])
    assert chosen.classes == ("/m/b", "/m/a") and table(chosen) == [[0, 1], [-1, 1], [0, 0], [1, 0]]
    for arguments, message in ((["/m/x"], "no image has the label '/m/x'"), ([], "no label is present in 9 images")):
        with pytest.raises(InputError, match=message):
            labels.restrict(arguments, minimum=9 if not arguments else 1)


def test_listed_images_that_do_not_exist_are_counted(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("two.jpg", "four.png"):
        Image.new("RGB", (4, 4)).save(folder / name)
    labels = read_labels(write(tmp_path / "human.csv", HUMAN))
    dataset, kept = locate_images(labels, FolderImages(folder), "training")
    assert dataset.image_names == kept.images == ("two.jpg", "four.png") and dataset.rows == (3, 9)
    assert table(kept) == [[1, -1, 0], [0, 1, 0]] and dataset.read_bytes(1)[:4] == b"\x89PNG"
    assert dataset.notes[-1] == "2 listed images do not exist, the first 'one'"
    with pytest.raises(InputError, match="not one of 4 listed images"):
        locate_images(labels, FolderImages(tmp_path / "nothing"), "training")
    outside = read_labels(write(tmp_path / "bad.csv", "image,labels\n../secret,a\n"))
    with pytest.raises(InputError, match=r"row 2: path '\.\./secret' leaves"):
        locate_images(outside, FolderImages(folder), "training")


def test_images_of_labels_are_found_in_every_spelling(tmp_path):
    for name in ("a/one.JPG", "a/Two.jpeg", "three.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    lists = "image,labels\n{},x\n{},y\n{},x\n"
    labels = read_labels(write(tmp_path / "l.csv", lists.format("a\\one", "./a/two.JPEG", "three")))
    for folder in (tmp_path, shutil.make_archive(str(tmp_path / "all"), "zip", tmp_path)):
        dataset, kept = locate_images(labels, open_images(folder), "training")
        assert dataset.image_names == kept.images == ("a/one.JPG", "a/Two.jpeg", "three.png")
        assert table(kept) == table(labels) and dataset.read_bytes(2)[:4] == b"\x89PNG"
    same = read_labels(write(tmp_path / "same.csv", lists.format("three", "THREE", "a/one")))
    with pytest.raises(InputError, match=r"row 3: images 'three' and 'THREE' are the same file 'three.png'"):
        locate_images(same, open_images(tmp_path), "training")
    Image.new("RGB", (4, 4)).save(tmp_path / "THREE.png")
    several = read_labels(write(tmp_path / "several.csv", lists.format("Three", "a/two", "a/one")))
    with pytest.raises(InputError, match=r"row 2: image 'Three' may be 'THREE.png' or 'three.png'"):
        locate_images(several, open_images(tmp_path), "training")


def test_attributes_as_labels():
    dataset = toy_dataset([[2, 1], [0, 3]])
    labels = attribute_labels(dataset, ["second", "first"])
    assert labels.classes == ("second 0", "second 1", "first 0", "first 1")
    assert (np.abs(labels.values.toarray()) == 1).all()  # all are known
    np.testing.assert_array_equal((labels.values.toarray() == 1).sum(axis=0), [2, 4, 3, 3])
    with pytest.raises(InputError, match="no attribute 'age'"):
        attribute_labels(dataset, ["age"])


def test_alignment_leaves_the_rest_unverified(tmp_path):
    labels = read_labels(write(tmp_path / "human.csv", HUMAN))
    found = align_labels(labels, ["/m/c", "/m/z", "/m/a"], ["three", "nobody", "one"])
    assert found.toarray().tolist() == [[-1, 0, 0], [0, 0, 0], [0, 0, 1]]
