"""The published effect sizes and p-values of the fifteen main tests: ``output/results-full.csv`` of ryansteed/ieat."""

from typing import NamedTuple

from bias_jax.data.published_tests import MAIN

IGPT, SIMCLR = "igpt_l_32", "simclr_152_3x_sk1"  # as ryansteed/ieat calls its models
NETWORKS = {IGPT: "igpt_l", SIMCLR: "simclrv2_r152_3x_sk1"}  # and as they are called here
TITLES = {IGPT: "iGPT-L", SIMCLR: "SimCLRv2 152 3x"}


class PublishedRow(NamedTuple):
    """One test in one model."""

    test: str
    model: str
    size: int  # images of x, and of y
    d: float
    p: float  # one-sided: exact where there are at most 10,000 partitions, else from as many draws

    @property
    def sampled(self) -> bool:
        """Whether the published p-value was drawn."""
        return self.size > 7


_NUMBERS = {  # images of x; d and p of iGPT-L, d and p of SimCLRv2
    "Insect-Flower": (35, 0.3440, 0.0731, 1.6887, 0.0001),
    "Weapon": (6, 0.8617, 0.0682, 1.3758, 0.0087),
    "Weapon (Modern)": (6, 0.8765, 0.0606, 1.2813, 0.0108),
    "Native": (8, -0.3345, 0.7371, -0.1944, 0.6511),
    "Asian": (6, 0.2544, 0.3366, 0.4720, 0.2089),
    "Weight": (10, 1.6655, 0.0001, -0.2996, 0.7453),
    "Skin-Tone": (7, 1.2553, 0.0070, -0.1922, 0.7139),
    "Disability": (4, -0.0185, 0.5286, 0.3784, 0.3429),
    "Religion": (7, 0.3724, 0.2532, 0.3644, 0.2602),
    "Sexuality": (9, -0.0262, 0.5223, 0.0365, 0.4710),
    "Race": (6, -0.6194, 0.8463, -0.5712, 0.8268),
    "Arab-Muslim": (10, 0.8611, 0.0248, 1.0578, 0.0057),
    "Age": (6, 0.4227, 0.2413, 0.5891, 0.1602),
    "Gender-Science": (40, 0.4449, 0.0215, -0.0975, 0.6610),
    "Gender-Career": (40, 0.6189, 0.0023, 0.7398, 0.0003),
}
PUBLISHED = tuple(
    PublishedRow(test, model, size, *numbers[start : start + 2])
    for test, (size, *numbers) in _NUMBERS.items()
    for model, start in ((IGPT, 0), (SIMCLR, 2))
)
assert list(_NUMBERS) == list(MAIN)
