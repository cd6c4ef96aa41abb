"""What the storm passes over: a short sweep of all instruments, of a small network on small drawn faces."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image

from bias_jax.data import CalibrationConfig, calibration_faces
from bias_jax.data.decoding import decode
from bias_jax.instruments import INSTRUMENTS
from bias_jax.networks import NETWORKS
from experiments import sweep
from tests.small import SMALL

# fmt: off
OPTIONS = [
    "--per-group", "9", "--batch-size", "16", "--probes.l2", "1,10", "--probes.draws", "100", "--probes.folds", "3",
    "--recipe.epochs", "2", "--recipe.l1", "1e-3", "--recipe.batch-size", "24",
    "--heads.losses", "target_softmax,binary_cross_entropy", "--heads.epochs", "1", "--heads.seeds", "1",
    "--heads.folds", "3", "--heads.draws", "100", "--heads.examples", "2", "--heads.attention", "1",
    "--heads.occlusion", "2", "--associations.draws", "1000", "--associations.bootstrap", "100",
    "--maps.permutations", "19", "--variance.permutations", "99", "--predictions.permutations", "99",
    "--sensitivity.looked-at", "8", "--sensitivity.permutations", "99", "--heads.mends", "balanced,thresholds",
    "--heads.mended-loss", "target_softmax", "--zeroshot.layer", "second",
    "--zeroshot.k", "5", "--zeroshot.shuffles", "99",
]
# fmt: on
PROMPTS = """
[colour]
attribute = "race"
templates = ["a {} face", "{}"]
prompts = {"palette 0" = "pale", "palette 1" = "tan", "palette 2" = "brown", "palette 3" = "dark"}
"""


def main(arguments: list[str]) -> int:
    """The sweep, with the small network."""
    NETWORKS["small"] = SMALL
    mpl.rcParams["savefig.dpi"] = 15  # figures are most of the time of a short run
    return sweep.main(arguments)


def draw(folder: Path, instruments: Sequence[str] = tuple(INSTRUMENTS)) -> list[str]:
    """Draw faces with one attribute and one association test; the arguments of a sweep over them."""
    faces = calibration_faces(CalibrationConfig(per_group=2), 0)
    stimuli, lines = folder / "stimuli/palettes", ["file,race"]
    for name in "xyab":
        (stimuli / name).mkdir(parents=True)
    for i in range(len(faces)):
        small = Image.fromarray(decode(faces.read_bytes(i))).resize((30, 30))
        race = int(faces.labels["race"][i])
        small.save(folder / f"{i}.png")
        lines.append(f"{i}.png,palette {race}")
        if race in (0, 3):
            name = ("xa" if race == 0 else "yb")[i % 2]
            small.save(stimuli / f"{name}/{i}.png")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    (folder / "prompts.toml").write_text(PROMPTS)
    rng, words = np.random.default_rng(0), ("pale", "tan", "brown", "dark")
    texts = [text.format(word) for word in words for text in ("a {} face", "{}")]
    np.savez(folder / "texts.npz", **{text: rng.standard_normal(16).astype(np.float32) for text in texts})
    data = ["--data", "table", "--table", str(folder / "labels.csv"), "--attributes", "race"]
    return ["--instruments", ",".join(instruments), *data, "--models", "small", *OPTIONS,
            "--associations.stimuli", str(folder / "stimuli"), "--zeroshot.prompts", str(folder / "prompts.toml"),
            "--zeroshot.texts", str(folder / "texts.npz"), "--cache", str(folder / "cache")]  # fmt: skip
