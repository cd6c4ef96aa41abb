import pytest

from bias_jax.errors import InputError
from bias_jax.networks import NETWORKS, Transform
from experiments.subject import Subject


def test_layers_without_valid_weights_are_left_out_or_refused():
    trained = Subject("vgg16", {}, Transform(256, 224), "weights", "0")
    features = Subject("vgg16", {}, Transform(256, 224), "weights", "0", untrained="classifier.")
    assert trained.layers(()) == NETWORKS["vgg16"].layers
    assert trained.layers(("classifier.1",)) == ("classifier.1",)
    assert features.layers(()) == tuple(f"features.{i}" for i in (4, 9, 16, 23, 30))
    with pytest.raises(InputError, match=r"layer 'classifier\.1' has no valid weights"):
        features.layers(("features.4", "classifier.1"))
