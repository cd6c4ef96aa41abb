"""Calibration faces: drawn images with planted attributes of known strength, and one attribute that is pure noise.

Each planted attribute has a latent value, its category number plus Gaussian noise, that controls one visual property:
``race`` the palette, ``age`` the texture of the skin, ``gender`` the width of the head. The noise makes neighbouring
categories overlap, so no probe can be perfect, and the best possible accuracy is known (`bayes_accuracy`). Planted
interactions move a fourth property, the mouth, by the parity of two categories, which no single attribute predicts.
``null`` is a label that touches nothing: whatever reads it above chance is a fault of the tool.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.data.attributes import Attribute, Target
from bias_jax.data.dataset import FaceDataset
from bias_jax.randomness import key_for, stable_hash

PLANTED = (
    Attribute("race", ("palette 1", "palette 2", "palette 3", "palette 4")),
    Attribute("age", ("smooth", "lined", "rough"), ordinal=True),
    Attribute("gender", ("narrow", "wide")),
)
GROUPS = Target(PLANTED)
NULL = Attribute("null", ("tails", "heads"))
BATCH = 48  # faces drawn at once

# Colours at latent value 0 and 3 in RGB; deliberately not the skin tones of people.
_PALETTE = ((214.0, 150.0, 118.0), (104.0, 128.0, 186.0))
_FEATURES = ((-0.38, -0.2, 9.0, 5.5), (0.38, -0.2, 9.0, 5.5), (0.0, 0.48, 20.0, 5.0))  # eyes and mouth: x, y, rx, ry


@dataclass(frozen=True)
class CalibrationConfig:
    """How many faces, how large, and how strongly each attribute shows."""

    per_group: int = 10  # images of each of the 24 race x age x gender groups
    size: int = 224  # side of the square images, pixels
    race_noise: float = 0.35  # standard deviation of the latent value; categories are 1 apart
    age_noise: float = 0.5  # the larger the noise, the weaker the attribute
    gender_noise: float = 0.8
    # (attribute, attribute, shift): the mouth's latent value, noise 1, differs by `shift` between even and odd sums
    interactions: tuple[tuple[str, str, float], ...] = ()


def latent_means(config: CalibrationConfig) -> tuple[np.ndarray, np.ndarray]:
    """Mean latent values of every group [G, 4] (palette, texture, width, mouth) and their standard deviations [4]."""
    categories = GROUPS.decode(np.arange(GROUPS.size))
    mouth = np.zeros(GROUPS.size)
    for first, second, shift in config.interactions:
        mouth += 0.5 * shift * (-1.0) ** (categories[first] + categories[second])
    means = np.stack([*(categories[a.name] for a in PLANTED), mouth], axis=1)
    return means, np.array([config.race_noise, config.age_noise, config.gender_noise, 1.0])


def bayes_accuracy(config: CalibrationConfig, attributes: Sequence[str], *, draws: int = 100_000) -> float:
    """Accuracy of the best classifier of the given attributes that sees the latent values, groups equally likely.

    Estimated as the mean of the largest posterior over seeded draws; its standard error is below
    ``0.5 / sqrt(draws)``. Without interactions the accuracy of one attribute of C categories and noise s is
    ``1 - 2 (C - 1) / C * Phi(-1 / (2 s))``: an inner category loses both tails, an outer one loses one.
    """
    means, noise = latent_means(config)
    target = Target(tuple(a for a in PLANTED if a.name in attributes))
    classes = target.encode(GROUPS.decode(np.arange(GROUPS.size)))
    rng = np.random.default_rng(stable_hash(0, "bayes accuracy"))
    latents = means[rng.integers(0, GROUPS.size, draws)] + noise * rng.standard_normal((draws, 4))
    log_density = sum(-0.5 * np.square((latents[:, [k]] - means[:, k]) / noise[k]) for k in range(4))
    density = np.exp(log_density - log_density.max(axis=1, keepdims=True))
    posterior = density @ (classes[:, None] == np.arange(target.size))
    return float((posterior.max(axis=1) / posterior.sum(axis=1)).mean())


def calibration_faces(config: CalibrationConfig, seed: int) -> FaceDataset:
    """A balanced set of drawn faces; the same seed gives the same pixels on the same kind of device."""
    groups = np.repeat(np.arange(GROUPS.size), config.per_group)
    labels = GROUPS.decode(groups)
    rng = np.random.default_rng(stable_hash(seed, "calibration faces"))
    means, noise = latent_means(config)
    latents = means[groups] + noise * rng.standard_normal((len(groups), 4))
    labels[NULL.name] = rng.permutation(np.arange(len(groups)) % 2).astype(np.int32)
    pixels = draw_faces(latents, config.size, seed)
    header = f"P6 {config.size} {config.size} 255\n".encode()  # portable pixmap: an image file without compression
    return FaceDataset(
        name="calibration",
        attributes=PLANTED,
        solo_attributes=(NULL,),
        labels=labels,
        image_names=tuple(f"face {i}" for i in range(len(groups))),
        rows=tuple(range(len(groups))),
        read_bytes=lambda i: header + pixels[i].tobytes(),
        source="calibration faces",
    )


def draw_faces(latents: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Faces uint8 [N, size, size, 3] from latent values [N, 4].

    Position, height, light, background and the direction of the lines vary at random and carry no label.
    """
    count = len(latents)
    key = key_for(seed, "faces")
    faces = np.empty((count, size, size, 3), np.uint8)
    for start in range(0, count, BATCH):
        rows = np.arange(start, start + BATCH)
        batch = latents[np.minimum(rows, count - 1)].astype(np.float32)
        drawn = jax.device_get(_draw(key, *jax.device_put((batch, rows.astype(np.int32))), size))
        faces[start : start + BATCH] = drawn[: count - start]
    return faces


@partial(jax.jit, static_argnames="size")
def _draw(key: jax.Array, latents: jax.Array, numbers: jax.Array, size: int) -> jax.Array:
    return jax.vmap(lambda z, n: _draw_one(jax.random.fold_in(key, n), z, size))(latents, numbers)


def _draw_one(key: jax.Array, latents: jax.Array, size: int) -> jax.Array:
    palette, texture, width, mouth = latents
    keys = jax.random.split(key, 3)
    u = jax.random.uniform(keys[0], (6,))
    # Drawn in units of a face of 224 pixels, whatever the size of the image.
    grid = (jnp.arange(size, dtype=jnp.float32) + 0.5) * (224.0 / size)
    y, x = grid[:, None], grid[None, :]
    cx, cy = 104.0 + 16.0 * u[0], 104.0 + 16.0 * u[1]
    height = 78.0 + 12.0 * u[2]
    half_width = height * jnp.clip(0.60 + 0.20 * width, 0.15, 1.2)
    tint = jax.random.uniform(keys[1], (2, 3))[:, None, None]

    background = 60.0 + 130.0 * tint[0] + 40.0 * (tint[1] - 0.5) * (y / 224.0 - 0.5)[..., None]
    warm, cool = (jnp.asarray(colour)[None, None] for colour in _PALETTE)
    skin = warm + (cool - warm) * (palette / 3.0)
    skin = skin * (1.0 + 0.24 * (u[3] - 0.5) * (x - cx)[..., None] / 224.0)
    # Lines of random direction and phase; their contrast is the texture, their pattern is not.
    angle, phase = math.pi * u[4], 2.0 * math.pi * u[5]
    lines = jnp.sin(1.3 * (x * jnp.cos(angle) + y * jnp.sin(angle)) + phase + 0.5 * jnp.sin(y / 9.0))
    skin = skin + (6.0 + 11.0 * texture) * lines[..., None]

    image = background + _inside(x, y, cx, cy, half_width, height)[..., None] * (skin - background)
    for number, (dx, dy, rx, ry) in enumerate(_FEATURES):
        opening = ry * jnp.exp(0.3 * mouth) if number == 2 else ry
        feature = _inside(x, y, cx + dx * half_width, cy + dy * height, rx, opening)[..., None]
        image = image + feature * (jnp.array([[[45.0, 35.0, 40.0]]]) - image)
    image = image + 4.0 * jax.random.normal(keys[2], (size, size, 1))
    return jnp.clip(jnp.rint(image), 0, 255).astype(jnp.uint8)


def _inside(x, y, cx, cy, rx, ry) -> jax.Array:
    """1 inside an ellipse, 0 outside, with an edge of about one pixel."""
    distance = jnp.sqrt(jnp.square((x - cx) / rx) + jnp.square((y - cy) / ry))
    return jnp.clip((1.0 - distance) * jnp.minimum(rx, ry) + 0.5, 0.0, 1.0)
