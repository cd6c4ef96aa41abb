"""Jobs: the same optimum and certificate whoever solves what beside what, the same bytes on any number of devices."""

import chex
import jax
import numpy as np
import pytest

from bias_jax.devices import device_mesh, replicate, spread, to_host
from bias_jax.probes import ProbeConfig, cross_validate_layers, jobs, nested
from bias_jax.probes.axes import principal_axes
from bias_jax.probes.paths import deal, empty_start, path_queue, stacked
from bias_jax.probes.problems import host_problems
from bias_jax.probes.solver import Solution

N, FOLDS, STRENGTHS = 240, 4, np.array([1.0, 0.1, 0.01])  # as in `shapes`
SIZES = {"race": 5, "gender": 2, "age": 8, "race x gender": 7}
CONFIG = ProbeConfig(l2=(0.01, 0.1, 1.0), folds=FOLDS, draws=100)


@pytest.fixture(scope="module")
def planted():
    """Three layers [N, 12] in which classes are told apart with different effort, labels, and folds."""
    rng = np.random.default_rng(0)
    labels = {name: rng.permutation(np.arange(N) % size) for name, size in SIZES.items()}
    bank = {}
    for number, strength in enumerate((0.3, 1.0, 3.0)):
        x = rng.standard_normal((N, 12)) / (1.0 + np.arange(12))
        x[:, :8] += strength * np.eye(8)[labels["age"]]
        bank[f"layer {number}"] = x.astype(np.float32)
    return bank, labels, rng.permutation(np.arange(N) % FOLDS)


def solve(planted, dealt, mesh):
    """Solutions [J, R, F, ...] of twelve jobs: three layers, and four targets padded to eight classes."""
    bank, labels, folds = planted
    training = folds != np.arange(FOLDS)[:, None]
    parts = [host_problems(y, 8, training) for y in labels.values()]
    stack = replicate(mesh, stacked([principal_axes(jax.device_put(x)).coordinates for x in bank.values()]))
    table = replicate(mesh, jax.tree.map(lambda *arrays: np.stack(arrays), *parts))
    layers, targets = (np.array(axis) for axis in zip(*np.ndindex(3, 4), strict=True))
    l2 = np.broadcast_to(STRENGTHS[None, :, None], (12, 3, FOLDS))
    queue = spread(mesh, path_queue(dealt, layers, targets, l2))
    start = jobs.map_jobs(empty_start, mesh, dealt.together, (stack, table), (queue.target,))
    limits = replicate(mesh, (np.float32(1e-5), np.int32(500)))
    found = jobs.solve_jobs(
        stack, table, queue, start, limits, together=dealt.together, arithmetic="float32", mesh=mesh
    )
    places = dealt.places(12)
    return Solution(*(array[places] for array in to_host(mesh, found)))


@pytest.fixture(scope="module")
def one_by_one(planted):
    found = solve(planted, deal(12, 1, 1), device_mesh(1))
    assert (found.relative_gap <= 1e-5).all() and (found.relative_gap > 0).all() and (found.objective > 0).all()
    assert len(np.unique(found.steps.sum(axis=1))) > 4  # they end at different times
    return found


SOME = pytest.mark.slow  # the same at another number
# A CPU's program belongs to one device, so each device more compiles all of them once more.


@pytest.mark.parametrize("together", [pytest.param(2, marks=SOME), pytest.param(5, marks=SOME), 12])  # 12 shrinks to 3
def test_what_is_solved_side_by_side_comes_to_the_same(together, planted, one_by_one):
    """Objectives to 1e-6, coefficients to 1e-3 of the largest; each certified, in as many steps or one more or less."""
    found = solve(planted, deal(12, 1, together), device_mesh(1))
    assert (found.relative_gap <= 1e-5).all()
    np.testing.assert_allclose(found.objective, one_by_one.objective, rtol=2e-6)
    np.testing.assert_allclose(
        found.coefficients, one_by_one.coefficients, atol=1e-3 * np.abs(one_by_one.coefficients).max()
    )
    assert np.abs(found.steps - one_by_one.steps).max() <= 2


@pytest.mark.parametrize("devices", [2, pytest.param(5, marks=SOME)])  # five: queues of unequal lengths
def test_jobs_give_the_same_bytes_on_any_number_of_devices(devices, planted, one_by_one):
    chex.assert_trees_all_equal(solve(planted, deal(12, devices, 1), device_mesh(devices)), one_by_one)


def test_jobs_are_dealt_in_turn_and_queues_are_powers_of_two():
    assert deal(5, 2, 9).order.tolist() == [0, 2, 4, -1, 1, 3, -1, -1] and deal(5, 2, 9).together == 4
    assert deal(1, 8, 3).order.tolist() == [0] + [-1] * 7 and deal(3, 1, 2).together == 2
    for number in range(1, 40):
        for devices in (1, 2, 3, 8):
            dealt = deal(number, devices, 4)
            assert sorted(dealt.order[dealt.order >= 0]) == list(range(number))
            share = (dealt.order.reshape(devices, -1) >= 0).sum(axis=1)
            assert share.max() - share.min() <= 1  # nobody has more than one more
            assert (dealt.order[dealt.places(number)] == np.arange(number)).all()


def validated(planted, mesh=None, targets=("race", "age")):
    bank, labels, folds = planted
    group = labels["race"] * 2 + labels["gender"]
    labels = {target: labels[target] for target in targets}
    on_device = {layer: jax.device_put(x) for layer, x in bank.items()}
    found = cross_validate_layers(on_device, labels, SIZES, folds, group, CONFIG, 0, mesh=mesh)
    return {layer: vars(result) for layer, result in found}


@pytest.fixture(scope="module")
def alone(planted):
    return validated(planted)


@pytest.mark.slow
@pytest.mark.parametrize("devices", [2, 3])  # three: two jobs leave one without
def test_predictions_and_intervals_have_the_same_bytes_on_any_number_of_devices(devices, planted, alone):
    with jax.transfer_guard("disallow"):
        found = validated(planted, device_mesh(devices))
    for layer, fields in alone.items():
        for name, array in fields.items():
            assert found[layer][name].tobytes() == array.tobytes(), name


@pytest.mark.slow
def test_an_accelerator_solves_all_layers_and_targets_of_a_shape_at_once(planted, monkeypatch):
    """As it would, on a CPU: what is predicted is the same, values to 1e-3 of the largest."""
    alone, batches = validated(planted, targets=SIZES), []
    whole = nested.solve_jobs

    def counted(stack, table, queue, *arguments, **options):
        batches.append((len(stack.features), len(table.labels), int((np.asarray(queue.length) > 0).sum())))
        return whole(stack, table, queue, *arguments, **options)

    monkeypatch.setattr(nested, "solve_jobs", counted)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    found = validated(planted, targets=SIZES)
    assert batches == [(3, 3, 9)] * 3 + [(3, 1, 3)] * 3  # inner, outer, shuffled: of eight classes, and of two
    for layer, fields in alone.items():
        for name, array in fields.items():
            other = found[layer][name]
            if array.dtype.kind == "i" or name == "l2":
                assert (other == array).mean() > 0.999, name
            elif name != "relative_gap":
                np.testing.assert_allclose(other, array, atol=1e-3 * np.abs(array).max(), err_msg=name)
        assert found[layer]["relative_gap"].max() <= CONFIG.tolerance
