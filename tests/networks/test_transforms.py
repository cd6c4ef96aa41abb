import jax
import numpy as np
import pytest
from PIL import Image

from bias_jax.networks import Transform
from converters.published import PUBLISHED
from tests.reference import torch_oracle as oracle

OF_PUBLISHED = {entry.transform: None for entry in PUBLISHED if isinstance(entry.transform, Transform)}
TRANSFORMS = [Transform(256, 224), Transform(232, 224), Transform(342, 299), Transform(64, 80)]


def by_pil(transform: Transform, image: np.ndarray) -> np.ndarray:
    """torchvision's evaluation transform before normalisation, written out with PIL."""
    height, width = image.shape[:2]
    short, long = min(height, width), max(height, width)
    new_long = int(transform.resize * long / short)
    size = (transform.resize, new_long) if width <= height else (new_long, transform.resize)
    resized = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    for axis in (0, 1):
        missing = max(transform.crop - resized.shape[axis], 0)
        pads = [(0, 0)] * 3
        pads[axis] = (missing // 2, missing - missing // 2)
        resized = np.pad(resized, pads)
    top, left = (round((s - transform.crop) / 2.0) for s in resized.shape[:2])
    return resized[top : top + transform.crop, left : left + transform.crop]


def levels(transform: Transform, normalised: np.ndarray) -> np.ndarray:
    return np.rint((normalised * np.array(transform.std) + np.array(transform.mean)) * 255)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("size", [(224, 224), (375, 500), (131, 97), (500, 333)])
def test_device_and_host_equal_pil(transform, size, rng):
    image = np.asarray(
        Image.fromarray(rng.integers(0, 255, (9, 7, 3), dtype=np.uint8)).resize(size[::-1], Image.Resampling.BICUBIC)
    )
    expected = by_pil(transform, image)
    on_device = jax.device_get(jax.jit(transform.on_device)(image[None]))[0]
    assert (levels(transform, on_device) == expected).all()
    assert (transform.on_host(image) == expected).all()


def test_cropped_images_are_only_normalised(rng):
    transform = Transform(256, 224)
    image = rng.integers(0, 255, (1, 224, 224, 3), dtype=np.uint8)
    expected = (image / 255 - np.array(transform.mean)) / np.array(transform.std)
    np.testing.assert_allclose(transform.cropped().on_device(jax.numpy.asarray(image)), expected, atol=2e-6)


@pytest.mark.parametrize("transform", OF_PUBLISHED)
def test_real_photographs(fairface_dir, transform):
    on_device = jax.jit(transform.on_device)
    for path in sorted((fairface_dir / "val").iterdir())[:20]:
        image = np.asarray(Image.open(path).convert("RGB"))
        found = levels(transform, jax.device_get(on_device(image[None]))[0])
        assert (found == by_pil(transform, image)).all()


@pytest.mark.torch
@pytest.mark.parametrize("transform", OF_PUBLISHED)
def test_transforms_equal_torchvisions(transform, rng):
    if not oracle.importable():
        pytest.skip("torch and torchvision are not both installed")
    from torchvision.transforms._presets import ImageClassification

    theirs = ImageClassification(
        crop_size=transform.crop, resize_size=transform.resize, mean=transform.mean, std=transform.std
    )
    for size in ((375, 500), (224, 224)):
        image = Image.fromarray(rng.integers(0, 255, (9, 7, 3), dtype=np.uint8)).resize(size[::-1])
        expected = levels(transform, theirs(image).numpy().transpose(1, 2, 0))
        on_device = jax.device_get(jax.jit(transform.on_device)(np.asarray(image)[None]))[0]
        assert (levels(transform, on_device) == expected).all()
        assert (transform.on_host(np.asarray(image)) == expected).all()
