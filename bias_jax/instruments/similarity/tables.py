"""From products of images to tables of every two layers, and a few lines of text."""

from collections.abc import Iterator, Mapping
from itertools import combinations_with_replacement, pairwise
from typing import Any

import numpy as np

from bias_jax.audit import UNTRAINED, Rows, Stored
from bias_jax.instruments.faces import PEOPLE
from bias_jax.similarity import cka, group_distances, rsa

Place = tuple[str, str]  # source and layer


def similarity_tables(stored: Stored) -> Iterator[tuple[str, Rows]]:
    """One row for every two layers, of any source: ``cka`` for images, ``rsa`` for the groups of every target."""
    places = [(source, layer.name) for source, layers in stored.sources.items() for layer in layers]
    products = {place: stored.load(place[1], place[0])["products"] for place in places}
    strata, people = stored.arrays["strata"], stored.arrays.get(PEOPLE)
    pairs = list(combinations_with_replacement(places, 2))
    yield "cka", [_row(stored, *pair, {}, cka(products[pair[0]], products[pair[1]], strata, people), len(strata))
                  for pair in pairs]  # fmt: skip
    rows = []
    for target in stored.facts["targets"]:
        labels = stored.arrays[f"labels of {target}"]
        there = np.flatnonzero(labels >= 0)
        groups = np.unique(labels[there], return_inverse=True)[1]
        persons = None if people is None else np.unique(people[there], return_inverse=True)[1]
        distances = {place: group_distances(k[np.ix_(there, there)], groups) for place, k in products.items()}
        more = {"target": target, "groups": int(groups.max()) + 1}
        for pair in pairs:
            found = rsa(distances[pair[0]], distances[pair[1]], groups, persons)
            rows.append(_row(stored, *pair, more, found, len(there)))
    yield "rsa", rows


def _row(
    stored: Stored, first: Place, second: Place, more: Mapping[str, Any], found: Any, images: int
) -> dict[str, Any]:
    names = ("source", "layer", "versus_source", "versus_layer")
    place = dict(zip(names, (*first, *second), strict=True))
    return {**stored.common, **place, **more, **found._asdict(), "images": images}


def similarity_listing(stored: Stored, tables: Mapping[str, Rows]) -> str:
    """Neighbouring layers that are least alike, and what training changed most and least."""
    rows, lines = (
        tables["cka"],
        ["similarity of layers for images (CKA, unbiased; 1: the same up to rotation and scale)"],
    )
    names = [layer.name for layer in stored.layers]
    neighbours = set(pairwise(names))
    steps = [r for r in rows if r["source"] == r["versus_source"] == stored.source
             and (r["layer"], r["versus_layer"]) in neighbours]  # fmt: skip
    if steps := [r for r in steps if np.isfinite(r["value"])]:
        least = min(steps, key=lambda r: r["value"])
        lines.append(f"  largest step: {least['layer']} to {least['versus_layer']}, {_number(least)}")
    trained = [r for r in rows if r["source"] != UNTRAINED and r["versus_source"] == UNTRAINED
               and r["layer"] == r["versus_layer"] and r["layer"] != "pixels" and np.isfinite(r["value"])]  # fmt: skip
    if trained:
        most, least = (pick(trained, key=lambda r: r["value"]) for pick in (max, min))
        lines.append(f"  trained and untrained network: most alike in {most['layer']}, {_number(most)}; least in "
                     f"{least['layer']}, {_number(least)}")  # fmt: skip
    return "\n".join(lines)


def _number(row: Mapping[str, Any]) -> str:
    return f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
