"""Pictures of more than 8 bits a sample: scaled as their type says, refused where nothing says which value is white.

A wrong guess would be a black or white picture, of which no later stage could know.
"""

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile

_BITS, _PHOTOMETRIC, _LARGEST = 258, 262, 281  # tags of TIFF
_WHITE_IS_ZERO = 0


def eight_bits(image: Image.Image) -> Image.Image:
    """A grey picture with 8 bits, if it has more; any other picture as it is.

    Floats from 0 to 1, or up to something between 128 and 255, are grey levels. Of 16 bits the upper 8 are kept.

    Raises:
        OSError: other floats, integers of 32 bits, and 16 bits of which only 14 or fewer are used.
    """
    if image.mode == "F":
        grey = _of_floats(np.asarray(image))
    elif image.mode == "I" and image.format != "PPM":  # PPM names its largest value, and is scaled to 16 bits by it
        raise OSError("its integers are signed or have 32 bits, and nothing says which one is white; save it as 8 bits")
    elif image.mode == "I" or image.mode.startswith("I;16"):
        grey = _of_integers(np.asarray(image), _bits(image))
    else:
        return image
    return Image.fromarray(255 - grey if _tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO else grey)


def has_sixteen_bits(image: Image.Image) -> bool:
    """Whether a picture that was opened, and not yet decoded, has 16 bits a sample."""
    return isinstance(image, ImageFile) and any(";16" in str(part) for part in image.tile)


def check_upper_bits(pixels: np.ndarray) -> None:
    """Refuse colours, uint8 [H, W, 3], made of the upper 8 of 16 bits if these say next to nothing.

    Raises:
        OSError: 14 bits or fewer are used.
    """
    if (brightest := int(pixels.max())) < 64:
        raise OSError(_unused_bits(brightest.bit_length() + 8))


def _of_floats(values: np.ndarray) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    if low >= 0 and (high <= 1 or 128 <= high <= 255):
        return np.rint(values * (255 if high <= 1 else 1)).astype(np.uint8)
    raise OSError(f"its grey levels are floats from {low:g} to {high:g}, and nothing says which one is white; "
                  "scale them to 0 to 1, or save it as 8 bits")  # fmt: skip


def _of_integers(values: np.ndarray, bits: int) -> np.ndarray:
    brightest = int(values.max())
    if brightest >= 1 << bits:
        raise OSError(f"a value of {brightest} is not one of {bits} bits; save it as 8 bits")
    # Cameras have 10, 12 or 14 bits, none 15: a picture without its brightest bit is a dark one of 16 bits.
    if bits == 16 and 0 < brightest < 1 << 14:
        raise OSError(_unused_bits(brightest.bit_length()))
    return (values >> (bits - 8)).astype(np.uint8)


def _unused_bits(used: int) -> str:
    return f"no more than {used} of its 16 bits are used, and nothing says which value is white; save it as 8 bits"


def _bits(image: Image.Image) -> int:
    """Of a sample, as the file tells: some cameras and scanners give 12."""
    told = _tag(image, _LARGEST)
    return max(8, told.bit_length()) if told else min(_tag(image, _BITS) or 16, 16)


def _tag(image: Image.Image, number: int) -> int | None:
    value = getattr(image, "tag_v2", {}).get(number)
    return int(value[0] if isinstance(value, tuple) else value) if value is not None else None
