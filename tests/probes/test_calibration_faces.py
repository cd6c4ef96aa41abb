"""Probes of drawn faces, 200 sets of them: intervals cover what further sets give."""

import io

import jax
import numpy as np
import pytest
from PIL import Image
from scipy.stats import binom

from bias_jax.data import CalibrationConfig, calibration_faces, stratified_folds
from bias_jax.probes import ProbeConfig, cross_validate, score_probes
from bias_jax.randomness import key_for

REPEATS, SIZE, GRID = 200, 48, 8
SIZES = {"gender": 2, "race": 4, "null": 2}
METRICS = "balanced_accuracy", "information_bits"
pytestmark = pytest.mark.slow


def colours(faces):
    """Mean colours of a grid, [N, 192]."""
    images = [Image.open(io.BytesIO(faces.read_bytes(i))) for i in range(len(faces))]
    return np.stack([np.asarray(i.resize((GRID, GRID), Image.Resampling.BOX), np.float32).ravel() for i in images])


def test_intervals_cover():
    config, drawn = ProbeConfig(shuffles=0), CalibrationConfig(size=SIZE)
    found = []
    for seed in range(REPEATS):
        faces = calibration_faces(drawn, seed)
        groups = np.repeat(np.arange(24), drawn.per_group)
        folds = stratified_folds(faces, config.folds, seed)
        labels = {name: faces.labels[name] for name in SIZES}
        result = cross_validate(jax.device_put(colours(faces)), labels, SIZES, folds, groups, config, seed)
        shapes = {name: ((name, size),) for name, size in SIZES.items()}
        scores = score_probes(result, shapes, groups, draws=300, key=key_for(seed, "bootstrap"))
        found.append({(s.probe, s.metric): s for s in scores if s.split == "held out" and s.metric in METRICS})
    covered = {}
    for probe, metric in found[0]:
        own = [scores[probe, metric] for scores in found]
        # What the tool estimates: the mean over sets of faces. Its own error is a fourteenth of a set's.
        truth = np.mean([s.value for s in own])
        if (probe, metric) == ("null", "balanced_accuracy"):
            assert truth == pytest.approx(0.5, abs=0.02)
        covered[probe, metric] = sum(s.low <= truth <= s.high for s in own)
    print({k: (int(v), round(float(np.mean([s[k].value for s in found])), 3)) for k, v in covered.items()})
    low, high = binom.ppf([0.001, 0.999], REPEATS, 0.95)
    for (probe, metric), count in covered.items():  # wider than needed where there is nothing to find
        assert low <= count <= (REPEATS if probe == "null" else high), (probe, metric, count)
