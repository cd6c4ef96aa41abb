"""What is computed for topographic maps: group means of all layers, then layouts and their measures, file by file."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from bias_jax.activations import LayerPlan, MemoryPlan
from bias_jax.data import Attribute, FaceDataset, Target, group_categories
from bias_jax.errors import InputError
from bias_jax.results import RunDirectory
from bias_jax.topomaps import (
    GroupMeans,
    Neighbourhoods,
    SelfOrganizingMap,
    area_under_curve,
    contrast,
    dead,
    error_groups,
    lay_out,
    morans_i,
    published_som,
    square_side,
    stability,
    stream_means,
    triangulate,
    unit_profiles,
)
from experiments.subject import Subject
from experiments.topomaps_config import TopomapsConfig

NEIGHBOURS = (5, 10, 20)  # of trustworthiness and continuity


def means_file(layer: str) -> str:
    return f"layers/{layer}.means.npz"


def layout_file(layer: str, method: str) -> str:
    return f"layers/{layer}.{method}.npz"


class Grouping:
    """Which images form the groups that are mapped."""

    def __init__(self, config: TopomapsConfig, dataset: FaceDataset, layers: tuple[LayerPlan, ...], sha256: str):
        self.attributes: tuple[Attribute, ...] = dataset.attributes
        self.labels = {layer.name: dataset.group_labels for layer in layers}
        self.chosen: tuple[int, ...] | None = None
        if config.contrast:
            self.chosen = _chosen(dataset, config.contrast)
        if config.errors != "none":
            target = next((t for t in dataset.targets if t.name == config.target), None)
            if target is None:
                names = ", ".join(t.name for t in dataset.targets)
                raise InputError(f"no probe predicts {config.target!r}", remedy=f"choose --target among {names}")
            outcome = ("wrong", "correct") if config.errors == "correct" else target.classes
            self.attributes = (Attribute(target.name, target.classes), Attribute("prediction", outcome))
            number = dataset.targets.index(target)
            self.labels = {
                layer.name: _outcomes(Path(config.predictions), layer.name, number, target, config, sha256)
                for layer in layers
            }
        self.target = Target(self.attributes)


def _chosen(dataset: FaceDataset, wanted: tuple[str, ...]) -> tuple[int, ...]:
    parts = dataset.groups.decode(np.arange(dataset.groups.size))
    chosen: set[int] = set()
    for text in wanted:
        matches = [parts[name] == number for name, number in group_categories(dataset, text).items()]
        chosen |= set(np.flatnonzero(np.all(matches, axis=0)).tolist())
    found = sorted(chosen & set(dataset.group_labels.tolist()))
    if len(found) < 2:
        raise InputError(f"--contrast leaves {len(found)} groups with images", remedy="name at least two groups")
    return tuple(found)


def _outcomes(run: Path, layer: str, number: int, target: Target, config: TopomapsConfig, sha256: str) -> np.ndarray:
    path = run / f"layers/{layer}.probes.npz"
    try:
        identity = json.loads((run / "run.json").read_text())["identity"]
        with np.load(path, allow_pickle=False) as stored:
            truth, predicted = stored["truth"][0, number], stored["predicted"][0, number]
    except (OSError, ValueError, KeyError, IndexError):
        remedy = "give the --out of a finished experiments.sweep with this layer"
        raise InputError("holds no predictions", file=path, remedy=remedy) from None
    if identity.get("data_sha256") != sha256:
        raise InputError("was made with other images", file=run, remedy="use the same data options as that sweep")
    assert config.errors != "none"
    return error_groups(truth, predicted, target.size, config.errors)


def measure_means(
    directory: RunDirectory, config: TopomapsConfig, dataset: FaceDataset, image_size: tuple[int, int] | None,
    subject: Subject, plan: MemoryPlan, grouping: Grouping,
) -> None:  # fmt: skip
    """Group means of every layer; one pass makes all of them, so that a resumed run gives the same numbers."""
    if all(directory.has(means_file(layer.name)) for layer in plan.layers):
        return
    found = stream_means(
        dataset, image_size, subject.model, subject.params, subject.transform, plan.layers, grouping.labels,
        grouping.target.size, rule=config.pooling, batch_size=config.batch_size, precision=config.precision,
    )  # fmt: skip
    for layer in plan.layers:
        if not directory.has(means_file(layer.name)):
            arrays = jax.device_get(found[layer.name])._asdict()
            directory.save_arrays(means_file(layer.name), {**arrays, "grid": np.array(layer.grid)})


def load_profiles(
    directory: RunDirectory, layer: str, chosen: tuple[int, ...] | None, size_weighted: bool
) -> tuple[jax.Array, np.ndarray, np.ndarray]:
    """Units [U, D], group values [G, U] (NaN where a group is not mapped) and images per group [G] of a layer."""
    return profiles_of(directory.load_arrays(means_file(layer)), chosen, size_weighted)


def units_of_run(run: Path) -> dict[str, jax.Array]:
    """Units [U, D] of every layer of a finished run.

    Raises:
        InputError: the directory holds no group means.
    """
    paths = sorted(run.glob(means_file("*")))
    if not paths:
        raise InputError("holds no group means", file=run, remedy="give the --out of a run of experiments.topomaps")
    found = {}
    for path in paths:
        with np.load(path, allow_pickle=False) as stored:
            found[path.name.removesuffix(".means.npz")] = profiles_of(dict(stored), None, False)[0]
    return found


def profiles_of(
    stored: dict[str, np.ndarray], chosen: tuple[int, ...] | None, size_weighted: bool
) -> tuple[jax.Array, np.ndarray, np.ndarray]:
    """What `load_profiles` returns, from the arrays of `means_file`."""
    found = GroupMeans(*jax.device_put((stored["means"], stored["counts"])))
    profiles = contrast(found, chosen, size_weighted=size_weighted)
    height, width, units = (int(v) for v in stored["grid"])
    mapped = stored["counts"] > 0
    if chosen is not None:
        mapped &= np.isin(np.arange(len(mapped)), chosen)
    occurring = np.flatnonzero(mapped)
    rows, found_values = unit_profiles(profiles, jax.device_put(occurring), (height, width, units))
    values = np.full((len(mapped), units), np.nan, np.float32)
    values[occurring] = jax.device_get(found_values)
    return rows, values, np.where(mapped, stored["counts"], 0).astype(int)


def measure_layouts(
    directory: RunDirectory, config: TopomapsConfig, layers: list[str], chosen: tuple[int, ...] | None
) -> None:
    """Every layout of every layer for every seed, with its measures; what is finished is not done again."""
    todo = [(layer, m) for layer in layers for m in config.methods if not directory.has(layout_file(layer, m))]
    with tqdm(total=len(todo), desc="layouts", unit="layout") as progress:
        for layer in dict.fromkeys(layer for layer, _ in todo):
            units, values, _ = load_profiles(directory, layer, chosen, config.size_weighted)
            measures = Measures(units, values, config)
            for method in (m for other, m in todo if other == layer):
                directory.save_arrays(layout_file(layer, method), _layouts(units, method, measures, config))
                progress.update()


def _layouts(units: jax.Array, method: Any, measures: "Measures", config: TopomapsConfig) -> dict[str, np.ndarray]:
    som, side = published_som(len(units)), square_side(len(units))
    if not config.published_som:
        som = SelfOrganizingMap(side, side, epochs=config.som_epochs)
    found = [
        lay_out(units, method, forces=config.spreads, seed=config.seed + number, metric=config.metric,
                from_distances=config.from_distances, som=som)
        for number in range(config.seeds)
    ]  # fmt: skip
    arrays: dict[str, np.ndarray] = {}
    for force in config.spreads:
        positions = [each[force] for each in found]
        arrays[force] = positions[0]
        arrays[f"{force}.measures"] = np.array(json.dumps(measures(positions)))
    return arrays


class Measures:
    """Quality of layouts of one layer."""

    def __init__(self, units: jax.Array, values: np.ndarray, config: TopomapsConfig):
        self.config, self.values = config, values
        self.profiles = jax.device_get(units)
        self.neighbourhoods = Neighbourhoods(self.profiles)

    def __call__(self, layouts: list[np.ndarray]) -> dict[str, float]:
        """Measures of the first layout, and how alike all are."""
        first, near = layouts[0], self.neighbourhoods
        mapped = self.values[np.isfinite(self.values).all(axis=1)]
        moran = morans_i(first, mapped, permutations=self.config.permutations, seed=self.config.seed)
        images = triangulate(first).images(jax.device_put(self.values))
        return {
            **{f"trustworthiness_{k}": near.trustworthiness(first, k) for k in NEIGHBOURS},
            **{f"continuity_{k}": near.continuity(first, k) for k in NEIGHBOURS},
            "distance_correlation": near.distance_correlation(first),
            "morans_i": float(np.nanmean(moran.index)) if np.isfinite(moran.index).any() else float("nan"),
            "groups_with_order": float((moran.p_value <= 0.05).mean()),
            **{f"{kind}_area": area for kind, area in area_under_curve(images).items()},
            "disparity_of_seeds": stability(layouts),
            "units": len(first),
            "dead_units": int(dead(self.profiles).sum()),
        }
