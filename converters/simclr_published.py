"""The published weights of SimCLRv2, as google-research/simclr lists them; no hashes are published."""

from bias_jax.networks.simclr import ARCHITECTURES, NL_0
from bias_jax.networks.unit_images import UnitImages
from converters.entries import PublishedWeights

BUCKET = "gs://simclr-checkpoints/simclrv2"
# Set of weights -> training steps in the file's name.
STEPS = {"pretrained": 250228, "finetuned_1pct": 751, "finetuned_10pct": 3754, "finetuned_100pct": 37535,
         "supervised": 28151}  # fmt: skip
# ImageNet top-1 in percent, in the order of `STEPS`; of the pretrained ones by a linear classifier.
TOP_1 = {
    "r50_1x_sk0": (71.7, 57.9, 68.4, 76.3, 76.6),
    "r50_1x_sk1": (74.6, 64.5, 72.1, 78.7, 78.5),
    "r50_2x_sk0": (75.6, 66.3, 73.9, 79.1, 77.8),
    "r50_2x_sk1": (77.7, 70.6, 77.0, 81.3, 79.3),
    "r101_1x_sk0": (73.6, 62.1, 71.4, 78.2, 78.0),
    "r101_1x_sk1": (76.3, 68.3, 75.1, 80.6, 79.6),
    "r101_2x_sk0": (77.0, 69.1, 75.8, 80.7, 78.9),
    "r101_2x_sk1": (79.0, 73.2, 78.8, 82.4, 80.1),
    "r152_1x_sk0": (74.5, 64.0, 73.0, 79.3, 78.3),
    "r152_1x_sk1": (77.2, 70.0, 76.5, 81.3, 79.9),
    "r152_2x_sk0": (77.4, 70.2, 76.6, 81.1, 79.1),
    "r152_2x_sk1": (79.4, 74.2, 79.4, 82.9, 80.4),
    "r152_3x_sk1": (79.8, 74.9, 80.1, 83.1, 80.5),
}
FEW_LABELS = ("finetuned_1pct", "finetuned_10pct")  # their classifier sits on the first projection layer

PUBLISHED = tuple(
    PublishedWeights(
        name,
        weights,
        f"{BUCKET}/{weights}/{name.removeprefix('simclrv2_')}/model.ckpt-{STEPS[weights]}",
        None,
        (top_1,),
        UnitImages("tf2"),
        options={"supervised-head": NL_0} if weights in FEW_LABELS else {},
    )
    for name in ARCHITECTURES
    for weights, top_1 in zip(STEPS, TOP_1[name.removeprefix("simclrv2_")], strict=True)
)
