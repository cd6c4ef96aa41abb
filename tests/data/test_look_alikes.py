"""Pictures that look alike: hashes against ImageHash, groups against comparing every pair."""

import io
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from bias_jax.data import read_fairface
from bias_jax.data.decoding import decode
from bias_jax.data.look_alikes import NEAR, SIDE, look_alikes, miniature, perceptual_hashes


def test_hashes_are_those_of_imagehash(rng):
    imagehash = pytest.importorskip("imagehash")
    coarse = [rng.integers(0, 255, (8, 9, 3), dtype=np.uint8) for _ in range(20)]
    pictures = [np.asarray(Image.fromarray(p).resize((200, 150), Image.Resampling.BICUBIC)) for p in coarse]
    small = [miniature(p) for p in pictures]
    for found, own in zip(perceptual_hashes(small), small, strict=True):
        expected = imagehash.phash(Image.frombytes("L", (SIDE, SIDE), own))
        assert f"{found:016x}" == str(expected)
    whole = [imagehash.phash(Image.fromarray(p[..., 1])) for p in pictures]  # resized as that library does it
    assert all(
        bin(int(str(a), 16) ^ int(b)).count("1") <= 8 for a, b in zip(whole, perceptual_hashes(small), strict=True)
    )


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (31, 31), (63, 200), (1000, 777)])
def test_pictures_of_any_size_have_miniatures(shape, rng):
    assert len(miniature(rng.integers(0, 255, (*shape, 3), dtype=np.uint8))) == SIDE * SIDE
    assert perceptual_hashes([]).shape == (0,)


def test_groups_are_those_of_all_pairs(rng):
    """Hashes with neighbours at every distance around the limit, and chains of them."""
    hashes = rng.integers(0, 2**63, 300, dtype=np.uint64)
    for i in range(150, 300):
        bits = rng.choice(64, int(rng.integers(0, 9)), replace=False)
        hashes[i] = hashes[int(rng.integers(i))] ^ np.bitwise_or.reduce(
            np.uint64(1) << bits.astype(np.uint64), initial=0
        )
    group = np.arange(300)
    for a, b in combinations(range(300), 2):
        if int(hashes[a] ^ hashes[b]).bit_count() <= NEAR:
            group[group == group[b]] = group[a]
    found = look_alikes(hashes)
    assert len(np.unique(group)) < 260
    assert (np.equal.outer(found, found) == np.equal.outer(group, group)).all()


def test_photographs_and_their_copies(fairface_dir):
    """300 photographs: none looks like another, all but few copies look like their own."""
    dataset = read_fairface(fairface_dir).take(np.arange(300))
    photographs = [decode(dataset.read_bytes(i)) for i in range(300)]
    hashes = perceptual_hashes([miniature(p) for p in photographs])
    assert len(np.unique(look_alikes(hashes))) == 300
    found = []
    for number, (size, quality) in enumerate(((224, 30), (112, 50), (448, 75), (300, 90))):
        again = []
        for photograph in photographs[number::4]:
            stream = io.BytesIO()
            Image.fromarray(photograph).resize((size, size)).save(stream, "jpeg", quality=quality)
            again.append(miniature(decode(stream.getvalue())))
        found.append(np.bitwise_count(perceptual_hashes(again) ^ hashes[number::4]) <= NEAR)
    assert np.mean(found) >= 0.98
