"""Rigorous bounds on an exact p-value where counting is out of reach: a dynamic programme on a grid.

Every value is rounded to a grid; the programme carries the probability of (images chosen so far, grid sum) through the
images, as if X were drawn one image after the other without replacement. What rounding can change in a sum of |X|
values is bounded by the sums of the |X| smallest and of the |X| largest remainders; shifting the threshold by these
gives an upper and a lower bound. Only non-negative numbers are added and multiplied, so that a p-value of 1e-19 is as
accurate, relatively, as one of 0.1.
"""

import numpy as np

WORK = 1.2e9  # grid cells touched at most, one or two seconds
MOST_BINS = 2**17
FEWEST_BINS = 512
UNDERFLOW = 1e-290  # more than what all probabilities below the smallest float64 can add up to


def tail_bounds(values: np.ndarray, size: int, threshold: float) -> tuple[float, float]:
    """Bounds on the probability that the sum of a random subset reaches a threshold.

    Args:
        values: float64 [N].
        size: of the subsets, 1 to N - 1.
        threshold: P(sum >= threshold) is bounded.

    Returns:
        (lower, upper); the probability lies between them, rounding errors of the programme included.
    """
    total = len(values)
    if 2 * size > total:  # the same event in terms of the images that are not chosen: smaller tables
        return tail_bounds(-values, total - size, threshold - float(values.sum()))
    ordered = np.sort(values)
    least, most = float(ordered[:size].sum()), float(ordered[total - size :].sum())
    if threshold > most + 1e-9 * (most - least):
        return 0.0, 0.0
    if most - least <= 0.0:
        return 1.0, 1.0
    bins = int(np.clip(WORK / (total * size), FEWEST_BINS, MOST_BINS))
    step = (most - least) / bins
    base = ordered[0]  # so that every rounded value is a number of steps upwards
    steps = np.rint((values - base) / step).astype(np.int64)
    remainder = np.sort(values - base - steps * step)
    down, up = float(remainder[:size].sum()), float(remainder[total - size :].sum())
    guard = 1e-13 * size * float(np.abs(values).max())  # of the float64 sums above
    first = np.sort(steps)[:size].sum()  # the smallest grid sum
    width = int(np.sort(steps)[total - size :].sum() - first) + 1
    law = _sum_law(np.sort(steps), size, int(first), width)
    tail = np.append(np.cumsum(law[::-1])[::-1], 0.0)  # summed from the far end: the small numbers first

    def reach(shift: float) -> float:
        """Probability that the grid sum is at least threshold - shift."""
        cell = int(np.ceil((threshold - shift - size * base) / step - first))
        return float(tail[np.clip(cell, 0, width)])

    slack = 16.0 * (total + width) * float(np.finfo(float).eps)
    low, high = reach(down - guard) * (1.0 - slack), reach(up + guard) * (1.0 + slack) + UNDERFLOW
    return max(0.0, low), min(1.0, high)


def _sum_law(steps: np.ndarray, size: int, first: int, width: int) -> np.ndarray:
    """Probabilities of the grid sums `first` to `first + width - 1` of `size` values drawn without replacement.

    Row j of the table holds the states with j images chosen, at offset: sum minus that of the j smallest values. With
    the values in ascending order all offsets are at least 0, and those above `width` cannot occur.
    """
    total = len(steps)
    table = np.zeros((size + 1, width))
    table[0, 0] = 1.0
    for i, value in enumerate(steps):
        left = total - i
        for j in range(min(i, size - 1), max(0, size - left) - 1, -1):  # downwards: row j + 1 is still the old one
            take = (size - j) / left
            shift = int(value - steps[j])  # offset of the new sum in row j + 1
            row = table[j]
            if shift < width:
                table[j + 1, shift:] += take * row[: width - shift]
            row *= 1.0 - take if left > size - j else 0.0
    return table[size]
