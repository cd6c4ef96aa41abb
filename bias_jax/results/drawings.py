"""Figures as files: PNG for the eye, SVG for the report, PDF for papers; equal figures give equal bytes.

PNG carries checksums of its own. SVG and PDF end in a comment with the digest of what stands before it, so that a file
which a disk has damaged is known by itself.
"""

import base64
import hashlib
import re
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
IMAGE_DPI = 72  # of maps and other rasters inside a vector figure
MOST_COLOURS = 1024  # of a drawn raster: those of a colour scale, and edges
EMBEDDED = re.compile(rb"data:image/png;base64,([A-Za-z0-9+/=\s]+)")
SEALS = {".svg": (b"<!-- sha256:", b" -->\n"), ".pdf": (b"%sha256:", b"\n")}
# Text stays text: it can be searched, other alphabets are drawn with the reader's fonts, and files are smaller.
STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "bias_jax", "pdf.fonttype": 42}
NO_LAYOUT: Any = {"figure.autolayout": False, "figure.constrained_layout.use": False}
DATES: dict[str, dict[str, Any]] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


def write_drawing(path: Path, figure: "Figure") -> None:
    """Write a figure in the format of the suffix; the bytes do not depend on what it was written as before."""
    settle(figure)
    if path.suffix == ".png":
        # Packing harder takes as long as drawing, for a third of the size.
        packing: Any = {"pil_kwargs": {"compress_level": 1}}
        figure.savefig(path, **packing)
        return
    path.write_bytes(vector(figure, path.suffix))


def settle(figure: "Figure") -> None:
    """Lay a figure out for good: matplotlib would do it anew for each format, from where the last one left it."""
    if (engine := figure.get_layout_engine()) is not None:
        engine.execute(figure)
        with matplotlib.rc_context(NO_LAYOUT):
            figure.set_layout_engine(None)


def vector(figure: "Figure", kind: str) -> bytes:
    """A figure as SVG (``.svg``) or PDF (``.pdf``)."""
    settle(figure)
    buffer = BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format=kind[1:], dpi=IMAGE_DPI, metadata=DATES[kind])
    content = buffer.getvalue()
    return sealed(EMBEDDED.sub(_packed, content) if kind == ".svg" else content, kind)


def _packed(match: re.Match[bytes]) -> bytes:
    """A raster inside an SVG: what has few colours, as maps do, takes a fifth with a palette of them.

    The 256 most frequent colours are kept, and every other one becomes the nearest of them.
    """
    pixels = np.asarray(Image.open(BytesIO(base64.b64decode(match[1]))).convert("RGBA"))
    packed = np.ascontiguousarray(pixels).view(np.uint32)[..., 0]
    colours, which, counts = np.unique(packed, return_inverse=True, return_counts=True)
    if len(colours) > MOST_COLOURS:
        return match[0]  # a photograph
    every = colours.view(np.uint8).reshape(-1, 4)
    kept = every[np.argsort(-counts, kind="stable")[:256]]
    nearest = ((every[:, None].astype(int) - kept[None].astype(int)) ** 2).sum(axis=2).argmin(axis=1)
    image = Image.fromarray(nearest[which].reshape(packed.shape).astype(np.uint8), "P")
    image.putpalette(kept[:, :3].tobytes())
    buffer = BytesIO()
    image.save(buffer, "png", transparency=kept[:, 3].tobytes())
    return b"data:image/png;base64," + base64.b64encode(buffer.getvalue())


def sealed(content: bytes, kind: str) -> bytes:
    """Content with its digest behind it, where the format allows that."""
    if kind not in SEALS:
        return content
    before, after = SEALS[kind]
    return content + before + hashlib.sha256(content).hexdigest().encode() + after


def check_drawing(path: Path) -> None:
    """See to it that a figure is what was written.

    Raises:
        ValueError: it is not.
        Exception: of the image library, for the same reason.
    """
    if path.suffix == ".png":
        with Image.open(path) as image:
            image.verify()  # the checksums of all parts
        if not path.read_bytes().endswith(b"IEND\xaeB`\x82"):
            raise ValueError("it is cut short")
    elif path.suffix in SEALS:
        data, length = path.read_bytes(), sum(map(len, SEALS[path.suffix])) + 64
        if sealed(data[:-length], path.suffix) != data:
            raise ValueError("its bytes are not those that were written")
