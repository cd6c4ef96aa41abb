"""Probes of 1,000 real photographs, pixel by pixel, against scikit-learn in float64."""

import csv

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression

from bias_jax.probes import fit_convex

IMAGES = 1000
GRIDS = {64: (8, 8), 2048: (64, 32), 16384: (128, 128)}  # number of features: width, height
STRENGTHS = (1.0, 1e-5)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def faces(fairface_dir):
    """Grey images, and race as a class number [N]."""
    with open(fairface_dir / "fairface_label_train.csv", newline="") as file:
        rows = list(csv.DictReader(file))[:IMAGES]
    images = [Image.open(fairface_dir / row["file"]).convert("L") for row in rows]
    return images, np.unique([row["race"] for row in rows], return_inverse=True)[1]


def pixels(images, width):
    return np.stack([np.asarray(i.resize(GRIDS[width], Image.Resampling.BOX), np.float32).ravel() for i in images])


def doubled(x):
    return np.concatenate([x, x[:, ::2], x[:, :10] + x[:, 10:20]], axis=1)


def with_constants(x):
    return np.where(np.arange(x.shape[1]) % 3 > 0, x, np.float32(7.3))


CASES = {
    "D = 64": lambda images: pixels(images, 64),
    "D = 2048": lambda images: pixels(images, 2048),
    "D = 16384": lambda images: pixels(images, 16384),
    "rank deficient": lambda images: doubled(pixels(images, 64)),
    "constant columns": lambda images: with_constants(pixels(images, 64)),
}


def optimum(z, y, l2):
    """Of the objective in float64; z is centred and scaled."""
    model = LogisticRegression(C=1 / (l2 * len(y)), tol=1e-10, max_iter=10_000, solver="newton-cg").fit(z, y)
    logits = z @ model.coef_.T + model.intercept_
    top = logits.max(axis=1)
    loss = np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top - logits[np.arange(len(y)), y]
    return loss.mean() + l2 / 2 * np.square(model.coef_).sum()


@pytest.mark.parametrize("case", CASES)
def test_objective_is_the_float64_optimum(case, faces):
    images, y = faces
    x = CASES[case](images)
    found = fit_convex({"pixels": x}, {"race": y}, l2=STRENGTHS)
    z = x.astype(float) - x.astype(float).mean(axis=0)
    z /= np.sqrt(np.square(z).mean())
    if z.shape[1] > len(z):  # coordinates in the row space: the same optimum
        u, s, _ = np.linalg.svd(z, full_matrices=False)
        z = u * s
    for l2 in STRENGTHS:
        best = optimum(z, y, l2)
        reached, gap = found.objective("pixels", "race", l2), found.gap("pixels", "race", l2)
        print(f"{case} {l2:g}: excess {reached / best - 1:.1e}, gap {gap / best:.1e}")
        assert abs(reached - best) < 1e-5 * best
        assert reached - best < gap + 1e-6 * best  # the certificate holds, up to float32
        assert gap < 2e-5 * best
