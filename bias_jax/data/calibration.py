"""Calibration faces: drawn images with planted attributes of known strength, and one attribute that is pure noise.

Each planted attribute has a latent value, its category number plus Gaussian noise, that controls one visual property:
``race`` the palette, ``age`` the texture of the skin, ``gender`` the width of the head. The noise makes neighbouring
categories overlap, so no probe can be perfect, and the best possible accuracy has a closed form (`bayes_accuracy`).
``null`` is a label that touches nothing: whatever reads it above chance is a fault of the tool.
"""

import io
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from bias_jax.data.attributes import Attribute
from bias_jax.data.dataset import FaceDataset
from bias_jax.randomness import stable_hash

PLANTED = (
    Attribute("race", ("palette 1", "palette 2", "palette 3", "palette 4")),
    Attribute("age", ("smooth", "lined", "rough")),
    Attribute("gender", ("narrow", "wide")),
)
NULL = Attribute("null", ("tails", "heads"))
SIZE = 224  # pixels, side of the square images

# Colours at latent value 0 and 3 in RGB; deliberately not the skin tones of people.
_PALETTE = np.array([[214.0, 150.0, 118.0], [104.0, 128.0, 186.0]])
_Y, _X = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)


@dataclass(frozen=True)
class CalibrationConfig:
    """How many faces, and how much the categories of each attribute overlap."""

    per_group: int = 10  # images of each of the 24 race x age x gender groups
    race_noise: float = 0.35  # standard deviation of the latent value; categories are 1 apart
    age_noise: float = 0.5  # the larger the noise, the weaker the attribute
    gender_noise: float = 0.8


def bayes_accuracy(categories: int, noise: float) -> float:
    """Accuracy of the best classifier that sees the latent value itself, categories equally likely.

    The decision borders lie half-way between neighbours, so an inner category loses both tails and an outer one
    loses one: ``1 - 2 (C - 1) / C * Phi(-1 / (2 noise))``.
    """
    tail = 0.5 * math.erfc(0.5 / noise / math.sqrt(2.0))
    return 1.0 - 2.0 * (categories - 1) / categories * tail


def calibration_faces(config: CalibrationConfig, seed: int) -> FaceDataset:
    """A balanced set of drawn faces; the same seed gives the same pixels."""
    shape = tuple(len(a.categories) for a in PLANTED)
    groups = np.repeat(np.arange(math.prod(shape)), config.per_group)
    columns = np.unravel_index(groups, shape)
    labels = {a.name: c.astype(np.int32) for a, c in zip(PLANTED, columns, strict=True)}
    rng = np.random.default_rng(stable_hash(seed, "calibration faces"))
    noises = (config.race_noise, config.age_noise, config.gender_noise)
    latents = np.stack([c + s * rng.standard_normal(len(groups)) for c, s in zip(columns, noises, strict=True)], axis=1)
    labels[NULL.name] = rng.permutation(np.arange(len(groups)) % 2).astype(np.int32)

    def draw(i: int) -> bytes:
        palette, texture, width = latents[i]
        pixels = draw_face(palette, texture, width, np.random.default_rng(stable_hash(seed, "face", str(i))))
        encoded = io.BytesIO()
        Image.fromarray(pixels).save(encoded, "png", compress_level=1)
        return encoded.getvalue()

    return FaceDataset(
        name="calibration",
        attributes=PLANTED,
        solo_attributes=(NULL,),
        labels=labels,
        image_names=tuple(f"face {i}" for i in range(len(groups))),
        rows=tuple(range(len(groups))),
        read_bytes=draw,
        source="calibration faces",
    )


def draw_face(palette: float, texture: float, width: float, rng: np.random.Generator) -> np.ndarray:
    """One face as uint8 [224, 224, 3]; position, size, light and background vary at random and carry no label."""
    cx, cy = SIZE / 2 + rng.uniform(-8, 8, 2)
    height = rng.uniform(78, 90)
    half_width = height * (0.60 + 0.20 * width)
    light = rng.uniform(-0.12, 0.12)

    background = rng.uniform(60, 190, 3) + rng.uniform(-20, 20, 3) * (_Y[..., None] / SIZE - 0.5)
    skin = _PALETTE[0] + (_PALETTE[1] - _PALETTE[0]) * (palette / 3.0)
    skin = skin * (1.0 + light * (_X - cx)[..., None] / SIZE)
    # Lines of random direction and phase; their contrast is the texture, their pattern is not.
    angle, phase = rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi)
    lines = np.sin(1.3 * (_X * np.cos(angle) + _Y * np.sin(angle)) + phase + 0.5 * np.sin(_Y / 9.0))
    skin = skin + (6.0 + 11.0 * texture) * lines[..., None]

    image = background + _inside(cx, cy, half_width, height)[..., None] * (skin - background)
    dark = np.array([45.0, 35.0, 40.0])
    for x, y, rx, ry in ((-0.38, -0.2, 9.0, 5.5), (0.38, -0.2, 9.0, 5.5), (0.0, 0.48, 20.0, 5.0)):
        feature = _inside(cx + x * half_width, cy + y * height, rx, ry)[..., None]
        image = image + feature * (dark - image)
    image += rng.normal(0.0, 4.0, (SIZE, SIZE, 1))
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _inside(cx: float, cy: float, rx: float, ry: float) -> np.ndarray:
    """1 inside an ellipse, 0 outside, with an edge of about one pixel."""
    distance = np.sqrt(((_X - cx) / rx) ** 2 + ((_Y - cy) / ry) ** 2)
    return np.clip((1.0 - distance) * min(rx, ry) + 0.5, 0.0, 1.0)
