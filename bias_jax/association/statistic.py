"""Association of images with two sets of attribute images, and the effect size: Steed & Caliskan 2021, section 3.

    s(w) = mean over a in A of cos(w, a)  -  mean over b in B of cos(w, b)
    d    = (mean over X of s  -  mean over Y of s) / standard deviation of s over X and Y together, ddof 1

The denominator is the total standard deviation, not that within groups, so |d| < 2 for equal sizes. It does not change
when images are relabelled; hence d, the difference of means and the sum of s over X are equivalent test statistics.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from bias_jax.errors import InputError

Alternative = Literal["greater", "two-sided"]
BLOCK_BYTES = 2**27  # of a float64 copy of the rows that are normalised together

# Two sums of associations count as equal within N * (RELATIVE * max|s| + ABSOLUTE): far above what the order of
# summation can change, far below what a different image does.
RELATIVE = 1e-12
ABSOLUTE = 4 * np.finfo(np.float64).eps  # a cosine is not known better than this


def directions(rows: ArrayLike) -> np.ndarray:
    """Rows [n, D] scaled to length 1, float64; a zero row stays zero, so its cosine with anything is 0.

    Raises:
        ValueError: not two-dimensional, empty, or not finite.
    """
    values = np.asarray(rows, np.float64)
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(f"embeddings must be a non-empty [n, D] array, not of shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("embeddings contain NaN or infinity")
    largest = np.abs(values).max(axis=1, keepdims=True)  # first, so that squares neither overflow nor vanish
    values = values / np.where(largest > 0, largest, 1.0)
    length = np.sqrt(np.einsum("nd,nd->n", values, values))[:, None]
    return values / np.where(length > 0, length, 1.0)


def mean_direction(rows: ArrayLike) -> np.ndarray:
    """Mean of the normalised rows, [D]: its product with a normalised image is the mean cosine."""
    array = np.asarray(rows)
    blocks = _blocks(array)
    return np.sum([directions(block).sum(axis=0) for block in blocks], axis=0) / len(array)


def image_associations(images: ArrayLike, a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """Association s(w, A, B) of every image.

    The two means are subtracted before the product with w: features after a ReLU are nearly parallel, and the
    difference of two cosines near 1 would lose the digits that matter.

    Args:
        images: [N, D].
        a, b: attribute images [n, D]; their numbers may differ.

    Returns:
        float64 [N], between -2 and 2.

    Raises:
        ValueError: not finite, empty, or of different widths D.
    """
    _check_widths(images, a, b)
    contrast = mean_direction(a) - mean_direction(b)
    return np.concatenate([directions(block) @ contrast for block in _blocks(np.asarray(images))])


def cosines(images: ArrayLike, others: ArrayLike) -> np.ndarray:
    """Cosine of every image [N, D] with every other [M, D], float64 [N, M].

    >>> cosines([[1, 0], [3, 4]], [[2, 0], [0, 5]]).round(6).tolist()
    [[1.0, 0.0], [0.6, 0.8]]
    """
    _check_widths(images, others)
    right = directions(others)
    return np.concatenate([directions(block) @ right.T for block in _blocks(np.asarray(images))])


def check_directions(**sets: ArrayLike) -> None:
    """Refuse sets of embeddings [n, D] of which no vector has a direction: their cosines are undefined.

    Raises:
        InputError: naming the first of them.
    """
    for name, rows in sets.items():
        array = np.asarray(rows)
        if array.ndim == 2 and array.size and not array.any():
            problem = f"all {len(array)} vectors of {name} are zero (rows 0 to {len(array) - 1}), and have no cosine"
            raise InputError(problem, remedy=f"check where the embeddings of {name} come from, or leave this test out")


def _check_widths(*arrays: ArrayLike) -> None:
    shapes = [np.shape(array) for array in arrays]
    if any(len(shape) != 2 for shape in shapes) or len({shape[1] for shape in shapes}) > 1:
        raise ValueError(f"embeddings must be [n, D] with the same D, not of shapes {shapes}")


def _blocks(array: np.ndarray) -> list[np.ndarray]:
    rows = max(1, BLOCK_BYTES // (8 * max(1, array.shape[1]))) if array.ndim == 2 else 1
    return [array[i : i + rows] for i in range(0, max(len(array), 1), rows)]


@dataclass(frozen=True)
class Contrast:
    """Associations of the two target sets, centred, and what a relabelling is compared with."""

    values: np.ndarray  # s minus its mean over X and Y, float64 [N], X first
    size: int  # |X|
    tolerance: float  # sums closer than this are ties
    deviation: float  # standard deviation of s, ddof 1; NaN where it is undefined

    @property
    def observed(self) -> float:
        """Sum of the centred associations over X."""
        return float(self.values[: self.size].sum())

    @property
    def scale(self) -> float:
        """Factor from a sum over X to an effect size."""
        total = len(self.values)
        return total / (self.size * (total - self.size) * self.deviation)

    @property
    def effect_size(self) -> float:
        return self.observed * self.scale

    @property
    def defined(self) -> bool:
        """False where all associations are equal: d is 0 / 0."""
        return not np.isnan(self.deviation)


def contrast(x: ArrayLike, y: ArrayLike) -> Contrast:
    """Compare the associations x [|X|] with y [|Y|].

    Raises:
        ValueError: an empty set, or values that are not finite.
    """
    first, second = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if first.ndim != 1 or second.ndim != 1 or not len(first) or not len(second):
        raise ValueError("associations must be two non-empty vectors")
    values = np.concatenate([first, second])
    if not np.isfinite(values).all():
        raise ValueError("associations contain NaN or infinity")
    margin = RELATIVE * np.abs(values).max() + ABSOLUTE
    constant = np.ptp(values) <= 2 * margin
    centred = values - values.mean()
    deviation = float("nan") if constant else float(centred.std(ddof=1))
    return Contrast(centred, len(first), len(values) * margin, deviation)
