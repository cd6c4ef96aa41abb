"""The pictures of a run: each once, whoever asks for them."""

import numpy as np
import pytest

from bias_jax.audit import look
from bias_jax.data.decoding import decode
from bias_jax.errors import InputError
from tests.audit.toys import faces, pictures


def test_equal_pictures_are_one_row_within_and_across_data_sets():
    a, b = pictures(3), pictures(3, first=2)  # the last of a is the first of b
    first, second = faces([*a, a[0]], "first"), faces(b, "second")
    images, (one, two) = look([first, second])
    assert len(images) == 5 and images.image_size == (6, 6)
    assert one.rows.tolist() == [0, 1, 2, 0] and two.rows.tolist() == [2, 3, 4]
    for seen, dataset in ((one, first), (two, second)):
        for i, row in enumerate(seen.rows):
            assert images.pictures.read_bytes(int(row)) == dataset.read_bytes(i)


def test_equal_pixels_in_other_files_are_one_row():
    from tests.data.test_decoding import encoded

    pixels = decode(pictures(1)[0])
    images, (seen,) = look([faces([encoded(pixels), encoded(pixels, "bmp")])])
    assert len(images) == 1 and seen.rows.tolist() == [0, 0]


def test_pictures_of_several_sizes_have_no_common_one():
    images, _ = look([faces(pictures(2) + pictures(1, first=9, size=8))])
    assert images.image_size is None


def test_unreadable_pictures_are_refused_or_left_out():
    files = pictures(3)
    files[1] = b"no picture"
    with pytest.raises(InputError, match=r"toy.csv: row 3: image 'toy 1' cannot be decoded.*--skip-unreadable"):
        look([faces(files)])
    images, (seen,) = look([faces(files)], skip_unreadable=True)
    assert len(images) == 2 and seen.dataset.image_names == ("toy 0", "toy 2")
    assert seen.dataset.labels["kind"].tolist() == [0, 0] and "1 images cannot be decoded" in seen.dataset.notes[0]
    with pytest.raises(InputError, match="not one image can be decoded"):
        look([faces([b"x"])], skip_unreadable=True)


def test_digest_changes_with_names_labels_and_pixels_only():
    from dataclasses import replace

    base = faces(pictures(3))
    digest = look([base])[1][0].sha256
    assert look([faces(pictures(3))])[1][0].sha256 == digest
    assert look([faces(pictures(4), "other"), base])[1][1].sha256 == digest  # whatever else is in the set
    other = (
        replace(base, labels={"kind": np.array([1, 1, 0])}),
        replace(base, image_names=("a", "b", "c")),
        faces(pictures(3, first=1)),
    )
    assert all(look([changed])[1][0].sha256 != digest for changed in other)
