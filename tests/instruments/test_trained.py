"""A trained network on photographs: age far above race and gender between groups, and what it says of people.

The network is an InceptionV3 fine-tuned for content moderation; its own classes lie behind a head of two more layers.
"""

import importlib.util
from dataclasses import dataclass, field, replace

import jax
import numpy as np
import pytest

from bias_jax.audit import OUTPUT, PIXELS, FlaxSubject, RunConfig, audit
from bias_jax.data import balanced_subset, read_fairface
from bias_jax.instruments import Predictions, Variance
from bias_jax.networks import Transform
from converters import convert

CLASSES = ("drawing", "hentai", "neutral", "porn", "sexy")


@dataclass(frozen=True)
class Moderation(FlaxSubject):
    """The network with its whole head: what it puts out are the five classes it was trained for."""

    head: tuple = field(default=())  # (weight [out, in], bias [out]) of the layers behind the last one

    @property
    def shapes(self):
        return {**FlaxSubject.shapes.func(self), OUTPUT: (1, len(CLASSES))}

    def extract(self, images, wave, labels, **options):
        hidden = [replace(plan, grid=(1, 1, 256)) if plan.name == OUTPUT else plan for plan in wave]
        found = super().extract(images, hidden, labels, **options)
        return [self._classes(x) if plan.name == OUTPUT else x for plan, x in zip(wave, found, strict=True)]

    def _classes(self, hidden):
        x = np.maximum(jax.device_get(hidden), 0.0)
        (first, shift), (last, bias) = self.head
        return jax.device_put((np.maximum(x @ first.T + shift, 0.0) @ last.T + bias).astype(np.float32))


@pytest.fixture(scope="module")
def found(trained_dir, fairface_dir, tmp_path_factory):
    spec = importlib.util.spec_from_file_location("state_dict", trained_dir / "state_dict.py")
    source = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(source)
    params = convert("inception_v3", source.arrays())
    subject = Moderation("inception_v3", params, Transform(342, 299), "moderation", "0", head=tuple(source.head()))
    folder = tmp_path_factory.mktemp("moderation")
    (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    faces = balanced_subset(read_fairface(fairface_dir), 8, 0)
    instruments = [Variance(permutations=199), Predictions(str(folder / "classes.txt"), top=2, permutations=99)]
    config = RunConfig(layers=("maxpool2", "Mixed_6b", "Mixed_7c"))
    result = audit(subject, instruments, faces=faces, config=config, out=folder / "run")
    assert not result.failures
    return result


@pytest.mark.slow
def test_age_is_far_above_race_and_gender_in_the_network_and_race_above_age_in_the_pixels(found):
    rows = [row for row in found.tables["variance"].to_pylist() if row["level"] == "group means"]
    shares = {(row["layer"], row["term"]): row["omega_squared"] for row in rows}
    for layer in ("maxpool2", "Mixed_6b", "Mixed_7c"):
        assert shares[layer, "age"] > 2 * max(shares[layer, "race"], shares[layer, "gender"]), layer
    assert shares[PIXELS, "race"] > shares[PIXELS, "age"] > shares[PIXELS, "gender"]


@pytest.mark.slow
def test_faces_are_taken_for_neutral_pictures(found):
    rows = found.tables["predictions"].to_pylist()
    everyone = next(r for r in rows if r["view"] == "all images" and r["label"] == "neutral" and r["top"] == 1)
    assert everyone["value"] > 0.85 and everyone["images"] > 900
    assert "neutral" in found.findings and found.figure("differences")
