"""Tidy tables of zero-shot answers: rates, differences, spreads against shuffled groups, skew, nearest pictures.

Intervals over pictures and over templates stand side by side: the first are of other people before the same prompts,
the second of the same people before other templates. Where persons have several pictures, rates are means over persons;
what is shuffled, and what is retrieved for the skew, is one picture of each, drawn by seed.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from bias_jax.audit import Rows, Stored
from bias_jax.instruments.predictions.tables import Table, difference_rows, rate_rows
from bias_jax.instruments.predictions.views import EVERYONE, Event, View, mean_of_units, views_of
from bias_jax.instruments.zeroshot.asking import MISTAKEN, Asked, asked_of
from bias_jax.instruments.zeroshot.ensembles import jackknife_interval, similarities, templates_left_out
from bias_jax.instruments.zeroshot.skew import nearest, shuffled_max_skew, skew
from bias_jax.progress import track
from bias_jax.randomness import stable_hash
from bias_jax.statistics import benjamini_hochberg, holm


class Chosen(NamedTuple):
    """Options that tables depend on."""

    k: int  # nearest pictures that count for the skew
    listed: int  # nearest pictures that are listed
    shuffles: int


class LeftOut(NamedTuple):
    """What other templates give, each of M left out once."""

    rates: dict[tuple[str, str, str], np.ndarray]  # (family, prompt, view) -> [M, G]
    skews: dict[tuple[str, str, str], np.ndarray]  # (family, prompt, view) -> largest skew [M]


def zeroshot_tables(stored: Stored, options: Chosen) -> Iterator[tuple[str, Rows]]:
    """Tables by name."""
    asked, views, seed, common = asked_of(stored), views_of(stored), stored.run["seed"], stored.common
    events = [event for one in asked for event in one.events(one.similarity.argmax(axis=1))]
    others = without_templates(asked, views, options.k)
    yield "zeroshot", [{**common, **row} for row in shown_rates(views, events, others)]
    differences = [{**common, **_named(row)} for row in difference_rows(views, events)]
    yield "zeroshot_differences", differences
    yield "zeroshot_spread", [{**common, **row} for row in spread_rows(views, events, options.shuffles, seed)]
    groups, largest = skew_rows(asked, views, others, options, seed)
    yield "zeroshot_skew", [{**common, **row} for row in groups]
    yield "zeroshot_max_skew", [{**common, **row} for row in largest]
    yield "zeroshot_nearest", [{**common, **row} for row in nearest_rows(asked, views, stored.facts["images"], options)]


def shown_rates(views: Sequence[View], events: Sequence[Event], others: LeftOut) -> Table:
    """Rates of groups with both intervals, and the range in which 95 % of shuffled groups lie."""
    rows: Table = []
    for view in views:
        controls = {(event.kind, event.label): shuffled_range(view, event) for event in events}
        for row in rate_rows(view, events):
            family, label = row["kind"], row["label"]
            g = view.names.index(row["group"])
            other = others.rates[family, label, view.name][:, g]
            low, high = jackknife_interval(np.array(row["value"]), other, 0.0, 1.0)
            control = controls[family, label]
            rows.append({
                **_named(row), "template_low": float(low), "template_high": float(high),
                "shuffled_low": float(control[0][g]), "shuffled_high": float(control[1][g]),
            })  # fmt: skip
    return rows


def shuffled_range(view: View, event: Event) -> tuple[np.ndarray, np.ndarray]:
    """2.5 % and 97.5 % quantile of the rate of shuffled groups, each [G]; NaN of groups without a picture."""
    from scipy.stats import hypergeom  # takes a second to load

    hits, sizes = _independent(view, event)
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = [hypergeom.ppf(q, sizes.sum(), hits.sum(), sizes) / sizes for q in (0.025, 0.975)]
    return ends[0], ends[1]


def without_templates(asked: Sequence[Asked], views: Sequence[View], k: int) -> LeftOut:
    """Rates and largest skews with each template of a family left out once; nothing of a single one."""
    rates: dict[tuple[str, str, str], list[np.ndarray]] = {}
    skews: dict[tuple[str, str, str], list[float]] = {}
    units = [(view.name, *view.units()) for view in views]
    ranked = [(view.name, *_ranked(view)[:2]) for view in views]
    pictures = _pictures(views[0])
    for one in track(asked, "leave templates out", unit="family"):
        for event in one.events(np.zeros(len(one.cosines), int)):
            for view in views:
                rates[one.name, event.label, view.name] = []
                skews[one.name, event.label, view.name] = []
        for weights in templates_left_out(one.texts.shape[1]):
            similarity = similarities(one.cosines, one.texts, weights)
            for event in one.events(similarity.argmax(axis=1)):
                for name, unit, groups in units:
                    rates[one.name, event.label, name].append(_rates(event.hits, unit, groups))
            for label, values in zip(one.labels, similarity[pictures].T, strict=True):
                rows = np.argpartition(-values, k - 1)[:k]
                for name, groups, sizes in ranked:
                    share = np.bincount(groups[rows], minlength=len(sizes)) / k
                    skews[one.name, label, name].append(float(np.log((share * sizes.sum() / sizes).max())))
    groups_of = {view.name: len(view.names) for view in views}
    return LeftOut(
        {key: np.array(found).reshape(-1, groups_of[key[2]]) for key, found in rates.items()},
        {key: np.array(found) for key, found in skews.items()},
    )


def _rates(hits: np.ndarray, unit: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Rate of every group, [G], of what `View.units` gives: pictures, or persons."""
    return np.asarray(np.bincount(groups, mean_of_units(hits, unit)) / np.bincount(groups))


def spread_rows(views: Sequence[View], events: Sequence[Event], shuffles: int, seed: int) -> Table:
    """Largest minus smallest rate of the groups of a view, against shuffled groups; corrected for all rows.

    Shuffling makes the hits of the groups multivariate hypergeometric, so they are drawn as such. The p-value is (1 +
    shuffles with at least this spread) / (1 + shuffles), of one picture of each person where they have several.
    """
    rows: Table = []
    for view in views:
        units = view.units()
        for event in events:
            if len(view.names) < 2 or not 0 < event.hits.sum() < len(event.hits):
                continue
            rate = _rates(event.hits, *units)
            hits, sizes = _independent(view, event)
            rng = np.random.default_rng(stable_hash(seed, "shuffled groups", view.name, event.kind, event.label))
            drawn = rng.multivariate_hypergeometric(sizes, hits.sum(), size=shuffles, method="marginals")
            there = sizes > 0
            spread, shuffled = (np.ptp(x[..., there] / sizes[there], axis=-1) for x in (hits, drawn))
            rows.append({
                "view": view.name, **_event(event),
                "smallest_group": view.names[rate.argmin()], "smallest": float(rate.min()),
                "largest_group": view.names[rate.argmax()], "largest": float(rate.max()),
                "spread": float(np.ptp(rate)), "shuffled_spread": float(shuffled.mean()),
                "p_value": float((1 + (shuffled >= spread - 1e-9).sum()) / (1 + shuffles)),
            })  # fmt: skip
    return _corrected(rows)


def skew_rows(
    asked: Sequence[Asked], views: Sequence[View], others: LeftOut, options: Chosen, seed: int
) -> tuple[Table, Table]:
    """Skew@k of every prompt and group; and the largest of each view against shuffled groups.

    `low` and `high` of the largest hold for all groups together, so that the choice of the largest is allowed for.
    """
    rows: Table = []
    largest: Table = []
    for view in views:
        groups, sizes, names = _ranked(view)
        if len(names) < 2:
            continue
        for one in asked:
            similarity = one.similarity[_pictures(view)]
            for p, label in enumerate(one.labels):
                found = skew(groups[nearest(similarity[:, p], options.k)], sizes)
                place = {"view": view.name, "family": one.name, "prompt": label, "k": options.k}
                for g, name in enumerate(names):
                    rows.append({
                        **place, "group": name, "retrieved": int(found.retrieved[g]),
                        "share": float(found.retrieved[g] / options.k), "expected": float(sizes[g] / sizes.sum()),
                        "skew": float(found.value[g]), "low": float(found.low[g]), "high": float(found.high[g]),
                    })  # fmt: skip
                rng = np.random.default_rng(stable_hash(seed, "shuffled skew", view.name, one.name, label))
                shuffled = shuffled_max_skew(options.k, sizes, options.shuffles, rng)
                value = float(found.value.max())
                ends = jackknife_interval(np.array(value), others.skews[one.name, label, view.name], 0.0, np.inf)
                largest.append({
                    **place, "group": names[found.value.argmax()], "max_skew": value,
                    "low": float(found.joint_low.max()), "high": float(found.joint_high.max()),
                    "template_low": float(ends[0]), "template_high": float(ends[1]),
                    "shuffled": float(shuffled.mean()),
                    "p_value": float((1 + (shuffled >= value - 1e-9).sum()) / (1 + options.shuffles)),
                })  # fmt: skip
    return rows, _corrected(largest)


def nearest_rows(asked: Sequence[Asked], views: Sequence[View], images: Sequence[str], options: Chosen) -> Table:
    """The nearest pictures of every prompt, and the group of all attributes that each is of."""
    view = views[-1]  # the intersection
    rows: Table = []
    for one in asked:
        similarity = one.similarity
        for p, label in enumerate(one.labels):
            for rank, i in enumerate(nearest(similarity[:, p], options.listed), start=1):
                group = view.names[view.groups[i]]
                rows.append({"family": one.name, "prompt": label, "rank": rank, "image": images[i],
                             "similarity": float(similarity[i, p]), "view": view.name, "group": group})  # fmt: skip
    return rows


def _pictures(view: View) -> Any:
    """Rows of pictures that are independent of each other."""
    return slice(None) if view.drawn is None else view.drawn


def _ranked(view: View) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Groups of the pictures that are ranked, and sizes and names of these groups; others have none among them."""
    there, groups, sizes = np.unique(view.groups[_pictures(view)], return_inverse=True, return_counts=True)
    return groups, sizes, [view.names[g] for g in there]


def _independent(view: View, event: Event) -> tuple[np.ndarray, np.ndarray]:
    """Hits and sizes of the groups, of one picture of each person, int [G] both."""
    groups, size = view.groups[_pictures(view)], len(view.names)
    hits = np.bincount(groups[event.hits[_pictures(view)]], minlength=size)
    return hits, np.bincount(groups, minlength=size)


def _event(event: Event) -> dict[str, str]:
    measure = "association" if event.label != MISTAKEN else "misclassification"
    return {"family": event.kind, "measure": measure, "prompt": event.label}


def _named(row: dict[str, Any]) -> dict[str, Any]:
    """A row about events with the columns of this instrument."""
    event = _event(Event(row["kind"], row["label"], 1, np.zeros(0, bool)))
    rest = {key: value for key, value in row.items() if key not in ("kind", "label", "top", "view", "group")}
    return {"view": row["view"], "group": row["group"], **event, **rest}


def _corrected(rows: Table) -> Table:
    """With p-values corrected for all rows, the smallest first."""
    p = [row["p_value"] for row in rows]
    both = zip(rows, holm(p), benjamini_hochberg(p), strict=True) if rows else ()
    found = [{**row, "p_holm": float(h), "p_benjamini_hochberg": float(b)} for row, h, b in both]
    return sorted(found, key=lambda row: row["p_value"])


def single_attributes(stored: Stored, rows: Rows) -> list[dict[str, Any]]:
    """Rows about groups of one attribute."""
    attributes = {name for name, _ in stored.facts["attributes"]} - {EVERYONE}
    return [dict(row) for row in rows if row["view"] in attributes]
