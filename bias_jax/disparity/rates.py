"""Recognition rates of every group, label and loss, with the draws of a bootstrap over images.

Row 0 of every array of values is the estimate, rows 1 to P are bootstrap draws with the same weights for all losses, so
differences between losses are paired. What has no images to be judged on is NaN.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jax
import numpy as np

from bias_jax.disparity.decisions import BETA
from bias_jax.statistics import bootstrap_weights, effective_trials, home_groups

ALL, MEAN = "(all labels)", "(mean of labels)"


@dataclass(frozen=True)
class Events:
    """What happened to each image, as numerators and denominators of M rates."""

    names: tuple[tuple[str, str], ...]  # (metric, label) of each rate
    hits: np.ndarray  # float [S, N, M]
    trials: np.ndarray  # float [S, N, M]


def image_events(
    predicted: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    reported: Sequence[int],
    families: Mapping[str, np.ndarray],
) -> Events:
    """Count, for every image, what the rates are made of.

    Per label and for all labels together: ``recall``, ``false_positive_rate``, ``precision`` (over known labels),
    ``predicted_rate`` (all images; labels per image where all are counted) and ``label_rate``. Per image: ``f2`` (with
    precision 1 where nothing is predicted and recall 1 where nothing is true), ``no_correct_label`` (of images with
    a label). Per family of labels: ``association``, images that got one of them among their best.

    Args:
        predicted: decisions bool [S, N, C].
        labels: 0, 1 or NaN [N, C].
        classes: names of the C labels.
        reported: labels with rates of their own.
        families: name -> bool [S, N].
    """
    seeds, images, _ = predicted.shape
    known, present = ~np.isnan(labels), labels == 1
    absent = known & ~present
    guess = predicted & known
    true = guess & present
    pairs = {
        "recall": (true, np.broadcast_to(present, guess.shape)),
        "false_positive_rate": (guess & absent, np.broadcast_to(absent, guess.shape)),
        "precision": (true, guess),
        "predicted_rate": (predicted, np.ones_like(predicted)),
        "label_rate": (np.broadcast_to(present, guess.shape), np.broadcast_to(known, guess.shape)),
    }
    names: list[tuple[str, str]] = []
    hits: list[np.ndarray] = []
    trials: list[np.ndarray] = []

    def add(metric: str, label: str, numerator: np.ndarray, denominator: np.ndarray) -> None:
        names.append((metric, label))
        hits.append(np.broadcast_to(numerator, (seeds, images)).astype(np.float32))
        trials.append(np.broadcast_to(denominator, (seeds, images)).astype(np.float32))

    every = np.ones((seeds, images))
    for metric, (numerator, denominator) in pairs.items():
        for c in reported:
            add(metric, classes[c], numerator[..., c], denominator[..., c])
        whole = every if metric == "predicted_rate" else denominator.sum(axis=-1)
        add(metric, ALL, numerator.sum(axis=-1), whole)
    n_true, n_guess, n_present = true.sum(axis=-1), guess.sum(axis=-1), present.sum(axis=-1)
    add("f2", ALL, f_beta(n_true, n_guess, n_present), every)
    add("no_correct_label", ALL, (n_true == 0) & (n_present > 0), every * (n_present > 0))
    for family, found in families.items():
        add("association", family, found, every)
    return Events(tuple(names), np.stack(hits, axis=-1), np.stack(trials, axis=-1))


def f_beta(true: np.ndarray, guessed: np.ndarray, present: np.ndarray) -> np.ndarray:
    """F of an image from its numbers of true, guessed and present labels; nothing guessed or present counts as 1."""
    precision = np.where(guessed > 0, true / np.maximum(guessed, 1), 1.0)
    recall = np.where(present > 0, true / np.maximum(present, 1), 1.0)
    return (1 + BETA**2) * precision * recall / np.maximum(BETA**2 * precision + recall, 1e-12)


def top_associations(scores: np.ndarray, members: np.ndarray, k: int = 5, least: float = -np.inf) -> np.ndarray:
    """Whether one of some labels is among an image's `k` best with at least the score `least`, bool [...].

    Args:
        scores: [..., C].
        members: numbers of the labels.
        k: how many of the best labels are looked at.
        least: scores below do not count.
    """
    best = np.argsort(-scores, axis=-1, kind="stable")[..., :k]
    strong = np.take_along_axis(scores, best, axis=-1) >= least
    return np.asarray((np.isin(best, members) & strong).any(axis=-1))


@dataclass(frozen=True)
class PersonRates:
    """What rates are made of, by person, where persons have several images."""

    groups: np.ndarray  # of most of the person's images, int [K]
    hits: np.ndarray  # [K, M]
    trials: np.ndarray  # [K, M]


@dataclass(frozen=True)
class GroupRates:
    """Rates of G groups."""

    names: tuple[tuple[str, str], ...]  # (metric, label) of each of the M values
    values: np.ndarray  # [1 + P, G, M]
    hits: np.ndarray  # [G, M], means over seeds; NaN for values that are no rates
    trials: np.ndarray  # [G, M]
    seed_deviation: np.ndarray  # [G, M], standard deviation of the values of single seeds; NaN for one seed
    effective: np.ndarray  # trials that count for an interval, [G, M]: fewer where persons have several images
    persons: PersonRates | None = None


def resampling(groups: np.ndarray, draws: int, key: jax.Array, people: np.ndarray | None = None) -> np.ndarray:
    """Weights [1 + P, N] of the estimate and of bootstrap draws within the groups.

    With `people`, the person of each image int [N], persons are drawn, with all their images.
    """
    weights = bootstrap_weights(groups, draws=draws, key=key, people=people)
    return np.concatenate([np.ones((1, len(groups)), np.float32), weights])


def group_rates(
    events: Events,
    scores: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    reported: Sequence[int],
    groups: np.ndarray,
    size: int,
    weights: np.ndarray,
    people: np.ndarray | None = None,
) -> GroupRates:
    """Rates, average precision and standardised precision of every group.

    ``average_precision`` is threshold free. ``precision_standardised`` is the precision that the group's recall and
    false-positive rate would give if the label were as frequent in the group as in all images: precision itself moves
    with prevalence alone. `MEAN` is the mean over the reported labels that are defined in every group with images.

    Args:
        events: of `image_events`.
        scores: [S, N, C].
        labels, classes, reported: as in `image_events`.
        groups: group of each image, int [N].
        size: number of groups G.
        weights: of `resampling`.
        people: person of each image, 0 to K - 1, int [N]; None: all differ.
    """
    seeds, members = len(scores), [np.flatnonzero(groups == g) for g in range(size)]
    hits, trials = events.hits.mean(axis=0), events.trials.mean(axis=0)
    tops = np.stack([weights[:, rows] @ hits[rows] for rows in members], axis=1)
    bottoms = np.stack([weights[:, rows] @ trials[rows] for rows in members], axis=1)
    single = [_ratio(*(np.stack([x[s, rows].sum(axis=0) for rows in members]) for x in (events.hits, events.trials)))
              for s in range(seeds)]  # fmt: skip
    by_seed = np.stack(single)  # [S, G, M]
    values = _ratio(tops, bottoms)
    # Average precision, on the same draws.
    precision = np.full((len(weights), size, len(reported)), np.nan, np.float32)
    of_seed = np.full((seeds, size, len(reported)), np.nan)
    for g, rows in enumerate(members):
        for j, c in enumerate(reported):
            drawn = [average_precision(scores[s, rows, c], labels[rows, c], weights[:, rows]) for s in range(seeds)]
            precision[:, g, j] = np.mean(drawn, axis=0)
            of_seed[:, g, j] = [d[0] for d in drawn]
    names = list(events.names)
    extra = [("average_precision", classes[c]) for c in reported]
    index = {name: i for i, name in enumerate(names)}
    standardised = []
    for c in reported:
        tpr, fpr = (values[..., index[m, classes[c]]] for m in ("recall", "false_positive_rate"))
        prevalence = np.nanmean(labels[:, c]) if (~np.isnan(labels[:, c])).any() else np.nan
        standardised.append(_ratio(prevalence * tpr, prevalence * tpr + (1 - prevalence) * fpr))
    extra += [("precision_standardised", classes[c]) for c in reported]
    parts = [values, precision, np.stack(standardised, axis=-1)]
    blank = np.full((size, 2 * len(reported)), np.nan)
    deviation = [by_seed, of_seed, np.full((seeds, size, len(reported)), np.nan)]
    joined, all_seeds = np.concatenate(parts, axis=-1), np.concatenate(deviation, axis=-1)
    judged = np.stack([(~np.isnan(labels[rows][:, list(reported)])).sum(axis=0) for rows in members])
    names += extra
    every = np.concatenate([bottoms[0], judged, judged], axis=-1)
    effective, persons = every, None
    if people is not None:
        own = [[effective_trials(hits[rows, m], people[rows], trials[rows, m]) for m in range(hits.shape[1])]
               for rows in members]  # fmt: skip
        effective = np.concatenate([np.array(own), judged, judged], axis=-1)
        padded = (np.pad(_of_persons(x, people), ((0, 0), (0, 2 * len(reported)))) for x in (hits, trials))
        persons = PersonRates(home_groups(groups, people), *padded)
    found = GroupRates(
        tuple(names),
        joined.astype(np.float32),
        np.concatenate([tops[0], blank], axis=-1),
        every,
        all_seeds.std(axis=0, ddof=1) if seeds > 1 else np.full(all_seeds.shape[1:], np.nan),
        effective,
        persons,
    )
    return _with_means(found, [classes[c] for c in reported], np.array([len(rows) > 0 for rows in members]))


def average_precision(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the steps of the precision-recall curve, [P]; equal scores are one step. NaN without a positive.

    Args:
        scores: [n].
        labels: 0, 1 or NaN (left out) [n].
        weights: of the images [P, n].
    """
    known = ~np.isnan(labels)
    order = np.flatnonzero(known)[np.argsort(-scores[known], kind="stable")]
    if not len(order):
        return np.full(len(weights), np.nan)
    w, positive = weights[:, order].astype(np.float64), labels[order] == 1
    s = scores[order]
    last = np.append(np.flatnonzero(s[1:] != s[:-1]), len(s) - 1)  # of each run of equal scores
    end = last[np.searchsorted(last, np.arange(len(s)))]
    hits = np.cumsum(w * positive, axis=1)
    at_end = _ratio(hits[:, end], np.cumsum(w, axis=1)[:, end])
    return _ratio(np.nansum(w * positive * at_end, axis=1), hits[:, -1])


def _with_means(rates: GroupRates, labels: Sequence[str], occupied: np.ndarray) -> GroupRates:
    """Add the mean over labels of every metric that has one value per label."""
    index = {name: i for i, name in enumerate(rates.names)}
    names, values, trials = list(rates.names), [rates.values], [rates.trials]
    for metric in dict.fromkeys(m for m, _ in rates.names):
        columns = [index[metric, label] for label in labels if (metric, label) in index]
        defined = [i for i in columns if occupied.any() and not np.isnan(rates.values[0][occupied, i]).any()]
        if len(columns) < 2 or len(columns) != len(labels):
            continue
        chosen = rates.values[..., defined] if defined else np.full((*rates.values.shape[:2], 1), np.nan)
        values.append(chosen.mean(axis=-1, keepdims=True))
        trials.append(rates.trials[:, defined].sum(axis=1, keepdims=True))
        names.append((metric, MEAN))
    added = len(names) - len(rates.names)
    blank = np.full((len(occupied), added), np.nan)
    return GroupRates(
        tuple(names),
        np.concatenate(values, axis=-1).astype(np.float32),
        np.concatenate([rates.hits, blank], axis=-1),
        np.concatenate(trials, axis=-1),
        np.concatenate([rates.seed_deviation, blank], axis=-1),
        np.concatenate([rates.effective, *trials[1:]], axis=-1),
        rates.persons,
    )


def _of_persons(values: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Sums [K, M] over the images of each person, of values [N, M]."""
    sums = np.zeros((people.max() + 1, values.shape[1]))
    np.add.at(sums, people, values)
    return sums


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """top / bottom; NaN where there is nothing to divide by."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(bottom > 0, top / bottom, np.nan)
