"""The published recipe as an instrument: planted labels, and the numbers of a direct call."""

from itertools import product

import jax
import numpy as np
import pytest

from bias_jax.audit import PIXELS, Choice, Context, Layer, Seen, open_stored
from bias_jax.audit.stored import TASK, layer_file
from bias_jax.errors import InputError
from bias_jax.instruments import INSTRUMENTS, Recipe
from bias_jax.instruments.recipe.tables import PREDICTED
from bias_jax.probes import RecipeNumbers, fit_recipe
from bias_jax.results import Folder
from tests.conftest import toy_dataset

LAYERS = (PIXELS, "deep")
SEED = 3
CONFIG = Recipe(l1=(1e-1, 1e-3), learning_rates=(1e-2, 3e-2), seeds=2, epochs=8, batch_size=16)


@pytest.fixture(scope="module")
def dataset():
    return toy_dataset([[40, 40], [40, 40]])


@pytest.fixture(scope="module")
def features(dataset):
    """Two layers of one width: noise, and one from which the second attribute can be read."""
    rng = np.random.default_rng(0)
    noise, deep = rng.standard_normal((2, len(dataset), 12)).astype(np.float32)
    deep[:, 0] += 5 * dataset.labels["second"] - 2.5
    return jax.device_put({PIXELS: noise, "deep": deep})


@pytest.fixture(scope="module")
def task(dataset):
    return CONFIG.prepare(Seen(dataset, np.arange(len(dataset)), "seen"), dataset, {}, Context(SEED, "mean"))


@pytest.fixture(scope="module")
def measured(task, features):
    layers = [Layer(name, (1, 1, 12)) for name in LAYERS]
    with jax.transfer_guard("disallow"):
        return dict(CONFIG.measure(task, layers, features, LAYERS, Context(SEED, "mean")))


@pytest.fixture(scope="module")
def stored(task, measured, tmp_path_factory):
    folder = Folder(tmp_path_factory.mktemp("recipe"))
    folder.save_json("layers.json", {"network": [[name, (1, 1, 12)] for name in LAYERS]})
    folder.save_json("facts.json", dict(task.facts))
    folder.save_arrays(TASK, task.arrays)
    for name, arrays in measured.items():
        folder.save_arrays(layer_file("network", name), arrays)
    run = {"model": "toy", "weights": "none", "data": "toy", "images": 160, "seed": SEED}
    folder.save_json("about.json", run)
    return open_stored(folder.path)


@pytest.fixture(scope="module")
def rows(stored):
    return dict(CONFIG.tables(stored))["recipe"]


def test_numbers_are_those_of_a_direct_call(dataset, features, rows):
    """Every number of every layer, target, strength, rate and seed exactly; the split is the one of the recipe."""
    labels = {target.name: target.encode(dataset.labels) for target in dataset.targets}
    found = fit_recipe(features, labels, config=CONFIG, seed=SEED)
    grid = list(product(LAYERS, labels, CONFIG.l1, CONFIG.learning_rates, range(CONFIG.seeds)))
    assert [(r["layer"], r["target"], r["l1"], r["learning_rate"], r["seed"]) for r in rows] == grid
    for row, place in zip(rows, grid, strict=True):
        assert RecipeNumbers(**{name: row[name] for name in RecipeNumbers.__dataclass_fields__}) == found.numbers(
            *place
        )


def test_the_planted_label_is_found(task, rows):
    held_out = task.arrays["held out"]
    assert held_out.sum() == rows[0]["validation_images"] == 16 and rows[0]["training_images"] == 144
    chosen = {(r["layer"], r["target"], r["seed"]): r for r in rows if r["chosen"]}
    assert len(chosen) == 2 * 3 * 2  # one strength and rate of every layer and target, for both seeds
    for seed in (0, 1):
        assert chosen["deep", "second", seed]["validation_accuracy"] == 1.0
        assert chosen["deep", "second", seed]["training_accuracy"] > 0.97
        assert chosen[PIXELS, "second", seed]["validation_accuracy"] < 0.9
    for row in rows:
        labels = task.arrays[f"labels of {row['target']}"][held_out]
        assert row["chance"] == max((labels == c).mean() for c in range(4))


def test_chosen_is_the_lowest_mean_validation_loss(rows):
    for layer, target in product(LAYERS, ("first", "second", "first x second")):
        own = [r for r in rows if (r["layer"], r["target"]) == (layer, target)]
        loss = {
            setting: np.mean([r["validation_loss"] for r in own if (r["l1"], r["learning_rate"]) == setting])
            for setting in product(CONFIG.l1, CONFIG.learning_rates)
        }
        best = min(loss, key=loss.__getitem__)
        assert {(r["l1"], r["learning_rate"]) for r in own if r["chosen"]} == {best}


def test_predictions_are_those_that_the_numbers_count(dataset, task, measured, rows):
    """Of the chosen strength and rate, for both seeds; float32 may round a tie of two classes the other way."""
    held_out = task.arrays["held out"]
    for row in (row for row in rows if row["chosen"]):
        truth = task.arrays[f"labels of {row['target']}"]
        predicted = measured[row["layer"]][PREDICTED][task.facts["targets"].index(row["target"]), row["seed"]]
        for split, of in ((~held_out, "training"), (held_out, "validation")):
            assert abs((predicted == truth)[split].mean() - row[f"{of}_accuracy"]) < 1.5 / len(truth)


def test_a_resumed_run_gives_the_same_numbers(task, features, measured):
    """A layer that is wanted alone is trained beside the others of its width: equal to the bit."""
    layers = [Layer(name, (1, 1, 12)) for name in LAYERS]
    ((name, arrays),) = CONFIG.measure(task, layers, features, ["deep"], Context(SEED, "mean"))
    assert name == "deep" and arrays.keys() == measured["deep"].keys()
    for key, values in arrays.items():
        np.testing.assert_array_equal(values, measured["deep"][key])


def test_figure_and_findings(stored, rows):
    """Held out solid, training dashed, the chosen rows only."""
    tables = {"recipe": rows}
    ((name, draw),) = CONFIG.figures(stored, tables)
    assert name == "recipe_by_layer"
    figure = draw()
    assert [axes.get_title().split(" (")[0] for axes in figure.axes] == ["first", "second", "first x second"]
    held_out, training, chance = figure.axes[1].get_lines()
    assert (held_out.get_linestyle(), training.get_linestyle(), chance.get_linestyle()) == ("-", "--", ":")
    drawn = [r for r in rows if r["chosen"] and (r["layer"], r["target"]) == ("deep", "second")]
    assert held_out.get_ydata()[1] == pytest.approx(100 * np.mean([r["validation_accuracy"] for r in drawn]))
    assert training.get_ydata()[1] == pytest.approx(100 * np.mean([r["training_accuracy"] for r in drawn]))
    text = "\n".join(CONFIG.findings(stored, tables))
    assert "second: 100.0 % of 16 held-out images are right in layer deep" in text and "a little too good" in text
    assert "second          best layer deep: 100.0" in "\n".join(CONFIG.listing(stored, tables))
    (summary,) = CONFIG.excerpts(stored, tables)
    assert [row[:2] for row in summary.rows][1] == ("second", "deep") and summary.rows[1][2] == 1.0


def test_bad_options_and_data(dataset, features, task):
    for options in ({"l1": ()}, {"epochs": 0}, {"held_out": 1.0}, {"split": "other"}):
        with pytest.raises(InputError, match=f"recipe: {next(iter(options))}"):
            Recipe(**options)
    few = toy_dataset([[1, 1]])
    with pytest.raises(InputError, match=r"held_out 0\.1 leaves nothing of 2 images"):
        Recipe().prepare(Seen(few, np.arange(2), "seen"), few, {}, Context(0, "mean"))
    bad = {"deep": features["deep"].at[0, 0].set(np.nan)}
    with pytest.raises(InputError, match="layers deep: "):
        list(CONFIG.measure(task, [Layer("deep", (1, 1, 12))], bad, ["deep"], Context(0, "mean")))
    with pytest.raises(InputError, match="needs labelled faces"):
        CONFIG.pictures(None, Context(0, "mean"))
    assert CONFIG.choose(Choice(("a", "b"), False)) == (PIXELS, "a", "b")
    assert INSTRUMENTS["recipe"] is Recipe
