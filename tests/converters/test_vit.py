"""Weights of vision transformers by the names of every framework: the same parameters, all or nothing."""

import re
from dataclasses import replace

import jax
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from bias_jax.errors import InputError
from bias_jax.networks import load_checkpoint, network
from bias_jax.networks.vit_family import ROWS
from converters import convert
from converters.__main__ import main
from converters.checkpoint import convert_file, open_weights
from converters.entries import PublishedWeights
from converters.original import import_torchvision
from converters.published import PUBLISHED, table
from converters.recognition import recognise
from tests.networks.vit_case import registered, row_of, state_dict_of
from tests.reference import vit_oracle as oracle

NAME = "vit_tiny"


def converted(case, state_dict, **options):
    with registered(NAME, row_of(case)):
        return convert(NAME, state_dict, **options)


def changes(case, state_dict, **options):
    with registered(NAME, row_of(case)):
        return recognise(NAME, state_dict, **options).changes


def equal(a, b) -> bool:
    return jax.tree.structure(a) == jax.tree.structure(b) and jax.tree.all(jax.tree.map(np.array_equal, a, b))


def refused(case, state_dict, match, **options):
    with pytest.raises(InputError, match=match):
        converted(case, state_dict, **options)


TEXT = {"transformer.resblocks.0.ln_1.weight": (8,), "transformer.resblocks.0.attn.in_proj_weight": (24, 8),
        "token_embedding.weight": (20, 8), "positional_embedding": (7, 8), "ln_final.bias": (8,),
        "text_projection": (8, 20), "logit_scale": (), "context_length": ()}  # fmt: skip
SWAPS = (("cls_token", "class_embedding"), ("pos_embed", "positional_embedding"), ("patch_embed.proj", "conv1"),
         ("norm_pre", "ln_pre"), ("blocks.", "transformer.resblocks."), ("norm1", "ln_1"), ("norm2", "ln_2"),
         ("attn.qkv.", "attn.in_proj_"), ("attn.proj", "attn.out_proj"), ("mlp.fc1", "mlp.c_fc"),
         ("mlp.fc2", "mlp.c_proj"), ("norm.", "ln_post."))  # fmt: skip


def openai(start="visual.", **more):
    """OpenAI's CLIP with the weights of timm's."""
    found = {}
    for name, array in state_dict_of("clip").items():
        key = name
        for old, new in SWAPS:
            key = key.replace(old, new) if key.startswith(old) or old != "norm." else key
        found[key] = array[0, 0] if name == "cls_token" else array[0] if name == "pos_embed" else array
    found["proj"] = found.pop("head.weight").T
    del found["head.bias"]
    return {**{start + key: array for key, array in found.items()}, **more}


def test_openais_names_are_those_of_timm():
    text = {name: np.ones(shape, np.float32) for name, shape in TEXT.items()}
    expected = converted("clip", state_dict_of("clip"))
    assert not converted("clip", state_dict_of("clip"))["head"].keys() - {"kernel"}
    assert equal(converted("clip", openai(**text)), expected) and equal(converted("clip", openai("")), expected)
    wrapped = {f"module.{name}": array for name, array in openai(**text).items()}
    assert equal(converted("clip", {"epoch": 3, "state_dict": wrapped}), expected)


@pytest.mark.torch
def test_openais_names_as_timm_reads_them():
    if not oracle.importable("timm", "torchvision"):
        pytest.skip("torchvision and timm are not both installed")
    import_torchvision()
    import torch
    from timm.models.vision_transformer import _convert_openai_clip

    theirs = _convert_openai_clip({name: torch.tensor(array) for name, array in openai().items()}, None)
    own = state_dict_of("clip")
    assert set(theirs) == set(own) and all(np.array_equal(theirs[name], own[name]) for name in own)


@pytest.mark.parametrize("case", ["transformers_clip", "transformers_siglip"])
def test_transformers_whole_models_and_towers(case):
    own = state_dict_of(case)
    tower = {name.removeprefix("vision_model."): array for name, array in own.items()}
    bare = {name: array for name, array in tower.items() if not name.startswith("visual_projection")}
    others = {"text_model.encoder.layers.0.self_attn.k_proj.weight": (8, 8), "text_projection.weight": (20, 8),
              "text_model.embeddings.position_ids": (1, 7), "logit_scale": (), "logit_bias": (1,)}  # fmt: skip
    projection = {name: array for name, array in own.items() if name.startswith("visual_projection")}
    whole = {f"vision_model.{name}": array for name, array in bare.items()} | projection
    whole |= {name: np.ones(shape, np.float32) for name, shape in others.items()}
    expected = converted(case, own)
    assert equal(converted(case, whole), expected)
    assert ("head" in expected) == (case == "transformers_clip")
    found = converted(case, bare)
    assert equal(found, {name: part for name, part in expected.items() if name != "head"})


def test_open_clips_files_with_timms_tower_in_them():
    own = state_dict_of("siglip")
    whole = {f"visual.trunk.{name}": array for name, array in own.items()}
    whole |= {"text.transformer.resblocks.0.ln_1.weight": np.ones(8, np.float32), "logit_scale": np.ones(()),
              "logit_bias": np.ones(())}  # fmt: skip
    assert equal(converted("siglip", whole), converted("siglip", own))


def test_torchvisions_older_names():
    own = state_dict_of("torchvision")
    older = {re.sub(r"mlp\.(0|3)\.", lambda m: f"mlp.linear_{1 + int(m[1]) // 3}.", name): v for name, v in own.items()}
    assert any("linear_2" in name for name in older)
    assert equal(converted("torchvision", older), converted("torchvision", own))


def test_metas_registers():
    """The class token has a position of its own there, and timm added it."""
    own = state_dict_of("dinov2_reg4")
    place = np.full((1, 1, 48), 0.25, np.float32)
    meta = {name: array for name, array in own.items() if name not in ("reg_token", "cls_token", "pos_embed")}
    meta |= {"register_tokens": own["reg_token"], "cls_token": own["cls_token"] - place,
             "pos_embed": np.concatenate([place, own["pos_embed"]], axis=1)}  # fmt: skip
    found, expected = converted("dinov2_reg4", meta), converted("dinov2_reg4", own)
    np.testing.assert_allclose(found.pop("cls_token"), expected.pop("cls_token"), atol=1e-6)
    assert equal(found, expected)
    assert equal(converted("dinov2", {**state_dict_of("dinov2"), "mask_token": np.zeros((1, 48))}),
                 converted("dinov2", state_dict_of("dinov2")))  # fmt: skip


@pytest.mark.parametrize("case, name", [("torchvision", "encoder.pos_embedding"), ("deit3", "pos_embed"),
                                        ("transformers_siglip", "embeddings.position_embedding.weight")])  # fmt: skip
def test_positions_of_another_grid(case, name):
    own = state_dict_of(case)
    name = next(key for key in own if key.endswith(name))
    learnt = int(case == "torchvision")
    for patches, fault in ((36, None), (35, "no square of positions"), (0, "no square of positions")):
        shape = (*own[name].shape[:-2], patches + learnt, 48)
        state_dict = {**own, name: np.ones(shape, np.float32)}
        if fault:
            refused(case, state_dict, fault)
            continue
        params = converted(case, state_dict)
        with registered(NAME, row_of(case)):
            assert network(NAME).variant(params)["grid"] == 6


def test_heads():
    deit, clip = state_dict_of("deit"), state_dict_of("clip")
    fewer = {**deit, "head.weight": deit["head.weight"][:3], "head.bias": deit["head.bias"][:3]}
    assert converted("deit", fewer)["head"]["kernel"].shape == (48, 3)
    headless = {name: array for name, array in deit.items() if not name.startswith("head.")}
    assert "head" not in converted("deit", headless)
    assert changes("deit", headless) == ("the file holds no head: a network without output",)
    unbiased = {name: array for name, array in deit.items() if name != "head.bias"}
    assert not np.any(converted("deit", unbiased)["head"]["bias"])
    assert changes("deit", unbiased) == ("head has no bias: zeros",)
    # timm's projections have a bias of zeros; another one is a classifier's
    assert changes("clip", clip) == ("head.bias is zero, so head is a projection and no classifier",)
    tuned = converted("clip", {**clip, "head.bias": clip["head.bias"] + 1})
    with registered(NAME, row_of("clip")):
        assert network(NAME).variant(tuned) == {"classes": 20, "projection": 0, "grid": 4}
    refused("deit", {**deit, "head.weight": np.zeros((10,), np.float32)}, "head.weight has shape")
    refused("deit", {name: v for name, v in deit.items() if name != "head.weight"}, "head.weight is missing")
    refused("deit", {**deit, "head.weight": np.zeros((0, 48), np.float32)}, "says no number of outputs")


FAULTS = [
    ("clip", "blocks.1.attn.qkv.weight", None, "blocks.1.attn.qkv.weight is missing"),
    ("clip", "blocks.1.attn.qkv.weight", lambda x: x.T, r"\(48, 144\) instead of \(144, 48\): it is transposed"),
    ("clip", "blocks.1.attn.qkv.weight", lambda x: x[:96], r"has shape \(96, 48\) instead of \(144, 48\)"),
    ("clip", "cls_token", lambda x: x[0], r"cls_token has shape \(1, 48\) instead of \(1, 1, 48\)"),
    ("clip", "pos_embed", None, "pos_embed is missing"),
    ("clip", "pos_embed", lambda x: x[..., :47], r"pos_embed has shape \(1, 17, 47\) instead of \(1, 17, 48\)"),
    ("clip", "norm.bias", lambda x: x * np.nan, "norm.bias holds values that are not finite"),
    ("deit", "blocks.0.ls1.gamma", lambda x: np.ones(48, np.float32), "blocks.0.ls1.gamma is not part"),
    ("deit", "dist_token", lambda x: np.ones((1, 1, 48), np.float32), "dist_token is not part"),
    ("deit", "blocks.3.norm1.weight", lambda x: np.ones(48, np.float32), "blocks.3.norm1.weight is not part"),
    ("dinov2_reg4", "reg_token", lambda x: x[:, :3], r"reg_token has shape \(1, 3, 48\) instead of \(1, 4, 48\)"),
    ("transformers_siglip", "head.attention.in_proj_weight", None, "head.attention.in_proj_weight is missing"),
    ("torchvision", "conv_proj.weight", lambda x: x[..., :4], r"instead of \(48, 3, 8, 8\)"),
]  # fmt: skip


@pytest.mark.parametrize("case, name, by, message", FAULTS)
def test_all_or_nothing(case, name, by, message, monkeypatch):
    monkeypatch.setattr("converters.recognition._fitting", lambda held: [])  # it looks at every network there is
    own = dict(state_dict_of(case))
    full = next((key for key in own if key.endswith(name)), name)
    if by is None:
        del own[full]
    else:
        own[full] = by(own.get(full))
    refused(case, own, message)


def test_a_file_to_a_checkpoint(tmp_path):
    path, out = tmp_path / "model.safetensors", tmp_path / "checkpoint"
    larger = {**state_dict_of("clip"), "pos_embed": np.ones((1, 37, 48), np.float32)}
    save_file(larger, path)
    row = row_of("clip")
    row = row._replace(preparations={"clip": replace(row.preparations["clip"], resize=32, crop=32)})
    with registered(NAME, row):
        manifest = convert_file(open_weights(NAME, path, None), out)
        params, loaded = load_checkpoint(out)
    assert loaded == manifest and manifest.variant == {"classes": 0, "projection": 20, "grid": 6}
    assert manifest.transform.filter == "bicubic" and equal(params, converted("clip", larger))


OWN = [entry for entry in PUBLISHED if entry.network in ROWS]


def test_published_weights():
    assert {entry.network for entry in OWN} == set(ROWS)
    assert len({(entry.network, entry.name) for entry in OWN}) == len(OWN)
    assert {entry.network for entry in OWN if entry.accuracy} == {n for n in ROWS if n.startswith(("vit", "deit"))}
    assert "timm/vit_base_patch32_clip_224.openai" in table()
    hashed = [entry for entry in OWN if entry.hash_prefix]
    assert len(hashed) == 9 and all(len(entry.hash_prefix) == 8 for entry in hashed)


@pytest.mark.torch
@pytest.mark.parametrize("name", ["vit_b_16", "vit_b_32", "vit_l_16"])
def test_torchvisions_own_words(name):
    if not oracle.importable("torchvision"):
        pytest.skip("torchvision is not installed")
    enum = import_torchvision().models.get_model_weights(name)
    entries = {entry.name: entry for entry in OWN if entry.network == name}
    assert set(entries) == set(enum.__members__) - {"DEFAULT"}
    for member in enum:
        entry, metrics = entries[member.name], member.meta["_metrics"]["ImageNet-1K"]
        assert entry.address == member.url and entry.mebibytes == member.meta["_file_size"]
        assert entry.accuracy == (metrics["acc@1"], metrics["acc@5"])
        theirs, ours = member.transforms(), entry.transform
        assert (theirs.crop_size, theirs.resize_size) == ([ours.crop], [ours.resize])
        assert theirs.interpolation.value == ours.filter
        assert (tuple(theirs.mean), tuple(theirs.std)) == (ours.mean, ours.std)


@pytest.mark.slow
@pytest.mark.torch
def test_torchvisions_own_network(tmp_path, capsys):
    """`verify` runs it at the size of the pictures, which is not that of the weights; a classifier is needed."""
    if not oracle.importable("torchvision"):
        pytest.skip("torchvision is not installed")
    models = import_torchvision().models
    import torch

    torch.manual_seed(0)
    model = models.vision_transformer.VisionTransformer(64, 32, 12, 12, 768, 3072, num_classes=7)
    torch.nn.init.normal_(model.heads.head.weight)
    torch.save(model.state_dict(), tmp_path / "x.pth")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (240, 240, 3), dtype=np.uint8)).save(tmp_path / "x.png")
    command = ["verify", "vit_b_32", "--source", str(tmp_path / "x.pth"), "--images", str(tmp_path)]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:4]] == [f"encoder.layers.encoder_layer_0.{end}" for end in
                                                       ("class", "patches")]  # fmt: skip
    assert "within the tolerance 0.0001" in lines[-1]
    headless = {name: value for name, value in model.state_dict().items() if not name.startswith("heads")}
    torch.save(headless, tmp_path / "x.pth")
    assert main(command) == 2
    assert "they have no heads.head" in capsys.readouterr().err


@pytest.mark.torch
def test_timms_own_words():
    """Where timm and the authors prepare images in two ways, both are there."""
    if not oracle.importable("torchvision", "timm"):
        pytest.skip("torchvision and timm are not both installed")
    import_torchvision()
    import timm

    for entry in OWN:
        if not entry.on_hub:
            continue
        cfg = timm.get_pretrained_cfg(entry.file.removeprefix("timm/"))
        side = cfg.input_size[1]
        theirs = (int(side / cfg.crop_pct), side, cfg.interpolation, tuple(cfg.mean), tuple(cfg.std))
        ways = [entry.transform, *network(entry.network).preparations.values()]
        found = [(way.resize, way.crop, way.filter, way.mean, way.std) for way in ways if not way.squeeze]
        clip = "clip" in entry.network  # OpenAI and OpenCLIP cut nothing off, timm a tenth of some
        assert theirs in found or (clip and (side, *theirs[1:]) in found), entry


def test_a_published_entry_is_recognised_by_its_hash():
    entry = next(e for e in OWN if e.name == "IMAGENET1K_SWAG_E2E_V1" and e.network == "vit_b_16")
    assert isinstance(entry, PublishedWeights) and entry.hash_prefix == "9ac1b537" and entry.transform.crop == 384
