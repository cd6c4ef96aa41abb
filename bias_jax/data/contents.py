"""What a file is by its first bytes, for messages about files that are not what their names say."""

_STARTS = (
    (b"version https://git-lfs", "a pointer of Git LFS; fetch the file itself with `git lfs pull`"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "packed by gzip"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"PAR1", "a parquet file"),
    (b"%PDF", "a PDF"),
    (b"8BPS", "a Photoshop file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "an array of NumPy"),
    (b"II*\0", "a TIFF of a kind that is not read; save it as PNG"),
    (b"MM\0*", "a TIFF of a kind that is not read; save it as PNG"),
    (b"<svg", "a vector graphic"),
    (b"<!doctype html", "a web page; the download needs a sign-in, or its address is wrong"),
    (b"<html", "a web page; the download needs a sign-in, or its address is wrong"),
    (b"<?xml", "XML"),
)


def contents(data: bytes) -> str:
    """A description such as ``a web page``; empty if the bytes tell nothing.

    Args:
        data: the file, or its beginning (262 bytes are enough).

    >>> contents(b"<!DOCTYPE html><title>Sign in</title>").partition(";")[0]
    'a web page'
    """
    if not data:
        return "empty"
    if not data.strip(b"\0"):
        return "nothing but zeros; the download was not finished"
    if data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1"):
        return "a HEIC picture; save it as JPEG"
    if data[257:262] == b"ustar":
        return "a tar archive"
    start = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    return next((what for mark, what in _STARTS if start.lower().startswith(mark.lower())), "")
