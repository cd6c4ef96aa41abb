"""Pictures of every type: right, or refused with a reason; never black or white in silence."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from bias_jax.audit import look
from bias_jax.data.decoding import decode, one_colour
from tests.data.test_decoding import dataset_of, encoded

SIZE = (20, 24)
GREY = np.random.default_rng(1).integers(0, 256, SIZE, dtype=np.uint8)
GREY[0, :2] = 0, 255


def colours(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


def png(samples: np.ndarray, depth: int = 16) -> bytes:
    """A PNG of grey levels or colours [H, W, 1 to 4], as whoever writes such files does it."""
    height, width, channels = samples.shape
    packed = samples.astype(">u2") if depth == 16 else samples.astype(np.uint8)
    raw = b"".join(b"\0" + row.tobytes() for row in packed)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def tiff(values: np.ndarray, **tags) -> bytes:
    names = {"white_is_zero": (262, 0), "largest": (281, tags.get("largest"))}
    return encoded(values, "tiff", tiffinfo={names[tag][0]: names[tag][1] for tag in tags})


def twelve_bits(values: np.ndarray) -> bytes:
    """A TIFF of 12 bits a sample, which PIL reads but does not write."""
    height, width = values.shape
    pairs = values.reshape(-1, 2).astype(np.uint32)
    packed = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], axis=1)
    data = packed.astype(np.uint8).tobytes()
    tags = {256: width, 257: height, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: len(data)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + entries + bytes(4)


DEEP = GREY.astype(np.uint16) * 257  # 0 to 65535
RIGHT = {
    "floats from 0 to 1": tiff(GREY.astype(np.float32) / 255),
    "floats of grey levels": tiff(GREY.astype(np.float32)),
    "floats, white is zero": tiff(1 - GREY.astype(np.float32) / 255, white_is_zero=True),
    "16-bit PNG": png(DEEP[..., None]),
    "16-bit PNG by PIL": encoded(DEEP),
    "16-bit PNG with alpha": png(np.stack([DEEP, 0 * DEEP], axis=2)),
    "16-bit PNG of colours": png(colours(DEEP)),
    "16-bit PNG of colours with alpha": png(np.concatenate([colours(DEEP), 0 * DEEP[..., None]], axis=2)),
    "16-bit TIFF": tiff(DEEP),
    "16-bit TIFF, white is zero": tiff(65535 - DEEP, white_is_zero=True),
    "16-bit TIFF of 12 bits": tiff(GREY.astype(np.uint16) * 16, largest=4095),
    "16-bit TIFF of 10 bits": tiff(GREY.astype(np.uint16) * 4, largest=1023),
    "12-bit TIFF": twelve_bits(GREY.astype(np.uint16) * 16),
    "16-bit PGM": b"P5 24 20 65535\n" + DEEP.astype(">u2").tobytes(),
    "12-bit PGM": b"P5 24 20 4080\n" + (GREY.astype(np.uint16) * 16).astype(">u2").tobytes(),
    "8-bit PNG": encoded(GREY),
    "grey JPEG 2000 of 16 bits": encoded(DEEP, "jpeg2000"),
    "LA": png(np.stack([GREY, 0 * GREY], axis=2), 8),
}


@pytest.mark.parametrize("what", RIGHT)
def test_grey_levels_are_scaled_as_their_type_says(what):
    pixels = decode(RIGHT[what])
    assert pixels.dtype == np.uint8 and np.abs(pixels.astype(int) - colours(GREY)).max() <= (1 if "PGM" in what else 0)


UNKNOWN = {
    "32-bit integers": (tiff(GREY.astype(np.int32)), "signed or have 32 bits"),
    "32-bit integers up to the largest": (tiff(GREY.astype(np.int32) * 8421504), "signed or have 32 bits"),
    "12 bits in a 16-bit PNG": (png(GREY[..., None].astype(int) * 16), "no more than 12 of its 16 bits are used"),
    "14 bits in a 16-bit PNG": (png(GREY[..., None].astype(int) * 64), "no more than 14 of its 16 bits"),
    "8 bits in a 16-bit PNG": (png(GREY[..., None]), "no more than 8 of its 16 bits"),
    "12 bits in a 16-bit PNG of colours": (png(colours(GREY).astype(int) * 16), "no more than 12 of its 16 bits"),
    "8 bits in a 16-bit PNG of colours": (png(colours(GREY)), "no more than 8 of its 16 bits"),
    "12 bits in a 16-bit PNG with alpha": (
        png(np.stack([GREY.astype(int) * 16, 0 * DEEP + 65535], axis=2)),
        "no more than 12 of its 16 bits",
    ),
    "12 bits in a 16-bit TIFF": (tiff(GREY.astype(np.uint16) * 16), "no more than 12 of its 16 bits"),
    "more than its own largest value": (tiff(DEEP, largest=4095), "a value of 65535 is not one of 12 bits"),
    "floats up to 4095": (tiff(GREY.astype(np.float32) * 16), "floats from 0 to 4080"),
    "floats up to 2": (tiff(GREY.astype(np.float32) / 127.5), "floats from 0 to 2"),
    "floats around 0": (tiff(GREY.astype(np.float32) / 127.5 - 1), "floats from -1 to 1"),
    "floats that are none": (tiff(np.where(GREY > 9, 0.5, np.nan).astype(np.float32)), "floats from nan to nan"),
    "floats without end": (tiff(np.where(GREY > 9, 0.5, np.inf).astype(np.float32)), "floats from 0.5 to inf"),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_where_nothing_says_what_is_white_the_picture_is_refused(what):
    data, message = UNKNOWN[what]
    with pytest.raises(OSError, match=message) as caught:
        decode(data)
    assert "8 bits" in str(caught.value)  # the way out


@pytest.mark.parametrize("mode", ["LAB", "YCbCr", "CMYK", "PA", "LA", "1"])
def test_other_colours_are_those_of_pil(mode, rng):
    image = Image.fromarray(rng.integers(0, 255, (20, 30, 3), dtype=np.uint8)).convert(mode)
    stream = io.BytesIO()
    image.save(stream, "tiff")
    assert np.array_equal(decode(stream.getvalue()), np.asarray(image.convert("RGB")))
    assert not one_colour(decode(stream.getvalue()))


@pytest.mark.parametrize("kind", ["gif", "png", "webp", "tiff"])
def test_of_several_pictures_in_a_file_the_first_counts(kind, rng):
    frames = [Image.fromarray(rng.integers(0, 255, (20, 30, 3), dtype=np.uint8)) for _ in range(3)]
    stream = io.BytesIO()
    lossless = {"lossless": True} if kind == "webp" else {}
    frames[0].save(stream, kind, save_all=True, append_images=frames[1:], **lossless)
    expected = Image.open(io.BytesIO(stream.getvalue())).convert("RGB")
    assert np.array_equal(decode(stream.getvalue()), np.asarray(expected))
    if kind != "gif":  # which has 256 colours
        assert np.array_equal(expected, frames[0])


NONE = {
    b"<!DOCTYPE html><html>404</html>": "it is a web page",
    b"version https://git-lfs.github.com/spec/v1\n": "it is a Git LFS pointer, not the file itself; run `git lfs pull`",
    b"": "it is empty",
    bytes(500): "it is nothing but zeros",
    b"\0\0\0\x18ftypheic": "it is a HEIC picture; save it as JPEG",
    b"PK\x03\x04": "it is a zip archive",
    b"\x89PNG\r\n\x1a\n": "it is no picture that Pillow can read",
    b"no picture": "it is no picture that Pillow can read",
}


@pytest.mark.parametrize("data", NONE)
def test_what_is_no_picture_says_what_it_is(data):
    with pytest.raises(OSError, match=NONE[data]) as caught:
        decode(data)
    assert "0x" not in str(caught.value)


def test_pictures_of_one_colour_are_counted(rng):
    noise = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
    nearly = np.full((8, 8, 3), 9, np.uint8)
    nearly[7, 7, 2] = 10
    row = np.repeat(noise[:, :1], 8, axis=1)
    blank = [np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), (3, 2, 1), np.uint8), np.full((8, 8, 3), 255, np.uint8)]
    assert all(map(one_colour, blank)) and not any(map(one_colour, (noise, nearly, row)))
    files = [encoded(picture) for picture in (noise, blank[0], nearly, blank[1], row)]
    _, (seen,) = look([dataset_of(files)])
    assert seen.dataset.notes == ("2 images are of one colour, the first 'image 1'",)
    assert look([dataset_of(files[2:3])])[1][0].dataset.notes == ()
    _, (seen,) = look([dataset_of([*files, b"no"])], skip_unreadable=True)
    assert seen.dataset.notes == (
        "1 image cannot be decoded and was skipped, the first 'image 5'",
        "2 images are of one colour, the first 'image 1'",
    )
