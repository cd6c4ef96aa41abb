"""SimCLRv2's weights in the forms in which people hold them; most tests look at names and shapes alone."""

import jax
import numpy as np
import pytest

from bias_jax.errors import InputError
from bias_jax.networks import NETWORKS, class_count, load_checkpoint
from bias_jax.networks.unit_images import UnitImages
from converters import convert, published
from converters.__main__ import main
from converters.crc32c import crc32c, masked
from converters.recognition import recognise
from converters.simclr import SimclrNaming
from tests.converters import tensorflow_files
from tests.converters.conftest import floats, without
from tests.converters.tiny import under
from tests.networks import simclr_case

NAME = "simclrv2_r50_1x_sk0"
KINDS = ("tensorflow", "both state dicts", "one state dict")


def arrays_of(name: str = NAME, kind: str = "tensorflow") -> dict[str, np.ndarray]:
    """Every array, without memory, by the names of files of that kind."""
    naming = SimclrNaming(name, kind, "final_avg_pool")
    return {key.replace(".", naming.separator): floats(*shape) for key, shape in naming.shapes.items()}


def as_google_saves_it(arrays: dict) -> dict:
    """With what training leaves in a file: slots of the optimizer, an average of the network, a counter."""
    slots = {f"{key}/Momentum": floats(*array.shape) for key, array in arrays.items() if "moving_" not in key}
    average = under("ema_model/", without(arrays, "head_supervised"))
    return {**arrays, **slots, **average, "global_step": np.array(250228)}


def as_separius_saves_it(arrays: dict) -> dict:
    """Two state dicts with counters, and the bias that the last batch norm should not have."""
    naming = SimclrNaming(NAME, "both state dicts", "final_avg_pool")
    theirs = {naming.key(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(arrays)}
    found: dict = {"resnet": {}, "head": {"layers.7.bias": np.zeros(128, np.float32)}}
    for key, value in theirs.items():
        value = np.asarray(value)
        value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T
        where, _, short = key.partition(".")
        found[where][short] = value
        if short.endswith("running_var"):
            found[where][short.replace("running_var", "num_batches_tracked")] = np.array(3)
    return found


def test_what_google_saves_is_the_network_and_not_its_average():
    arrays = arrays_of()
    found = recognise(NAME, as_google_saves_it(arrays))
    assert set(found.arrays) == {key.replace("/", ".") for key in arrays}
    assert all(found.arrays[key.replace("/", ".")] is arrays[key] for key in arrays)
    assert not (found.strange or found.extra or found.missing)
    assert "taken: the one without a prefix, and not 'ema_model.'" in found.changes
    assert any("global_step" in change for change in found.changes)


def test_the_average_is_taken_where_it_is_asked_for():
    content = as_google_saves_it(arrays_of())
    found = recognise(NAME, content, take="ema")
    assert found.arrays["base_model.conv2d_7.kernel"] is content["ema_model/base_model/conv2d_7/kernel"]
    assert not (found.strange or found.extra)
    assert not any(key.startswith("head_supervised") for key in found.arrays)
    assert any("no supervised head" in change for change in found.changes)


@pytest.mark.parametrize("prefix", ["module.", "model.backbone."])
@pytest.mark.parametrize("kind", KINDS[1:])
def test_state_dicts_under_any_prefix(kind, prefix):
    arrays = arrays_of(kind=kind)
    found = recognise(NAME, under(prefix, arrays))
    assert set(found.arrays) == set(arrays) and found.naming.kind == kind
    assert not (found.strange or found.extra)
    assert len(arrays_of(kind="both state dicts")) == 281 and len(arrays_of(kind="one state dict")) == 265 + 2


def test_all_names_that_separius_gives(oracles_dir):
    """As many keys as in its files, with the counters of batch norms."""
    for name, keys in (("r50_1x_sk0", 320), ("r50_1x_sk1", 444)):
        arrays = arrays_of(f"simclrv2_{name}", "one state dict")
        assert len(arrays) + sum(key.endswith("running_var") for key in arrays) == keys
    sk1 = arrays_of("simclrv2_r50_1x_sk1", "both state dicts")
    expected = {
        "resnet.net.0.4.weight": (64, 32, 3, 3), "resnet.net.0.5.0.running_var": (64,),
        "resnet.net.1.blocks.0.projection.shortcut.2.weight": (256, 64, 1, 1),
        "resnet.net.1.blocks.0.projection.bn.0.bias": (256,), "resnet.net.1.blocks.0.net.0.weight": (64, 64, 1, 1),
        "resnet.net.1.blocks.0.net.2.main_conv.0.weight": (128, 64, 3, 3),
        "resnet.net.1.blocks.0.net.2.main_conv.1.0.weight": (128,),
        "resnet.net.1.blocks.0.net.2.mixing_conv.0.weight": (32, 64, 1, 1),
        "resnet.net.1.blocks.0.net.2.mixing_conv.1.0.running_mean": (32,),
        "resnet.net.1.blocks.0.net.2.mixing_conv.2.weight": (128, 32, 1, 1),
        "resnet.net.1.blocks.0.net.3.weight": (256, 64, 1, 1), "resnet.net.1.blocks.0.net.4.0.weight": (256,),
        "resnet.fc.weight": (1000, 2048), "head.layers.6.weight": (128, 2048), "head.layers.7.weight": (128,),
    }  # fmt: skip
    assert {key: sk1[key].shape for key in expected} == expected and "head.layers.7.bias" not in sk1


def test_both_frameworks_give_the_same_parameters():
    params = simclr_case.params("r50_1x_sk0")
    content = as_separius_saves_it(params)
    found = convert(NAME, content)
    assert jax.tree.all(jax.tree.map(np.array_equal, found, params))
    alone = convert(NAME, content["resnet"])
    assert "head_contrastive" not in alone and class_count(NAME, alone) == 1000
    content["head"]["layers.7.bias"] = np.full(128, 0.1, np.float32)
    with pytest.raises(InputError, match=r"head\.layers\.7\.bias is not part of"):
        convert(NAME, content)


def test_heads_may_be_absent_as_a_whole_only():
    arrays = arrays_of()
    for start, classes, projections in (("head_supervised", 0, 3), ("head_contrastive", 1000, 0), ("head_", 0, 0)):
        params = convert(NAME, without(arrays, start))
        variant = {"classes": classes, "classes_on_nl_0": 0, "projections": projections}
        assert NETWORKS[NAME].variant(params) == variant
    with pytest.raises(InputError, match=r"head_contrastive/nl_1/dense/kernel is missing"):
        convert(NAME, without(arrays, "head_contrastive/nl_1/dense"))
    with pytest.raises(InputError, match=r"head_supervised/linear_layer/dense/bias is missing"):
        convert(NAME, without(arrays, "head_supervised/linear_layer/dense/bias"))


def test_a_head_on_the_first_projection_needs_both():
    arrays = arrays_of()
    params = convert(NAME, arrays, options={"supervised-head": "nl_0"})
    assert NETWORKS[NAME].variant(params)["classes_on_nl_0"] == 1
    for start in ("head_contrastive", "head_supervised"):
        with pytest.raises(InputError, match="needs a supervised and a projection head"):
            convert(NAME, without(arrays, start), options={"supervised-head": "nl_0"})
    with pytest.raises(InputError, match="cannot be 'nl_7'"):
        convert(NAME, arrays, options={"supervised-head": "nl_7"})
    with pytest.raises(InputError, match="there is no option 'head'"):
        convert(NAME, arrays, options={"head": "nl_0"})


def test_other_classes_are_taken_from_the_file():
    arrays = arrays_of()
    arrays |= {"head_supervised/linear_layer/dense/kernel": floats(2048, 7),
               "head_supervised/linear_layer/dense/bias": floats(7)}  # fmt: skip
    assert class_count(NAME, convert(NAME, arrays)) == 7


def test_weights_of_another_network_of_the_grid_are_told():
    for name in ("simclrv2_r101_1x_sk0", "simclrv2_r50_2x_sk0"):
        with pytest.raises(InputError, match=rf"Way out: .*convert it as {name}"):
            convert(NAME, arrays_of(name))
    with pytest.raises(InputError, match="but those of resnet50"):
        convert(NAME, {key: floats(*shape) for key, shape in resnet50_shapes().items()})
    with pytest.raises(InputError, match=f"convert it as {NAME}"):
        convert("resnet50", as_google_saves_it(arrays_of()))


def resnet50_shapes():
    from converters.names import shapes

    return shapes("resnet50")


def test_an_array_too_many_or_too_few_is_refused_by_its_name_in_the_file():
    arrays = arrays_of()
    for content, message in (
        (without(arrays, "base_model/conv2d_31/kernel"), "base_model/conv2d_31/kernel is missing"),
        ({**arrays, "base_model/conv2d_53/kernel": floats(1, 1, 8, 8)}, "base_model/conv2d_53/kernel is not part of"),
        ({**arrays, "queue": floats(3, 4)}, "queue is not part of"),
        ({**arrays, "base_model/conv2d_3/kernel": floats(3, 3, 64, 32)},
         r"base_model/conv2d_3/kernel has shape \(3, 3, 64, 32\) instead of \(3, 3, 64, 64\)"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            convert(NAME, content)


def test_a_tensorflow_checkpoint_becomes_one_of_ours(tmp_path, monkeypatch, capsys):
    """From the files to the checkpoint, with what training left in them, and every array as it was."""
    monkeypatch.setattr(tensorflow_files, "crc", lambda data: masked(crc32c(np.frombuffer(data, np.uint8))))
    arrays = simclr_case.seeded_variables("r50_1x_sk0")
    left = {"base_model/conv2d/kernel/Momentum": np.zeros((7, 7, 3, 64), np.float32), "global_step": np.array(751)}
    index = tensorflow_files.write_checkpoint(tmp_path / "files", {**arrays, **left}, name="model.ckpt-751")
    command = [NAME, "--source", str(index.with_suffix("")), "--weights", "finetuned_1pct", "--preparation", "ieat"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    params, manifest = load_checkpoint(tmp_path / "out")
    assert manifest.weights == "finetuned_1pct (unverified)" and manifest.accuracy is None
    assert manifest.transform == UnitImages("ieat") and manifest.classes == 1000
    assert manifest.parts == {"classes_on_nl_0": 1, "projections": 3}
    told = capsys.readouterr().out
    assert "taken at its word" in told and "top-left square" in told and "1000 classes" in told
    expected = convert(NAME, arrays, options={"supervised-head": "nl_0"})
    assert jax.tree.all(jax.tree.map(np.array_equal, params, expected))
    assert main([NAME, "--source", str(index.with_suffix(".data-00000-of-00003")), "--weights", "distilled",
                 "--out", str(tmp_path / "no")]) == 2  # fmt: skip
    assert "no weights 'distilled'" in capsys.readouterr().err


def test_every_published_entry(capsys):
    entries = [entry for entry in published.PUBLISHED if entry.network.startswith("simclrv2_")]
    assert len(entries) == 13 * 5 and all(entry.accuracy and not entry.hash_prefix for entry in entries)
    one = published.published("simclrv2_r152_3x_sk1", "finetuned_10pct")
    assert one.accuracy == (80.1,) and one.options == {"supervised-head": "nl_0"}
    assert one.address == "gs://simclr-checkpoints/simclrv2/finetuned_10pct/r152_3x_sk1/model.ckpt-3754"
    assert main(["list"]) == 0
    assert sum(line.startswith("simclrv2_r101_2x_sk0 ") for line in capsys.readouterr().out.splitlines()) == 5
    assert main([NAME, "--download", "--weights", "pretrained", "--out", "nowhere"]) == 2
    assert "by the publisher's own means" in capsys.readouterr().err
