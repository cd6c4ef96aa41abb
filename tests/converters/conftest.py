import numpy as np
import pytest

from tests.converters.tiny import tiny_network
from tests.reference import torch_oracle as oracle


@pytest.fixture(scope="session")
def state_dict():
    """Seeded weights of ResNet50 under torchvision's names."""
    shapes, _ = oracle.frozen("resnet50")
    return oracle.seeded_state_dict(shapes)


@pytest.fixture(scope="module")
def tiny():
    """Weights of the network ``tiny`` under torchvision's names, while it is registered."""
    with tiny_network() as weights:
        yield weights


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


def without(arrays: dict, *starts: str) -> dict:
    """The arrays whose names do not begin so."""
    return {key: value for key, value in arrays.items() if not key.startswith(starts)}


def floats(*shape: int) -> np.ndarray:
    """An array that takes no memory."""
    return np.broadcast_to(np.float32(0.5), shape)
