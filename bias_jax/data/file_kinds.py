"""What a file is by its first bytes: web pages, workbooks and pointers are given where a table is meant."""

import gzip
import io
import re
import zipfile
import zlib

from bias_jax.errors import InputError

LARGEST_UNPACKED = 2**31  # bytes; a table that unpacks to more is an attack or a mistake
CONVERT = "save it as CSV in UTF-8"
UNPACK = "unpack it, and give the CSV in it"
KINDS = (
    (rb"version https://git-lfs\.github\.com/spec/", "a Git LFS pointer, not the file itself", "run `git lfs pull`"),
    (rb"[./]*(git/)?annex/objects/", "a git-annex pointer, not the file itself", "run `git annex get`"),
    (
        rb"(?i)(\xef\xbb\xbf)?\s*<(!--|!doctype html|html|head|body|script|meta|title)",
        "a web page; most likely the download needs a sign-in",
        "download it in a browser where you are signed in",
    ),
    (rb"(?i)(\xef\xbb\xbf)?\s*<\?xml", "XML, a server's message or a spreadsheet", "download it again, or " + CONVERT),
    (rb'(\xef\xbb\xbf)?\s*(\{\s*"|\[\s*[{\[])', "JSON", CONVERT),
    (rb"\{\\rtf", "an RTF document", CONVERT),
    (rb"\xd0\xcf\x11\xe0", "a workbook of an old Excel", CONVERT),
    (rb"PAR1[\x00-\x08\x0e-\x1f]", "a parquet file", CONVERT),
    (rb"ARROW1\0|FEA1\0", "an Arrow file", CONVERT),
    (rb"%PDF-", "a PDF", CONVERT),
    (rb"SQLite format 3\0", "an SQLite database", CONVERT),
    (rb"\x89HDF", "an HDF5 file", CONVERT),
    (rb"\x93NUMPY", "a NumPy array", CONVERT),
    (rb"\x80[\x02-\x05][\x80-\xff(}\]cK]", "a Python pickle", CONVERT),
    (rb"BZh[1-9]1AY", "compressed by bzip2", UNPACK),
    (rb"\xfd7zXZ\0", "compressed by xz", UNPACK),
    (rb"\x28\xb5\x2f\xfd", "compressed by zstd", UNPACK),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (rb"Rar!\x1a", "a RAR archive", UNPACK),
    (rb"\x1f\x8b", "gzip inside of gzip", UNPACK),
    (rb"(?s).{257}ustar", "a tar archive", UNPACK),
    (rb"(?s)\xff\xd8\xff|\x89PNG|GIF8[79]a|II\*\0|MM\0\*|RIFF.{4}WEBP", "a picture", "give the table of the pictures"),
)
WORKBOOKS = (("xl/", "an Excel workbook"), ("content.xml", "an OpenDocument file"), ("Index/", "a Numbers document"))


def unpacked(content: bytes, name: str) -> bytes:
    """The content, unpacked if it is gzip.

    Args:
        content: of the file.
        name: of the file, for messages.

    Raises:
        InputError: damaged or far too large.
    """
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        with gzip.open(io.BytesIO(content)) as stream:
            text = stream.read(LARGEST_UNPACKED + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"is damaged gzip ({error})", file=name, remedy="download it again") from None
    if len(text) > LARGEST_UNPACKED:
        raise InputError(f"unpacks to more than {LARGEST_UNPACKED >> 20} MiB", file=name, remedy=UNPACK)
    return text


def require_text(content: bytes, name: str) -> None:
    """Refuse a file that is something else, by its first bytes.

    Args:
        content: of the file, unpacked.
        name: of the file, for messages.

    Raises:
        InputError: what it is, and what to do.
    """
    if re.match(rb"PK(\x03\x04|\x05\x06)", content):
        what = _kind_of_zip(content)
        raise InputError(f"is {what}", file=name, remedy=UNPACK if what == "a zip archive" else CONVERT)
    for pattern, what, remedy in KINDS:
        if re.match(pattern, content):
            raise InputError(f"is {what}", file=name, remedy=remedy)


def _kind_of_zip(content: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):  # cut short
        names = [beginning for beginning, _ in WORKBOOKS if beginning.encode() in content[: 2**16]]
    return next((what for beginning, what in WORKBOOKS if any(n.startswith(beginning) for n in names)), "a zip archive")
