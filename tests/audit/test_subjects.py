import numpy as np
import pytest

from bias_jax.activations import OUTPUT, LayerPlan
from bias_jax.audit import FlaxSubject, audit, look
from bias_jax.audit.subjects import MEAN_COLOUR, RANDOM, RAW_PIXELS, SIDE, Baseline, load_subject
from bias_jax.data.decoding import decode
from bias_jax.devices import device_mesh
from bias_jax.errors import InputError
from bias_jax.networks import NETWORKS, Transform, abstract_params, random_params
from tests.audit.toys import Recorder, faces, pictures
from tests.small import SMALL


def test_layers_without_valid_weights_are_left_out_or_refused():
    params = abstract_params("vgg16")
    trained, features, first, wrong = (
        FlaxSubject("vgg16", params, Transform(256, 224), "weights", "0", untrained=prefix)
        for prefix in (None, "classifier.", "classifier.3", "classifier.7")
    )
    assert trained.choice(()).layers == NETWORKS["vgg16"].layers and trained.choice(()).output
    assert trained.choice(("classifier.1",)).layers == ("classifier.1",) and trained.choice(("classifier.1",)).by_user
    assert features.choice(()).layers == tuple(f"features.{i}" for i in (4, 9, 16, 23, 30))
    assert not features.choice(()).output
    with pytest.raises(InputError, match=r"layer 'classifier\.1' has no valid weights"):
        features.choice(("features.4", "classifier.1"))
    assert first.choice(()).layers == (*features.choice(()).layers, "classifier.1")
    for layer in ("classifier.3", "classifier.4", OUTPUT):
        with pytest.raises(InputError, match=f"layer '{layer}' has no valid weights"):
            first.choice((layer,))
    with pytest.raises(InputError, match=r"no layer of vgg16 begins with 'classifier\.7'"):
        wrong.choice(())


def test_the_baseline_is_the_centre_square_from_black_to_white():
    """Pictures of 36 x 36 need no resizing: 2 pixels are cut off on every side."""
    files = pictures(3, size=36)
    images, _ = look([faces(files)])
    wave = [LayerPlan(RAW_PIXELS, (1, 1, SIDE * SIDE * 3), 0), LayerPlan(MEAN_COLOUR, (1, 1, 3), 0)]
    pixels, colour = Baseline().extract(images, wave, {}, batch_size=2, precision="float32", mesh=device_mesh(1))
    expected = np.stack([decode(data)[2:34, 2:34] for data in files]) / 127.5 - 1.0
    np.testing.assert_allclose(pixels, expected.reshape(3, -1), atol=1e-6)
    np.testing.assert_allclose(colour, expected.mean(axis=(1, 2)), atol=1e-6)


def test_images_prepared_in_another_way_are_another_run(monkeypatch, tmp_path):
    """The weights are the same, and the features are not. Random weights beside others see the same images as they."""
    monkeypatch.setitem(NETWORKS, "small", SMALL)
    params = random_params("small", 0, np.zeros((2, 24, 24, 3), np.float32))
    one, other = (FlaxSubject("small", params, Transform(side, 24), "weights", "0") for side in (28, 26))
    given = faces(pictures(4, size=30))
    audit(one, [Recorder()], faces=given, out=tmp_path)
    audit(one, [Recorder()], faces=given, out=tmp_path)
    with pytest.raises(InputError, match=r"holds another run.*preparation_sha256"):
        audit(other, [Recorder()], faces=given, out=tmp_path)
    beside = load_subject("small", RANDOM, given, (30, 30), 0, like=other)
    assert beside.transform == other.transform and beside.params.keys() == params.keys()
