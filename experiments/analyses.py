"""What is done with each layer's bank: maps, probes, variance. One file per layer and analysis, once it is finished."""

import jax
import numpy as np
from tqdm import tqdm

from bias_jax.activations import PIXELS, Bank, LayerPlan, MemoryPlan, extract_bank
from bias_jax.data import FaceDataset
from bias_jax.errors import InputError
from bias_jax.probes import cross_validate
from bias_jax.randomness import stable_hash
from bias_jax.results import RunDirectory
from bias_jax.statistics import factorial_design, permanova, relabellings
from bias_jax.topomaps import group_profiles, som_layout, unit_profiles
from experiments.config import SweepConfig
from experiments.stopwatch import Stopwatch
from experiments.subject import Subject


def probes_file(layer: str) -> str:
    return f"layers/{layer}.probes.npz"


def topomap_file(layer: str) -> str:
    return f"layers/{layer}.topomap.npz"


def variance_file(layer: str) -> str:
    return f"layers/{layer}.variance.npz"


def analyse_layers(
    directory: RunDirectory,
    config: SweepConfig,
    dataset: FaceDataset,
    image_size: tuple[int, int] | None,
    subject: Subject,
    plan: MemoryPlan,
    folds: np.ndarray,
    watch: Stopwatch,
) -> None:
    """Extract and analyse wave by wave; layers that are finished are not computed again.

    A wave is always extracted whole: a program that computes fewer layers may be compiled to other roundings, and
    a resumed run must give the same numbers.
    """
    for wave in plan.waves:
        files = (probes_file, topomap_file, variance_file)
        todo = [(layer, f) for f in files for layer in wave
                if not directory.has(f(layer.name)) and (layer.name != PIXELS or f is not topomap_file)]  # fmt: skip
        if not todo:
            continue
        with watch("extract"):
            bank = extract_bank(
                dataset, image_size, subject.model, subject.params, subject.transform, wave,
                rule=config.pooling, batch_size=config.batch_size, precision=config.precision,
            )  # fmt: skip
        with watch("topographic maps"):
            for layer in tqdm([layer for layer, f in todo if f is topomap_file], "maps", unit="layer"):
                directory.save_arrays(topomap_file(layer.name), topomap(bank, layer, dataset, config))
        with watch("probes"):
            for layer in tqdm([layer for layer, f in todo if f is probes_file], "probes", unit="layer"):
                directory.save_arrays(probes_file(layer.name), probe(bank, layer, dataset, folds, config))
        with watch("variance"):
            if missing := [layer for layer, f in todo if f is variance_file]:
                design = factorial_design({a.name: dataset.labels[a.name] for a in dataset.attributes})
                # The same permutations in every layer, so that p-values can be corrected for all layers together.
                relabelled = relabellings(design, config.permutations, stable_hash(config.seed, "variance"))
            for layer in tqdm(missing, "variance", unit="layer"):
                directory.save_arrays(variance_file(layer.name), vars(permanova(bank[layer.name], design, relabelled)))


def probe(
    bank: Bank, layer: LayerPlan, dataset: FaceDataset, folds: np.ndarray, config: SweepConfig
) -> dict[str, np.ndarray]:
    """Out-of-fold predictions of all targets of one layer; fields of `probes.OutOfFold`."""
    labels = {target.name: target.encode(dataset.labels) for target in dataset.targets}
    classes = {target.name: target.size for target in dataset.targets}
    seed = stable_hash(config.seed, "shuffled labels") % 2**63
    groups = dataset.group_labels
    try:
        return vars(cross_validate(bank[layer.name], labels, classes, folds, groups, config.probes, seed))
    except ValueError as error:  # features that no probe can be trained on, such as NaN
        remedy = "check the weights, or use --precision float32"
        raise InputError(f"layer {layer.name}: {error}", remedy=remedy) from None


def topomap(bank: Bank, layer: LayerPlan, dataset: FaceDataset, config: SweepConfig) -> dict[str, np.ndarray]:
    """Group values of every unit [G, U], positions of the units [U, 2] and the errors of the map."""
    groups = jax.device_put(dataset.group_labels)
    counts = np.bincount(dataset.group_labels, minlength=dataset.groups.size)
    occurring = np.flatnonzero(counts)
    profiles = group_profiles(bank[layer.name], groups, dataset.groups.size)
    units, found = unit_profiles(profiles, jax.device_put(occurring), layer.grid)
    positions, fitted = som_layout(units, epochs=config.som_epochs, seed=config.seed)
    values = np.full((dataset.groups.size, layer.grid[2]), np.nan, np.float32)
    values[occurring] = jax.device_get(found)
    return {
        "values": values,
        "positions": positions,
        "quantization_error": np.array(fitted.quantization_error(units)),
        "topographic_error": np.array(fitted.topographic_error(units)),
    }
