"""A trained network with its whole head: an InceptionV3 fine-tuned for content moderation, found through TRAINED_DIR.

    python -m tests.instruments.moderation --out runs/moderation

erases age, race and gender from every layer of it. What it puts out are the five classes that it was trained for; they
lie behind two more layers than torchvision's architecture has, so it is a network of its own here.
"""

import argparse
import importlib.util
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from flax import nnx

from bias_jax.audit import FlaxSubject, RunConfig, audit
from bias_jax.data import balanced_subset, read_fairface
from bias_jax.instruments import Erasure
from bias_jax.networks import NETWORKS, Transform, image_classifier, params_digest
from bias_jax.networks.inception_v3 import INCEPTION_V3, STEM, InceptionV3, Unit
from bias_jax.networks.layers import linear
from converters import convert

NAME = "moderation"
CLASSES = ("drawing", "hentai", "neutral", "porn", "sexy")
STEM_LAYERS = tuple(step.name if isinstance(step, Unit) else step for step in STEM)
EVERY_LAYER = (*dict.fromkeys((*STEM_LAYERS, *INCEPTION_V3.layers)), "avgpool", "fc")


class Moderation(nnx.Module):
    """InceptionV3 with 256 outputs, and 128 and 5 behind them, with ReLU between."""

    def __init__(self, classes: int, rngs: nnx.Rngs):
        self.body = InceptionV3(256, rngs)
        self.hidden = nnx.Linear(256, 128, rngs=rngs)
        self.last = nnx.Linear(128, classes, rngs=rngs)

    def __call__(self, x, offsets=None):
        x, activations = self.body(x, offsets)
        return linear(self.last, nnx.relu(linear(self.hidden, nnx.relu(x)))), activations


NETWORK = image_classifier(
    Moderation, last=("last",), preparation=Transform(342, 299), layers=INCEPTION_V3.layers, smallest=75
)


@contextmanager
def registered() -> Iterator[None]:
    """The network is one of the registry."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, NAME, NETWORK)
        yield


def moderation(folder: Path) -> FlaxSubject:
    """The network with its weights, which lie in this folder."""
    spec = importlib.util.spec_from_file_location("state_dict", folder / "state_dict.py")
    source = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(source)
    (first, shift), (last, bias) = source.head()
    head = {"hidden": {"kernel": first.T, "bias": shift}, "last": {"kernel": last.T, "bias": bias}}
    params = {"body": convert("inception_v3", source.arrays()), **head}
    return FlaxSubject(NAME, params, NETWORK.preparation, "trained", params_digest(params))


def named_classes(folder: Path) -> str:
    """A file with the names of its classes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    return str(folder / "classes.txt")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--per-group", type=int, default=8, help="photographs of each group")
    parser.add_argument("--answers", type=int, default=128, help="of these, whose answers are asked for")
    parser.add_argument("--layers", default=",".join(EVERY_LAYER), help="names with commas (default: all but branches)")
    parser.add_argument("--out", type=Path, required=True, help="run directory")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    faces = balanced_subset(read_fairface(os.environ["FAIRFACE_DIR"]), options.per_group, 0)
    instrument = Erasure(erased=("race", "age", "gender"), answers=options.answers,
                         classes=named_classes(options.out.parent))  # fmt: skip
    with registered():
        subject = moderation(Path(os.environ["TRAINED_DIR"]))
        config = RunConfig(layers=tuple(options.layers.split(",")))
        found = audit(subject, [instrument], faces=faces, config=config, out=options.out)
    print(found.listing, found.findings, found.failures, found.seconds, found.report(), sep="\n\n")


if __name__ == "__main__":
    main()
