"""From stored associations to one table: every test in every layer of every source, with intervals and corrections."""

import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bias_jax.association import LayerTest, interval_from_cosines, profile_test
from bias_jax.audit import BASELINE, Arrays, Rows, Stored
from bias_jax.data import AssociationStimuli
from bias_jax.data.stimulus_sources import SETS
from bias_jax.instruments.associations.measuring import VARIANTS
from bias_jax.instruments.associations.stored import tests_of
from bias_jax.progress import track
from bias_jax.statistics import benjamini_hochberg, holm

if TYPE_CHECKING:
    from bias_jax.instruments.associations.instrument import Associations


class _Profile(NamedTuple):
    """Layers that are corrected for together."""

    source: str  # as the table calls it
    layers: dict[str, Arrays]  # layer -> what `measure_tests` gave, in depth order


def association_rows(stored: Stored, options: "Associations") -> Rows:
    """One row per test, source, layer and kind of cosine; the baselines first."""
    profiles, seed = list(_profiles(stored)), stored.run["seed"]
    tests = tests_of(stored.facts, stored.arrays)
    with warnings.catch_warnings():
        # Grey pictures have no colour to associate; the table says so by an undefined d.
        warnings.filterwarnings("ignore", "all associations are equal", RuntimeWarning)
        rows = [
            row
            for number, test in enumerate(track(tests, "association tests", unit="test"))
            for profile in profiles
            for row in _test_rows(number, test, profile, options, seed)
        ]
    _correct(rows)
    return rows


def _profiles(stored: Stored) -> Iterator[_Profile]:
    """Pixels and colour, each a profile of its own, then the networks."""
    for layer in stored.sources[BASELINE]:
        yield _Profile(layer.name, {layer.name: stored.load(layer.name, BASELINE)})
    for source, layers in stored.sources.items():
        if source != BASELINE:
            yield _Profile(source, {layer.name: stored.load(layer.name, source) for layer in layers})


def _test_rows(
    number: int, test: AssociationStimuli, profile: _Profile, options: "Associations", seed: int
) -> Iterator[dict[str, Any]]:
    size = len(test.rows[0])
    for variant in VARIANTS:
        key = f"{number}.{variant}."
        associations = {
            layer: (arrays[key + "s"][:size], arrays[key + "s"][size:]) for layer, arrays in profile.layers.items()
        }
        found = profile_test(
            associations, method=options.method, alternative=options.alternative, seed=seed, draws=options.draws
        )
        for depth, layer in enumerate(found):
            arrays = profile.layers[layer.layer]
            yield {
                "test": test.name,
                **dict(zip(SETS, test.labels, strict=True)),
                **{f"images_{s}": len(rows) for s, rows in zip(SETS, test.rows, strict=True)},
                "source": profile.source,
                "layer": layer.layer,
                "depth": depth,
                "cosine": variant,
                **_numbers(layer),
                **_intervals(arrays[key + "a"], arrays[key + "b"], size, options.bootstrap, seed),
            }


def _numbers(found: LayerTest) -> dict[str, Any]:
    test = found.test
    return {
        "effect_size": test.effect_size,
        "p_value": test.p_value,
        "p_low": test.p_low,
        "p_high": test.p_high,
        "count": test.count,
        "total": float(test.total),  # up to 1e23
        "method": test.method,
        "alternative": test.alternative,
        "p_max_t": found.p_max_t,
        "p_max_t_exact": found.joint_exact,
    }


def _intervals(to_a: np.ndarray, to_b: np.ndarray, size: int, draws: int, seed: int) -> dict[str, Any]:
    targets = interval_from_cosines(to_a, to_b, size, draws=draws, seed=seed)
    both = interval_from_cosines(to_a, to_b, size, resampled="targets and attributes", draws=draws, seed=seed)
    return {
        "low": targets.low,
        "high": targets.high,
        "low_attributes": both.low,
        "high_attributes": both.high,
        "few_images": targets.small,
    }


def _correct(rows: Sequence[dict[str, Any]]) -> None:
    """Add p-values adjusted over tests, within each source, layer and kind of cosine.

    What is adjusted is `p_value`: one looks at one layer in all tests. `p_max_t` is for all layers of one test.
    """
    families: dict[tuple, list[dict[str, Any]]] = {}
    for row in rows:
        families.setdefault((row["source"], row["layer"], row["cosine"]), []).append(row)
    for family in families.values():
        p = np.array([row["p_value"] for row in family])
        for row, first, second in zip(family, holm(p), benjamini_hochberg(p), strict=True):
            row.update(p_holm=float(first), p_benjamini_hochberg=float(second))
