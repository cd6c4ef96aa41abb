"""Calibration faces with labels, one of which depends on the group in training and not in evaluation.

Faces have a palette (warm or cool, the group), lines on the skin, and a width. The labels are ``lined`` or ``smooth``,
``wide`` or ``narrow``. In training a share `base_rate` of the cool faces is lined and 1 - `base_rate` of the warm ones;
in evaluation half of both. A classifier that learned the training frequencies recognises lined cool faces more often
than lined warm ones. ``null`` parts the faces by a coin: groups without any disparity.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.special import logit, ndtr

from bias_jax.data.attributes import Attribute
from bias_jax.data.calibration import NULL, draw_faces
from bias_jax.data.dataset import FaceDataset
from bias_jax.data.multilabel import LabelSet
from bias_jax.randomness import stable_hash

PALETTE = Attribute("palette", ("warm", "cool"))
LABELS = ("lined", "smooth", "wide", "narrow")


@dataclass(frozen=True)
class PlantedConfig:
    """How many faces, and what is planted."""

    training: int = 960
    evaluation: int = 640
    base_rate: float = 0.8  # share of lined faces among the cool ones in training; 1 - this among the warm ones
    noise: float = 0.5  # standard deviation of the lines' contrast; lined and smooth faces are 1 apart
    size: int = 224  # side of the square images, pixels


def planted_latents(images: int, rate: float, noise: float, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Latent values [N, 4] as `calibration.draw_faces` takes them, palette [N], and labels bool [N, C] of `LABELS`."""
    cool, wide = rng.permutation(np.arange(images) % 2), rng.permutation(np.arange(images) % 2)
    lined = rng.random(images) < np.where(cool, rate, 1.0 - rate)
    spread = rng.standard_normal((images, 3)) * [0.1, noise, 0.3]
    latents = np.stack([3.0 * cool, 1.0 + lined, wide], axis=1) + spread
    labels = np.stack([lined, ~lined, wide == 1, wide == 0], axis=1)
    return np.column_stack([latents, np.zeros(images)]), cool, labels


def planted_faces(config: PlantedConfig, seed: int) -> tuple[FaceDataset, LabelSet]:
    """Training images first, then those for evaluation, with palette and coin as attributes."""
    rng = np.random.default_rng(stable_hash(seed, "planted labels"))
    parts = [
        planted_latents(images, rate, config.noise, rng)
        for images, rate in ((config.training, config.base_rate), (config.evaluation, 0.5))
    ]
    latents, cool, present = (np.concatenate(x) for x in zip(*parts, strict=True))
    coin = rng.permutation(np.arange(len(latents)) % 2)
    pixels = draw_faces(latents, config.size, seed)
    header = f"P6 {config.size} {config.size} 255\n".encode()
    names = tuple(f"face {i}" for i in range(len(latents)))
    dataset = FaceDataset(
        name="calibration",
        attributes=(PALETTE, NULL),
        labels={"palette": cool.astype(np.int32), "null": coin.astype(np.int32)},
        image_names=names,
        rows=tuple(range(len(names))),
        read_bytes=lambda i: header + pixels[i].tobytes(),
        source="calibration faces",
    )
    values = csr_array(np.where(present, 1, -1).astype(np.int8))
    return dataset, LabelSet(names, LABELS, values, "calibration faces", dataset.rows)


def planted_gap(config: PlantedConfig) -> float:
    """Recall of ``lined`` among cool minus among warm faces, for the best classifier of the training images.

    It knows the palette and the contrast x. Contrasts are normal around 0 and 1 with standard deviation s, so their
    log-odds of lined against smooth are ``(x - 1/2) / s^2``. With base rates p and 1 - p it calls a face lined where
    these odds exceed ``-logit p`` (cool) or ``logit p`` (warm): recalls of ``Phi(1 / 2s +- s logit p)``. By symmetry
    it calls half of the training images lined, as many as are, so a matched threshold is the same.
    """
    middle, shift = 0.5 / config.noise, config.noise * logit(config.base_rate)
    return float(ndtr(middle + shift) - ndtr(middle - shift))
