"""Text files as people have them: in any encoding, packed by gzip or not, or something else, which is named."""

import codecs
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bias_jax.data.file_kinds import require_text, unpacked
from bias_jax.errors import InputError, quoted

# The mark of UTF-32 begins as that of UTF-16 does.
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class Table:
    """A table of separated text, on disk or inside an archive."""

    name: str  # for messages
    open: Callable[[], bytes]
    encoding: str = ""  # of a file without a byte order mark; empty: utf-8
    skip_lines: int = 0  # lines above the header
    option: str = "--{name} {value}"  # how the last two are given, for messages

    @classmethod
    def file(cls, path: Path, encoding: str = "", skip_lines: int = 0, option: str = option) -> "Table":
        return cls(str(path), path.read_bytes, encoding, skip_lines, option)

    def pass_encoding(self, codec: str) -> str:
        """The option that names an encoding, for messages."""
        return self.option.format(name="encoding", value=codec)

    def pass_lines(self, number: int | str) -> str:
        """The option that skips lines above the header, for messages."""
        return self.option.format(name="skip-lines", value=number)


@dataclass(frozen=True)
class Text:
    """The bytes of a text file, and how they are decoded."""

    name: str  # for messages
    content: bytes
    codec: str
    pass_encoding: Callable[[str], str]  # the option that names another codec, for messages

    def lines(self) -> Iterator[str]:
        r"""Lines with their ends, which are \n, \r\n or \r alone; decoded bit by bit, which takes less memory.

        Raises:
            InputError: at bytes that are no text of this encoding.
        """
        try:
            yield from io.TextIOWrapper(io.BytesIO(self.content), self.codec, newline="")
        except UnicodeError:
            raise self._undecodable() from None

    def _undecodable(self) -> InputError:
        start = 0
        try:
            self.content.decode(self.codec)
        except UnicodeError as error:  # unlike that of the stream, it counts from the beginning of the file
            start = getattr(error, "start", 0)
        if self.codec == "utf-8" and (codec := _without_mark(self.content)):
            problem = "holds null bytes as UTF-16 without its mark does"
            remedy = f"save it as CSV in UTF-8, or pass {self.pass_encoding(codec)}"
            return InputError(problem, file=self.name, row=1, remedy=remedy)
        if b"\0" in self.content[:64] and self.codec == "utf-8":
            return InputError("is no text", file=self.name, remedy="give a table of separated text (CSV)")
        before = re.split("\r\n|\r|\n", self.content[:start].decode(self.codec, "ignore"))
        after = re.split(rb"[\r\n]", self.content[start : start + 20])[0].decode("latin-1")
        problem = f"is not {self.codec}, at {quoted(before[-1][-20:] + after)}"
        remedy = "save it as CSV in UTF-8, or name its encoding, such as " + self.pass_encoding("cp1252")
        return InputError(problem, file=self.name, row=len(before), remedy=remedy)


def _without_mark(content: bytes) -> str:
    """The order of UTF-16, told by the null bytes of its Latin letters, spaces and separators; empty: it is none.

    >>> _without_mark("Größe".encode("utf-16-be")), _without_mark(b"size")
    ('utf-16-be', '')
    """
    nulls = [content[start:4096:2].count(0) for start in (0, 1)]  # at even and at odd places
    if 4 * max(nulls) < len(content[:4096]) // 2 or 4 * min(nulls) > max(nulls):
        return ""
    return "utf-16-be" if nulls[0] > nulls[1] else "utf-16-le"


def read_text(table: Table) -> Text:
    """Read and unpack a file, and find out how it is encoded; a mark at its beginning goes before what is asked for.

    Raises:
        InputError: no such file, something else than text, or no such encoding.
    """
    try:
        content = table.open()
    except FileNotFoundError:
        raise InputError("no such file", file=table.name, remedy="put the label file there") from None
    except (OSError, ValueError) as error:  # a folder, no permission, a null byte in the name
        raise InputError(f"cannot be read ({error})", file=table.name, remedy="give a file that can be read") from None
    content = unpacked(content, table.name)
    if not content.lstrip(codecs.BOM_UTF8):
        raise InputError("is empty", file=table.name, remedy="download it again, or give the file that was meant")
    require_text(content, table.name)
    codec = next((codec for mark, codec in MARKS if content.startswith(mark)), table.encoding or "utf-8")
    try:
        io.TextIOWrapper(io.BytesIO(), codec)
    except (LookupError, ValueError):
        remedy = "name one that Python knows, such as cp1252"
        raise InputError(f"there is no encoding {codec!r}", file=table.name, remedy=remedy) from None
    return Text(table.name, content, codec, table.pass_encoding)
