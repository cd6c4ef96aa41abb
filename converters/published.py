"""The published ImageNet weights of the three networks: where they are, and what was measured with them."""

from dataclasses import dataclass, replace

from bias_jax.errors import InputError
from bias_jax.networks import Transform

TORCHVISION_ADDRESS = "https://download.pytorch.org/models/"
TIMM_FILE = "model.safetensors"


@dataclass(frozen=True)
class PublishedWeights:
    """One entry of torchvision's weights enums, or timm's copy of one."""

    network: str
    name: str  # member of the enum, or timm's tag
    file: str  # torchvision's file, or timm's repository on the Hugging Face hub
    mebibytes: float
    accuracy: tuple[float, float] | None  # ImageNet top-1 and top-5 in percent, measured with `transform`
    transform: Transform
    invalid: str | None = None  # prefix of the names that hold no trained values

    @property
    def on_hub(self) -> bool:
        """Whether this is timm's copy."""
        return self.file.startswith("timm/")

    @property
    def hash_prefix(self) -> str:
        """First digits of the file's SHA-256, which torchvision puts into its name; empty for timm's."""
        return "" if self.on_hub else self.file.rsplit("-", 1)[1].removesuffix(".pth")

    @property
    def address(self) -> str:
        return f"https://huggingface.co/{self.file}" if self.on_hub else TORCHVISION_ADDRESS + self.file


_VGG16 = PublishedWeights(
    "vgg16", "IMAGENET1K_V1", "vgg16-397923af.pth", 527.796, (71.592, 90.382), Transform(256, 224)
)
_VGG16_FEATURES = PublishedWeights(
    "vgg16", "IMAGENET1K_FEATURES", "vgg16_features-amdegroot-88682ab5.pth", 527.802, None,
    Transform(256, 224, (0.48235, 0.45882, 0.40784), (1 / 255, 1 / 255, 1 / 255)), invalid="classifier.",
)  # fmt: skip
_RESNET50 = PublishedWeights(
    "resnet50", "IMAGENET1K_V1", "resnet50-0676ba61.pth", 97.781, (76.130, 92.862), Transform(256, 224)
)
_RESNET50_V2 = PublishedWeights(
    "resnet50", "IMAGENET1K_V2", "resnet50-11ad3fa6.pth", 97.790, (80.858, 95.434), Transform(232, 224)
)
_INCEPTION = PublishedWeights(
    "inception_v3", "IMAGENET1K_V1", "inception_v3_google-0cc3c7bd.pth", 103.903, (77.294, 93.450), Transform(342, 299)
)


def _timm(original: PublishedWeights, tag: str, mebibytes: float) -> PublishedWeights:
    # The same weights, so torchvision's transform and the accuracy measured with it. timm evaluates InceptionV3
    # otherwise (bicubic, 341 -> 299, mean and std 0.5), and its networks do not transform their input; ours does.
    return replace(original, name=tag, file=f"timm/{original.network}.{tag}", mebibytes=mebibytes)


PUBLISHED = (
    _VGG16,
    _VGG16_FEATURES,
    _RESNET50,
    _RESNET50_V2,
    _INCEPTION,
    _timm(_VGG16, "tv_in1k", 527.8),
    _timm(_RESNET50, "tv_in1k", 97.7),
    _timm(_RESNET50_V2, "tv2_in1k", 97.7),
    _timm(_INCEPTION, "tv_in1k", 91.1),
)


def published(network: str, name: str) -> PublishedWeights:
    """The entry of that name.

    Raises:
        InputError: the network has no such weights.
    """
    entries = {entry.name: entry for entry in PUBLISHED if entry.network == network}
    if name not in entries:
        raise InputError(f"{network} has no weights {name!r}", remedy=f"choose one of {', '.join(entries)}")
    return entries[name]


def table() -> str:
    """Every entry, one line each."""
    lines = [
        f"{'network':<13}{'weights':<21}{'resize':>6} {'crop':>5}  {'mean; std of RGB in [0, 1]':<46}"
        f"{'top-1':>7}{'top-5':>8}{'MiB':>7}  {'SHA-256':<10}file"
    ]
    for entry in PUBLISHED:
        t = entry.transform
        shown = (values if len(set(values)) > 1 else values[:1] for values in (t.mean, t.std))
        colours = "; ".join(", ".join(f"{v:.5g}" for v in values) for values in shown)
        top1, top5 = (f"{v:.3f}" for v in entry.accuracy) if entry.accuracy else ("none", "none")
        lines.append(
            f"{entry.network:<13}{entry.name:<21}{t.resize:>6} {t.crop:>5}  {colours:<46}"
            f"{top1:>7}{top5:>8}{entry.mebibytes:>7.1f}  {entry.hash_prefix or 'by hub':<10}{entry.file}"
        )
    return "\n".join(lines)
