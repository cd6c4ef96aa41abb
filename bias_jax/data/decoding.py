"""From encoded images to pixels, and to uint8 batches of one shape, in threads."""

import io
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
from PIL import Image, UnidentifiedImageError

from bias_jax.data.contents import PICTURE, contents
from bias_jax.data.dataset import FaceDataset
from bias_jax.data.deep_pictures import check_upper_bits, eight_bits, has_sixteen_bits
from bias_jax.errors import InputError

THREADS = 4
LARGEST_IMAGE = Image.MAX_IMAGE_PIXELS or 2**26  # pixels; PIL's limit against decompression bombs


def decode(encoded: bytes) -> np.ndarray:
    """Encoded image -> RGB uint8 [H, W, 3], as torchvision's loader does it (``convert("RGB")``, no EXIF rotation).

    Of an animated picture that is the first one; what is behind transparent pixels is shown. One exception: grey images
    of more than 8 bits are scaled (`deep_pictures`), where that loader would clip them to white or black.

    Raises:
        OSError: not an image, damaged, cut short, so large that it looks like an attack, or of unknown range.
    """
    if encoded[:2] == b"\xff\xd8" and (fast := fast_decoder()) is not None:
        pixels = fast(encoded)
        if pixels is not None:
            return pixels
    return decode_with_pil(encoded)


@lru_cache(maxsize=1)
def fast_decoder() -> Callable[[bytes], np.ndarray | None] | None:
    """simplejpeg's decoder, if it is installed and its pixels equal PIL's on a probe; otherwise None.

    It gives None for whatever it would treat differently: other colour spaces, huge or damaged files.
    """
    try:
        import simplejpeg
    except ImportError:
        return None

    def fast(encoded: bytes) -> np.ndarray | None:
        try:
            height, width, colourspace, _ = simplejpeg.decode_jpeg_header(encoded)
            if colourspace != "YCbCr" or height * width > LARGEST_IMAGE:
                return None
            return simplejpeg.decode_jpeg(encoded, colorspace="RGB")
        except ValueError:
            return None  # PIL decides, and words the message

    noise = np.random.default_rng(0).integers(0, 255, (60, 75, 3), dtype=np.uint8)
    for subsampling in (0, 1, 2):  # both bundle their own libjpeg-turbo, whose versions may differ
        probe = io.BytesIO()
        Image.fromarray(noise).save(probe, "jpeg", quality=80, subsampling=subsampling)
        pixels = fast(probe.getvalue())
        if pixels is None or not np.array_equal(pixels, decode_with_pil(probe.getvalue())):
            return None
    return fast


def decode_with_pil(encoded: bytes) -> np.ndarray:
    """`decode` by PIL, the reference."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(encoded)) as image:
                deep = has_sixteen_bits(image)
                if image.mode == "P" and "transparency" in image.info:
                    pixels = np.asarray(image.convert("RGBA").convert("RGB"))  # at once, PIL would warn
                else:
                    pixels = np.asarray(eight_bits(image).convert("RGB"))
                if deep and image.mode.startswith(("RGB", "LA")):
                    check_upper_bits(pixels)
                return pixels
        except UnidentifiedImageError:  # PIL's message names an address in memory
            what = contents(encoded)
            raise OSError(f"it is {what if what not in ('', PICTURE) else 'no picture that Pillow can read'}") from None
        except OSError:
            raise
        except Exception as error:  # decoders raise SyntaxError, ValueError, struct.error, ... on damaged input
            raise OSError(str(error)) from error


def one_colour(pixels: np.ndarray) -> bool:
    """Whether a picture, uint8 [H, W, 3], shows nothing: all its pixels are equal."""
    return bool((pixels[0] == pixels[0, 0]).all() and (pixels == pixels[0, 0]).all())  # most differ in the first row


def image_batches(
    dataset: FaceDataset,
    batch_size: int,
    image_size: tuple[int, int],
    prepare: Callable[[np.ndarray], np.ndarray] | None = None,
    starts: Iterable[int] | None = None,
    dtype: np.typing.DTypeLike = np.uint8,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (first row, pixels [batch_size, H, W, 3]); the last batch is filled up with zeros.

    Args:
        dataset: the images, in order.
        batch_size: images per batch.
        image_size: (H, W) of every image after `prepare`.
        prepare: applied to each decoded image, e.g. to bring images of many sizes to one.
        starts: first rows of the batches to read (default: all of them).
        dtype: of the pixels after `prepare`.

    While a batch is used, the next two are being decoded.

    Raises:
        InputError: at an image that cannot be decoded; see `audit.look` for leaving such images out beforehand.
    """

    def load(i: int, batch: np.ndarray, slot: int) -> None:
        try:
            pixels = decode(dataset.read_bytes(i))
        except OSError as error:
            problem = f"image {dataset.image_names[i]!r} cannot be decoded ({error})"
            raise InputError(problem, remedy="replace the file", **dataset.place(i)) from None
        batch[slot] = pixels if prepare is None else prepare(pixels)

    with ThreadPoolExecutor(THREADS) as pool:
        pending: deque = deque()
        left = iter(range(0, len(dataset), batch_size) if starts is None else starts)

        def submit() -> None:
            if (start := next(left, None)) is not None:
                batch = np.zeros((batch_size, *image_size, 3), dtype)
                rows = range(start, min(start + batch_size, len(dataset)))
                jobs = [pool.submit(load, i, batch, i - start) for i in rows]
                pending.append((start, batch, jobs))

        for _ in range(3):
            submit()
        while pending:
            start, batch, jobs = pending.popleft()
            for job in jobs:
                job.result()
            yield start, batch
            submit()
