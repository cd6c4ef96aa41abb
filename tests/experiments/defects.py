"""Defective inputs, and what a user sees for each; `python -m tests.experiments.defects` prints the table."""

import contextlib
import gzip
import io
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.sweep import main

HEADER = "file,age,gender,race,service_test\n"
ROW = "train/{},20-29,Male,White,True\n"
GOOD = ROW.format("1.jpg") + ROW.format("2.jpg").replace("Male", "Female")


def official(root: Path, rows: str | None = None, header: str = HEADER) -> Path:
    """A folder of three small images in FairFace's layout."""
    (root / "train").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in (1, 2, 3):
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(root / f"train/{i}.jpg")
    text = header + (rows if rows is not None else GOOD + ROW.format("3.jpg"))
    (root / "fairface_label_train.csv").write_text(text)
    return root


def labels(rows: str, header: str = HEADER) -> Callable[[Path], list[str]]:
    return lambda root: ["--data", "fairface", "--data-dir", str(official(root / "data", rows, header))]


def image(content: bytes) -> Callable[[Path], list[str]]:
    def build(root: Path) -> list[str]:
        (official(root / "data") / "train/2.jpg").write_bytes(content)
        return ["--data", "fairface", "--data-dir", str(root / "data")]

    return build


def archive(names: list[str]) -> Callable[[Path], list[str]]:
    def build(root: Path) -> list[str]:
        with zipfile.ZipFile(root / "data.zip", "w") as opened:
            for name in names:
                opened.writestr(name, b"x")
        return ["--data", "fairface", "--data-dir", str(root / "data.zip")]

    return build


def table(text: str, *more: str) -> Callable[[Path], list[str]]:
    def build(root: Path) -> list[str]:
        official(root / "data")
        (root / "data" / "labels.csv").write_text(text)
        return ["--data", "table", "--table", str(root / "data" / "labels.csv"), *more]

    return build


def content(text: bytes) -> Callable[[Path], list[str]]:
    """A table of sizes as it is on disk."""

    def build(root: Path) -> list[str]:
        official(root / "data")
        (root / "data" / "labels.csv").write_bytes(text)
        return ["--data", "table", "--table", str(root / "data" / "labels.csv"), "--attributes", "size"]

    return build


def workbook() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return stream.getvalue()


def link_outside(root: Path) -> list[str]:
    official(root / "data")
    (root / "secret.jpg").write_bytes((root / "data/train/1.jpg").read_bytes())
    (root / "data/train/1.jpg").unlink()
    (root / "data/train/1.jpg").symlink_to(root / "secret.jpg")
    return ["--data", "fairface", "--data-dir", str(root / "data")]


def other_padding(root: Path) -> list[str]:
    official(root / "data")
    with zipfile.ZipFile(root / "data/fairface-img-margin025-trainval.zip", "w") as archive:
        for path in sorted((root / "data/train").iterdir()):
            archive.write(path, f"train/{path.name}")
            path.unlink()
    return ["--data", "fairface", "--data-dir", str(root / "data"), "--padding", "1.25"]


def half_a_parquet(root: Path) -> list[str]:
    (root / "data").mkdir()
    (root / "data/train-00000-of-00002.parquet").write_bytes(b"PAR1")
    return ["--data", "fairface", "--data-dir", str(root / "data")]


def two_cases(root: Path) -> list[str]:
    official(root / "data", ROW.format("1.Jpg"))
    (root / "data/train/1.JPG").write_bytes((root / "data/train/1.jpg").read_bytes())
    return ["--data", "fairface", "--data-dir", str(root / "data")]


def encoded(pixels: np.ndarray, kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def long_table_bad_at_the_end(root: Path) -> list[str]:
    official(root / "data", "train/1.jpg,20-29,Male,White,True\n")
    path = root / "data/fairface_label_train.csv"
    rows = (f"train/x{i}.jpg,20-29,Male,White,True\n" for i in range(100_000))
    path.write_text(HEADER + "".join(rows) + "train/1.jpg,unknown,Male,White,True\n")
    return ["--data", "fairface", "--data-dir", str(root / "data"), "--skip-unreadable"]


def bomb() -> bytes:
    """A tiny file that claims 30,000 x 30,000 pixels."""
    stream = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(stream, "png", compress_level=9)
    return stream.getvalue()


def occupied(root: Path) -> list[str]:
    (root / "run").mkdir()
    (root / "run" / "thesis.txt").write_text("x")
    return ["--per-group", "2", "--layers", "maxpool"]


def plain(*arguments: str) -> Callable[[Path], list[str]]:
    return lambda root: list(arguments)


NUMBERS = "file,size\n" + "".join(f"train/{i}.jpg,{i}\n" for i in range(21))
PAIR = "file,size\ntrain/1.jpg,small\ntrain/2.jpg,large\n"

# what is wrong -> (how to make it, what the message must say)
DEFECTS: dict[str, tuple[Callable[[Path], list[str]], str]] = {
    "no data directory given": (plain("--data", "fairface"), "needs --data-dir"),
    "directory does not exist": (plain("--data", "fairface", "--data-dir", "/nowhere"), "no such file or directory"),
    "directory without label file": (lambda r: ["--data", "fairface", "--data-dir", str(r)], "no such file"),
    "label file is empty": (labels("", ""), "is empty"),
    "label file has only a header": (labels(""), "no usable image is listed"),
    "column is missing": (labels("train/1.jpg,20-29,Male\n", "file,age,gender\n"), "row 1: column 'race' is missing"),
    "row is too short": (labels(GOOD + "train/3.jpg,20-29\n"), "row 4: expected 5 fields"),
    "row is too long": (labels(GOOD + "train/3.jpg,20-29,Male,White,True,x\n"), "found 6; too many: 'x'"),
    "label file is no UTF-8": (content(PAIR.replace("small", "groß").encode("cp1252")), "row 2: is not utf-8"),
    "label file is UTF-16, cut": (content(PAIR.encode("utf-16")[:-1]), "row 3: is not utf-16"),
    "encoding that does not exist": (table(PAIR, "--attributes", "size", "--encoding", "x"), "no encoding 'x'"),
    "label file is a web page": (content(b"<!DOCTYPE html><html>Sign in</html>"), "is a web page"),
    "label file is a Git LFS pointer": (content(b"version https://git-lfs.github.com/spec/v1\n"), "run `git lfs pull`"),
    "label file is a workbook": (content(workbook()), "is an Excel workbook"),
    "label file is a damaged gzip": (content(gzip.compress(PAIR.encode())[:-9]), "is damaged gzip"),
    "lines above the header": (content(b"# exported\n" + PAIR.encode()), "pass --skip-lines 1"),
    "a column twice": (content(b"file,size,size\n"), "columns 2 and 3 are both called 'size'"),
    "quote that is not closed": (
        content(b'file,size\ntrain/1.jpg,small\ntrain/2.jpg,"large\n'),
        "row 3: the quote before 'large'",
    ),
    "quote inside of a label": (content(b'file,size\n1.jpg,sm"all\n'), "row 2: a quote stands inside of the field"),
    "line break in a label": (content(b'file,size\n1.jpg,"sm\nall"\n'), r"row 2: size 'sm\\nall' holds a line break"),
    "labels that differ in case": (
        content(b"file,size\ntrain/1.jpg,small\ntrain/2.jpg,Small\n"),
        "row 3: size 'Small' and 'small' (row 2) differ in case alone",
    ),
    "label is missing": (content(b"file,size\ntrain/1.jpg,NaN\n"), "row 2: size is missing ('NaN')"),
    "more numbers than categories": (
        table(NUMBERS, "--attributes", "size", "--skip-unreadable"),
        "size holds 21 different numbers, from 0 to 20",
    ),
    "number below the first bin": (
        table(PAIR.replace("small", "3"), "--attributes", "size", "--bins", "size=5,9"),
        "row 2: size '3' lies below the first bin, which begins at 5",
    ),
    "text where bins need numbers": (
        table(PAIR, "--attributes", "size", "--bins", "size=5,9"),
        "row 2: size 'small' is no number",
    ),
    "bins that do not increase": (table(PAIR, "--attributes", "size", "--bins", "size=9,5"), "bins of size"),
    "person is missing": (
        table(PAIR.replace("\n", ",\n").replace("size,", "size,who"), "--attributes", "size", "--group-column", "who"),
        "row 2: who is missing",
    ),
    "label file has null bytes": (labels("train/1.jpg\0,20-29,Male,White,True\n"), "Way out"),
    "image listed but absent": (labels(GOOD + ROW.format("9.jpg")), "row 4: image 'train/9.jpg' is listed but absent"),
    "image listed twice": (labels(GOOD + ROW.format("1.jpg")), "row 4: image 'train/1.jpg' is listed twice"),
    "race outside the vocabulary": (labels(GOOD.replace("White", "Asian", 1)), "row 2: race 'Asian' is not one of"),
    "label with another case": (
        labels(GOOD.replace("Male", "male", 1)),
        "row 2: gender 'male' differs from 'Male' in case",
    ),
    "age is empty": (labels(GOOD.replace("20-29", "", 1)), "row 2: age is missing"),
    "age 3-9 mangled": (labels(GOOD.replace("20-29", "03-Sep", 1)), "'3-9' after a spreadsheet"),
    "age 10-19 mangled": (labels(GOOD.replace("20-29", "19-Oct", 1)), "'10-19' after a spreadsheet"),
    "HTML in a label": (labels(GOOD.replace("White", "<script>alert(1)</script>", 1)), "is not one of"),
    "control characters in a label": (labels(GOOD.replace("White", "\x1b[31mred", 1)), r"\\x1b[31mred"),
    "bad row after 100,000 others": (long_table_bad_at_the_end, "row 100002: age 'unknown' is not one of"),
    "path with ..": (labels(ROW.format("../../secret.jpg")), "row 2: path 'train/../../secret.jpg' leaves"),
    "absolute path": (labels("/etc/passwd,20-29,Male,White,True\n"), "row 2: path '/etc/passwd' leaves"),
    "empty path": (labels(",20-29,Male,White,True\n"), "row 2: column 'file' names no image"),
    "symbolic link out of the folder": (link_outside, "row 2: path 'train/1.jpg' leaves the data directory"),
    "image is empty": (image(b""), "image 'train/2.jpg' cannot be decoded"),
    "image is cut short": (image(b"\xff\xd8\xff\xe0\x00\x10JFIF"), "image 'train/2.jpg' cannot be decoded"),
    "image is HTML": (image(b"<html>404</html>"), "image 'train/2.jpg' cannot be decoded"),
    "decompression bomb": (image(bomb()), "image 'train/2.jpg' cannot be decoded"),
    "image is a Git LFS pointer": (image(b"version https://git-lfs.github.com/spec/v1\n"), "it is a Git LFS pointer"),
    "image of 12 bits in 16": (
        image(encoded(np.full((8, 8), 4095, np.uint16), "png")),
        "no more than 12 of its 16 bits are used",
    ),
    "image of 32-bit integers": (image(encoded(np.full((8, 8), 9, np.int32), "tiff")), "signed or have 32 bits"),
    "image of floats up to 4095": (image(encoded(np.full((8, 8), 4095, np.float32), "tiff")), "floats from 4095 to"),
    "images that differ in case alone": (two_cases, "row 2: image 'train/1.Jpg' may be 'train/1.JPG' or 'train/1.jpg'"),
    "another padding than asked for": (
        other_padding,
        "holds images of another padding than 1.25: 0.25 in fairface-img",
    ),
    "parquet of which a shard is missing": (half_a_parquet, "holds 1 of 2 shards; missing: train-00001-of-00002"),
    "zip that is none": (
        lambda r: [(r / "a.zip").write_bytes(b"PK no")] and ["--data", "fairface", "--data-dir", str(r / "a.zip")],
        "is not a readable zip archive",
    ),
    "zip entry with ..": (archive(["../evil.jpg"]), "holds an entry outside of itself, '../evil.jpg'"),
    "zip entry with an absolute path": (archive(["/etc/passwd"]), "holds an entry outside of itself"),
    "UTKFace folder without its names": (
        lambda r: ["--data", "utkface", "--data-dir", str(official(r / "d"))],
        "holds no image named",
    ),
    "table does not exist": (plain("--data", "table", "--table", "/no.csv", "--attributes", "size"), "no such file"),
    "table without the attribute": (table(PAIR, "--attributes", "colour"), "column 'colour' is missing"),
    "table without the image column": (
        table(PAIR, "--attributes", "size", "--image-column", "path"),
        "column 'path' is missing",
    ),
    "attribute that never varies": (
        table(PAIR.replace("large", "small"), "--attributes", "size"),
        "no attribute varies",
    ),
    "label outside given categories": (
        table(PAIR, "--attributes", "size", "--categories", "size=small|huge"),
        "row 3: size 'large' is not one of small, huge",
    ),
    "categories of no attribute": (
        table(PAIR, "--attributes", "size", "--categories", "colour=red|blue"),
        "'colour', which is no attribute",
    ),
    "table without attributes": (table(PAIR), "needs 1 to 6 --attributes"),
    "unknown network": (plain("--models", "alexnet"), "unknown network 'alexnet'"),
    "weights that do not exist": (plain("--per-group", "2", "--weights", "/nowhere"), "/nowhere: no such folder"),
    "strength of zero": (plain("--probes.l2", "0"), "probes: l2 must be positive"),
    "two folds": (plain("--probes.folds", "2"), "probes: folds must be at least 3"),
    "more folds than images": (labels(GOOD), "has 2 images, fewer than the 5 folds"),
    "run directory of somebody else": (occupied, "exists and is not a run directory"),
}


def outcome(build: Callable[[Path], list[str]], root: Path) -> tuple[int, str]:
    """Exit status and last line on standard error."""
    errors = io.StringIO()
    arguments = build(root)
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        status = main([*arguments, "--out", str(root / "run")])
    return status, errors.getvalue().splitlines()[-1].split("\r")[-1]


if __name__ == "__main__":
    print("# Defective inputs and what a user sees\n\nExit status 2 each.\n\n| what is wrong | message |\n|---|---|")
    for what, (build, _) in DEFECTS.items():
        with tempfile.TemporaryDirectory() as folder:
            _, message = outcome(build, Path(folder))
            message = message.replace(folder, "…").replace("|", r"\|").replace("<", "&lt;")
            print(f"| {what} | {message} |")
