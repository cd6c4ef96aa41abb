"""Tables as people have them, from FAULTS_DIR and made here: read aright, or refused with a way out."""

import gzip
import zipfile

import numpy as np
import pytest
from PIL import Image

from bias_jax.audit import RunConfig
from bias_jax.errors import InputError
from experiments.datasets import DataConfig, read_faces

ROWS = [(f"{i:02}.jpg", ("White", "Black")[i % 2], ("Female", "Male")[i // 2 % 2]) for i in range(1, 49)]
SOUND = {"White / Female": 12, "White / Male": 12, "Black / Female": 12, "Black / Male": 12}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for name, *_ in ROWS:
        Image.new("RGB", (4, 4), (int(name[:2]), 0, 0)).save(folder / name)
    return folder


@pytest.fixture
def read(pictures, tmp_path):
    """Reads a table, given as a path or as its bytes, of the 48 pictures."""

    def reader(table, attributes=("race", "gender"), skip_unreadable=False, **options):
        if isinstance(table, bytes):
            (tmp_path / "own.csv").write_bytes(table)
            table = tmp_path / "own.csv"
        config = DataConfig(data="table", table=str(table), data_dir=str(pictures), attributes=attributes, **options)
        return read_faces(config, RunConfig(skip_unreadable=skip_unreadable), subset=False)

    return reader


def groups(faces):
    counts = np.bincount(faces.group_labels, minlength=faces.groups.size)
    return {name: int(n) for name, n in zip(faces.groups.classes, counts, strict=True) if n}


READ = {
    "blank_excel_rows_at_end": {},
    "bom": {},
    "comment_line": {"skip_lines": 1},
    "crlf": {},
    "header_spaces": {},
    "pandas_index": {},
    "semicolon": {},
    "sep_line": {},
    "tab": {},
    "trailing_comma_rows_only": {},
    "utf16": {},
}


@pytest.mark.parametrize("name", READ)
def test_tables_that_are_read(name, read, faults_dir):
    faces = read(faults_dir / "csv" / f"{name}.csv", **READ[name])
    assert groups(faces) == SOUND and faces.image_names == tuple(name for name, *_ in ROWS)
    assert faces.notes == ()


REFUSED = {
    "age_numbers_nan": r"row 2: age is missing \('nan'\)\. Way out: .*--missing drop",
    "comment_line": r"row 1: column 'file' is missing \(found: # exported 2024\)\. Way out: pass --skip-lines 1,",
    "cp1252": r"row 2: is not utf-8, at '01\.jpg,Métis,Female'\. Way out: .*--encoding cp1252",
    "dup_column": r"row 1: columns 2 and 4 are both called 'race'",
    "html": r"is a web page; .* sign-in",
    "lfs": r"is a Git LFS pointer.*git lfs pull",
    "missing_value": r"row 2: gender is missing\. Way out: .*--missing drop",
    "nan_text": r"row 2: gender is missing \('nan'\)\. Way out: .*--missing drop",
    "nul": r"row 3: race 'Bl\\x00ack' holds a control character",
    "quoted_newline": r"row 3: race 'Bl\\nack' holds a line break: a quote opens in row 3 and closes in row 4",
    "spaces": r"row 22: gender 'female' and 'Female' \(row 3\) differ in case alone\. Way out: .*--merge-case",
    "unterminated_quote": r"row 12: the quote before '11\.jpg,Black,Male' is not closed",
}


@pytest.mark.parametrize("name", REFUSED)
def test_tables_that_are_refused(name, read, faults_dir):
    attributes = ("age", "gender") if name.startswith("age") else ("race", "gender")
    with pytest.raises(InputError, match=REFUSED[name]) as caught:
        read(faults_dir / "csv" / f"{name}.csv", attributes)
    assert f"{name}.csv: " in str(caught.value) and "Way out: " in str(caught.value)


def test_ways_out_lead_out(read, faults_dir):
    csv = faults_dir / "csv"
    for name in ("missing_value", "nan_text"):
        faces = read(csv / f"{name}.csv", missing="drop")
        assert len(faces) == 45 and len(faces.attributes[1].categories) == 2
        assert faces.notes == ("3 images were left out because a label is missing (gender 3)",)
    merged = read(csv / "spaces.csv", merge_case=True)
    assert groups(merged) == {"White / Female": 11, "White / Male": 13, "Black / Female": 12, "Black / Male": 12}
    assert merged.notes == ("1 label 'female' read as 'Female'",)
    assert read(csv / "cp1252.csv", encoding="cp1252").attributes[0].categories == ("Black", "Métis", "White")
    assert groups(read(csv / "dup_column.csv", ("gender",))) == {"Female": 24, "Male": 24}  # nobody asks for race
    assert min(groups(read(csv / "one_image_category.csv")).values()) == 1
    for bins, problem in (((), "row 8: age 'inf' is no finite number"), (("age=0", "18", "40"), "row 8: age 'inf'")):
        with pytest.raises(InputError, match=problem):
            read(csv / "age_numbers_nan.csv", ("age", "gender"), missing="drop", bins=bins)


def text(separator=",", end="\n", header=("file", "race", "gender"), rows=ROWS):
    return "".join(separator.join(row) + end for row in (header, *rows))


def changed(row, *fields):
    """The table with another row, of which the header is 1."""
    return "".join((",".join(fields) if i == row else line) + "\n" for i, line in enumerate(text().split("\n")[:-1], 1))


SAME = {
    "separated by |": text("|").encode(),
    "separated by tabs, ends \\r": text("\t", "\r").encode(),
    "ends \\r\\n, marked": text(end="\r\n").encode("utf-8-sig"),
    "UTF-16, big endian": b"\xfe\xff" + text().encode("utf-16-be"),
    "UTF-32": text(";").encode("utf-32"),
    "sep=; and semicolons": ("sep=;\n" + text(";")).encode(),
    "sep=tab, marked, in quotes": ('\ufeff"sep=\t"\r\n' + text("\t", "\r\n")).encode(),
    "SEP=| of UTF-16": ("SEP=|\n" + text("|")).encode("utf-16"),
    "gzip": gzip.compress(text().encode()),
    "gzip of UTF-16": gzip.compress(text("\t").encode("utf-16")),
    "all in quotes": "\n".join(",".join(f'"{x}"' for x in row) for row in (("file", "race", "gender"), *ROWS)).encode(),
    "quotes behind white space": text(", ", rows=[(a, f'"{b}"', f'"{c}"') for a, b, c in ROWS]).encode(),
    "white space of all kinds": text(
        rows=[(f" {a}\t", f"\u200b{b}\xa0", f"\ufeff\u3000{c}\u2009\u2060") for a, b, c in ROWS]
    ).encode(),
    "white space in the header": text(header=("\xa0file ", "\u200brace", "gender\ufeff")).encode(),
    "empty lines above, between and below": ("\n,,\n" + text(end="\n\n , ,\n") + ",,\n\n\n").encode(),
    "no last line end": text().rstrip("\n").encode(),
    "columns nobody asks for": text(
        header=("note", "note", "file", "race", "gender", ""),
        rows=[('5\'10"', '"two\nlines, of text"', *row, "scribble") for row in ROWS],
    ).encode(),
    "nameless columns at the end": text(header=("file", "race", "gender", "", "")).encode(),
    "empty fields too many": text(rows=[(*row, "", " ") for row in ROWS]).encode(),
    "a comma in the name of a column": text(";", header=("file", "race", "gender", "a, b, c, d, e"),
                                            rows=[(*row, "1,5") for row in ROWS]).encode(),
}  # fmt: skip


@pytest.mark.parametrize("kind", SAME)
def test_the_same_table_in_every_dress(kind, read):
    faces = read(SAME[kind])
    assert groups(faces) == SOUND and faces.image_names == tuple(name for name, *_ in ROWS) and faces.notes == ()


def test_quoted_and_composed_labels_are_what_they_say(read):
    rows = [(a, '"the ""other"", so to say"' if b == "Black" else "Me\u0301tis", c) for a, b, c in ROWS]
    assert read(text(rows=rows).encode()).attributes[0].categories == ("Métis", 'the "other", so to say')
    given = read(text(rows=rows).encode("utf-16"), categories=('race=Métis|the "other", so to say',))
    assert groups(given)["Métis / Male"] == 12


OTHERWISE = {
    "a quote closed by the next one": (changed(5, "04.jpg", '"White', "Female"), r"row 5: the quote before 'White,"),
    "two quotes that are not closed": (
        changed(5, "04.jpg", '"White', "Female").replace("09.jpg,Black", '09.jpg,"Black'),
        r"row 5: the quote before 'White,Female' is not closed in its row",
    ),
    "a quote that swallows rows nobody asks for": (
        text(header=("file", "race", "gender", "height"), rows=[(*row, '6"') for row in ROWS])
        .replace('6"', '"6', 1),
        r"row 2: a quote opens in row 2 and closes in row 3, and what stands between looks like rows",
    ),
    "a quote in the name of an image": (changed(7, '06".jpg', "White", "Male"), r"row 7: a quote stands inside of"),
    "text behind a quote": (changed(7, "06.jpg", '"Wh"ite', "Male"), r"row 7: 'ite,Male' follows a closing quote"),
    "a quote that is not closed, far from the end": (
        changed(3, "02.jpg", '"White', "Female") + "x,y,z\n" * 300_000,
        r"row 3: the quote before 'White,Female' is not closed",
    ),
    "a line break in the name of an image": (changed(7, '"06\n.jpg"', "White", "Male"), r"row 7: file '06\\n.jpg'"),
    "a row too short": (changed(9, "08.jpg", "White"), r"row 9: expected 3 fields, found 2\."),
    "a row too long": (changed(9, "08.jpg", "White", "", "Male"), r"row 9: .*found 4; too many: 'Male'"),
    "an escape character": (changed(4, "03.jpg", "\x1b[31mred", "Male"), r"row 4: race '\\x1b\[31mred' holds"),
    "a tab in a label": (changed(4, "03.jpg", "Middle\tEastern", "Male"), r"row 4: race 'Middle\\tEastern'"),
    "a line separator in a label": (changed(4, "03.jpg", "a\u2028b", "Male"), r"row 4: race 'a\\u2028b' holds"),
    "a control character at the end": (changed(4, "03.jpg", "Black\x1f", "Male"), r"row 4: race 'Black\\x1f' holds"),
    "no image": (changed(6, "", "White", "Male"), r"row 6: column 'file' names no image"),
    "an image twice": (changed(6, " 01.jpg", "White", "Male"), r"row 6: image '01.jpg' is listed twice"),
    "kinds of space": (changed(6, "05.jpg", "East\xa0Asian", "Male").replace("09.jpg,Black", "09.jpg,East Asian"),
                       r"row 10: race 'East Asian' and 'East\\xa0Asian' \(row 6\) look the same"),
    "what one cannot see": (changed(6, "05.jpg", "Bla\u200bck", "Male"), r"row 6: .* and 'Black' \(row 2\) look"),
    "a number in two spellings": (
        changed(6, "05.jpg", "01", "Male").replace("09.jpg,Black", "09.jpg,1"),
        r"row 10: race '1' and '01' \(row 6\) are the same number",
    ),
    "another separator": (("sep=:\n" + text(":")), r"row 1: separates fields by ':'"),
    "a column twice, one name in white space": (text(header=("file", "race", " race ")), "columns 2 and 3 are both"),
    "null bytes for UTF-16": (text().encode("utf-16-le"), r"row 1: holds null bytes .*--encoding utf-16-le"),
    "null bytes for UTF-16, big endian": (text(";").encode("utf-16-be"), r"row 1: .*--encoding utf-16-be"),
    "a header below many lines": ("made by hand\n\n# a; b; c\n" + text(), r"row 1: .*made by hand.*--skip-lines 3"),
    "accents in UTF-16 without its mark": (changed(3, "02.jpg", "Métis", "Male").encode("utf-16-le"),
                                           r"row 1: holds null bytes .*--encoding utf-16-le"),
    "accents in its header": (text(header=("file", "race", "Größe")).encode("utf-16-be"),
                              r"row 1: holds null bytes .*--encoding utf-16-be"),
    "nothing": (b"", "is empty. Way out: download it again"),
    "a mark alone": (b"\xef\xbb\xbf", "is empty"),
    "an empty gzip": (gzip.compress(b""), "is empty"),
    "nothing but empty rows": ("\n,,\n\n", r"row 1: column 'file' is missing \(found: nothing\)"),
    "a header alone": ("file,race,gender\n,,\n", "no usable image is listed"),
    "latin-1 behind 20,000 rows": (
        (text() + "\n" * 20_000).encode() + b"x.jpg,M\xe9tis,Male\n", r"row 20050: is not utf-8, at 'x.jpg,Métis,Male'"
    ),
    "XML": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "is XML"),
    "a marked page": ("\ufeff\n <html lang='en'>".encode(), "is a web page"),
    "JSON": (b'[{"file": "01.jpg"}]', "is JSON"),
    "an old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99), "is a workbook of an old Excel"),
    "a workbook that is cut": (b"PK\x03\x04" + bytes(26) + b"xl/workbook.xml", "is an Excel workbook"),
    "a zip archive": (b"PK\x03\x04" + bytes(26) + b"faces.csv", "is a zip archive. Way out: unpack it"),
    "parquet": (b"PAR1\x15\x04", "is a parquet file"),
    "a pickle": (b"\x80\x04\x95" + bytes(9), "is a Python pickle"),
    "a picture": (b"\xff\xd8\xff\xe0\x00\x10JFIF", "is a picture"),
    "a gzip in a gzip": (gzip.compress(gzip.compress(b"x")), "is gzip inside of gzip"),
    "a tar archive in a gzip": (gzip.compress(b"faces.csv".ljust(257, b"\0") + b"ustar\x0000" + bytes(99)), "is a tar"),
    "no text at all": (bytes(range(256)), "is no text"),
}  # fmt: skip


@pytest.mark.parametrize("kind", OTHERWISE)
def test_what_is_wrong_is_said_with_its_row(kind, read):
    content, message = OTHERWISE[kind]
    with pytest.raises(InputError, match=message) as caught:
        read(content if isinstance(content, bytes) else content.encode())
    assert "own.csv: " in str(caught.value) and "Way out: " in str(caught.value) and len(str(caught.value)) < 900


def test_a_gzip_that_unpacks_to_too_much(read, monkeypatch):
    monkeypatch.setattr("bias_jax.data.file_kinds.LARGEST_UNPACKED", 2**20)
    with pytest.raises(InputError, match="unpacks to more than 1 MiB"):
        read(gzip.compress(bytes(2**21)))


def test_a_folder_and_a_name_that_cannot_be(read, pictures):
    for path in (pictures, "x\0.csv"):
        with pytest.raises(InputError, match="cannot be read"):
            read(path)


def test_encodings(read):
    rows = [(a, "Größe" if b == "Black" else b, c) for a, b, c in ROWS]
    for encoding in ("cp1252", "latin-1", "mac-roman", "utf-16-le", "cp037", "utf-7"):
        faces = read(text(rows=rows).encode(encoding), encoding=encoding)
        assert faces.attributes[0].categories == ("Größe", "White"), encoding
    marked = read(text(rows=rows).encode("utf-8-sig"), encoding="cp1252")  # the mark knows better
    assert marked.attributes[0].categories == ("Größe", "White")
    for encoding in ("no such", "rot13", "x\0"):
        with pytest.raises(InputError, match="there is no encoding"):
            read(text().encode(), encoding=encoding)


def test_people(read):
    header = ("file", "race", "gender", "who")
    rows = [(*row, f" person {i // 3} ") for i, row in enumerate(ROWS)]
    people = read(text(header=header, rows=rows).encode(), group_column="who").people
    assert people.dtype == np.int32 and np.unique(people).size == 16
    assert (people.reshape(16, 3) == people.reshape(16, 3)[:, :1]).all()
    assert read(text(header=header, rows=rows).encode()).people is None
    rows[4] = (*ROWS[4], "nan")
    with pytest.raises(InputError, match=r"row 6: who is missing \('nan'\)"):
        read(text(header=header, rows=rows).encode(), group_column="who")
    left = read(text(header=header, rows=rows).encode(), group_column="who", missing="drop")
    assert len(left) == len(left.people) == 47 and left.people.min() == 0
    rows = [(*row, f"{'Pp'[i % 2]}{i // 3}") for i, row in enumerate(ROWS)]
    with pytest.raises(InputError, match=r"row 3: who 'p0' and 'P0' \(row 2\) differ in case alone.*--merge-case"):
        read(text(header=header, rows=rows).encode(), group_column="who")
    merged = read(text(header=header, rows=rows).encode(), group_column="who", merge_case=True)
    assert (merged.people.reshape(16, 3) == merged.people.reshape(16, 3)[:, :1]).all()
    assert np.unique(merged.people).size == 16 and merged.notes[0].startswith("16 spellings of who differ")
    assert left.notes == ("1 image was left out because a label is missing (who 1)",)
    with pytest.raises(InputError, match="column 'name' is missing"):
        read(text(header=header, rows=rows).encode(), group_column="name")


def test_categories_are_those_of_the_images_that_are_left(read, pictures):
    rows = [(a, "Other" if i == 7 else b, "nan" if i == 7 else c) for i, (a, b, c) in enumerate(ROWS)]
    rows.append(("absent.jpg", "Martian", "Male"))
    with pytest.raises(InputError, match=r"row 9: gender is missing \('nan'\)"):
        read(text(rows=rows).encode())
    faces = read(text(rows=rows).encode(), missing="drop", skip_unreadable=True)
    assert len(faces) == 47 and faces.attributes[0].categories == ("Black", "White") and faces.rows[6:8] == (8, 10)
    assert faces.read_bytes(7) == (pictures / "09.jpg").read_bytes()
    assert faces.notes == (
        "1 image was left out because a label is missing (gender 1)",
        "1 listed images are absent and were skipped, the first 'absent.jpg'",
    )


def test_no_image_is_left(read):
    rows = [(a, "nan", c) if i % 2 else (a, b, "") for i, (a, b, c) in enumerate(ROWS)]
    with pytest.raises(InputError, match=r"own.csv: not one image has every label \(missing: race 24, gender 24\)"):
        read(text(rows=rows).encode(), missing="drop")


def test_too_many_groups(read):
    rows = [(a, *(f"{x}{i // 2}" for x in "wxyz")) for i, (a, *_) in enumerate(ROWS)]
    with pytest.raises(InputError, match=r"race x gender x more x most make 331,776 groups"):
        header = ("file", "race", "gender", "more", "most")
        read(text(header=header, rows=rows).encode(), header[1:])


@pytest.mark.parametrize("separator", [";", "\t"])
def test_decimal_commas(read, separator):
    rows = [(a, f"0,{i:02}", c) for i, (a, _, c) in enumerate(ROWS)]
    table = text(separator, header=("file", "score", "gender"), rows=rows).encode()
    with pytest.raises(InputError, match=r"own.csv: score holds 48 different numbers, such as '0,00'.*--bins score="):
        read(table, ("score", "gender"))
    with pytest.raises(InputError, match=r"row 2: score '0,00' is not written as a number.*with a point"):
        read(table, ("score", "gender"), bins=("score=0", "0.2"))
    faces = read(table.replace(b"0,", b"0."), ("score", "gender"), bins=("score=0", "0.24"))
    assert len(faces) == 48 and faces.labels["score"].sum() == 24
    assert len(read(table, ("score",), categories=("score=" + "|".join(row[1] for row in rows),))) == 48


@pytest.mark.parametrize("below", ["", "faces/", "a/./b//"])
def test_pictures_in_a_zip(pictures, tmp_path, below):
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        archive.writestr("__MACOSX/._01.jpg", b"x")
        archive.writestr("README.txt", b"x")
        for path in sorted(pictures.iterdir()):
            archive.write(path, below + path.name)
    (tmp_path / "own.csv").write_text(text())
    config = DataConfig(data="table", table=str(tmp_path / "own.csv"), data_dir=str(tmp_path / "faces.zip"),
                        attributes=("race", "gender"))  # fmt: skip
    faces = read_faces(config, RunConfig(), subset=False)
    assert groups(faces) == SOUND and faces.notes == ()
    assert faces.read_bytes(7) == (pictures / "08.jpg").read_bytes()


def test_names_of_images_in_every_spelling(read, pictures):
    spelled = ("./", "sub/../", ".\\", "", "./", f"{pictures}/", ".//")
    rows = [(spelled[i] + (a.upper() if i == 3 else a), b, c) for i, (a, b, c) in enumerate(ROWS[:7])] + ROWS[7:]
    faces = read(text(rows=rows).encode())
    names = [name for name, *_ in ROWS]
    assert faces.image_names == (*names[:3], "04.JPG", *names[4:])  # as listed, where a name can be had in two cases
    assert groups(faces) == SOUND and faces.read_bytes(3) == (pictures / "04.jpg").read_bytes()
    assert faces.notes == ("7 images are spelled otherwise in the list, the first './01.jpg'",)


def test_where_images_are_absent_is_said(read, pictures):
    rows = [(f"faces/{a}", b, c) for a, b, c in ROWS]
    with pytest.raises(InputError) as caught:
        read(text(rows=rows).encode())
    told = (
        f"row 2: image 'faces/01.jpg' is listed but absent from {pictures} (found there: 01.jpg, 02.jpg, 03.jpg, 04.jpg"
    )
    assert told in str(caught.value) and "and 42 more)" in str(caught.value)


def test_a_folder_of_pictures_that_does_not_exist(tmp_path):
    (tmp_path / "own.csv").write_text(text())
    config = DataConfig(
        data="table", table=str(tmp_path / "own.csv"), data_dir=str(tmp_path / "x"), attributes=("race",)
    )
    with pytest.raises(InputError, match="x: no such file or directory"):
        read_faces(config, RunConfig())
