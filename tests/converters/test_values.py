"""Values that cannot be weights."""

import ml_dtypes
import numpy as np
import pytest

from bias_jax.errors import InputError
from converters import convert
from converters.contents import NoNumbers
from converters.fitting import fit, single_precision
from converters.recognition import recognise


def spoiled(array, value, count, seed=0):
    """A copy in which so many numbers are another one."""
    places = np.random.default_rng(seed).choice(array.size, count, replace=False)
    result = np.array(array)
    result.reshape(-1)[places] = value
    return result


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("key", ["conv1.weight", "bn1.weight", "bn1.running_mean", "bn1.running_var", "fc.bias"])
def test_values_that_are_not_finite_are_counted(key, count, value, tiny):
    with pytest.raises(InputError) as caught:
        convert("tiny", {**tiny, key: spoiled(tiny[key], value, count)})
    assert f"{key} holds values that are not finite: {count} of {tiny[key].size}. Way out: save" in str(caught.value)


def test_negative_variances_are_counted(tiny):
    with pytest.raises(InputError, match=r"bn1\.running_var holds negative variances: 1 of 2"):
        convert("tiny", {**tiny, "bn1.running_var": spoiled(tiny["bn1.running_var"], -1e-9, 1)})
    for key in ("bn1.running_mean", "bn1.weight", "conv1.weight"):  # may well be negative
        convert("tiny", {**tiny, key: -np.abs(tiny[key])})


@pytest.mark.parametrize(("kind", "bits"), [
    (np.float32, np.uint32(0x7F800001)), (np.float64, np.uint64(0x7FF0000000000001)),
])  # fmt: skip
def test_signalling_nan_is_told_like_any_other(kind, bits, tiny):
    """As damage makes it; NumPy warns where it is asked whether one is true, or made narrower."""
    broken = tiny["fc.weight"].astype(kind)
    broken.view(bits.dtype)[0, 0] = bits
    with pytest.raises(InputError, match=r"fc\.weight holds values that are not finite: 1 of"):
        convert("tiny", {**tiny, "fc.weight": broken})


def test_variances_of_zero_are_those_of_channels_that_never_change(tiny):
    params = convert("tiny", {**tiny, "bn1.running_var": np.zeros(2, np.float32)})
    assert not params["bn1"]["var"].any()


def test_all_faults_of_values_are_told_at_once(tiny):
    broken = {**tiny, "conv1.weight": np.full((2, 3, 3, 3), np.nan), "bn1.running_var": np.full(2, -1.0)}
    broken["fc.weight"] = np.zeros((3, 4), int)
    with pytest.raises(InputError, match="negative") as caught:
        convert("tiny", broken)
    for part in ("not finite: 54 of 54", "holds negative variances: 2 of 2", "fc.weight holds int64"):
        assert part in str(caught.value)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64, np.longdouble, ">f4"])
def test_floating_point_numbers_of_any_precision_are_read(dtype, tiny):
    kernel = np.asarray([[1.0, -0.5, 0.25, 2.0]] * 3).astype(dtype)
    params = convert("tiny", {**tiny, "fc.weight": kernel})
    assert params["fc"]["kernel"].dtype == np.float32 and np.asarray(params["fc"]["kernel"])[1, 2] == -0.5


@pytest.mark.parametrize(
    "dtype",
    [np.int64, np.uint8, np.bool_, np.complex64, np.complex128, "U3", "S3", object, "M8[s]",
     ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, ml_dtypes.int4],
)  # fmt: skip
def test_numbers_of_other_types_are_refused(dtype, tiny):
    with pytest.raises(InputError, match=r"layer1\.1\.weight holds .*, not floating point numbers"):
        convert("tiny", {**tiny, "layer1.1.weight": np.zeros((4, 4, 1, 1)).astype(dtype)})


@pytest.mark.parametrize("kind", ["quantised (torch.qint8)", "not dense (torch.sparse_coo)", "without values"])
def test_values_without_plain_numbers_are_refused_where_they_are_needed(kind, tiny):
    for key in ("conv1.weight", "bn1.running_var", "fc.weight"):
        with pytest.raises(InputError, match=rf"{key} is {kind[:6]}"):
            convert("tiny", {**tiny, key: NoNumbers(kind, tiny[key].shape)})
    content = {**tiny, "other.weight": NoNumbers(kind, (3, 3))}
    assert recognise("tiny", content).extra == ("other.weight",)
    convert("tiny", content, ignore_extra=True)


def test_values_that_float32_cannot_hold():
    _, fault = single_precision(np.array([1e39, 1.0, -1e300]))
    assert fault == "holds values beyond the range of float32: 2 of 3"
    _, fault = single_precision(np.array([1e39, np.nan]))
    assert fault == "holds values that are not finite: 2 of 2"
    found, fault = single_precision(np.array([1e-60, 3e38]))
    assert fault is None and found.dtype == np.float32


def test_a_layer_of_zeros_is_told_and_a_network_of_zeros_refused(tiny):
    zeros = {key: np.zeros_like(tiny[key]) for key in ("conv1.weight", "layer1.0.weight", "layer1.1.weight")}
    _, odd = fit("tiny", recognise("tiny", {**tiny, **zeros}))
    assert odd == ("zeros only: conv1.weight, layer1.0.weight, layer1.1.weight",)
    with pytest.raises(InputError, match="every kernel holds zeros only"):
        convert("tiny", {**tiny, **zeros, "fc.weight": np.zeros((3, 4), np.float32)})
    headless = {key: array for key, array in {**tiny, **zeros}.items() if not key.startswith("fc.")}
    with pytest.raises(InputError, match="every kernel holds zeros only"):
        convert("tiny", headless)
