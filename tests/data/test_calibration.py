import math

import numpy as np
import pytest

from bias_jax.data import CalibrationConfig, bayes_accuracy, calibration_faces
from bias_jax.data.calibration import draw_faces, latent_means
from bias_jax.data.decoding import decode


def test_same_seed_same_pixels_other_seed_others():
    config = CalibrationConfig(per_group=1, size=64)
    one, same, other = (calibration_faces(config, seed) for seed in (3, 3, 4))
    assert one.read_bytes(5) == same.read_bytes(5)
    assert one.read_bytes(5) != other.read_bytes(5)
    assert decode(one.read_bytes(5)).shape == (64, 64, 3)
    assert (one.labels["null"] == same.labels["null"]).all()


def test_groups_are_balanced_and_null_is_even():
    dataset = calibration_faces(CalibrationConfig(per_group=7, size=16), 0)
    assert (np.bincount(dataset.group_labels) == 7).all()
    assert abs(np.bincount(dataset.labels["null"]) - len(dataset) / 2).max() <= 0.5


@pytest.mark.parametrize(("name", "categories", "noise"), [("race", 4, 0.35), ("age", 3, 0.5), ("gender", 2, 0.8)])
def test_bayes_accuracy_against_the_closed_form(name, categories, noise):
    tail = 0.5 * math.erfc(0.5 / noise / math.sqrt(2.0))
    expected = 1.0 - 2.0 * (categories - 1) / categories * tail
    assert bayes_accuracy(CalibrationConfig(), [name]) == pytest.approx(expected, abs=0.005)  # three standard errors


def test_bayes_accuracy_of_an_intersection_is_the_product_without_interaction():
    config = CalibrationConfig()
    single = [bayes_accuracy(config, [n]) for n in ("race", "age")]
    assert bayes_accuracy(config, ["race", "age"]) == pytest.approx(single[0] * single[1], abs=0.006)


def test_planted_interaction_moves_the_mouth_and_no_single_attribute():
    config = CalibrationConfig(interactions=(("race", "gender", 2.0),))
    means, _ = latent_means(config)
    table = means[:, 3].reshape(4, 3, 2)
    assert (table.mean(axis=(1, 2)) == 0).all() and (table.mean(axis=(0, 1)) == 0).all()
    assert (np.abs(table) == 1).all()
    better, plain = (bayes_accuracy(c, ["race", "gender"]) for c in (config, CalibrationConfig()))
    assert better > plain + 0.05
    assert bayes_accuracy(config, ["age"]) == pytest.approx(bayes_accuracy(CalibrationConfig(), ["age"]), abs=0.005)


def test_each_latent_moves_its_own_property():
    def face(palette=1.0, texture=1.0, width=0.5, mouth=0.0):
        return draw_faces(np.array([[palette, texture, width, mouth]]), 224, 1)[0].astype(float)

    middle = np.s_[108:138, 90:134]  # between eyes and mouth
    colour = face(palette=3)[middle].mean((0, 1)) - face(palette=0)[middle].mean((0, 1))
    assert colour[0] < -40 and colour[2] > 40  # from orange to blue
    assert face(texture=2)[middle][..., 0].std() > 1.5 * face(texture=0)[middle][..., 0].std()
    sides = np.s_[80:140, 20:60]
    assert np.abs(face(width=1) - face(width=0))[sides].mean() > 3
    lower = np.s_[135:175, 60:160]
    assert np.abs(face(mouth=2) - face(mouth=-2))[lower].mean() > 3
    assert np.abs(face(mouth=2) - face(mouth=-2))[:100].max() == 0


def test_faces_do_not_depend_on_how_many_are_drawn():
    latents = np.zeros((60, 4))
    assert (draw_faces(latents, 32, 0)[:7] == draw_faces(latents[:7], 32, 0)).all()
