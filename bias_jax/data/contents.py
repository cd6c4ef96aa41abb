"""What a file is by its first bytes, for messages about files that are not what their names say."""

import re

from bias_jax.data.file_kinds import CONVERT, KINDS, UNPACK

PICTURE = "a picture"
_OTHERS = (
    (rb"PK\x03\x04", "a zip archive"),
    (rb"\x1f\x8b", "packed by gzip"),
    (rb"(?s).{4}ftyp(heic|heix|mif1)", "a HEIC picture; save it as JPEG"),
    (rb"8BPS", "a Photoshop file; save it as PNG"),
    (rb"(?i)\s*<svg", "a vector graphic; save it as PNG"),
    (rb"II\*\0|MM\0\*", "a TIFF of a kind that is not read; save it as PNG"),
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
    for pattern, what in _OTHERS:
        if re.match(pattern, data):
            return what
    for pattern, what, remedy in KINDS:
        if re.match(pattern, data):
            of_tables = what == PICTURE or CONVERT in remedy or remedy == UNPACK
            return what if of_tables else f"{what}; {remedy}"
    return ""
