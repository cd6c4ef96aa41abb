import numpy as np
import pytest
from flax import nnx

from bias_jax.networks import NETWORKS, Network
from bias_jax.networks.layers import conv, norm
from tests.reference import torch_oracle as oracle


@pytest.fixture(scope="session")
def state_dict():
    """Seeded weights of ResNet50 under torchvision's names."""
    shapes, _ = oracle.frozen("resnet50")
    return oracle.seeded_state_dict(shapes)


class Tiny(nnx.Module):
    """Named like a ResNet, never run."""

    def __init__(self, classes: int, rngs: nnx.Rngs):
        self.conv1 = conv(3, 2, 3, rngs=rngs)
        self.bn1 = norm(2, 1e-5, rngs)
        self.layer1 = nnx.List([conv(2, 4, 1, rngs=rngs), conv(4, 4, 1, rngs=rngs)])
        self.fc = nnx.Linear(4, classes, rngs=rngs)


@pytest.fixture(scope="module")
def tiny():
    """A network of the registry that converts in no time, and its weights under torchvision's names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "tiny", Network(Tiny, 8, 1, 8, ("fc",), ("conv1",)))
        shapes = {"conv1.weight": [2, 3, 3, 3], "layer1.0.weight": [4, 2, 1, 1], "layer1.1.weight": [4, 4, 1, 1]}
        shapes |= {f"bn1.{leaf}": [2] for leaf in ("weight", "bias", "running_mean", "running_var")}
        yield oracle.seeded_state_dict(shapes | {"bn1.num_batches_tracked": [], "fc.weight": [3, 4], "fc.bias": [3]})


@pytest.fixture
def needs_torchvision():
    if not oracle.importable():
        pytest.skip("torch and torchvision are not both installed")


@pytest.fixture
def photographs(tmp_path, rng):
    """A folder of images of different sizes."""
    from PIL import Image

    folder = tmp_path / "photographs"
    for i, size in enumerate([(260, 300), (301, 240), (64, 80)]):
        path = folder / ("a" if i else "b") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype="uint8"))
        coarse.resize(size, Image.Resampling.BICUBIC).save(path)
    return folder


def under(prefix: str, arrays: dict) -> dict:
    """The same arrays with something before every name."""
    return {f"{prefix}{key}": value for key, value in arrays.items()}


def without(arrays: dict, *starts: str) -> dict:
    """The arrays whose names do not begin so."""
    return {key: value for key, value in arrays.items() if not key.startswith(starts)}


def floats(*shape: int) -> np.ndarray:
    """An array that takes no memory."""
    return np.broadcast_to(np.float32(0.5), shape)
