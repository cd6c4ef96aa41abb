"""The published recipe against a float64 loop in NumPy, scikit-learn's L1 optimum, and what it promises of itself."""

from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from bias_jax.probes import RecipeConfig, fit_recipe, recipe
from bias_jax.probes.holdout import draw_held_out
from bias_jax.probes.recipe_rows import epoch_batches
from bias_jax.probes.training import _standardisation, dropout
from bias_jax.randomness import key_for

N, D = 90, 12
BASE = RecipeConfig(
    l1=(3e-2, 1e-3), learning_rates=(3e-3, 3e-2), seeds=2, batch_size=16, epochs=40, patience=4, initial="zeros"
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data():
    """Two layers, two targets with unknown labels and a class that is only held out; the last image is held out too."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, N)
    x = rng.standard_normal((N, D)) + 0.7 * rng.standard_normal((3, D))[y]
    validation = np.arange(N) % 5 == 4
    other = np.where(rng.random(N) < 0.2, -1, rng.integers(0, 2, N))
    other[[4, 9]] = 2
    bank = {"a": x.astype(np.float32), "b": rng.standard_normal((N, D)).astype(np.float32)}
    return bank, {"y": y, "other": other}, validation


@pytest.fixture(scope="module")
def fitted(data):
    bank, labels, validation = data
    on_device = jax.device_put(bank)
    with jax.transfer_guard("disallow"):
        return fit_recipe(on_device, labels, config=BASE, seed=3, validation=validation)


def mean_loss(logits, y):
    known = y >= 0
    z = logits[known] - logits[known].max(1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    right = z.argmax(1) == y[known]
    return -log_p[np.arange(known.sum()), y[known]].mean(), right.mean()


@partial(jax.jit, static_argnums=1)
def draw_masks(keys, config):
    return jax.vmap(lambda key: dropout(key, jax.numpy.ones((config.batch_size, D)), config.dropout))(keys)


def plain_loop(x, y, validation, config, l1, rate, seed, repeat):
    """The recipe for one problem in float64: (W, b, validation losses, epochs, best epoch)."""
    x, training = x.astype(float), np.flatnonzero(~validation)
    classes = y.max() + 1
    present = np.isin(np.arange(classes), y[training])
    model = [np.zeros((classes, x.shape[1])), np.where(present, 0.0, -40.0)]
    first, second = ([np.zeros_like(a) for a in model] for _ in range(2))
    key, count, losses, kept = key_for(seed, "recipe", f"seed {repeat}"), 0, [], None
    for epoch in range(config.epochs):
        shuffle, masks = jax.random.split(jax.random.fold_in(key, epoch))
        batches = np.asarray(epoch_batches(shuffle, np.arange(len(training)), config.batch_size, -1))
        for batch, mask in zip(batches, draw_masks(jax.random.split(masks, len(batches)), config), strict=True):
            images = training[batch[batch >= 0]]
            z, labels = x[images] * np.asarray(mask)[batch >= 0], y[images]
            z, labels = z[labels >= 0], labels[labels >= 0]
            logits = z @ model[0].T + model[1]
            p = np.exp(logits - logits.max(1, keepdims=True))
            residual = (p / p.sum(1, keepdims=True) - np.eye(classes)[labels]) * present / max(len(labels), 1)
            gradient = [residual.T @ z, residual.sum(0)]
            if config.penalty == "subgradient":
                gradient[0] = gradient[0] + l1 * np.sign(model[0])
            scale = rate
            if config.schedule == "cosine":
                scale *= (1 + np.cos(np.pi * count / (config.epochs * len(batches)))) / 2
            count += 1
            for i in range(2):
                first[i] = 0.9 * first[i] + 0.1 * gradient[i]
                second[i] = 0.999 * second[i] + 0.001 * gradient[i] ** 2
                root = np.sqrt(second[i] / (1 - 0.999**count)) + 1e-7
                model[i] = model[i] - scale * first[i] / (1 - 0.9**count) / root
                if i == 0 and config.penalty == "proximal":
                    model[0] = np.sign(model[0]) * np.maximum(np.abs(model[0]) - scale * l1 / root, 0)
        losses.append(mean_loss(x[validation] @ model[0].T + model[1], y[validation])[0])
        if losses[-1] == min(losses):
            kept = [a.copy() for a in model]
        elif epoch - np.argmin(losses) >= config.patience:
            break
    return *kept, losses, len(losses), int(np.argmin(losses)) + 1


def check_against_plain_loop(fitted, config, data, problems, mean=0.0, deviation=1.0):
    """`mean` and `deviation` are those that make the inputs of the loop."""
    bank, labels, validation = data
    stops = set()
    for layer, target, l1, rate, repeat in problems:
        x, y = bank[layer], labels[target]
        weights, bias, losses, epochs, best = plain_loop(
            (x - mean) / deviation, y, validation, config, l1, rate, 3, repeat
        )
        found = fitted.numbers(layer, target, l1, rate, repeat)
        assert (found.epochs, found.best_epoch) == (epochs, best)
        stops.add((epochs, best))
        assert found.validation_loss == pytest.approx(min(losses), rel=1e-4)
        ours = [np.asarray(a) for a in fitted.weights(layer, target, l1, rate, repeat)]
        np.testing.assert_allclose(ours[0].T, weights / deviation, atol=3e-4)
        np.testing.assert_allclose(ours[1], bias - (weights * mean / deviation).sum(1), atol=3e-4)
        # The numbers belong to these weights.
        for part, images in (("training", ~validation), ("validation", validation)):
            loss, accuracy = mean_loss(x[images].astype(float) @ ours[0] + ours[1], y[images])
            assert getattr(found, f"{part}_loss") == pytest.approx(loss, rel=1e-4)
            assert getattr(found, f"{part}_accuracy") == pytest.approx(accuracy, abs=1e-6)
    return stops


def test_every_problem_is_the_plain_loop_with_dropout_and_stops_by_itself(fitted, data):
    problems = [
        ("a", "y", 3e-2, 3e-3, 0), ("a", "y", 1e-3, 3e-2, 1), ("a", "other", 1e-3, 3e-2, 0), ("b", "y", 1e-3, 3e-3, 1),
        ("b", "other", 3e-2, 3e-2, 1),
    ]  # fmt: skip
    stops = check_against_plain_loop(fitted, BASE, data, problems)
    assert len(stops) > 2  # early stopping took place, at different epochs
    assert any(best < epochs < BASE.epochs for epochs, best in stops)


@pytest.fixture(scope="module")
def subgradient(data):
    """On features of other scales, which standardisation takes back; one is constant."""
    bank, labels, validation = data
    scale, shift = np.geomspace(0.1, 10, D), np.linspace(-1, 1, D)
    x = bank["a"] * scale + shift
    x[:, 3] = 7.7
    config = replace(BASE, penalty="subgradient", schedule="cosine", inputs="standardised", dropout=0.0, seeds=1)
    return config, x, fit_recipe({"a": x}, labels, config=config, seed=3, validation=validation)


def test_subgradient_cosine_and_standardisation_are_the_plain_loop(subgradient, data):
    config, x, fitted = subgradient
    mean, deviation = x[~data[2]].mean(0), x[~data[2]].std(0)
    deviation[3] = np.inf
    problems = [("a", "y", 3e-2, 3e-3, 0), ("a", "other", 1e-3, 3e-2, 0)]
    check_against_plain_loop(fitted, config, ({"a": x}, *data[1:]), problems, mean, deviation)


def test_only_the_proximal_step_gives_exact_zeros(fitted, subgradient):
    weights, _ = fitted.weights("a", "y", 3e-2, 3e-2)
    share = float((np.asarray(weights) == 0).mean())
    assert 0.1 < share < 1
    assert fitted.numbers("a", "y", 3e-2, 3e-2).zeros == pytest.approx(share)
    assert fitted.numbers("a", "y", 1e-3, 3e-2).zeros < share
    assert subgradient[2].numbers("a", "y", 3e-2, 3e-2).zeros == pytest.approx(1 / D)  # the constant column's


def test_class_missing_in_training(fitted):
    weights, bias = (np.asarray(a) for a in fitted.weights("a", "other", 1e-3, 3e-3))
    assert weights.shape == (D, 3) and (weights[:, 2] == 0).all() and bias[2] == -40


def test_numbers_do_not_depend_on_what_is_trained_together(fitted, data, monkeypatch):
    """Both layers, seeds and all grid points at once, or one layer, seed and grid point after the other."""
    bank, labels, validation = data
    together = recipe._plan(BASE, 6 * D, 2)
    monkeypatch.setattr(recipe, "AT_ONCE", {jax.default_backend(): 0})
    assert together[0] == 4 and together[2] == 2 and recipe._plan(BASE, 6 * D, 2) == (1, 1, 1)
    again = fit_recipe(bank, labels, config=BASE, seed=3, validation=validation)
    for problem in (("a", "y", 3e-2, 3e-3, 0), ("b", "y", 1e-3, 3e-2, 1), ("a", "other", 3e-2, 3e-2, 1)):
        for one, two in zip(fitted.weights(*problem), again.weights(*problem), strict=True):
            np.testing.assert_allclose(one, two, atol=1e-4)
        assert fitted.numbers(*problem).epochs == again.numbers(*problem).epochs


def test_same_seed_same_numbers_and_a_problem_alone_is_the_one_of_the_grid(fitted, data):
    bank, labels, validation = data
    config = replace(BASE, l1=(1e-3,), learning_rates=(3e-2,))
    alone = [fit_recipe({"a": bank["a"]}, {"y": labels["y"]}, config=config, seed=3, validation=validation)
             for _ in range(2)]  # fmt: skip
    for s in range(2):
        one, two, grid = (np.asarray(f.weights("a", "y", 1e-3, 3e-2, s)[0]) for f in (*alone, fitted))
        np.testing.assert_array_equal(one, two)
        np.testing.assert_allclose(one, grid, atol=1e-4)
    assert np.abs(one - np.asarray(alone[0].weights("a", "y", 1e-3, 3e-2, 0)[0])).max() > 1e-3  # seeds differ


def test_many_steps_reach_the_l1_optimum():
    """Objective within 1 % of scikit-learn's; the features' scales differ, which unscaled shrinkage would not bear."""
    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, 220)
    x = (rng.standard_normal((220, 20)) + rng.standard_normal((3, 20))[y] * (np.arange(20) < 6)).astype(np.float32)
    x *= np.exp(rng.uniform(-2, 1, 20)).astype(np.float32)
    validation = np.arange(220) >= 200
    strengths = (0.05, 0.01)
    config = RecipeConfig(
        l1=strengths, learning_rates=(0.02,), batch_size=200, epochs=1500, patience=1500, keep="last",
        schedule="cosine", dropout=0.0, initial="glorot",
    )  # fmt: skip
    fitted = fit_recipe({"a": x}, {"y": y}, config=config, seed=0, validation=validation)
    x, y = x[:200].astype(float), y[:200]
    for l1 in strengths:
        model = LogisticRegression(l1_ratio=1, solver="saga", C=1 / (200 * l1), tol=1e-7, max_iter=20000).fit(x, y)
        weights, bias = (np.asarray(a, float) for a in fitted.weights("a", "y", l1, 0.02))
        optimum = mean_loss(x @ model.coef_.T + model.intercept_, y)[0] + l1 * np.abs(model.coef_).sum()
        reached = mean_loss(x @ weights + bias, y)[0] + l1 * np.abs(weights).sum()
        assert optimum * (1 - 1e-4) < reached < 1.01 * optimum
        assert abs((weights == 0).mean() - (model.coef_ == 0).mean()) < 0.1


def test_inputs_are_centred_and_scaled_by_training_images():
    x = np.random.default_rng(0).standard_normal((30, 4)).astype(np.float32) * [1, 10, 0, 3] + [1e3, 1e3, 1e7, 1e3]
    images = np.arange(20)
    centred = x[:20] - x[:20].mean(0)
    constant = np.arange(4) == 2  # becomes 0 whatever it is, and leaves the others as they are
    rms = np.sqrt(np.square(centred).mean())
    for inputs, scale in (("standardised", centred.std(0)), ("scaled", rms)):
        scale = np.where(constant, np.inf, scale)
        shift, factor = _standardisation(x.astype(np.float32), images, inputs)
        np.testing.assert_allclose(shift, x[:20].mean(0), rtol=1e-5)
        np.testing.assert_allclose(factor, np.broadcast_to(1 / scale, 4), rtol=1e-3)


def test_dropout_keeps_the_expectation():
    rate, x = 0.3, np.full((400, 251), 2.0, np.float32)
    dropped = np.asarray(dropout(jax.random.key(0), x, rate))
    np.testing.assert_allclose(np.unique(dropped), [0, 2 / (1 - rate)], rtol=1e-4)
    error = np.sqrt(rate * (1 - rate) / x.size)
    assert abs((dropped == 0).mean() - rate) < 5 * error
    assert abs(dropped.mean() / 2 - 1) < 5 * error / (1 - rate)
    kept = (dropped > 0) - (1 - rate)  # neighbours share a random number, but not its bits
    assert abs((kept[:, ::2][:, :125] * kept[:, 1::2]).mean()) < 5 * rate * (1 - rate) / np.sqrt(x.size / 2)
    assert (np.asarray(dropout(jax.random.key(0), x, 0.0)) == x).all()


def test_every_image_is_in_one_batch():
    batches = np.asarray(epoch_batches(jax.random.key(1), np.arange(3, 50), 10, 99))
    assert batches.shape == (5, 10) and (batches[-1, 7:] == 99).all()
    assert sorted(batches.ravel()[:47]) == list(range(3, 50))


@pytest.mark.parametrize("split", ["stratified", "random"])
def test_split_holds_out_its_share(split, rng):
    table = rng.integers(0, 4, (997, 2))
    config = RecipeConfig(split=split, held_out=0.1)
    held_out = draw_held_out(table, config, 0)
    assert abs(held_out.sum() - 99.7) < 1
    assert (held_out == draw_held_out(table, config, 0)).all() and (held_out != draw_held_out(table, config, 1)).any()
    if split == "stratified":
        for group in np.unique(table, axis=0):
            members = (table == group).all(1)
            assert abs(held_out[members].sum() - members.sum() / 10) <= 1


def test_bad_input_is_refused(data):
    bank, labels, validation = data
    x, y = bank["a"], labels["y"]
    config = replace(BASE, epochs=1)
    with pytest.raises(ValueError, match="'y' has 89 rows"):
        fit_recipe({"a": x}, {"y": y[:-1]}, config=config, seed=0)
    with pytest.raises(ValueError, match="not all finite"):
        fit_recipe({"a": np.where(x > 2, np.inf, x)}, {"y": y}, config=config, seed=0)
    with pytest.raises(ValueError, match="whole numbers"):
        fit_recipe({"a": x}, {"y": y + 0.5}, config=config, seed=0)
    with pytest.raises(ValueError, match="'y' has no validation image"):
        fit_recipe({"a": x}, {"y": y}, config=config, seed=0, validation=np.zeros(N, bool))
    with pytest.raises(ValueError, match="'y' has no training image"):
        fit_recipe({"a": x}, {"y": np.where(validation, y, -1)}, config=config, seed=0, validation=validation)
    with pytest.raises(ValueError, match="at least one layer and one target"):
        fit_recipe({"a": x}, {}, config=config, seed=0)
    with pytest.raises(ValueError, match="'a' are too large or too small"):
        fit_recipe({"a": 1e-25 * x}, {"y": y}, config=config, seed=0)
    for name, value in {"l1": (-1.0,), "learning_rates": (), "epochs": 0, "dropout": 1.0, "penalty": "l1"}.items():
        with pytest.raises(ValueError, match=name):
            replace(config, **{name: value})


def test_probes_that_are_not_there_are_told_with_those_that_are(fitted):
    for place, there in {
        ("c", "y", 3e-2, 3e-3, 0): "no layer 'c'; there are 'a', 'b'",
        ("a", "z", 3e-2, 3e-3, 0): "no target 'z'; there are 'y', 'other'",
        ("a", "y", 1.0, 3e-3, 0): "no strength 1.0; there are 0.03, 0.001",
        ("a", "y", 3e-2, 1.0, 0): "no learning rate 1.0; there are 0.003, 0.03",
        ("a", "y", 3e-2, 3e-3, 2): "no seed 2; there are 0, 1",
    }.items():
        for look_up in (fitted.weights, fitted.numbers):
            with pytest.raises(KeyError, match=there):
                look_up(*place)
