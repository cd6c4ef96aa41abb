import json

import jax
import numpy as np
import pytest
from PIL import Image

from bias_jax.networks import Transform
from bias_jax.networks.preparation import from_json, to_json
from converters.published import PUBLISHED
from tests.reference import torch_oracle as oracle

OF_PUBLISHED = {entry.transform: None for entry in PUBLISHED if isinstance(entry.transform, Transform)}
TRANSFORMS = [
    Transform(256, 224), Transform(232, 224), Transform(342, 299), Transform(64, 80),
    Transform(256, 224, filter="bicubic"), Transform(518, 518, filter="bicubic"), Transform(64, 80, filter="bicubic"),
    Transform(224, 224, filter="bicubic", squeeze=True),
]  # fmt: skip


def by_pil(transform: Transform, image: np.ndarray) -> np.ndarray:
    """torchvision's evaluation transform before normalisation, written out with PIL."""
    which = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[transform.filter]
    if transform.squeeze:
        return np.asarray(Image.fromarray(image).resize((transform.crop, transform.crop), which))
    height, width = image.shape[:2]
    short, long = min(height, width), max(height, width)
    new_long = int(transform.resize * long / short)
    size = (transform.resize, new_long) if width <= height else (new_long, transform.resize)
    resized = np.asarray(Image.fromarray(image).resize(size, which))
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
    if transform.squeeze and size[0] > size[1]:
        size = size[::-1]  # of tall pictures Pillow 13 takes the columns first
    image = np.asarray(
        Image.fromarray(rng.integers(0, 255, (9, 7, 3), dtype=np.uint8)).resize(size[::-1], Image.Resampling.BICUBIC)
    )
    expected = by_pil(transform, image)
    on_device = jax.device_get(jax.jit(transform.on_device)(image[None]))[0]
    assert (levels(transform, on_device) == expected).all()
    assert (transform.on_host(image) == expected).all()


def test_host_and_device_squeeze_tall_pictures_alike(rng):
    transform = Transform(32, 32, filter="bicubic", squeeze=True)
    image = rng.integers(0, 255, (75, 50, 3), dtype=np.uint8)
    host = transform.on_host(image)
    assert (levels(transform, jax.device_get(transform.on_device(image[None]))[0]) == host).all()
    apart = np.abs(host.astype(int) - by_pil(transform, image))
    assert 0 < apart.max() <= 4  # of noise


def test_manifests_keep_filter_and_squeezing():
    among = {"torchvision": Transform(256, 224)}
    for transform in TRANSFORMS:
        fields = json.loads(json.dumps(to_json(transform)))
        assert from_json(fields, among) == transform
        assert ("bicubic" in str(transform)) == (transform.filter == "bicubic")
    older = {name: value for name, value in to_json(Transform(256, 224)).items() if name not in ("filter", "squeeze")}
    assert from_json(older, among) == Transform(256, 224)
    for change in ({"filter": "lanczos"}, {"squeeze": 1}, {"squeeze": True}):
        with pytest.raises(ValueError):
            from_json({**to_json(Transform(256, 224)), **change}, among)


def test_cropped_images_are_only_normalised(rng):
    transform = Transform(256, 224)
    image = rng.integers(0, 255, (1, 224, 224, 3), dtype=np.uint8)
    expected = (image / 255 - np.array(transform.mean)) / np.array(transform.std)
    np.testing.assert_allclose(transform.cropped().on_device(jax.numpy.asarray(image)), expected, atol=2e-6)


@pytest.mark.parametrize(
    "transform", [pytest.param(one, marks=pytest.mark.slow if one.crop > 299 else ()) for one in OF_PUBLISHED]
)
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
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms._presets import ImageClassification

    if transform.squeeze:
        pytest.skip("torchvision has no such")
    theirs = ImageClassification(
        crop_size=transform.crop, resize_size=transform.resize, mean=transform.mean, std=transform.std,
        interpolation=InterpolationMode(transform.filter),
    )  # fmt: skip
    for size in ((375, 500), (224, 224)):
        image = Image.fromarray(rng.integers(0, 255, (9, 7, 3), dtype=np.uint8)).resize(size[::-1])
        expected = levels(transform, theirs(image).numpy().transpose(1, 2, 0))
        on_device = jax.device_get(jax.jit(transform.on_device)(np.asarray(image)[None]))[0]
        assert (levels(transform, on_device) == expected).all()
        assert (transform.on_host(np.asarray(image)) == expected).all()
