"""The partition against definitions, closed forms and planted effects; p-values and intervals against their rates."""

from itertools import combinations

import jax
import numpy as np
import pytest
from scipy.stats import f as f_distribution
from scipy.stats import kstest

from bias_jax.statistics import ALL_GROUPS, VariancePartition, factorial_design, permanova, relabellings
from bias_jax.statistics.permanova import effects
from bias_jax.statistics.permuted_residuals import Partition, on_device, partition, product, scattered
from bias_jax.statistics.principal_coordinates import Coordinates

SIZES = {"race": 3, "age": 4, "gender": 2}


def unbalanced(rng: np.random.Generator, images: int = 150, missing: int = 0) -> dict[str, np.ndarray]:
    """Labels with groups of many sizes; the last `missing` groups have no image."""
    shares = rng.dirichlet(np.full(24, 5.0))
    shares[24 - missing :] = 0.0
    cells = np.unravel_index(rng.choice(24, images, p=shares / shares.sum()), tuple(SIZES.values()))
    return dict(zip(SIZES, cells, strict=True))


def balanced(each: int) -> dict[str, np.ndarray]:
    cells = np.unravel_index(np.repeat(np.arange(24), each), tuple(SIZES.values()))
    return dict(zip(SIZES, cells, strict=True))


def run(features: np.ndarray, labels: dict, permutations: int = 99, seed: int = 0, **options) -> VariancePartition:
    design = factorial_design(labels)
    return permanova(features, design, relabellings(design, permutations, seed), **options)


def residual_squares(features: np.ndarray, labels: dict, terms: list[tuple[str, ...]]) -> tuple[float, int]:
    """Residual sum of squares and rank of a model, by float64 least squares on dummy variables."""
    columns = [np.ones((len(features), 1))]
    for term in terms:
        _, number = np.unique(np.stack([labels[a] for a in term], 1), axis=0, return_inverse=True)
        columns.append(np.eye(number.max() + 1)[number.reshape(-1)])
    solution, _, rank, _ = np.linalg.lstsq(np.concatenate(columns, 1), features, rcond=1e-10)
    return float(np.square(features - np.concatenate(columns, 1) @ solution).sum()), int(rank)


@pytest.mark.parametrize(("features", "missing"), [(1, 0), (5, 5), (300, 3)])
def test_type_two_squares_against_least_squares(rng, features, missing):
    labels = unbalanced(rng, missing=missing)
    values = rng.standard_normal((150, features)) * rng.random(features) + 100.0
    values[:, 0] += 2.0 * labels["age"]
    found = run(values, labels)
    terms = [t for k in (1, 2, 3) for t in combinations(labels, k)]
    for number, term in enumerate(terms):
        others = [other for other in terms if not set(term) <= set(other)]
        reduced, rank = residual_squares(values, labels, others)
        full, full_rank = residual_squares(values, labels, [*others, term])
        assert found.sum_of_squares[0, number] == pytest.approx(reduced - full, rel=1e-3)
        assert found.degrees_of_freedom[0, number] == full_rank - rank
    within, rank = residual_squares(values, labels, [tuple(labels)])
    total, _ = residual_squares(values, labels, [])
    assert found.sum_of_squares[0, -1] == pytest.approx(total - within, rel=1e-4)
    mean_square = within / (150 - rank)
    squares, freedom = found.sum_of_squares[0], found.degrees_of_freedom[0]
    np.testing.assert_allclose(found.ratio[0], squares / freedom / mean_square, rtol=1e-3)
    omega = (squares - freedom * mean_square) / (total + mean_square)
    np.testing.assert_allclose(found.omega_squared[0], omega, atol=1e-5)
    part = (squares - freedom * mean_square) / (squares + (150 - freedom) * mean_square)
    np.testing.assert_allclose(found.partial_omega_squared[0], part, atol=1e-4)


def test_balanced_design_gives_the_classical_partition(rng):
    """Cell means in closed form: n b c sum (mean_a - mean)^2 and so on; terms add up."""
    labels = balanced(4)
    values = rng.standard_normal((96, 3)) + labels["race"][:, None]
    found = run(values, labels)
    means = values.reshape(3, 4, 2, 4, 3).mean(axis=3)
    centred = means - means.mean((0, 1, 2))
    race, age = centred.mean((1, 2)), centred.mean((0, 2))
    crossed = centred.mean(2) - race[:, None] - age[None]
    expected = [32 * np.square(race).sum(), 24 * np.square(age).sum(), 8 * np.square(crossed).sum()]
    np.testing.assert_allclose(found.sum_of_squares[0, [0, 1, 3]], expected, rtol=1e-4)
    np.testing.assert_allclose(found.sum_of_squares[:, :-1].sum(1), found.sum_of_squares[:, -1], rtol=1e-4)
    np.testing.assert_allclose(found.sum_of_squares[0], 4 * found.sum_of_squares[1], rtol=1e-4)
    np.testing.assert_allclose(found.omega_squared[1, :-1].sum(), 1.0, atol=1e-4)


def test_one_way_against_its_definition_by_distances(rng):
    """Anderson 2001, equation 4: squared distances within groups over group sizes; for any distance matrix."""
    groups = np.repeat([3, -1, 8], [7, 12, 5])
    points = rng.standard_normal((24, 6)) + 0.5 * np.sign(groups)[:, None]
    distances = np.abs(points[:, None] - points[None]).sum(axis=2)  # city block: no points in space have it
    total = np.square(distances).sum() / 2 / 24
    within = sum(np.square(distances[np.ix_(g, g)]).sum() / 2 / len(g)
                 for g in (np.flatnonzero(groups == k) for k in np.unique(groups)))  # fmt: skip
    found = run(distances, {"group": groups}, distance="precomputed")
    assert found.ratio[0, 0] == pytest.approx((total - within) / 2 / (within / 21), rel=1e-4)
    assert found.sum_of_squares[0, 0] == pytest.approx(total - within, rel=1e-4)


def test_distances_agree_with_features(rng):
    labels = unbalanced(rng)
    values = rng.standard_normal((150, 8)) + 1.0
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    squared = 2.0 - 2.0 * unit @ unit.T
    np.fill_diagonal(squared, 0.0)
    design = factorial_design(labels)
    relabelled = relabellings(design, 99, 0)
    cosine = permanova(values, design, relabelled, "cosine")
    matrix = permanova(np.sqrt(np.maximum(squared, 0.0)), design, relabelled, "precomputed")
    wide = permanova(np.pad(unit, ((0, 0), (0, 200))), design, relabelled)  # D > N: reduced to N coordinates
    for other in (matrix, wide):
        np.testing.assert_allclose(other.ratio, cosine.ratio, rtol=2e-3)
        np.testing.assert_allclose(other.null_ratio, cosine.null_ratio, rtol=5e-3)


def test_means_are_those_of_all_splits_into_halves(rng):
    """Balanced groups of four: the average over all splits of the products of half means, term by term."""
    labels = balanced(4)
    values = rng.standard_normal((96, 3)) + labels["age"][:, None]
    found = run(values, labels)
    cells = (values - values.mean(0)).reshape(24, 4, 3)
    design = factorial_design(labels)
    products = cells.mean(1) @ cells.mean(1).T
    for group in range(24):
        halves = [(cells[group, list(h)].mean(0), cells[group, [i for i in range(4) if i not in h]].mean(0))
                  for h in combinations(range(4), 2)]  # fmt: skip
        products[group, group] = np.mean([a @ b for a, b in halves])
    kernels = design.kernels[len(design.terms) :] * 16  # of group sums; here of means, four images each
    effects = np.array([(kernel * products).sum() for kernel in kernels])
    np.testing.assert_allclose(found.omega_squared[1], effects / effects[-1], atol=1e-4)


def planted(rng: np.random.Generator, labels: dict, strengths: dict[str, float], features: int) -> np.ndarray:
    """Normal features with effects of a given variance on images; the errors have variance 1 each and a spectrum."""
    values = rng.standard_normal((len(labels["race"]), features)) * np.sqrt(2.0 ** -np.arange(features))
    for term, variance in strengths.items():
        attributes = term.split(" x ")
        table = np.ones(())
        for attribute in attributes:
            table = np.multiply.outer(table, np.linspace(-1, 1, SIZES[attribute]))
        signal = table[tuple(labels[a] for a in attributes)]
        values[:, 0] += np.sqrt(variance) * signal / np.sqrt(np.square(table).mean())
    return values


REPEATS = 400
UNBALANCED = {"age": 1.0, "gender": 0.3}  # nothing else: race and all interactions are null
BALANCED = {"age": 0.5, "race x gender": 0.3}
ERROR = 3 * np.sqrt(0.05 * 0.95 / REPEATS)  # three standard errors of a rate of 5 %


def repeated(labels: dict, strengths: dict[str, float]) -> tuple[tuple[str, ...], list[VariancePartition]]:
    """REPEATS experiments at once: new errors and new permutations in each."""
    rng = np.random.default_rng(1)
    design = factorial_design(labels)
    values = np.stack([planted(rng, labels, strengths, 6) for _ in range(REPEATS)]).astype(np.float32)
    draws = np.stack([jax.device_get(relabellings(design, 199, seed)) for seed in range(REPEATS)])

    def program(values, relabelled):
        centred = values - values.mean(0, keepdims=True)
        return partition(Coordinates(centred, np.ones(6)), on_device(design), relabelled)

    found = jax.device_get(jax.jit(jax.vmap(program))(values, draws))
    results = [effects(design, Partition(*(a[i] for a in found))) for i in range(REPEATS)]
    return design.terms, results


@pytest.fixture(scope="module")
def unbalanced_repeats():
    """Two strong main effects; groups of about 2 to 12 images."""
    return repeated(unbalanced(np.random.default_rng(5)), UNBALANCED)


@pytest.fixture(scope="module")
def balanced_repeats():
    return repeated(balanced(6), BALANCED)


def test_p_values_of_null_terms_are_uniform_beside_strong_ones(unbalanced_repeats):
    terms, results = unbalanced_repeats
    p = np.stack([r.p_value for r in results])
    for level, term in np.ndindex(p.shape[1:]):
        if terms[term] in (*UNBALANCED, ALL_GROUPS):
            assert np.mean(p[:, level, term] <= 0.05) > 0.95
        else:
            assert kstest(p[:, level, term], "uniform").pvalue > 0.002, (level, terms[term])
            assert np.mean(p[:, level, term] <= 0.05) == pytest.approx(0.05, abs=ERROR), (level, terms[term])


def test_omega_squared_is_unbiased_and_its_interval_covers(balanced_repeats):
    terms, results = balanced_repeats
    errors = sum(2.0**-d for d in range(6))
    planted_sum = sum(BALANCED.values())
    for level, whole in enumerate((planted_sum + errors, planted_sum)):
        for number, term in enumerate(terms):
            true = (planted_sum if term == ALL_GROUPS else BALANCED.get(term, 0.0)) / whole
            found = np.array([r.omega_squared[level, number] for r in results])
            assert found.mean() == pytest.approx(true, abs=0.012), (level, term)
            if level == 0 or term != ALL_GROUPS:
                covered = [r.low[level, number] <= true <= r.high[level, number] for r in results]
                assert np.mean(covered) == pytest.approx(0.95, abs=ERROR + 0.01), (level, term)


def test_relabelling_raw_images_would_not_be_calibrated(rng):
    """Why residuals are permuted: beside a strong effect in one direction, raw relabelling loses the level."""
    labels = balanced(4)
    design = factorial_design(labels)
    rejected = []
    for seed in range(60):
        values = rng.standard_normal((96, 30))
        values[:, 0] += 20.0 * labels["gender"]
        centred = values - values.mean(0)
        sums = [np.stack([centred[row == g].sum(0) for g in range(24)])
                for row in np.asarray(relabellings(design, 60, seed))]  # fmt: skip
        kernel = design.kernels[design.terms.index("race")]
        observed = np.stack([centred[design.groups == g].sum(0) for g in range(24)])
        raw = [(kernel * (s @ s.T)).sum() for s in (observed, *sums)]
        rejected.append(np.mean([r >= raw[0] for r in raw[1:]]))
    assert kstest(rejected, "uniform").pvalue < 1e-6


def test_one_feature_one_way_agrees_with_the_f_test(rng):
    groups = np.repeat([0, 1, 2], [20, 30, 25])
    values = rng.standard_normal((75, 1)) + 0.25 * groups[:, None]
    found = run(values, {"group": groups}, permutations=4999)
    expected = f_distribution.sf(found.ratio[0, 0], 2, 72)
    assert found.p_value[0, 0] == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 4999) + 0.01)
    assert found.p_value[0, 0] == found.p_value[0, 1]  # one attribute: the term is all groups


def test_small_groups_do_not_look_distinct(rng):
    """Pure noise, groups of 2 to 40: raw distances between means are all noise, the corrected ones are not there."""
    labels = {"group": np.repeat(np.arange(8), [2, 2, 2, 3, 40, 40, 40, 40])}
    values = rng.standard_normal((169, 200))
    design = factorial_design(labels)
    found = partition(
        Coordinates(values - values.mean(0), np.ones(200)), on_device(design), relabellings(design, 99, 0)
    )
    squares, noise = np.asarray(found.squares), np.asarray(found.noise)
    assert squares[2] > 200.0 and abs(squares[2] - noise[2]) < 0.25 * squares[2]


def test_any_labels_and_degenerate_data(rng):
    values = rng.integers(0, 255, (40, 3), dtype=np.uint8)
    plain = {"a": np.arange(40) % 2, "b": np.arange(40) % 3}
    odd = {"a": np.array([-7, 1000])[plain["a"]], "b": plain["b"] * 50}
    np.testing.assert_array_equal(run(values, plain).ratio, run(values.astype(np.float64), odd).ratio)
    constant = run(np.full((40, 3), 0.1), plain)
    assert np.isnan(constant.omega_squared).all() and (constant.p_value == 1.0).all()
    exact = run(np.tile(plain["a"][:, None], 3), plain)  # no residual at all
    assert exact.p_value[0, 0] == 0.01 and exact.omega_squared[0, 0] == pytest.approx(1.0, abs=0.01)
    alone = run(rng.standard_normal((6, 2)), {"a": np.arange(6) % 2, "b": np.arange(6) // 2})  # one image per group
    assert np.isnan(alone.p_value).all() and np.isnan(alone.omega_squared).all()
    single = run(values, {"a": np.zeros(40, int)})
    assert np.isnan(single.p_value).all() and (single.degrees_of_freedom == 0).all()


def test_what_makes_no_design_is_refused(rng):
    with pytest.raises(ValueError, match="at least one attribute"):
        factorial_design({})
    with pytest.raises(ValueError, match="every image"):
        factorial_design({"a": np.zeros(3, int), "b": np.zeros(4, int)})
    with pytest.raises(ValueError, match="5 rows of features, 4 labels"):
        run(np.zeros((5, 2)), {"a": np.array([0, 0, 1, 1])})
    with pytest.raises(ValueError, match="finite"):
        run(np.full((4, 2), np.nan), {"a": np.array([0, 0, 1, 1])})
    with pytest.raises(ValueError, match="symmetric"):
        run(rng.random((4, 4)), {"a": np.array([0, 0, 1, 1])}, distance="precomputed")


def test_scatter_and_product_give_the_same_sums(rng):
    values, groups = rng.standard_normal((30, 4)).astype(np.float32), rng.integers(0, 5, 30)
    for array in (values, values[:, 0]):
        sums = (scattered(6, array, groups), product(6, array, groups))
        np.testing.assert_allclose(*sums, atol=1e-5)


def test_nothing_moves_to_or_from_the_device_by_accident(rng):
    labels = balanced(2)
    features = jax.device_put(rng.standard_normal((48, 5)).astype(np.float32))
    with jax.transfer_guard("disallow"):
        assert run(features, labels).p_value.shape == (2, 8)
