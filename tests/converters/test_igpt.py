"""iGPT's weights by the names of OpenAI's files and of transformers': the same parameters, all or nothing."""

from pathlib import Path

import jax
import numpy as np
import pytest

from bias_jax.errors import InputError
from bias_jax.networks.igpt import Size
from converters.igpt import fit_igpt
from converters.tf_checkpoint import TensorFlowCheckpoint
from tests.converters import tensorflow_files as files
from tests.networks.igpt_case import openai_shapes

SIZE = Size(blocks=2, width=4, heads=2, side=2, colours=6)
REAL = Path(__file__).parents[1] / "reference/tensorflow"  # written by TensorFlow


@pytest.fixture(scope="module")
def openai():
    rng = np.random.default_rng(5)
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in openai_shapes(SIZE).items()}


@pytest.fixture(scope="module")
def expected(openai):
    """Entry by entry: column h e + j of a projection is head h, channel j."""

    def columns(projection):  # [heads, channels, in] -> [in, out]
        heads, channels, inputs = projection.shape
        return np.array([[projection[o // channels, o % channels, i] for o in range(heads * channels)]
                         for i in range(inputs)])  # fmt: skip

    def rows(projection):  # [heads, channels, out] -> [in, out]
        return np.concatenate(list(projection))

    own = {name.removeprefix("model/"): value for name, value in openai.items()}
    blocks = {leaf: [] for leaf in SIZE.shapes["h"]}
    for i in range(SIZE.blocks):
        blocks["ln_1"].append(own[f"h{i}/ln_1/g"])
        blocks["ln_2"].append(own[f"h{i}/ln_2/g"])
        blocks["c_attn"].append(np.concatenate([columns(own[f"h{i}/attn/{w}_proj"]) for w in "qkv"], axis=1))
        blocks["c_proj"].append(rows(own[f"h{i}/attn/c_proj"]))
        blocks["c_fc"].append(own[f"h{i}/mlp/c_fc/w"])
        blocks["c_out"].append(own[f"h{i}/mlp/c_proj/w"])
    rest = {"sos": own["sos"], "wte": own["wte"], "wpe": own["wpe"], "wtet": own["wtet"], "ln_f": own["ln_f/g"]}
    return {**rest, "h": {leaf: np.stack(values) for leaf, values in blocks.items()}}


@pytest.fixture(scope="module")
def transformers(expected):
    """The same network as ImageGPTForCausalImageModeling saves it, with the masks of old files."""
    d, found = SIZE.width, {}
    for i in range(SIZE.blocks):
        own, at = {leaf: values[i] for leaf, values in expected["h"].items()}, f"transformer.h.{i}."
        found |= {f"{at}ln_1.weight": own["ln_1"], f"{at}ln_2.weight": own["ln_2"]}
        matrices = {"attn.c_attn": "c_attn", "attn.c_proj": "c_proj", "mlp.c_fc": "c_fc", "mlp.c_proj": "c_out"}
        for key, leaf in matrices.items():
            found |= {f"{at}{key}.weight": own[leaf], f"{at}{key}.bias": np.zeros(own[leaf].shape[1], np.float32)}
        found[f"{at}attn.bias"] = np.tril(np.ones((1, 1, 4, 4), np.uint8))
        found[f"{at}attn.masked_bias"] = np.float32(-1e4)
    found["transformer.wte.weight"] = np.concatenate([expected["wte"], expected["sos"][None]])
    found |= {"transformer.wpe.weight": expected["wpe"], "transformer.ln_f.weight": expected["ln_f"]}
    assert found["transformer.wte.weight"].shape == (7, d)
    return found | {"lm_head.weight": expected["wtet"]}


def fit(content, **options):
    return fit_igpt("igpt_x", SIZE, content, **options)


def same(params, expected):
    assert jax.tree.structure(params) == jax.tree.structure(expected)
    return all(jax.tree.leaves(jax.tree.map(np.array_equal, params, expected)))


def test_openais_names(openai, expected):
    params, changes, headed = fit(openai)
    assert same(params, expected) and headed and changes == ("taken off every name: 'model/'",)
    bare = {name.removeprefix("model/"): value for name, value in openai.items()}
    assert same(fit(bare)[0], expected) and fit(bare)[1] == ()
    with_axis = {name: value[None] if name.endswith("/w") else value for name, value in openai.items()}
    assert same(fit({"params": dict(reversed(with_axis.items()))})[0], expected)  # neither order nor mapping matters


def test_transformers_names(transformers, expected):
    params, changes, headed = fit(transformers)
    assert same(params, expected) and headed and changes == ("taken off every name: 'transformer.'",)
    wrapped = {"state_dict": {f"module.{name}": value for name, value in transformers.items()}}
    assert same(fit(wrapped)[0], expected)


def test_a_bare_model_has_no_output(transformers, expected):
    bare = {k.removeprefix("transformer."): v for k, v in transformers.items() if k != "lm_head.weight"}
    params, changes, headed = fit(bare)
    assert not headed and changes == () and np.isnan(params["wtet"]).all()
    assert same({**params, "wtet": 0}, {**expected, "wtet": 0})


def test_tensorflow_files(openai, expected, tmp_path):
    """With what an optimizer left beside them, in a file of which a part that is not needed is damaged."""
    beside = {f"{name}/adam_m": np.ones_like(value) for name, value in openai.items()}
    index = files.write_checkpoint(tmp_path, {**openai, **beside, "global_step": np.array(1)}, shards=4)
    params, changes, _ = fit(TensorFlowCheckpoint(index))
    assert same(params, expected)
    assert changes[1].startswith("not read: global_step, model.")
    params, changes, _ = fit(TensorFlowCheckpoint(REAL))
    assert np.array_equal(params["h"]["c_out"][1], TensorFlowCheckpoint(REAL)["model/h1/mlp/c_proj/w"])


def refused(content, said, **options):
    with pytest.raises(InputError, match=f"does not fit igpt_x: .*{said}.*"):
        fit(content, **options)


def test_all_or_nothing(openai, transformers):
    key = "model/h1/attn/q_proj"
    refused({k: v for k, v in openai.items() if k != key}, f"{key} is missing")
    refused({k: v for k, v in openai.items() if k != "model/sos"}, "model/sos is missing")  # as in BERT's variant
    refused(openai | {key: np.zeros((4, 1, 4), np.float32)}, r"has shape \(4, 1, 4\) instead of \(2, 2, 4\)")
    refused(openai | {key: openai[key] * np.nan}, "not finite")
    refused(openai | {key: openai[key].astype(np.int32)}, "holds int32")
    with_head = openai | {"model/clf/wclf": np.zeros((3, 4), np.float32)}
    refused(with_head, "model.clf.wclf is not part.*Way out: --ignore-extra")
    assert "ignored: model.clf.wclf" in fit(with_head, ignore_extra=True)[1]
    bias = "transformer.h.1.mlp.c_fc.bias"
    refused(transformers | {bias: np.full(16, 1e-3, np.float32)}, f"{bias} is not zero: iGPT as published has no")
    refused({k: v for k, v in transformers.items() if k != bias}, f"{bias} is missing")
    refused(transformers | {"transformer.h.2.attn.bias": np.zeros(1)}, "h.2.attn.bias is not part")
    refused({"fc.weight": np.zeros((2, 2), np.float32)}, "its names are fc.weight")
    refused({}, "its names are none")


@pytest.mark.parametrize("mistake", ["order of q, k and v", "projection not transposed", "start token in front"])
def test_mistakes_of_a_converter_show(mistake, openai, expected):
    """What the comparison above must not let through."""
    other = dict(openai)
    if mistake == "order of q, k and v":
        other["model/h0/attn/q_proj"], other["model/h0/attn/k_proj"] = openai["model/h0/attn/k_proj"], openai[
            "model/h0/attn/q_proj"]  # fmt: skip
    elif mistake == "projection not transposed":
        other["model/h0/attn/v_proj"] = openai["model/h0/attn/v_proj"].reshape(4, 4).T.reshape(2, 2, 4)
    else:
        other["model/sos"] = openai["model/wte"][0]
    assert not same(fit(other)[0], expected)
