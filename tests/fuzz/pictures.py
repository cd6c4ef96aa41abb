"""Pictures of every format, with bytes changed, cut or added."""

import numpy as np
from hypothesis import strategies as st

from bias_jax.data.decoding import decode
from tests.data.test_decoding import encoded

PIXELS = np.random.default_rng(0).integers(0, 255, (9, 11, 3), dtype=np.uint8)
DEEP = np.random.default_rng(0).integers(0, 2**16, (9, 11), dtype=np.uint16)
FORMATS = [encoded(PIXELS, kind) for kind in ("jpeg", "png", "gif", "tiff", "webp", "bmp", "ppm", "jpeg2000")]
FORMATS += [encoded(PIXELS, *kind) for kind in (("jpeg", "L"), ("jpeg", "CMYK"), ("png", "P"), ("png", "1"))]
FORMATS += [encoded(DEEP, "png"), encoded(DEEP, "tiff"), encoded(DEEP.astype(np.float32) / 2**16, "tiff")]
FORMATS += [encoded(PIXELS, "tiff", compression=kind) for kind in ("tiff_lzw", "tiff_adobe_deflate", "jpeg")]
PICTURES = {
    "data": st.sampled_from(FORMATS),
    "broken": st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=5),
    "cut": st.none() | st.integers(0, 400),
}


def any_picture(data, broken, cut):
    content = bytearray(data)
    for place, value in broken:
        content[place % len(content)] = value
    try:
        pixels = decode(bytes(content[:cut]))
    except OSError:  # readers name the picture in their message
        return
    assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
