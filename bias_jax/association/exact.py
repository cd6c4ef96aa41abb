"""How many relabellings give a sum at least as large as the observed one: exactly, by meeting in the middle.

The values are split into two halves. All subset sums of a half are formed, by subset size; for every pair of sizes
that add up, one side is sorted and the other looks up how many partners suffice (Horowitz & Sahni 1974, for counting
and with fixed size). 20 images per side have 1.4e11 relabellings and 2^20 sums per half.
"""

import math
from collections.abc import Sequence
from itertools import chain, combinations

import numpy as np

LARGEST_HALF = 2**22  # subset sums of one half: 22 images per side, about 0.1 GB


def half_sums(total: int, size: int) -> int:
    """Subset sums that the larger half needs for subsets of `size` out of `total`."""
    half = total - total // 2
    return sum(math.comb(half, j) for j in range(min(size, total - size, half) + 1))


def feasible(total: int, size: int) -> bool:
    """Whether exact counting fits in seconds and memory: any |X| up to N = 44, small |X| beyond."""
    return half_sums(total, size) <= LARGEST_HALF


def count_subsets(values: np.ndarray, size: int, thresholds: Sequence[float]) -> list[int]:
    """Number of subsets of `size` values whose sum is at least each threshold.

    Args:
        values: float64 [N].
        size: of the subsets, 0 to N.
        thresholds: any number of them; one more costs a search, not a sort.

    Raises:
        ValueError: if N is too large, see `feasible`.
    """
    total = len(values)
    if not feasible(total, size):
        raise ValueError(f"exact counting of {size} out of {total} images is out of reach; use bounds or sampling")
    if 2 * size > total:  # sum over X >= t where minus the sum over Y >= t minus the sum of all
        everything = float(values.sum())
        return count_subsets(-values, total - size, [t - everything for t in thresholds])
    left = _sums_by_size(values[: total // 2], size)
    right = _sums_by_size(values[total // 2 :], size)
    counts = [0] * len(thresholds)
    for j in range(max(0, size - len(right) + 1), min(size, len(left) - 1) + 1):
        # Sorted queries walk through the sorted table in order, which keeps both in the cache.
        queries, table = np.sort(left[j]), np.sort(right[size - j])
        for number, threshold in enumerate(thresholds):
            short = np.searchsorted(table, threshold - queries, side="left")  # partners that do not suffice
            counts[number] += len(queries) * len(table) - int(short.sum())
    return counts


def _sums_by_size(values: np.ndarray, largest: int) -> list[np.ndarray]:
    """All subset sums, in one array per subset size from 0 to min(largest, number of values)."""
    sums = [np.zeros(1)]
    for value in values:
        longer = [*sums, np.empty(0)] if len(sums) <= largest else sums
        sums = [longer[0]] + [np.concatenate([longer[j], sums[j - 1] + value]) for j in range(1, len(longer))]
    return sums


def all_subsets(total: int, size: int) -> np.ndarray:
    """Every subset as a row of zeros and ones, float64 [C(total, size), total]; the first has the first `size`."""
    count = math.comb(total, size)
    chosen = np.fromiter(chain.from_iterable(combinations(range(total), size)), np.int64, count * size)
    rows = np.zeros((count, total))
    np.put_along_axis(rows, chosen.reshape(count, size), 1.0, axis=1)
    return rows
