import pytest

from tests.reference import torch_oracle as oracle


@pytest.fixture(scope="session")
def state_dict():
    """Seeded weights of ResNet50 under torchvision's names."""
    shapes, _ = oracle.frozen("resnet50")
    return oracle.seeded_state_dict(shapes)


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
