"""From encoded images to pixels, and to uint8 batches of one shape, in threads."""

import io
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
from PIL import Image

from bias_jax.data.dataset import FaceDataset
from bias_jax.errors import InputError

THREADS = 4
LARGEST_IMAGE = Image.MAX_IMAGE_PIXELS or 2**26  # pixels; PIL's limit against decompression bombs


def decode(encoded: bytes) -> np.ndarray:
    """Encoded image -> RGB uint8 [H, W, 3], as torchvision's loader does it (``convert("RGB")``, no EXIF rotation).

    One exception: grey images of 16 bits are scaled to 8, where that loader would clip nearly all of them to white.

    Raises:
        OSError: not an image, damaged, cut short, or so large that it looks like an attack.
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
                return np.asarray(_eight_bits(image).convert("RGB"))
        except OSError:
            raise
        except Exception as error:  # decoders raise SyntaxError, ValueError, struct.error, ... on damaged input
            raise OSError(str(error)) from error


def _eight_bits(image: Image.Image) -> Image.Image:
    """Modes that ``convert("RGB")`` would clip or warn about."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        return image.convert("RGBA")
    return image


def image_batches(
    dataset: FaceDataset,
    batch_size: int,
    image_size: tuple[int, int],
    prepare: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (first row, uint8 [batch_size, H, W, 3]); the last batch is filled up with zeros.

    Args:
        dataset: the images, in order.
        batch_size: images per batch.
        image_size: (H, W) of every image after `prepare`.
        prepare: applied to each decoded image, e.g. to bring images of many sizes to one.

    While a batch is used, the next two are being decoded.

    Raises:
        InputError: at an image that cannot be decoded; see `audit.look` for leaving such images out beforehand.
    """

    def load(i: int, batch: np.ndarray, slot: int) -> None:
        try:
            pixels = decode(dataset.read_bytes(i))
        except OSError as error:
            problem = f"image {dataset.image_names[i]!r} cannot be decoded ({error})"
            raise InputError(problem, file=dataset.source, row=dataset.rows[i], remedy="replace the file") from None
        batch[slot] = pixels if prepare is None else prepare(pixels)

    with ThreadPoolExecutor(THREADS) as pool:
        pending: deque = deque()
        starts = iter(range(0, len(dataset), batch_size))

        def submit() -> None:
            if (start := next(starts, None)) is not None:
                batch = np.zeros((batch_size, *image_size, 3), np.uint8)
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
