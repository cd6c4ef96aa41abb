"""iGPT's weights by the names of OpenAI's files and of transformers': the same parameters, all or nothing."""

from pathlib import Path

import jax
import numpy as np
import pytest

from bias_jax.errors import InputError
from bias_jax.networks.igpt import Size, variant_of
from converters import fitting
from converters.recognition import recognise
from converters.tf_checkpoint import read_tf_checkpoint
from tests.converters import tensorflow_files as files
from tests.networks.igpt_case import openai_shapes, registered

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

    own = {name.removeprefix("model/"): value for name, value in openai.items()}
    blocks = {}
    for i in range(SIZE.blocks):
        attention = {f"{which}_proj": columns(own[f"h{i}/attn/{which}_proj"]) for which in "qkv"}
        attention["c_proj"] = np.concatenate(list(own[f"h{i}/attn/c_proj"]))  # [heads, channels, out] -> [in, out]
        mlp = {leaf: own[f"h{i}/mlp/{leaf}/w"] for leaf in ("c_fc", "c_proj")}
        blocks[str(i)] = {"ln_1": own[f"h{i}/ln_1/g"], "attn": attention, "ln_2": own[f"h{i}/ln_2/g"], "mlp": mlp}
    rest = {leaf: own[leaf] for leaf in ("sos", "wte", "wpe", "wtet")}
    return {**rest, "h": blocks, "ln_f": {"rms": own["ln_f/g"]}}


@pytest.fixture(scope="module")
def transformers(expected):
    """The same network as ImageGPTForCausalImageModeling saves it, with the masks of old files."""
    d, found = SIZE.width, {}
    for i, own in expected["h"].items():
        at = f"transformer.h.{i}."
        matrices = {f"mlp.{leaf}": matrix for leaf, matrix in own["mlp"].items()}
        matrices["attn.c_attn"] = np.concatenate([own["attn"][f"{which}_proj"] for which in "qkv"], axis=1)
        matrices["attn.c_proj"] = own["attn"]["c_proj"]
        for key, matrix in matrices.items():
            found |= {f"{at}{key}.weight": matrix, f"{at}{key}.bias": np.zeros(matrix.shape[1], np.float32)}
        found |= {f"{at}ln_1.weight": own["ln_1"], f"{at}ln_2.weight": own["ln_2"]}
        found[f"{at}attn.bias"] = np.tril(np.ones((1, 1, 4, 4), np.uint8))
        found[f"{at}attn.masked_bias"] = np.float32(-1e4)
    found["transformer.wte.weight"] = np.concatenate([expected["wte"], expected["sos"][None]])
    found |= {"transformer.wpe.weight": expected["wpe"], "transformer.ln_f.weight": expected["ln_f"]["rms"]}
    assert found["transformer.wte.weight"].shape == (7, d)
    return found | {"lm_head.weight": expected["wtet"]}


@pytest.fixture(autouse=True, scope="module")
def network():
    with registered("igpt_x", SIZE):
        yield


def fit(content, **options):
    """Parameters, and what was done."""
    chosen = {"norm": options.pop("norm", "rms")}
    found = recognise("igpt_x", content, options=chosen, **options)
    return fitting.fit("igpt_x", found)[0], found.changes


def same(params, expected):
    assert jax.tree.structure(params) == jax.tree.structure(expected)
    return all(jax.tree.leaves(jax.tree.map(np.array_equal, params, expected)))


def test_openais_names(openai, expected):
    params, changes = fit(openai)
    assert same(params, expected) and changes == ("taken off every name: 'model.'",)
    bare = {name.removeprefix("model/"): value for name, value in openai.items()}
    assert same(fit(bare)[0], expected) and fit(bare)[1] == ()
    with_axis = {name: value[None] if name.endswith("/w") else value for name, value in openai.items()}
    assert same(fit({"params": dict(reversed(with_axis.items()))})[0], expected)  # neither order nor mapping matters


def test_transformers_names(transformers, expected):
    params, changes = fit(transformers)
    assert same(params, expected) and changes == ()
    wrapped = {"state_dict": {f"module.{name}": value for name, value in transformers.items()}}
    assert same(fit(wrapped)[0], expected)


def test_a_bare_model_has_no_output(transformers, expected):
    bare = {k.removeprefix("transformer."): v for k, v in transformers.items() if k != "lm_head.weight"}
    headless = {k: v for k, v in transformers.items() if k != "lm_head.weight"}
    for content in (bare, headless):
        params, _ = fit(content)
        assert same(params, {leaf: value for leaf, value in expected.items() if leaf != "wtet"})
        assert variant_of(params) == {"classes": 0, "variance": 0, "head": 0}


def test_the_norm_is_chosen(openai, transformers, expected):
    """Nothing in a file tells it; the parameters do."""
    for content in (openai, transformers):
        params, _ = fit(content, norm="variance")
        assert same(params, {**expected, "ln_f": {"variance": expected["ln_f"]["rms"]}})
        assert variant_of(params) == {"classes": 0, "variance": 1, "head": 1}
    with pytest.raises(InputError, match=r"norm cannot be 'layer'.*choose one of rms, variance"):
        fit(openai, norm="layer")


@pytest.mark.parametrize("slot", ["{}/adam_m", "{}/Adam_1", "adam_v/{}", "AdamWeightDecayOptimizer/{}"])
def test_tensorflow_files(openai, expected, slot, tmp_path):
    """With what an optimizer left beside the weights: it is not even read."""
    beside = {slot.format(name): np.ones_like(value) for name, value in openai.items()}
    steps = {"global_step": np.array(1), "beta1_power": np.float32(0.9)}
    content = read_tf_checkpoint(files.write_checkpoint(tmp_path, {**openai, **beside, **steps}, shards=4))
    params, _ = fit(content)
    assert same(params, expected)


def test_the_file_that_tensorflow_wrote():
    with pytest.raises(InputError, match=r"cut, empty, scalar are not part of igpt_x.*--ignore-extra"):
        fit(read_tf_checkpoint(REAL))
    params, changes = fit(read_tf_checkpoint(REAL), ignore_extra=True)
    assert np.array_equal(params["h"]["1"]["mlp"]["c_proj"], read_tf_checkpoint(REAL)["model/h1/mlp/c_proj/w"])
    assert "ignored: cut, empty, scalar" in changes


def refused(content, said, **options):
    with pytest.raises(InputError, match=f"does not fit.*{said}"):
        fit(content, **options)


def test_all_or_nothing(openai, transformers):
    key = "model/h1/attn/q_proj"
    own = key.removeprefix("model/")
    refused({k: v for k, v in openai.items() if k != key}, f"{own} is missing")
    refused({k: v for k, v in openai.items() if k != "model/sos"}, "sos is missing")  # as in BERT's variant
    refused(openai | {key: np.zeros((4, 1, 4), np.float32)}, rf"{own} has shape \(4, 1, 4\) instead of \(2, 2, 4\)")
    refused(openai | {key: openai[key] * np.nan}, "not finite")
    refused(openai | {key: openai[key].astype(np.int32)}, "holds int32")
    with_head = openai | {"model/clf/wclf": np.zeros((3, 4), np.float32)}
    refused(with_head, "clf.wclf is not part.*Way out: --ignore-extra")
    assert "ignored: model.clf.wclf" in fit(with_head, ignore_extra=True)[1]
    bias = "transformer.h.1.mlp.c_fc.bias"
    refused(transformers | {bias: np.full(16, 1e-3, np.float32)}, f"{bias} is not zero, and iGPT as published has no")
    refused({k: v for k, v in transformers.items() if k != bias}, f"{bias} is missing")
    refused(
        transformers | {"transformer.h.2.attn.c_proj.weight": np.zeros((4, 4))}, "h.2.attn.c_proj.weight is not part"
    )
    refused({"fc.weight": np.zeros((2, 2), np.float32)}, "its keys are: fc.weight")


@pytest.mark.parametrize("mistake", ["order of q, k and v", "projection not transposed", "start token in front"])
def test_mistakes_of_a_converter_show(mistake, openai, expected):
    """What the comparison above must not let through."""
    other, block = dict(openai), "model/h0/attn/"
    if mistake == "order of q, k and v":
        other |= {f"{block}q_proj": openai[f"{block}k_proj"], f"{block}k_proj": openai[f"{block}q_proj"]}
    elif mistake == "projection not transposed":
        other[f"{block}v_proj"] = openai[f"{block}v_proj"].reshape(4, 4).T.reshape(2, 2, 4)
    else:
        other["model/sos"] = openai["model/wte"][0]
    assert not same(fit(other)[0], expected)
