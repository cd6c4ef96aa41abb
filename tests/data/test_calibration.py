import numpy as np
import pytest

from bias_jax.data import CalibrationConfig, bayes_accuracy, calibration_faces
from bias_jax.data.calibration import draw_face
from bias_jax.data.decoding import decode


def test_same_seed_same_pixels_other_seed_others():
    config = CalibrationConfig(per_group=1)
    one, same, other = (calibration_faces(config, seed) for seed in (3, 3, 4))
    assert one.read_bytes(5) == same.read_bytes(5)
    assert one.read_bytes(5) != other.read_bytes(5)
    assert decode(one.read_bytes(5)).shape == (224, 224, 3)
    assert (one.labels["null"] == same.labels["null"]).all()


def test_groups_are_balanced_and_null_is_even():
    dataset = calibration_faces(CalibrationConfig(per_group=7), 0)
    assert (np.bincount(dataset.group_labels) == 7).all()
    assert abs(np.bincount(dataset.labels["null"]) - len(dataset) / 2).max() <= 0.5


@pytest.mark.parametrize(("categories", "noise"), [(2, 0.8), (3, 0.5), (4, 0.35)])
def test_bayes_accuracy_against_simulation(categories, noise, rng):
    true = rng.integers(0, categories, 200_000)
    guess = np.clip(np.rint(true + noise * rng.standard_normal(len(true))), 0, categories - 1)
    # standard error 0.001
    assert np.mean(guess == true) == pytest.approx(bayes_accuracy(categories, noise), abs=0.005)


def test_each_latent_moves_its_own_property():
    def face(palette=1.0, texture=1.0, width=0.5):
        return draw_face(palette, texture, width, np.random.default_rng(1)).astype(float)

    middle = np.s_[108:138, 90:134]  # between eyes and mouth
    colour = face(palette=3)[middle].mean((0, 1)) - face(palette=0)[middle].mean((0, 1))
    assert colour[0] < -40 and colour[2] > 40  # from orange to blue
    assert face(texture=2)[middle][..., 0].std() > 1.5 * face(texture=0)[middle][..., 0].std()
    assert np.abs(face(width=1) - face(width=0)).mean() > 1
