"""timm's own models: the same random weights give the same logits, through a safetensors file and the conversion."""

import jax
import numpy as np
import pytest

from bias_jax.networks import forward, inception_v3
from converters.checkpoint import open_weights
from tests.reference import torch_oracle as oracle

SIZES = {"vgg16": (224, 224), "resnet50": (96, 128), "inception_v3": (139, 171)}
TOLERANCE = {"vgg16": 1e-4, "resnet50": 1e-4, "inception_v3": 5e-4}
NAMES = {"vgg16": 32, "resnet50": 320, "inception_v3": 566}


@pytest.mark.torch
@pytest.mark.parametrize("name", list(SIZES))
def test_logits_equal_timms(name, tmp_path, needs_torchvision):
    timm = pytest.importorskip("timm")
    torch = pytest.importorskip("torch")
    numpy_safetensors = pytest.importorskip("safetensors.numpy")
    with torch.device("meta"):
        model = timm.create_model(name, pretrained=False)
    arrays = oracle.seeded_state_dict({key: list(value.shape) for key, value in model.state_dict().items()})
    assert len(arrays) == NAMES[name]
    model.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in arrays.items()}, assign=True)
    path = tmp_path / "model.safetensors"
    numpy_safetensors.save_file(arrays, path)
    weights = open_weights(name, path, "tv_in1k")

    images = oracle.seeded_images(1, SIZES[name])
    logits, _ = jax.device_get(jax.jit(lambda p, x: forward(name, p, x))(weights.params(), images))
    if name == "inception_v3":  # timm's wants images in [-1, 1]; ours transforms ImageNet's normalisation itself
        images = np.asarray(inception_v3.transform_input(jax.numpy.asarray(images)))
    with torch.no_grad():
        expected = model.eval()(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    assert np.abs(logits - expected).max() / np.abs(expected).max() < TOLERANCE[name]
