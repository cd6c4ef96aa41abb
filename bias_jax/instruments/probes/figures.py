"""Figures of probes: accuracy by layer, and the confusions of the best layer."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from bias_jax.audit import Rows, Stored
from bias_jax.instruments.probes.findings import best_layer
from bias_jax.instruments.probes.stored import probe_result, scores_by_layer, shapes_of
from bias_jax.probes import confusion
from bias_jax.report import accuracy_by_layer, attribute_confusions, comparison_by_layer, group_confusion


def probe_figures(stored: Stored, rows: Rows) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Figures by name."""
    scores, targets = scores_by_layer(rows), list(stored.facts["targets"])
    yield "accuracy_by_layer", partial(accuracy_by_layer, rows, targets, stored.title)
    yield "comparison_by_layer", partial(comparison_by_layer, rows, targets, stored.title)
    groups = stored.facts["groups"]
    layer = best_layer(scores, groups)
    note = f"{layer} (most accurate for all groups), out-of-fold predictions of the {groups} probe\n{stored.title}"
    yield "confusion_groups", lambda: _group_confusion(stored, layer, note)
    yield "confusion_attributes", lambda: _attribute_confusions(stored, layer, note)


def _group_confusion(stored: Stored, layer: str, note: str) -> Figure:
    true, guess, parts = _predictions(stored, layer)
    sizes = [size for _, size in parts]
    names = [stored.facts["categories"][name] for name, _ in parts]
    return group_confusion(confusion(true, guess, int(np.prod(sizes))), names, note)


def _attribute_confusions(stored: Stored, layer: str, note: str) -> Figure:
    true, guess, parts = _predictions(stored, layer)
    sizes = [size for _, size in parts]
    both = zip(parts, np.unravel_index(true, sizes), np.unravel_index(guess, sizes), strict=True)
    counts = {name: confusion(a, b, size) for (name, size), a, b in both}
    return attribute_confusions(counts, {name: stored.facts["categories"][name] for name, _ in parts}, note)


def _predictions(stored: Stored, layer: str) -> tuple[np.ndarray, np.ndarray, tuple[tuple[str, int], ...]]:
    """True and predicted groups of all images, and the attributes they are made of."""
    shapes, groups = shapes_of(stored.facts), stored.facts["groups"]
    index, result = list(shapes).index(groups), probe_result(stored, layer)
    return result.truth[0, index], result.predicted[0, index], shapes[groups]
