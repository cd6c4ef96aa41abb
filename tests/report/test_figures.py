"""Figures can be drawn from any table an audit may hold, and no word of them is cut off or taken for mathematics."""

from itertools import product

import numpy as np
import pytest
from matplotlib import rcParams
from matplotlib.text import Text

from bias_jax import report

TITLE = "resnet50 (IMAGENET1K_V2) on FairFace train and validation, padding 0.25, 16,000 images, priced in $ and $"
FEW, LONG = ["fc"], [f"features.denseblock{i}.denselayer{j}" for i in range(1, 5) for j in range(1, 7)]
RACES = ("White", "Black", "Latino_Hispanic", "East Asian", "Southeast Asian", "Indian", "Middle Eastern")
AGES = ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70")
PEOPLE = [("race", RACES), ("age", AGES), ("gender", ("Male", "Female"))]
TWO = [("answer", ("a category with a long name, in $ and $", "short"))]
LOSSES = ["pairwise_softmax", "binary_cross_entropy"]


def number(rng, gaps):
    """A value with its interval; NaN where an audit could not tell."""
    value = rng.uniform(0.2, 0.8) if rng.uniform() > gaps else np.nan
    return {"low": value - 0.1, "high": value + 0.1}, value


def curves(layers, names, gaps):
    """Rows with the fields of scores, differences, shares and effects at once."""
    rng, rows = np.random.default_rng(0), []
    controls, metrics = ("none", "shuffled labels"), ("balanced_accuracy", "adjusted_balanced_accuracy")
    levels, sources = ("images", "group means"), ("network", "raw pixels")
    for layer, name, control, metric in product(layers, names, controls, metrics):
        interval, value = number(rng, gaps)
        rows.append({"layer": layer, "probe": name, "target": name, "split": "held out", "metric": metric,
                     "control": control, "chance": 0.5, "value": value, "p_holm": rng.uniform(), **interval,
                     "term": name, "level": levels[metric == metrics[0]], "omega_squared": value, "p_max_t": value,
                     "source": sources[control == "none"], "effect_size": value})  # fmt: skip
    return rows


def by_layer(layers, names, gaps):
    rows = curves(layers, names, gaps)
    real = [r for r in rows if r["control"] == "none"]
    adjusted = [r for r in real if r["metric"] == "adjusted_balanced_accuracy"]
    heads = [{"layer": layer, "loss": loss, "test_average_precision": r["value"], "chance_average_precision": 0.2}
             for layer in layers for loss in LOSSES for r in adjusted[:2]]  # fmt: skip
    effects = {n: [r for r in rows if r["target"] == n and r["metric"] == "balanced_accuracy"] for n in names}
    layouts = [{"layer": layer, "layout": layout, "force": force, "measure": 0.5} for layer in layers
               for layout, force in product(("som", "random"), ("none", "long"))]  # fmt: skip
    yield report.accuracy_by_layer(rows, names, TITLE)
    yield report.comparison_by_layer(rows, names, TITLE)
    yield report.difference_by_layer(adjusted, TITLE)
    yield report.variance_by_layer(real, TITLE)
    yield report.effect_by_layer(effects, TITLE)
    yield report.precision_by_layer(heads, TITLE)
    yield report.layout_comparison(layouts, {"measure": "units with the same mean in all groups"}, TITLE)


def by_group(attributes, gaps):
    rng = np.random.default_rng(0)
    shape = [len(categories) for _, categories in attributes]
    groups = [" / ".join(names) for names in product(*(categories for _, categories in attributes))]
    counts, size = rng.integers(0, 100, len(groups)), len(groups)
    confusions = {name: rng.integers(0, 9, (k, k)) for (name, _), k in zip(attributes, shape, strict=True)}
    panels = [("recall", "all labels"), ("false_positive_rate", "all labels")]
    rates = []
    for group, loss, (metric, label) in product(groups[:12], LOSSES, panels):
        interval, value = number(rng, gaps)
        rates.append({"group": group, "loss": loss, "minus_loss": "zlpr", "metric": metric, "label": label, "trials": 9,
                      "value": value, **interval, "value_low": value, "value_high": value, "images": 9})  # fmt: skip
    maps = np.where(rng.uniform(size=(size, 20, 20)) < gaps, np.nan, rng.normal(size=(size, 20, 20)))
    faces = rng.integers(0, 255, (2, 16, 16, 3)).astype(np.uint8)
    yield report.group_counts({"train in $": counts}, attributes)
    yield report.group_confusion(rng.integers(0, 9, (size, size)), [names for _, names in attributes], TITLE)
    yield report.attribute_confusions(confusions, dict(attributes), TITLE)
    yield report.topomap_figure(maps, attributes, counts, TITLE)
    yield report.topomap_sequence(maps, groups, counts, TITLE)
    yield report.rates_by_group(rates, panels, TITLE)
    yield report.loss_differences(rates, panels, TITLE)
    yield report.recall_table([r for r in rates if r["metric"] == "recall"], TITLE)
    yield report.group_attention({"x": faces[0]}, {"x": np.zeros((2, 7, 7))}, {"x": 9}, LOSSES, TITLE)
    yield report.contact_sheet(faces, np.zeros((2, 2, 7, 7)), np.zeros((2, 2, 4, 4)), groups[:2], LOSSES, TITLE)


def check(figure):
    """Everything that is drawn lies inside the figure (to 0.02 inches), and dollar signs stay as they are."""
    figure.draw_without_rendering()
    box = figure.get_tightbbox()
    assert min(box.x0, box.y0) > -0.02
    assert (np.array([box.x1, box.y1]) < figure.get_size_inches() + 0.02).all()
    priced = figure.findobj(lambda artist: isinstance(artist, Text) and "$" in artist.get_text())
    assert priced and not any(text.get_parse_math() for text in priced)


@pytest.mark.parametrize(
    ("layers", "names", "gaps"),
    [(FEW, ["answer"], 0.0), (FEW, ["answer"], 1.0), (LONG, ["race", "race x age"], 0.4)],
    ids=["one layer", "nothing known", "many layers with gaps"],
)
def test_figures_by_layer(layers, names, gaps):
    for figure in by_layer(layers, names, gaps):
        check(figure)


@pytest.mark.parametrize(("attributes", "gaps"), [(TWO, 0.0), (TWO, 1.0), (PEOPLE, 0.2)])
def test_figures_by_group(attributes, gaps):
    for figure in by_group(attributes, gaps):
        check(figure)


def test_settings_of_the_user_stay():
    before = dict(rcParams)
    report.group_counts({"train": np.array([1, 2])}, TWO)
    assert {k: v for k, v in dict(rcParams).items() if k != "backend"} == {
        k: v for k, v in before.items() if k != "backend"
    }
