"""What is computed for association tests: embeddings of every source, then tests. One file per finished piece."""

import json
import re
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from bias_jax.activations import MemoryPlan, extract_bank
from bias_jax.association import LayerTest, cosines, image_associations, interval_from_cosines, profile_test
from bias_jax.data import AssociationStimuli, Stimuli, image_batches
from bias_jax.networks import Transform
from bias_jax.results import RunDirectory
from experiments.ieat_config import IeatConfig
from experiments.subject import Subject

NETWORK, UNTRAINED, PIXELS, COLOUR = "network", "untrained network", "raw pixels", "mean colour"
SIDE = 32  # pixels of the baseline without a network
VARIANTS = {"raw": False, "centred": True}  # cosine -> whether the mean over the test's images is subtracted


def layer_file(source: str, layer: str) -> str:
    return f"layers/{source}.{layer}.npz".replace(" ", "-")


def results_file(number: int, name: str) -> str:
    return f"tests/{number:02d}-{re.sub('[^A-Za-z0-9]+', '-', name).strip('-').lower()}.npz"


def measure(features: np.ndarray, tests: tuple[AssociationStimuli, ...]) -> dict[str, np.ndarray]:
    """Associations and cosines of all tests in one layer; features [N, D], N rows as in the stimuli."""
    found = {}
    for number, test in enumerate(tests):
        for variant, centred in VARIANTS.items():
            x, y, a, b = (features[rows].astype(np.float64) for rows in test.rows)
            if centred:
                mean = np.concatenate([x, y, a, b]).mean(axis=0)
                x, y, a, b = x - mean, y - mean, a - mean, b - mean
            targets = np.concatenate([x, y])
            found[f"{number}.{variant}.s"] = image_associations(targets, a, b)
            found[f"{number}.{variant}.a"] = cosines(targets, a)
            found[f"{number}.{variant}.b"] = cosines(targets, b)
    return found


def measure_network(
    directory: RunDirectory, config: IeatConfig, stimuli: Stimuli, source: str, subject: Subject, plan: MemoryPlan
) -> None:
    """Every layer of a network; a wave is extracted whole, so that a resumed run gives the same numbers."""
    for wave in plan.waves:
        todo = [layer for layer in wave if not directory.has(layer_file(source, layer.name))]
        if not todo:
            continue
        bank = extract_bank(
            stimuli.dataset, stimuli.image_size, subject.model, subject.params, subject.transform, wave,
            rule=config.pooling, batch_size=config.batch_size, precision=config.precision,
        )  # fmt: skip
        for layer in tqdm(todo, f"associations, {source}", unit="layer"):
            features = jax.device_get(bank[layer.name])
            directory.save_arrays(layer_file(source, layer.name), measure(features, stimuli.tests))


def measure_pixels(directory: RunDirectory, stimuli: Stimuli) -> None:
    """The same tests on 32 x 32 pixels, and on the mean colour: no network at all.

    The centre square that the networks see, from -1 (black) to 1 (white): the offset matters for a raw cosine.
    """
    if directory.has(layer_file(PIXELS, PIXELS)) and directory.has(layer_file(COLOUR, COLOUR)):
        return
    prepare = Transform(resize=SIDE * 256 // 224, crop=SIDE).on_host
    batches = image_batches(stimuli.dataset, 32, (SIDE, SIDE), prepare)
    pixels = np.concatenate([batch for _, batch in batches])[: len(stimuli.dataset)] / 127.5 - 1.0
    for source, features in ((PIXELS, pixels.reshape(len(pixels), -1)), (COLOUR, pixels.mean(axis=(1, 2)))):
        if not directory.has(layer_file(source, source)):
            directory.save_arrays(layer_file(source, source), measure(features, stimuli.tests))


def run_tests(
    directory: RunDirectory, config: IeatConfig, stimuli: Stimuli, layers: dict[str, tuple[str, ...]]
) -> list[list[dict[str, Any]]]:
    """Rows of every test: all sources, layers and variants; finished tests are read back."""
    for number, test in enumerate(tqdm(stimuli.tests, "tests", unit="test")):
        if not directory.has(results_file(number, test.name)):
            rows = [row for source in layers for row in _test(directory, config, number, test, source, layers[source])]
            directory.save_arrays(results_file(number, test.name), {"rows": np.array(json.dumps(rows))})
    stored = [directory.load_arrays(results_file(n, test.name))["rows"] for n, test in enumerate(stimuli.tests)]
    return [json.loads(str(rows)) for rows in stored]


def _test(
    directory: RunDirectory,
    config: IeatConfig,
    number: int,
    test: AssociationStimuli,
    source: str,
    layers: tuple[str, ...],
) -> Iterator[dict[str, Any]]:
    size = len(test.rows[0])
    stored = {layer: directory.load_arrays(layer_file(source, layer)) for layer in layers}
    for variant in VARIANTS:
        key = f"{number}.{variant}."
        associations = {layer: (a[key + "s"][:size], a[key + "s"][size:]) for layer, a in stored.items()}
        profile = profile_test(
            associations, method=config.method, alternative=config.alternative, seed=config.seed, draws=config.draws
        )
        for depth, found in enumerate(profile):
            arrays = stored[found.layer]
            yield {
                "test": test.name,
                **dict(zip("xyab", test.labels, strict=True)),
                **{f"images_{s}": len(rows) for s, rows in zip("xyab", test.rows, strict=True)},
                "source": source,
                "layer": found.layer,
                "depth": depth,
                "cosine": variant,
                **_numbers(found),
                **_intervals(arrays[key + "a"], arrays[key + "b"], size, config),
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


def _intervals(to_a: np.ndarray, to_b: np.ndarray, size: int, config: IeatConfig) -> dict[str, Any]:
    targets = interval_from_cosines(to_a, to_b, size, draws=config.bootstrap, seed=config.seed)
    both = interval_from_cosines(
        to_a, to_b, size, resampled="targets and attributes", draws=config.bootstrap, seed=config.seed
    )
    return {
        "low": targets.low,
        "high": targets.high,
        "low_attributes": both.low,
        "high_attributes": both.high,
        "few_images": targets.small,
    }
