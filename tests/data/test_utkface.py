import numpy as np
import pytest
from PIL import Image

from bias_jax.data import read_utkface
from bias_jax.errors import InputError

STAMP = "20170109150557335"


def touch(root, *names):
    for name in names:
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(root / name, "jpeg")


def test_names_become_labels_and_incomplete_ones_are_counted(tmp_path):
    touch(
        tmp_path,
        f"0_0_0_{STAMP}.jpg",
        f"2_1_1_{STAMP}.jpg.chip.jpg",
        f"3_0_2_{STAMP}.jpg.chip.jpg",
        f"69_0_3_{STAMP}.jpg",
        f"70_1_4_{STAMP}.jpg",
        f"116_1_4_{STAMP}.jpg",
    )
    touch(tmp_path, f"61_1_{STAMP}.jpg.chip.jpg", f"117_0_0_{STAMP}.jpg", f"20_0_5_{STAMP}.jpg", "24_0_1_.jpg", "x.jpg")
    dataset = read_utkface(tmp_path)
    found = {n: dataset.groups.classes[g] for n, g in zip(dataset.image_names, dataset.group_labels, strict=True)}
    assert found == {
        f"0_0_0_{STAMP}.jpg": "White / 0-2 / Male",
        f"2_1_1_{STAMP}.jpg.chip.jpg": "Black / 0-2 / Female",
        f"3_0_2_{STAMP}.jpg.chip.jpg": "Asian / 3-9 / Male",
        f"69_0_3_{STAMP}.jpg": "Indian / 60-69 / Male",
        f"70_1_4_{STAMP}.jpg": "Others / more than 70 / Female",
        f"116_1_4_{STAMP}.jpg": "Others / more than 70 / Female",
    }
    assert dataset.notes[0].startswith("5 files without a complete name")


def test_folders_without_utkface(tmp_path):
    with pytest.raises(InputError, match="no such directory"):
        read_utkface(tmp_path / "nowhere")
    touch(tmp_path, "x.jpg")
    with pytest.raises(InputError, match="holds no image named"):
        read_utkface(tmp_path)
