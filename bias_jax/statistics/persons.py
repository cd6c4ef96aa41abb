"""Several pictures of one person vary together: what is drawn, permuted and counted are persons, not pictures.

A statistic that is a sum over images is, for samples of persons, a sum over persons: of the deviations of their
pictures from the means of the pictures' groups (the linearised ratio, Woodruff 1971), because numbers of pictures are
a part of the denominators. So everything that knows sums over images in strata serves persons, too, if it is given one
value a person. A group with the pictures of one person alone tells nothing of how persons differ.

``people`` is the number of each image's person, 0 to K - 1, int [N]; None where each image shows another one, and then
nothing changes.
"""

import numpy as np
from scipy.special import stdtrit


def by_person(values: np.ndarray, strata: np.ndarray, people: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """One value a person, of the same sum, and the stratum of each person.

    Args:
        values: [..., N], of each image.
        strata: group of each image, int [N].
        people: int [N], or None.

    Returns:
        Values [..., K] and strata [K]; what was given if `people` is None.
    """
    if people is None:
        return values, strata
    values = np.asarray(values, np.float64)
    number, size = np.unique(strata, return_inverse=True, return_counts=True)[1:]
    means = _sums(values, number) / size
    sums = _sums(values - means[..., number], people)
    return sums + values.sum(axis=-1, keepdims=True) / sums.shape[-1], home_groups(strata, people)


def home_groups(groups: np.ndarray, people: np.ndarray) -> np.ndarray:
    """The group of most of a person's pictures, int [K]; of equally many the one of the lowest number.

    >>> home_groups(np.array([5, 5, 7, 7, 7, 2]), np.array([0, 0, 0, 1, 1, 2])).tolist()
    [5, 7, 2]
    """
    pairs, counts = np.unique(np.stack([people, groups]), axis=1, return_counts=True)
    order = np.lexsort((pairs[1], -counts, pairs[0]))
    first = np.unique(pairs[0][order], return_index=True)[1]
    return np.asarray(pairs[1][order][first])


def collapsed_strata(strata: np.ndarray, people: np.ndarray | None = None) -> np.ndarray:
    """Strata of at least two units each: those of one image, or of one person, become one stratum together.

    Alone, a unit would seem not to vary at all. Together, they vary by their groups as well, so that intervals are too
    wide rather than too short (collapsed strata, Cochran 1977). A single one joins the smallest of the others.

    Args:
        strata: of each image, int [N].
        people: int [N], or None.

    >>> collapsed_strata(np.array([4, 4, 4, 7, 8, 9, 9])).tolist()
    [4, 4, 4, 7, 7, 9, 9]
    """
    units = np.arange(len(strata)) if people is None else people
    numbers, counts = np.unique(np.unique(np.stack([strata, units]), axis=1)[0], return_counts=True)
    joined = numbers[np.argsort(counts, kind="stable")][: max(2, int((counts == 1).sum()))]
    return np.where(np.isin(strata, joined), joined[0], strata) if (counts == 1).any() else strata


def effective_trials(hits: np.ndarray, people: np.ndarray | None, trials: np.ndarray | None = None) -> float:
    """Number of independent trials that know a rate as well as these do.

    Korn & Graubard 1998: the number with the same variance, and with the quantile of Student's distribution of K - 1
    degrees of freedom in place of that of all trials. Where all trials come out alike, the number of persons.

    Args:
        hits: of each image, from 0 to its trials [n].
        people: any numbers of persons, int [n], or None.
        trials: of each image [n]; default: 1.
    """
    trials = np.ones(len(hits)) if trials is None else trials
    total = float(trials.sum())
    if people is None or not total:
        return total
    number = np.unique(people[trials > 0], return_inverse=True)[1]
    persons, rate = int(number.max()) + 1, float(hits.sum() / total)
    if persons == len(number):
        return total
    if persons == 1 or rate in (0.0, 1.0):
        return float(persons)
    residual = np.bincount(number, (hits - rate * trials)[trials > 0])
    variance = persons / (persons - 1) * np.square(residual).sum() / total**2
    if variance == 0:  # every person has this rate
        return total
    quantiles = stdtrit((max(total - 1, 1), persons - 1), 0.975)
    return float(min(rate * (1.0 - rate) / variance * (quantiles[0] / quantiles[1]) ** 2, total))


def shuffled_blocks(people: np.ndarray | None, rng: np.random.Generator, images: int) -> np.ndarray:
    """A random permutation int [n] that moves the pictures of a person together.

    Persons with equally many pictures change places; of others, those of one come next to each other in the places of
    those of the next ones.

    Args:
        people: any numbers of persons, int [n], or None.
        rng: to draw from.
        images: their number n.
    """
    if people is None:
        return rng.permutation(images)
    number = np.unique(people, return_inverse=True)[1]
    to, of = (np.argsort(rng.permutation(number.max() + 1)[number], kind="stable") for _ in range(2))
    order = np.empty(images, int)
    order[to] = of
    return order


def _sums(values: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Sums [..., K] of values [..., N] with equal numbers, 0 to K - 1."""
    starts = np.searchsorted(np.sort(number), np.arange(number.max() + 1))
    return np.add.reduceat(values[..., np.argsort(number, kind="stable")], starts, axis=-1)
