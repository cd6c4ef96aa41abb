"""Writes erasure.npz: features erased by the authors' implementation of LEACE, in float64.

pip install torch==2.13.0 concept-erasure==0.2.4 && python -m tests.reference.erasure_oracle
"""

from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("erasure.npz")
# Images, dimensions, rank of the features, classes.
CASES = {"random": (120, 10, 10, 3), "dependent": (90, 12, 6, 4), "wide": (24, 40, 40, 3)}


def draw(images: int, width: int, rank: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features [N, D] of this rank, far from 0, and labels int [N] that they depend on."""
    rng = np.random.default_rng(seed)
    labels = np.arange(images) % classes
    inner = rng.standard_normal((images, rank)) + rng.standard_normal((classes, rank))[labels]
    return 5.0 + inner @ rng.standard_normal((rank, width)) * np.exp(rng.standard_normal(width)), labels


def erased(features: np.ndarray, labels: np.ndarray, shrinkage: bool) -> np.ndarray:
    """Features erased by concept-erasure; directions of any correlation count, as they do here."""
    import torch
    from concept_erasure import LeaceFitter

    x, z = torch.from_numpy(features), torch.nn.functional.one_hot(torch.from_numpy(labels))
    return LeaceFitter.fit(x, z, shrinkage=shrinkage, svd_tol=1e-7).eraser(x).numpy()


if __name__ == "__main__":
    found = {}
    for seed, (name, case) in enumerate(CASES.items()):
        features, labels = draw(*case, seed)
        found |= {f"{name} features": features, f"{name} labels": labels.astype(np.int32)}
        found |= {f"{name} {s}": erased(features, labels, s == "shrunk") for s in ("shrunk", "plain")}
    np.savez_compressed(FILE, **found)
