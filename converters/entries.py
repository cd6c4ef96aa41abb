"""Published weights: where they are, how their images are prepared, and what was measured with them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from bias_jax.networks import Preparation

TORCHVISION_ADDRESS = "https://download.pytorch.org/models/"
HUB_ADDRESS = "https://huggingface.co/"


@dataclass(frozen=True)
class PublishedWeights:
    """One published set of weights, e.g. an entry of torchvision's weights enums, or timm's copy of one."""

    network: str
    name: str  # member of the enum, timm's tag, or as the authors call it
    file: str  # torchvision's file, timm's repository on the Hugging Face hub, or an address
    mebibytes: float | None
    accuracy: tuple[float, ...] | None  # ImageNet top-1 and, where published, top-5 in percent, with `transform`
    transform: Preparation
    invalid: str | None = None  # prefix of the names that hold no trained values
    options: Mapping[str, str] = field(default_factory=dict)  # what the file does not say, see `naming.Option`
    sha256: str = ""  # of the file, if it is published elsewhere than in its name

    @property
    def on_hub(self) -> bool:
        """Whether this is timm's copy."""
        return self.file.startswith("timm/")

    @property
    def hash_prefix(self) -> str:
        """First digits of the file's SHA-256, which torchvision puts into its name, or all; empty: none is known."""
        if self.sha256:
            return self.sha256
        found = re.search(r"-([0-9a-f]{8})\.pth$", self.file)
        return found[1] if found else ""

    @property
    def address(self) -> str:
        if "://" in self.file:
            return self.file
        return HUB_ADDRESS + self.file if self.on_hub else TORCHVISION_ADDRESS + self.file
