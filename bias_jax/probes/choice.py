"""Which strength the probe of each outer fold gets, and how much metrics vary because other images choose others.

Every image is predicted by two inner probes that never saw it: one that leaves out its own and the next fold, and one
that leaves out the previous and its own. For outer fold f the strength is chosen by the images of folds f + 1 and f - 1
and by probes without f, so f itself is used for nothing but the reported prediction.

Where strengths differ little for the images that choose, chance decides between them, and metrics jump. Bootstrap draws
of the images choose again; what that changes is read off the inner predictions, so nothing is trained again.
"""

import jax
import numpy as np

from bias_jax.statistics import by_person, stratified_bootstrap


def choose_strengths(log_probability: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Index of the strength with the best inner log-probability, int [F]; ties go to the first, the strongest.

    Args:
        log_probability: of the true class, [R, 2, N]; axis 1: the probe that leaves out the next, or the previous fold
            as well.
        folds: fold of each image, int [N].
    """
    return _votes(log_probability, folds).sum(axis=-1, dtype=np.float64).argmax(axis=-1)


def _votes(log_probability: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """What each image adds to the score of each strength in the choice for fold f, [F, R, N]."""
    number, (before, after) = folds.max() + 1, log_probability.swapaxes(0, 1)
    return np.stack([
        np.where(folds == (f + 1) % number, after, 0.0) + np.where(folds == (f - 1) % number, before, 0.0)
        for f in range(number)
    ])  # fmt: skip


def redraw_choice(
    log_probability: np.ndarray,
    values: np.ndarray,
    folds: np.ndarray,
    groups: np.ndarray,
    *,
    draws: int,
    key: jax.Array,
    people: np.ndarray | None = None,
) -> np.ndarray:
    """What metrics change in each bootstrap draw by choosing the strengths again, [M, B].

    Centred: the mean says what choosing costs, which the metrics themselves have paid already.

    Args:
        log_probability: see `choose_strengths`.
        values: what each image adds to each metric at each strength, by inner predictions, [M, R, N].
        folds: fold of each image, int [N].
        groups: intersectional group of each image, int [N].
        draws: number of draws B.
        key: the same as that of other statistics' `stratified_bootstrap` gives the same draws.
        people: person of each image, int [N]; None: all differ.
    """
    votes, chosen = _votes(log_probability, folds), choose_strengths(log_probability, folds)
    number, strengths, images = votes.shape
    held = folds == np.arange(number)[:, None, None]
    change = np.where(held, values[:, None] - values[:, chosen][:, :, None], 0.0)  # [M, F, R, N]
    rows = np.concatenate([votes[None], change]).reshape(-1, images)
    drawn = stratified_bootstrap(*by_person(rows, groups, people), draws=draws, key=key).T.reshape(
        -1, number, strengths, draws
    )
    again = drawn[0].argmax(axis=1)[None, :, None]  # [1, F, 1, B]
    found = np.take_along_axis(drawn[1:], again, axis=2).sum(axis=(1, 2))
    return found - found.mean(axis=1, keepdims=True)
