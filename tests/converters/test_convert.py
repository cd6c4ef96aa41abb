import numpy as np
import pytest

from bias_jax.errors import InputError
from bias_jax.networks import load_checkpoint
from converters import convert
from converters.__main__ import main


def test_every_key_lands_where_it_belongs(state_dict):
    params = convert("resnet50", state_dict)
    kernel = state_dict["layer3.4.conv2.weight"]
    assert np.asarray(params["layer3"][4]["conv2"]["kernel"])[2, 1, 7, 9] == kernel[9, 7, 2, 1]
    assert np.asarray(params["fc"]["kernel"])[11, 13] == state_dict["fc.weight"][13, 11]
    assert (params["layer1"][0]["downsample"][1]["var"] == state_dict["layer1.0.downsample.1.running_var"]).all()


def test_counters_are_optional(state_dict):
    old = {k: v for k, v in state_dict.items() if "num_batches_tracked" not in k}
    assert len(old) == 267
    convert("resnet50", old)


def test_all_faults_are_told_at_once(state_dict):
    broken = dict(state_dict)
    del broken["layer1.0.bn1.weight"]
    broken["layer2.0.extra"] = np.zeros(3, np.float32)
    broken["conv1.weight"] = broken["conv1.weight"].transpose(2, 3, 1, 0)
    with pytest.raises(InputError) as caught:
        convert("resnet50", broken)
    for part in ("layer1.0.bn1.weight is missing", "layer2.0.extra is not part", "conv1.weight has shape"):
        assert part in str(caught.value)


def test_other_number_of_classes(state_dict):
    tuned = {**state_dict, "fc.weight": state_dict["fc.weight"][:5], "fc.bias": state_dict["fc.bias"][:5]}
    assert convert("resnet50", tuned)["fc"]["bias"].shape == (5,)


def test_integer_weights_are_refused(state_dict):
    with pytest.raises(InputError, match=r"fc\.bias holds int64"):
        convert("resnet50", {**state_dict, "fc.bias": np.zeros(1000, int)})


def test_values_that_are_not_finite_are_refused_or_spread(state_dict):
    broken = {**state_dict, "fc.bias": np.full(1000, np.nan, np.float32)}
    with pytest.raises(InputError, match=r"fc\.bias holds values that are not finite: 1000 of 1000"):
        convert("resnet50", broken)
    params = convert("resnet50", broken, invalid="fc.")
    assert np.isnan(params["fc"]["kernel"]).all() and np.isfinite(params["conv1"]["kernel"]).all()


def test_prefix_of_data_parallel_training(state_dict):
    params = convert("resnet50", {f"module.{key}": value for key, value in state_dict.items()})
    assert (params["fc"]["bias"] == state_dict["fc.bias"]).all()
    with pytest.raises(InputError, match=r"module\.conv1\.weight is not part"):
        convert("resnet50", {**state_dict, "module.conv1.weight": state_dict["conv1.weight"]})


@pytest.mark.torch
def test_command_line_converts_a_pth_file(state_dict, tmp_path, capsys):
    torch = pytest.importorskip("torch")
    source = tmp_path / "resnet50.pth"
    for zipped in (True, False):
        torch.save({k: torch.from_numpy(np.array(v)) for k, v in state_dict.items()}, source,
                   _use_new_zipfile_serialization=zipped)  # fmt: skip
        out = tmp_path / f"checkpoint-{zipped}"
        assert main(["resnet50", "--source", str(source), "--out", str(out)]) == 0
        params, manifest = load_checkpoint(out)
        assert manifest.weights == "custom" and manifest.classes == 1000
        assert (params["fc"]["bias"] == state_dict["fc.bias"]).all()
    assert "custom" in capsys.readouterr().out


@pytest.mark.torch
def test_command_line_refuses_what_it_should(tmp_path, capsys):
    torch = pytest.importorskip("torch")
    absent, damaged, pickled, wrong = (tmp_path / n for n in ("absent.pth", "damaged.pth", "pickled.pth", "wrong.pth"))
    damaged.write_bytes(b"PK\x03\x04 no")
    torch.save({"model": torch.nn.Linear(2, 2)}, pickled)
    torch.save({"fc.bias": torch.zeros(3)}, wrong)
    cases = {absent: "cannot be read", damaged: "cut off or damaged"}
    cases |= {pickled: "holds the whole module of class", wrong: "less than half of the 265 arrays"}
    for path, message in cases.items():
        assert main(["resnet50", "--source", str(path), "--out", str(tmp_path / "out")]) == 2
        error = capsys.readouterr().err
        assert message in error and str(path) in error and error.count("\n") == 1
    assert main(["resnet50", "--source", str(wrong), "--out", str(tmp_path / "out"), "--weights", "IMAGENET1K_V1"]) == 2
    assert "SHA-256 starts with" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
