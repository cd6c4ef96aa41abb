"""The pictures of a run: each once, whoever asks for them."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from bias_jax.audit import look
from bias_jax.data.decoding import decode
from bias_jax.errors import InputError
from tests.audit.toys import faces, pictures
from tests.data.test_decoding import encoded


def test_equal_pictures_are_one_row_across_data_sets():
    a, b = pictures(3), pictures(3, first=2)  # the last of a is the first of b
    first, second = faces(a, "first"), faces(b, "second")
    images, (one, two) = look([first, second])
    assert len(images) == 5 and images.image_size == (6, 6)
    assert one.rows.tolist() == [0, 1, 2] and two.rows.tolist() == [2, 3, 4]
    assert one.left_out == two.left_out == 0 and one.dataset is first
    for seen, dataset in ((one, first), (two, second)):
        for i, row in enumerate(seen.rows):
            assert images.pictures.read_bytes(int(row)) == dataset.read_bytes(i)


def test_pictures_without_labels_stay_as_they_are():
    """Whether a stimulus counts twice is for its test to say."""
    a = pictures(3)
    images, (seen,) = look([replace(faces([*a, a[0]]), attributes=(), labels={})])
    assert len(images) == 3 and seen.rows.tolist() == [0, 1, 2, 0] and seen.left_out == 0


def copies(number):
    """Each picture twice; the second half in another file format, of the same pixels."""
    files = pictures(number)
    return faces([*files, *(encoded(decode(data), "bmp") for data in files)])


def test_equal_pictures_of_a_labelled_set_count_once():
    """The one whose name comes first, whatever the order of rows; the digest is that of the set without copies."""
    given = copies(4)
    images, (seen,) = look([given])
    assert len(images) == 4 and seen.dataset.image_names == ("toy 0", "toy 1", "toy 2", "toy 3")
    assert seen.rows.tolist() == [0, 1, 2, 3] and seen.left_out == 4
    (note,) = seen.dataset.notes
    assert note.startswith("4 images were left out because an equal picture counts, e.g. 'toy 4' beside 'toy 0'")
    assert seen.sha256 == look([given.take(np.arange(4))])[1][0].sha256
    backwards = look([given.take(np.arange(8)[::-1])])[1][0].dataset
    assert sorted(backwards.image_names) == sorted(seen.dataset.image_names)
    for i in range(4):
        assert decode(images.pictures.read_bytes(i)).tobytes() == decode(given.read_bytes(i)).tobytes()


@pytest.mark.parametrize("what", ["labels", "people"])
def test_equal_pictures_with_different_labels_are_refused_or_left_out(what):
    given = copies(4)
    if what == "labels":
        given.labels["kind"][6], message = 1, r"but kind is 'odd', not 'even'"
    else:
        given, message = replace(given, people=np.array([0, 1, 2, 3, 0, 1, 9, 3])), r"but it shows another person"
    expected = rf"toy.csv: row 8: image 'toy 6' is the same picture as 'toy 2' of row 4, {message}.*--drop-contradict"
    with pytest.raises(InputError, match=expected):
        look([given])
    _, (seen,) = look([given], drop_contradictory=True)
    assert seen.dataset.image_names == ("toy 0", "toy 1", "toy 3") and seen.left_out == 5
    assert [note.split(" images")[0] for note in seen.dataset.notes] == ["3", "2"]
    assert "an equal picture has other labels, e.g. 'toy 2'" in seen.dataset.notes[1]


def test_a_set_of_nothing_but_contradictions_is_refused():
    (one,) = pictures(1)
    with pytest.raises(InputError, match="every picture is there more than once, with different labels"):
        look([faces([one, one])], drop_contradictory=True)


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
    assert seen.dataset.labels["kind"].tolist() == [0, 0] and "1 image cannot be decoded" in seen.dataset.notes[0]
    with pytest.raises(InputError, match="not one image can be decoded"):
        look([faces([b"x"])], skip_unreadable=True)


def test_digest_changes_with_names_labels_and_pixels_only():
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


def blurred(number, size=(80, 60), **options):
    """Pictures of large patches as JPEG, which look alike in any size."""
    patches = np.random.default_rng(number).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(patches).resize((100, 100), Image.Resampling.BICUBIC).resize(size).save(stream, "jpeg", **options)
    return stream.getvalue()


def test_look_alikes_are_counted_and_joined_where_that_is_asked():
    files = [*(blurred(i) for i in range(4)), blurred(0, quality=40), blurred(2, (120, 90)), blurred(0, (50, 40))]
    given = faces(files)
    _, (ignored,) = look([given])
    _, (reported,) = look([given], near_duplicates="report")
    _, (joined,) = look([given], near_duplicates="join")
    assert ignored.look_alikes is None and ignored.dataset is given
    assert reported.look_alikes == joined.look_alikes == 3 and len(joined.dataset) == 7
    (note,) = reported.dataset.notes
    assert note.startswith("3 images look like another one (perceptual hash), e.g. 'toy 4' and 'toy 0'; --near-dupl")
    assert reported.dataset.persons is None and reported.sha256 == ignored.sha256
    assert joined.dataset.persons.tolist() == [0, 1, 2, 3, 0, 2, 0] and joined.sha256 != ignored.sha256
    assert "they count as one person" in joined.dataset.notes[0]
    known = replace(given, people=np.array([5, 5, 7, 8, 9, 4, 3]))  # who is known to be one stays so
    _, (both,) = look([known], near_duplicates="join")
    assert both.dataset.persons.tolist() == [0, 0, 1, 2, 0, 1, 0]
    assert look([faces(files[:4])], near_duplicates="join")[1][0].look_alikes == 0
