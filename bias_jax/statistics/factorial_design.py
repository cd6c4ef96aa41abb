"""Terms of an unbalanced factorial design: which directions between groups belong to which attribute or interaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike

ALL_GROUPS = "all groups"  # every difference between groups, whatever attribute it belongs to
LEVELS = ("images", "group means")


@dataclass(frozen=True)
class FactorialDesign:
    """Type II contrasts between group sums, at the level of images and of unweighted group means.

    The sum of squares of a term is the squared length of ``basis.T @ sums`` over the columns that the term owns, where
    ``sums`` [G, D] holds the sums of the features over each group's images. M columns, T terms.
    """

    terms: tuple[str, ...]  # main effects first, the highest interaction, then ALL_GROUPS
    groups: np.ndarray  # group of each image, int32 [N]; only groups with images are numbered
    counts: np.ndarray  # images of each group, [G]
    basis: np.ndarray  # [G, M] float64, the columns of both levels
    owner: np.ndarray  # 1 where a column belongs to a test, [2 T, M]; tests are all terms on images, then on means

    @cached_property
    def degrees_of_freedom(self) -> np.ndarray:
        """Realised degrees of freedom, int [2, T]: fewer where groups are missing, 0 where nothing is left."""
        return self.owner.sum(axis=1).astype(np.int64).reshape(2, -1)

    @cached_property
    def kernels(self) -> np.ndarray:
        """A test's sum of squares is the sum of its kernel times the products of the group sums, [2 T, G, G]."""
        return np.stack([(self.basis * columns) @ self.basis.T for columns in self.owner])

    @cached_property
    def leverage(self) -> np.ndarray:
        """How much each group's variance adds to a test's sum of squares in expectation, [2 T, G]."""
        return np.diagonal(self.kernels, axis1=1, axis2=2) * self.counts


def factorial_design(labels: Mapping[str, ArrayLike]) -> FactorialDesign:
    """Type II terms of all attributes and interactions.

    A term's directions are what it adds to all terms that do not contain it (Type II, Langsrud 2003): main effects are
    adjusted for each other, an interaction for what is below and beside it. Groups without images are left out and
    the degrees of freedom are the ranks that remain. On images, a group counts by its number of images; on
    means, each group counts alike, and groups of one image are left out because their noise cannot be known.

    Args:
        labels: attribute -> category of each image, integers [N] of any kind.

    Raises:
        ValueError: no attribute, no image, or labels of different lengths.

    >>> design = factorial_design({"race": [0, 0, 1, 1, 2, 2] * 2, "gender": [0, 1] * 6})
    >>> design.terms
    ('race', 'gender', 'race x gender', 'all groups')
    >>> design.degrees_of_freedom[0].tolist()
    [2, 1, 2, 5]
    """
    columns = [np.asarray(values) for values in labels.values()]
    if not columns or columns[0].ndim != 1 or len({c.shape for c in columns}) != 1 or not len(columns[0]):
        raise ValueError("a design needs at least one attribute, and one label of each attribute for every image")
    cells, groups, counts = np.unique(np.stack(columns, 1), axis=0, return_inverse=True, return_counts=True)
    names = list(labels)
    subsets = [subset for k in range(1, len(names) + 1) for subset in combinations(range(len(names)), k)]
    repeated = counts > 1
    blocks = [scale[:, None] * directions
              for weights, scale in ((counts.astype(float), counts**-0.5), (repeated.astype(float), 1.0 / counts))
              for directions in _directions(cells, subsets, np.sqrt(weights))]  # fmt: skip
    return FactorialDesign(
        terms=(*(" x ".join(names[i] for i in subset) for subset in subsets), ALL_GROUPS),
        groups=groups.reshape(-1).astype(np.int32),
        counts=counts,
        basis=np.concatenate(blocks, axis=1),
        owner=np.repeat(np.eye(len(blocks)), [block.shape[1] for block in blocks], axis=1),
    )


def _directions(cells: np.ndarray, subsets: list[tuple[int, ...]], roots: np.ndarray) -> list[np.ndarray]:
    """Orthonormal directions [G, df] of each term and of all groups, for groups weighted by ``roots`` squared."""
    everything = range(cells.shape[1])
    found = []
    for subset in subsets:
        # The largest terms that do not contain this one are those of all attributes but one of its own.
        others = [_indicators(cells, [a for a in everything if a != left_out]) for left_out in subset]
        base = _orthonormal(roots[:, None] * np.concatenate(others, axis=1))
        found.append(_added(base, roots[:, None] * _indicators(cells, list(subset))))
    mean = _orthonormal(roots[:, None])
    return [*found, _added(mean, np.diag(roots))]


def _indicators(cells: np.ndarray, attributes: list[int]) -> np.ndarray:
    """One column per combination of the attributes' categories that occurs, [G, cells]."""
    if not attributes:
        return np.ones((len(cells), 1))
    _, number = np.unique(cells[:, attributes], axis=0, return_inverse=True)
    return np.eye(number.max() + 1)[number.reshape(-1)]


def _added(base: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Orthonormal basis of what `columns` span beyond `base`."""
    rest = columns - base @ (base.T @ columns)
    return _orthonormal(rest - base @ (base.T @ rest), float(np.linalg.norm(columns)))


def _orthonormal(columns: np.ndarray, scale: float | None = None) -> np.ndarray:
    """Orthonormal basis of the columns' span by pivoted QR; what is below 1e-9 of `scale` is rounding."""
    basis, triangle, _ = scipy.linalg.qr(columns, mode="economic", pivoting=True)
    least = 1e-9 * (scale if scale is not None else np.linalg.norm(columns))
    return basis[:, : np.count_nonzero(np.abs(np.diag(triangle)) > least)]
