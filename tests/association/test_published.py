"""Published tests (Steed & Caliskan 2021) and edge cases, from the folder IEAT_DIR."""

import json

import numpy as np
import pytest

from bias_jax.association import ieat

CASES = (
    "real_gender-career__igpt_l_32", "real_skin-tone__igpt_l_32", "real_weapon__igpt_l_32",
    "real_insect-flower__simclr_152_3x_sk1", "real_weapon__simclr_152_3x_sk1", "real_native__simclr_152_3x_sk1",
    "real_arab-muslim__simclr_152_3x_sk1", "real_age__simclr_152_3x_sk1", "synth_basic_n4_unequalAB",
    "synth_strong_n7", "synth_strong_n7_swapXY", "synth_strong_n7_swapAB", "synth_n8_first_sampled",
    "synth_exact_ties_n4",
)  # fmt: skip


def test_no_case_is_left_out(ieat_dir):
    assert {case["file"] for case in cases(ieat_dir)} == {f"{name}.npz" for name in CASES}


def cases(folder):
    return json.loads((folder / "expected.json").read_text())["cases"]


@pytest.fixture(params=CASES)
def case(request, ieat_dir):
    found = next(case for case in cases(ieat_dir) if case["file"] == f"{request.param}.npz")
    with np.load(ieat_dir / found["file"]) as arrays:
        return found, [arrays[name] for name in "XYAB"]


def test_effect_size_and_p_value(case):
    expected, sets = case
    found, independent = ieat(*sets), expected["exact_independent"]
    for d in (expected["d"], expected.get("d_published", expected["d"])):
        assert found.effect_size == pytest.approx(d, abs=1e-9)
    if "count_ge" in independent:
        counts = independent["count_ge"], independent["count_gt"], independent["total"]
        assert (found.method, found.count, found.count_strict, found.total) == ("exact", *counts)
    else:
        assert found.method == "bounds" and found.total == expected["n_partitions"]
        assert independent["p_lo"] * (1 - 1e-6) <= found.p_low < found.p_high <= independent["p_hi"] * (1 + 1e-6)
        assert found.p_high - found.p_low <= 0.002


def test_sampled_p_value(case):
    expected, sets = case
    truth, found = ieat(*sets), ieat(*sets, method="sampled", seed=1)
    p, draws = truth.p_high, found.total - 1
    assert draws == 1_000_000
    assert abs(found.p_value - p) <= 4 * np.sqrt(p * (1 - p) / draws) + 1 / draws + (p - truth.p_low)
    assert found.p_low <= found.p_value <= found.p_high
    assert expected["nX"] == found.sizes[0]
