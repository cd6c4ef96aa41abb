"""Findings of Mahadev & Chakravarti 2021 on planted tables."""

import math

import pytest

from bias_jax.disparity import ALL
from bias_jax.instruments.heads.examples import PREFERRED
from bias_jax.published.finding import NOT_DECIDABLE, NOT_SUPPORTED, SUPPORTED
from bias_jax.published.mahadev2021 import mahadev2021

SOFTMAX, ENTROPY = PREFERRED


def rates(difference, half, trials=200.0):
    """Recalls of two genders for both losses."""
    place = {"view": "gender", "metric": "recall", "label": ALL, "layer": "deep", "trials": trials, "images": 200}
    return [
        {
            **place,
            "loss": loss,
            "group": group,
            "difference": d,
            "difference_low": d - half,
            "difference_high": d + half,
        }
        for loss in PREFERRED
        for group, d in (("Female", difference), ("Male", -difference))
    ]


def losses(difference, half, first=SOFTMAX, trials=200.0):
    second = ENTROPY if first == SOFTMAX else SOFTMAX
    place = {"view": "gender", "metric": "recall", "label": ALL, "layer": "deep", "trials": trials, "images": 200}
    return [
        {**place, "loss": first, "minus_loss": second, "minus_trials": trials, "group": group, "disparity": d,
         "disparity_low": d - half, "disparity_high": d + half}
        for group, d in (("Female", difference), ("Male", -difference))
    ]  # fmt: skip


CASES = {
    (0.3, 0.05): SUPPORTED, (0.0, 0.01): NOT_SUPPORTED, (0.1, 0.09): NOT_DECIDABLE, (math.nan, math.nan): NOT_DECIDABLE,
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_gaps_and_their_change(case):
    change = case[0], case[1] / 2  # what counts as no change is smaller than what counts as no gap
    gap, changed, maps, numbers = mahadev2021({"rates": rates(*case), "losses": losses(*change)}, ("contact_a",))
    assert gap.verdict == CASES[case] and maps.verdict == numbers.verdict == NOT_DECIDABLE
    assert changed.verdict == (SUPPORTED if case == (0.1, 0.09) else CASES[case])
    assert "contact_a" in maps.why


def test_small_groups_and_an_untrained_network_decide_nothing():
    few = list(mahadev2021({"rates": rates(0.3, 0.05, 29.0), "losses": losses(0.3, 0.05, trials=29.0)}, ()))
    assert {f.verdict for f in few} == {NOT_DECIDABLE} and math.isnan(few[0].number)
    found = list(mahadev2021({"rates": rates(0.3, 0.05), "losses": losses(0.3, 0.05)}, (), reason="untrained"))
    assert {f.verdict for f in found} == {NOT_DECIDABLE}
    assert found[0].why.startswith("untrained; by its number alone: supported; ")


def test_the_order_of_losses_turns_nothing():
    one, other = (
        list(mahadev2021({"rates": rates(0.3, 0.05), "losses": losses(d, 0.01, first)}, ()))[1]
        for first, d in ((SOFTMAX, 0.2), (ENTROPY, -0.2))
    )
    assert one == other and abs(one.number) == pytest.approx(20.0)
