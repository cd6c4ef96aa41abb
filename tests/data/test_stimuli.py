from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from bias_jax.audit import look
from bias_jax.data import (
    PUBLISHED_TESTS,
    StimulusRequest,
    check_pictures,
    folder_images,
    folder_tests,
    group_images,
    locate_tests,
    stimulus_pictures,
)
from bias_jax.data.decoding import decode
from bias_jax.data.published_tests import INTERSECTIONAL, MAIN
from bias_jax.errors import InputError
from tests.conftest import toy_dataset


def picture(path, seed, mode="RGB", size=(20, 24)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    if mode == "I;16":
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    elif mode == "P transparent":
        image = image.convert("P")
        image.info["transparency"] = bytes(range(256))
        image.save(path, transparency=bytes(range(256)))
        return
    elif mode != "RGB":
        image = image.convert(mode)
    image.save(path, **({"lossless": True} if path.suffix == ".webp" else {}))


def looked_at(requests, **options):
    """The distinct pictures, what was seen, and the tests as rows of the readable images."""
    images, (seen,) = look([stimulus_pictures(requests, "stimuli")], **options)
    return images, seen, locate_tests(requests, seen.dataset.image_names)


def checked(seen, tests, published=False):
    """The only test with what was repeated taken out, and notes."""
    return check_pictures(tests[0], seen.rows, seen.dataset, published)


@pytest.fixture
def folder(tmp_path):
    for number, (name, count) in enumerate((("x", 3), ("y", 2), ("a", 2), ("b", 3))):
        for i in range(count):
            picture(tmp_path / f"flowers/{name}/{i}.png", 10 * number + i)
    return tmp_path


def test_folder_of_tests(folder):
    images, seen, (test,) = looked_at(folder_tests(folder))
    assert test.name == "flowers" and [len(rows) for rows in test.rows] == [3, 2, 2, 3]
    assert len(images) == 10 and images.image_size == (20, 24)
    assert seen.dataset.notes == () and checked(seen, [test])[1] == ()
    name = seen.dataset.image_names[test.rows[1][0]]
    assert name == "flowers/y/0.png"  # wherever the folder lies
    assert seen.dataset.read_bytes(int(test.rows[1][0])) == (folder / name).read_bytes()
    assert [t.name for t in folder_tests(folder / "flowers")] == ["flowers"]
    assert not folder_tests(folder)[0].published


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [("png", "L"), ("png", "RGBA"), ("png", "P"), ("png", "P transparent"), ("png", "I;16"), ("png", "1"),
     ("jpg", "CMYK"), ("jpeg", "L"), ("webp", "RGBA"), ("PNG", "RGB"), ("bmp", "RGB"), ("tif", "I;16")],
)  # fmt: skip
def test_every_mode_and_suffix_is_read(folder, suffix, mode):
    path = folder / f"flowers/x/odd.{suffix}"
    picture(path, 99, mode)
    _, _, (test,) = looked_at(folder_tests(folder))
    assert len(test.rows[0]) == 4
    pixels = decode(path.read_bytes())
    assert pixels.shape == (20, 24, 3) and np.ptp(pixels) > 100  # not clipped to one value


def test_what_a_mac_puts_beside_pictures_is_no_picture(folder):
    for name in ("._0.png", ".DS_Store", "notes.txt"):
        (folder / "flowers/x" / name).write_bytes(b"x")
    _, seen, (test,) = looked_at(folder_tests(folder))
    assert len(test.rows[0]) == 3 and seen.dataset.notes == ()


def test_published_layout_by_name(tmp_path):
    for i, folder in enumerate(sorted({f for name in ("Weight", "Race") for f in MAIN[name]})):
        for k in range(2):
            picture(tmp_path / f"data/experiments/{folder}/{k}.jpg", 10 * i + k)
    for root in (tmp_path, tmp_path / "data/experiments"):
        requests = folder_tests(root)
        assert [r.name for r in requests] == ["Weight", "Race"]
        assert requests[0].labels == ("weight/thin", "weight/fat", "valence/pleasant", "valence/unpleasant")
    images, seen, _ = looked_at(folder_tests(tmp_path))
    assert len(images) == len(seen.dataset) == 12  # the attribute images are shared
    assert [t.name for t in folder_tests(tmp_path, ["Race"])] == ["Race"]


def test_names_of_published_tests():
    assert len(MAIN) == 15 and len(INTERSECTIONAL) == 20 and len(PUBLISHED_TESTS) == 35
    # The published directions that do not follow the name.
    career, valence = ("Intersectional-Gender-Career-WMBM", "Intersectional-Valence-WMWF")
    assert PUBLISHED_TESTS[career][:2] == ("intersectional/black-male", "intersectional/white-male")
    assert PUBLISHED_TESTS[valence][:2] == ("intersectional/white-female", "intersectional/white-male")
    assert PUBLISHED_TESTS["Intersectional-Gender-Career-MF"] == (
        "intersectional/male", "intersectional/female", "gender/career", "gender/family",
    )  # fmt: skip


def test_pictures_repeated_in_a_set_count_once(folder):
    picture(folder / "flowers/y/twice.png", 10)
    picture(folder / "flowers/b/again.webp", 31)  # the pixels of b/1.png in another file format
    images, seen, tests = looked_at(folder_tests(folder))
    (x, y, a, b), notes = checked(seen, tests)[0].rows, checked(seen, tests)[1]
    assert [len(rows) for rows in tests[0].rows] == [3, 3, 2, 4] and len(images) == 10
    assert [len(rows) for rows in (x, y, a, b)] == [3, 2, 2, 3]
    assert len(set(seen.rows[b])) == 3 and set(seen.rows[b]) == set(seen.rows[tests[0].rows[3]])
    assert [note.split(": ")[1] for note in notes] == [
        "1 picture is more than once in y, e.g. flowers/y/twice.png; each counts once",
        "1 picture is more than once in b, e.g. flowers/b/again.webp; each counts once",
    ]


@pytest.mark.parametrize(("name", "seed", "message"), [
    ("b/again.webp", 0, r"target and attribute images at once \(x and b\), 'flowers/x/0.png' is the same as 'flo"),
    ("y/also x.png", 1, r"in both sets \(x and y\), 'flowers/x/1.png' is the same as 'flowers/y/also x.png'"),
    ("a/also b.png", 30, r"in both sets \(a and b\), 'flowers/a/also b.png' is the same as 'flowers/b/0.png'"),
])  # fmt: skip
def test_pictures_in_two_sets_are_refused(folder, name, seed, message):
    picture(folder / "flowers" / name, seed)
    _, seen, tests = looked_at(folder_tests(folder))
    with pytest.raises(InputError, match=f"1 picture is {message}.*delete them"):
        checked(seen, tests)


def test_published_tests_stay_as_they_are(tmp_path):
    """With notes alone: their published numbers hold for these images."""
    for i, name in enumerate(PUBLISHED_TESTS["Weight"]):
        for k in range(2):
            picture(tmp_path / f"{name}/{k}.jpg", 10 * i + k)
    picture(tmp_path / "weight/thin/twice.jpg", 1)
    picture(tmp_path / "valence/pleasant/thin.jpg", 0)
    (request,) = folder_tests(tmp_path)
    _, seen, tests = looked_at([request])
    test, notes = checked(seen, tests, request.published)
    assert request.published and test is tests[0]
    assert "1 picture is more than once in weight/thin, e.g. weight/thin/twice.jpg; as published, all" in notes[0]
    assert "1 picture is target and attribute images at once (weight/thin and valence/pleasant), e.g." in notes[1]


def test_unreadable_image_is_named_or_skipped(folder):
    path = folder / "flowers/a/0.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(InputError, match=r"flowers/a/0.png' cannot be decoded .* --skip-unreadable"):
        looked_at(folder_tests(folder))
    _, seen, (test,) = looked_at(folder_tests(folder), skip_unreadable=True)
    assert "1 image cannot be decoded" in seen.dataset.notes[0] and len(test.rows[2]) == 1
    assert seen.dataset.image_names[test.rows[2][0]] == "flowers/a/1.png"
    (folder / "flowers/a/1.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="no image of a can be decoded"):
        looked_at(folder_tests(folder), skip_unreadable=True)


def test_digest_depends_on_the_pictures_only(folder):
    before = looked_at(folder_tests(folder))[1].sha256
    assert looked_at(folder_tests(folder))[1].sha256 == before
    moved = folder.rename(folder.with_name("moved"))
    assert looked_at(folder_tests(moved))[1].sha256 == before
    picture(moved / "flowers/b/0.png", 123)
    assert looked_at(folder_tests(moved))[1].sha256 != before


def test_folders_without_tests(folder, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    for root, names, message in (
        (folder / "nowhere", (), "no such directory"),
        (empty, (), "holds no association test"),
        (folder, ("Weight",), "holds no test 'Weight'.*choose among flowers"),
    ):
        with pytest.raises(InputError, match=message):
            folder_tests(root, names)
    for image in (folder / "flowers/x").iterdir():
        image.unlink()
    with pytest.raises(InputError, match="holds no image"):
        folder_tests(folder)


def test_groups_of_a_labelled_data_set(folder):
    dataset = toy_dataset([[2, 3], [4, 0]])
    files = sorted((folder / "flowers").rglob("*.png"))
    dataset = replace(dataset, read_bytes=lambda i: files[i].read_bytes())
    assert len(group_images(dataset, "first 0")) == 5
    first, second = group_images(dataset, "second 0 / first 1"), group_images(dataset, "first 0/second 1", 2)
    assert (len(first), len(second)) == (4, 2)
    attributes = folder_images(folder / "flowers/a", "a"), folder_images(folder / "flowers/b", "b")
    _, _, (test,) = looked_at([StimulusRequest("groups", ("g", "h", "a", "b"), (first, second, *attributes))])
    assert [len(rows) for rows in test.rows] == [4, 2, 2, 3]
    known = replace(dataset, people=np.array([0, 0, 1, 1, 2, 2, 3, 3, 4]))
    chosen = [[image.name for image in group_images(known, *group)] for group in (
        ("first 0",), ("first 1", 2), ("first 1", None, "first 0"))]  # fmt: skip
    assert chosen == [[f"faces/image {i}" for i in rows] for rows in ((0, 2, 4), (5, 6), (6, 8))]
    with pytest.raises(InputError, match="'first 1' has no image of other persons than 'first 0'"):
        group_images(replace(dataset, people=np.array([0, 1, 2, 3, 4, 0, 1, 2, 3])), "first 1", without="first 0")
    for group, message in (
        ("third 0", "'third 0' is no category"),
        ("first 0 / first 1", "'first 1' is a second first"),
        ("first 1 / second 1", "has no image"),
    ):
        with pytest.raises(InputError, match=message):
            group_images(dataset, group)
