"""Random weights of vision transformers, as each family begins its training.

Two differences. Classifiers that begin with zeros (torchvision's) are drawn like timm's, since every logit would be 0.
Layer scales are 1, as in the networks that Meta's hub builds: where training begins with 0.00001 of what a block adds,
all blocks of an untrained network would give out the same.
"""

import math
from typing import Literal

import numpy as np

# torchvision; timm's DeiT, MAE and DINOv2; OpenAI's CLIP; SigLIP (big_vision)
Style = Literal["torchvision", "timm", "clip", "siglip"]
TINY = 1e-6  # deviation of what begins near zero
POSITIONS = 0.02  # deviation of positions, and of timm's matrices


def draw(
    style: Style, patch: int, path: tuple[str, ...], shape: tuple[int, ...], rng: np.random.Generator
) -> np.ndarray:
    """One parameter, float32. Normal distributions are not cut off, which some families do at two deviations.

    Args:
        style: of the family.
        patch: side of a patch in pixels.
        path: of the parameter.
        shape: of it; matrices are [in, out], patches [p, p, 3, out].
        rng: where its numbers come from.
    """
    if path[-1] in ("scale", "gamma"):
        return np.ones(shape, np.float32)
    deviation, bound = _spread(style, patch, path, shape)
    if bound:
        return rng.uniform(-bound, bound, shape).astype(np.float32)
    return rng.standard_normal(shape, np.float32) * np.float32(deviation)


def _spread(style: Style, patch: int, path: tuple[str, ...], shape: tuple[int, ...]) -> tuple[float, float]:
    """Deviation of a normal distribution, or the bound of an even one; both 0: zeros."""
    width, inputs = shape[-1], math.prod(shape[:-1])
    if len(path) == 1 or path[-1] == "latent":  # tokens and positions
        tokens = {"torchvision": 0.0, "timm": TINY, "clip": width**-0.5, "siglip": 0.0}
        if path[-1] == "latent":
            return 0.0, math.sqrt(6 / (1 + width))
        return (tokens[style] if path[0] != "pos_embed" else _positions(style, width)), 0.0
    part, layer, leaf = path[0], path[-2], path[-1]
    if layer.startswith("norm"):
        return 0.0, 0.0
    if leaf == "bias":
        if style == "timm" and part == "patch_embed":
            return 0.0, 1 / math.sqrt(patch * patch * 3)
        if style == "clip" and layer in ("fc1", "fc2"):
            return 0.0, 1 / math.sqrt(width / 4 if layer == "fc1" else width * 4)
        return (TINY if style in ("torchvision", "siglip") and layer in ("fc1", "fc2") else 0.0), 0.0
    if part == "patch_embed":
        return (1 / math.sqrt(inputs), 0.0) if style in ("torchvision", "siglip") else (0.0, 1 / math.sqrt(inputs))
    if part == "head":
        return (inputs**-0.5 if style == "clip" else POSITIONS), 0.0
    if style == "timm":
        return POSITIONS, 0.0
    glorot = math.sqrt(6 / (inputs + width))
    if style == "siglip":
        return 0.0, glorot
    if layer in ("q", "k", "v"):  # one matrix in torch
        return 0.0, math.sqrt(6 / (inputs + 3 * width))
    return 0.0, glorot if style == "torchvision" and layer in ("fc1", "fc2") else 1 / math.sqrt(inputs)


def _positions(style: Style, width: int) -> float:
    return POSITIONS if style in ("torchvision", "timm") else width**-0.5
