"""Means over images, or over persons with several images, with intervals in closed form."""

import numpy as np
from scipy.special import stdtrit


def mean_interval(values: np.ndarray, people: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean over the images, with its 95 % interval (Student's t; of persons, that of a ratio of sums).

    Args:
        values: [..., n].
        people: any number of each image's person, int [n]; None: all differ.

    Returns:
        Mean, lower and upper end, each [...]; ends are NaN for a single person.
    """
    values = np.asarray(values, np.float64)
    images = values.shape[-1]
    mean = values.mean(axis=-1)
    unit = np.arange(images) if people is None else np.unique(people, return_inverse=True)[1]
    persons = int(unit.max()) + 1
    sums = (values - mean[..., None]) @ np.eye(persons)[unit]  # [..., persons]
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.sqrt(np.float64(persons) / (persons - 1) * np.square(sums).sum(axis=-1)) / images
        half = stdtrit(persons - 1, 0.975) * error
    return mean, mean - half, mean + half
