"""iGPT's weights by the names of OpenAI's files and of transformers': the same parameters, all or nothing."""

import hashlib
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from bias_jax.errors import InputError
from bias_jax.networks import forward, load_checkpoint
from bias_jax.networks.igpt import Size, variant_of
from bias_jax.networks.tokens import Tokens
from converters import fitting
from converters.checkpoint import convert_file, open_weights
from converters.entries import PublishedWeights
from converters.published import PUBLISHED, table
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


def written(folder, weights, clusters=None):
    """Weights of a file, with colours beside it."""
    folder.mkdir()
    save_file({name.replace("/", "."): value for name, value in weights.items()}, folder / "model.safetensors")
    if clusters is not None:
        np.save(folder / "kmeans_centers.npy", clusters)
    return folder / "model.safetensors"


CENTRES = np.random.default_rng(2).uniform(-1, 1, (512, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def wide():
    """A network of 512 colours."""
    size = Size(blocks=2, width=8, heads=2, side=4)
    rng = np.random.default_rng(6)
    with registered("igpt_wide", size):
        yield {name: rng.standard_normal(shape).astype(np.float32) for name, shape in openai_shapes(size).items()}


def test_from_files_to_a_checkpoint(wide, tmp_path):
    source = written(tmp_path / "published", wide, CENTRES)
    weights = open_weights("igpt_wide", source, None, options={"norm": "variance"})
    manifest = convert_file(weights, tmp_path / "checkpoint")
    params, again = load_checkpoint(tmp_path / "checkpoint")
    assert again == manifest and again.variant == {"classes": 0, "variance": 1, "head": 1}
    assert same(params, fit_wide(wide, "variance"))
    assert np.array_equal(again.transform.palette, CENTRES) and again.transform.crop == "square"
    assert again.transform.side == 4
    sha256 = hashlib.sha256((source.parent / "kmeans_centers.npy").read_bytes()).hexdigest()
    assert again.transform.clusters_sha256 == sha256
    tokens = again.transform.on_device(np.zeros((1, 4, 4, 3), np.uint8))
    output, found = forward("igpt_wide", params, tokens)
    assert output is None and list(found) == ["h.0", "h.1", "ln_f", "logits"] and found["logits"].shape == (1, 512)


def fit_wide(weights, norm):
    return fitting.fit("igpt_wide", recognise("igpt_wide", weights, options={"norm": norm}))[0]


def test_colours_of_transformers(wide, tmp_path):
    source = written(tmp_path / "published", wide)
    settings = tmp_path / "published" / "preprocessor_config.json"
    settings.write_text(json.dumps({"size": 32, "clusters": CENTRES.astype(float).tolist()}))
    found = open_weights("igpt_wide", source, None, preparation="transformers").transform
    assert np.array_equal(found.palette, CENTRES) and found.crop == "squeezed"
    assert open_weights("igpt_wide", source, None, clusters=settings).transform.crop == "square"


@pytest.mark.parametrize(("content", "said"), [
    (None, "cannot be read"),
    (b"", "holds no 512 colours"),
    (b"{}", r"holds no 512 colours \(KeyError"),
    (b'{"clusters": [[1, 2], 3]}', "holds no 512 colours"),
    (b'{"clusters": [[0.5, 0.5, 0.5]]}', r"shape \(1, 3\), not floats \[512, 3\]"),
    (b"\x93NUMPY\x01\x00", "holds no 512 colours"),
    (json.dumps({"clusters": [[0, 0, 2]] * 512}).encode(), "not between -1 and 1"),
])  # fmt: skip
def test_no_colours(wide, content, said, tmp_path):
    source = written(tmp_path / "published", wide)
    with pytest.raises(InputError, match=r"colours of the network are not beside its weights.*--clusters"):
        convert_file(open_weights("igpt_wide", source, None), tmp_path / "out")
    if content is not None:
        (tmp_path / "clusters").write_bytes(content)
    with pytest.raises(InputError, match=f"clusters: .*{said}.*Way out"):
        convert_file(open_weights("igpt_wide", source, None, clusters=tmp_path / "clusters"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_openais_checkpoint_to_ours(wide, tmp_path):
    """A folder as it is downloaded: index, parts, the optimizer's moments, and colours beside them."""
    beside = {f"{name}/adam_v": np.ones_like(value) for name, value in wide.items()}
    index = files.write_checkpoint(tmp_path / "igpt-x", {**wide, **beside, "global_step": np.array(9)}, shards=5)
    np.save(tmp_path / "igpt-x/kmeans_centers.npy", CENTRES)
    for number, source in enumerate((tmp_path / "igpt-x", index, index.with_suffix(""))):
        manifest = convert_file(open_weights("igpt_wide", source, None), tmp_path / f"checkpoint {number}")
        params, _ = load_checkpoint(tmp_path / f"checkpoint {number}")
        assert same(params, fit_wide(wide, "rms"))
        assert manifest.weights == "custom" and np.array_equal(manifest.transform.palette, CENTRES)
    part = index.with_name("model.ckpt-7.data-00003-of-00005")
    part.write_bytes(part.read_bytes()[:10])
    with pytest.raises(InputError, match=rf"{part.name}: is (cut off|damaged).*Way out: download or copy"):
        convert_file(open_weights("igpt_wide", index, None), tmp_path / "damaged")


def test_published_entries():
    small, medium, large = (entry for entry in PUBLISHED if entry.network.startswith("igpt"))
    assert (small.name, medium.name, large.name) == ("imagegpt-small", "imagegpt-medium", "imagegpt-large")
    assert all(len(entry.hash_prefix) == 64 for entry in (small, medium)) and large.hash_prefix == ""
    assert "pytorch_model.bin" in table() and small.hash_prefix not in table()  # only its first digits


def test_a_published_file_is_known_by_its_hash(wide, tmp_path, monkeypatch):
    source = written(tmp_path / "published", wide, CENTRES)
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    entry = PublishedWeights("igpt_wide", "tiny", "https://x/y", 1, None, Tokens(), sha256=sha256)
    monkeypatch.setattr("converters.sources.PUBLISHED", (entry,))
    assert open_weights("igpt_wide", source, None).identity.weights == "tiny"
