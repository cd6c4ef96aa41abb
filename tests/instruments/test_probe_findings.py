"""Sentences about probes say the same whichever way round a table holds a pair."""

import pytest

from bias_jax.audit import PIXELS
from bias_jax.instruments.probes.findings import COMPARABLE, against_pixels


def difference(layer: str, versus: str, value: float, target: str = "age", metric: str = COMPARABLE) -> dict:
    return {"compared": "layers", "metric": metric, "layer": layer, "versus_layer": versus, "target": target,
            "versus_target": target, "value": value, "low": value - 0.1, "high": value + 0.3}  # fmt: skip


@pytest.mark.parametrize(
    ("layer", "versus", "value", "told"),
    [
        ("deep", PIXELS, 0.2, "+0.20 [+0.10, +0.50])"),
        ("deep", PIXELS, -0.2, "-0.20 [-0.30, +0.10], so that it is more is not certain)"),
        (PIXELS, "deep", 0.2, "-0.20 [-0.50, -0.10], less than the pixels)"),
        (PIXELS, "deep", -0.4, "+0.40 [+0.10, +0.50])"),
    ],
)
def test_a_layer_against_the_pixels(layer, versus, value, told):
    others = [difference("deep", "flat", 9.0), difference("deep", PIXELS, 9.0, target="race"),
              difference("deep", PIXELS, 9.0, metric="information_bits"),
              {**difference("deep", "deep", 9.0), "compared": "attributes", "versus_target": "race"}]  # fmt: skip
    assert against_pixels(others, "age", "deep") == ""
    assert against_pixels([*others, difference(layer, versus, value)], "age", "deep").endswith(told)


def test_rounding_is_no_difference():
    nothing = {**difference("deep", PIXELS, 0.0), "value": -1e-9, "low": -1e-9, "high": -1e-9}
    assert against_pixels([nothing], "age", "deep").endswith("+0.00 [+0.00, +0.00], so that it is more is not certain)")
