"""Tables and figures inside a page: data URIs, which ask no server and run no script."""

import base64
import gzip
from io import BytesIO
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv

LONGEST = 200_000  # bytes of a table that is embedded as it is; longer ones are compressed
TYPES = {".svg": "image/svg+xml", ".png": "image/png"}
PLAIN = " !$&'()*+,-./:;=?@_~"  # what may stand in a data URI within quotes of an attribute
FORMULA = r"^[=@\t\r]|^[+-](?:[^0-9.]|$)"  # what spreadsheets compute instead of showing it


class Download(NamedTuple):
    """A file that a page brings along."""

    name: str
    uri: str
    size: int  # bytes


def table_download(name: str, table: pa.Table) -> Download:
    """A table as CSV, compressed where it is long; text that a spreadsheet would run gets an apostrophe in front."""
    sink = BytesIO()
    pcsv.write_csv(_harmless(table), sink)
    content = sink.getvalue()
    if len(content) <= LONGEST:
        return download(f"{name}.csv", "text/csv;charset=utf-8", content)
    return download(f"{name}.csv.gz", "application/gzip", gzip.compress(content, mtime=0))


def text_download(name: str, text: str) -> Download:
    """A text file."""
    return download(name, "text/plain;charset=utf-8", text.encode())


def download(name: str, kind: str, content: bytes) -> Download:
    """A file of some media type."""
    return Download(name, f"data:{kind};base64,{base64.b64encode(content).decode()}", len(content))


def picture_uri(path: Path) -> str:
    """A figure."""
    content = path.read_bytes()
    return svg_uri(content) if path.suffix == ".svg" else download(path.name, TYPES[path.suffix], content).uri


def svg_uri(content: bytes) -> str:
    """A drawing; its rasters are in base64 already, so that only marks are escaped."""
    return f"data:{TYPES['.svg']};charset=utf-8,{quote(content, safe=PLAIN)}"


def _harmless(table: pa.Table) -> pa.Table:
    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            column = table.column(place)
            marked = pc.binary_join_element_wise(pa.scalar("'", field.type), column, pa.scalar("", field.type))
            table = table.set_column(
                place, field, pc.if_else(pc.match_substring_regex(column, FORMULA), marked, column)
            )
    return table
