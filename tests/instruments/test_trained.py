"""A trained network on photographs: age far above race and gender between groups, and what it says of people.

The network is an InceptionV3 fine-tuned for content moderation.
"""

import pytest

from bias_jax.audit import PIXELS, RunConfig, audit
from bias_jax.data import balanced_subset, read_fairface
from bias_jax.instruments import Predictions, Variance
from tests.instruments.moderation import moderation, named_classes, registered


@pytest.fixture(scope="module")
def found(trained_dir, fairface_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("moderation")
    faces, classes = balanced_subset(read_fairface(fairface_dir), 8, 0), named_classes(folder)
    instruments = [Variance(permutations=199), Predictions(classes, top=2, permutations=99)]
    config = RunConfig(layers=("maxpool2", "Mixed_6b", "Mixed_7c"))
    with registered():
        result = audit(moderation(trained_dir), instruments, faces=faces, config=config, out=folder / "run")
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
