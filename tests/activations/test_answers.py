import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from bias_jax.activations.answers import blocks, named_answer, read_answer
from bias_jax.errors import InputError

X = np.arange(24, dtype=np.float32).reshape(2, 12)


def read(answer, images=2, **options):
    return read_answer(named_answer(answer, "mine"), images, "mine", **options)


def test_every_form_of_an_answer_is_read():
    output, found = read({"late": X, "early": X.reshape(2, 2, 2, 3)})
    assert output is None and list(found) == ["late", "early"]  # as given
    output, found = read((X[:, :5], {"a": {"b": X, "c": {"intermediates": {"__call__": (X, X + 1)}}}}))
    assert output.shape == (2, 5) and list(found) == ["a.b", "a.c", "a.c_1"]
    np.testing.assert_array_equal(found["a.c_1"], X + 1)
    _, found = read([None, {"x": X}])
    assert list(found) == ["x"]
    _, found = read((None, {"__call__": (X,), "Dense_0": {"__call__": (X,)}}))  # the first is the whole network's
    assert list(found) == ["Dense_0"]
    answer = named_answer((X, nnx.State({"blocks": {0: {"__call__": nnx.Intermediate((X,))}}})), "mine")
    assert list(answer.activations) == ["blocks.0"] and not answer.ordered


def test_arrays_of_every_kind_become_features_or_maps():
    maps = np.arange(48, dtype=np.float64).reshape(2, 4, 2, 3)
    _, found = read({"tokens": maps[..., 0], "maps": maps, "half": jnp.asarray(maps, jnp.bfloat16), "whole": X > 3})
    np.testing.assert_array_equal(found["tokens"], maps[..., 0].mean(axis=1))
    np.testing.assert_array_equal(found["maps"], maps)
    assert found["maps"].dtype == np.float32 and found["half"].dtype == jnp.bfloat16
    np.testing.assert_array_equal(found["whole"], (X > 3).astype(np.float32))
    _, found = read({"maps": maps}, channels_first=True)
    np.testing.assert_array_equal(found["maps"], np.moveaxis(maps, 1, 3))


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (X, "answers with a ndarray, not with activations by name"),
        ((X, X), "answers with a tuple of ndarray, ndarray"),
        (None, "answers with a NoneType"),
        ({}, "answers with no activations"),
        ({3: X}, "names a layer '3', which is no text"),
        ({"output": X}, r"names a layer 'output'.*return .* \(output, \{layer: array\}\)"),
        ({"pixels": X}, "names a layer 'pixels'"),
        ({"a": {"b": X}, "a.b": X}, "names two layers 'a.b'"),
        ({"a": X[:1]}, r"layer 'a' has shape \[1, 12\] for 2 images"),
        ({"a": X[0, 0]}, r"layer 'a' has shape \[\] for 2 images"),
        ({"a": X.reshape(2, 1, 2, 2, 3)}, r"has shape \[2, 1, 2, 2, 3\]"),
        ({"a": X[:, :0]}, r"has shape \[2, 0\]"),
        ({"a": X.astype(complex)}, "no array of numbers"),
        ({"a": "text"}, "no array of numbers"),
        ({"a": object()}, "no array of numbers"),
        ((X[0], {"a": X}), r"its output has shape \[12\] for 2 images.*logits \[N, C\]"),
        (("no", {"a": X}), "its output is no array of numbers"),
    ],
)
def test_what_cannot_be_read_is_refused(answer, problem):
    with pytest.raises(InputError, match=f"mine.*{problem}"):
        read(answer)


def test_blocks_are_members_of_lists_and_what_stands_beside_them():
    def numbered(name):
        return name.rpartition(".")[2].isdecimal()

    assert blocks(["conv", "layer.0.conv", "layer.0", "layer.1", "fc"], numbered) == (
        "conv",
        "layer.0",
        "layer.1",
        "fc",
    )
    inside = ["vit.embed", "vit.embed.patch", "vit.layer.0.mlp.0", "vit.layer.0", "vit.norm", "vit", "head"]
    assert blocks(inside, numbered) == ("vit.embed", "vit.layer.0", "vit.norm", "head")
    assert blocks(["backbone.a", "backbone", "head"], numbered) == ("backbone", "head")
