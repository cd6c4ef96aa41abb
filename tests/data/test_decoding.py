import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from bias_jax.audit import look
from bias_jax.data import image_batches
from bias_jax.data.dataset import FaceDataset
from bias_jax.data.decoding import decode, decode_with_pil, fast_decoder
from bias_jax.errors import InputError
from tests.conftest import toy_dataset


def encoded(array: np.ndarray, kind: str = "png", mode: str | None = None, **options) -> bytes:
    image = Image.fromarray(array)
    stream = io.BytesIO()
    (image.convert(mode) if mode else image).save(stream, kind, **options)
    return stream.getvalue()


def dataset_of(files: list[bytes]) -> FaceDataset:
    return replace(toy_dataset([[len(files)]]), read_bytes=lambda i: files[i])


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
def test_modes_become_rgb_as_pil_does(mode, rng):
    pixels = rng.integers(0, 255, (20, 30, 3), dtype=np.uint8)
    data = encoded(pixels, "tiff", mode)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert (decode(data) == expected).all()


@pytest.mark.parametrize("damage", [b"", b"not an image", encoded(np.zeros((40, 40, 3), np.uint8), "jpeg")[:200]])
def test_damaged_images_raise_oserror(damage):
    with pytest.raises(OSError):
        decode(damage)


def test_unreadable_image_is_named_or_skipped(rng):
    files = [encoded(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)) for _ in range(5)]
    files[3] = files[3][:50]
    with pytest.raises(InputError, match=r"row 3: image 'image 3' cannot be decoded.*--skip-unreadable"):
        look([dataset_of(files)])
    images, (kept,) = look([dataset_of(files)], skip_unreadable=True)
    assert kept.dataset.image_names == ("image 0", "image 1", "image 2", "image 4")
    assert "1 image cannot be decoded" in kept.dataset.notes[-1]
    assert images.image_size == (8, 8)


def test_digest_depends_on_pixels(rng):
    files = [encoded(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)) for _ in range(3)]
    before = look([dataset_of(files)])[1][0].sha256
    assert before == look([dataset_of(files)])[1][0].sha256
    files[1] = encoded(np.zeros((8, 8, 3), np.uint8))
    assert before != look([dataset_of(files)])[1][0].sha256


@pytest.mark.parametrize("count", [1, 4, 7, 8, 21])
def test_batches_hold_every_image_once_in_order(count, rng):
    arrays = [rng.integers(0, 255, (6, 5, 3), dtype=np.uint8) for _ in range(count)]
    dataset = dataset_of([encoded(a) for a in arrays])
    seen = []
    for start, batch in image_batches(dataset, 4, (6, 5)):
        assert batch.shape == (4, 6, 5, 3) and start == len(seen)
        seen += list(batch[: min(4, count - start)])
        assert (batch[count - start :] == 0).all()
    assert len(seen) == count
    assert all((a == b).all() for a, b in zip(arrays, seen, strict=True))


def test_fast_decoder_equals_pil_or_steps_aside(rng):
    pytest.importorskip("simplejpeg")
    fast = fast_decoder()
    assert fast is not None
    pixels = rng.integers(0, 255, (61, 83, 3), dtype=np.uint8)
    for quality in (30, 95):
        data = encoded(pixels, "jpeg", quality=quality)
        assert np.array_equal(fast(data), decode_with_pil(data))
    assert fast(encoded(pixels, "jpeg", "L")) is None and fast(encoded(pixels, "jpeg", "CMYK")) is None
    assert fast(encoded(pixels, "jpeg")[:400]) is None
    with pytest.raises(OSError):
        decode(encoded(pixels, "jpeg")[:400])


def test_real_photographs_decode_alike(fairface_dir):
    fast = fast_decoder()
    if fast is None:
        pytest.skip("no fast decoder")
    for path in sorted((fairface_dir / "train").iterdir())[:100]:
        assert np.array_equal(fast(path.read_bytes()), decode_with_pil(path.read_bytes()))


def test_a_damaged_image_among_batches_is_named():
    files = [encoded(np.zeros((4, 4, 3), np.uint8)), b"no"]
    dataset = replace(toy_dataset([[2]]), read_bytes=lambda i: files[i])
    with pytest.raises(InputError, match=r"toy: row 1: image 'image 1' cannot be decoded"):
        list(image_batches(dataset, 1, (4, 4)))
