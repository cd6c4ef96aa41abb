import numpy as np
import pytest

from bias_jax.data import Attribute, Target, all_targets
from bias_jax.data.fairface import ATTRIBUTES
from bias_jax.errors import InputError
from tests.conftest import toy_dataset


def test_fairface_targets_have_the_published_sizes():
    targets = all_targets(ATTRIBUTES)
    assert [t.size for t in targets] == [7, 9, 2, 63, 14, 18, 126]
    assert sum(t.size for t in targets) == 239
    assert targets[-1].name == "race x age x gender"


def test_class_numbers_are_mixed_radix_and_invertible(rng):
    target = Target(ATTRIBUTES)
    labels = {a.name: rng.integers(0, len(a.categories), 500).astype(np.int32) for a in ATTRIBUTES}
    classes = target.encode(labels)
    assert (classes == (labels["race"] * 9 + labels["age"]) * 2 + labels["gender"]).all()
    for name, values in target.decode(classes).items():
        assert (values == labels[name]).all()
    for i in (0, 77, 499):
        words = target.classes[classes[i]].split(" / ")
        assert words == [a.categories[labels[a.name][i]] for a in ATTRIBUTES]


def test_targets_of_two_attributes():
    a, b = Attribute("a", ("x", "y")), Attribute("b", ("u", "v", "w"))
    assert [t.name for t in all_targets((a, b))] == ["a", "b", "a x b"]


def test_attributes_with_one_category_are_left_out():
    """Of the null attribute, too; the rows and the other labels stay."""
    faces = toy_dataset([[3], [4]], solo=True)
    left = faces.varying()
    assert [a.name for a in left.attributes] == ["first"] and left.groups.size == 2 and len(left) == 7
    assert set(left.labels) == {"first", "coin"} and left.notes == (
        "second is always 'second 0': nothing is asked about that",
    )
    assert toy_dataset([[3, 1], [4, 1]]).varying().notes == ()
    with pytest.raises(InputError, match=r"first is always 'first 0' and second is always 'second 0'.*other people"):
        toy_dataset([[3]]).varying()
