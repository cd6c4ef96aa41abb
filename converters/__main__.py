"""Convert a weights file into a checkpoint: python -m converters resnet50 --source resnet50-0676ba61.pth --out DIR."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bias_jax.errors import InputError
from bias_jax.networks import NETWORKS, Manifest, Transform, class_count, params_digest, save_checkpoint
from converters.sources import identify, read_state_dict
from converters.torchvision import convert


def convert_file(name: str, source: Path, out: Path, weights: str | None = None) -> Manifest:
    """Read, convert, and save with a manifest."""
    digest, published = identify(name, source, weights)
    try:
        params = convert(name, read_state_dict(source))
    except InputError as error:
        raise InputError(str(error), file=None if str(source) in str(error) else source) from None
    net = NETWORKS[name]
    manifest = Manifest(
        network=name,
        classes=class_count(name, params),
        weights=published.name if published else "custom",
        source=source.name,
        source_sha256=digest,
        params_sha256=params_digest(params),
        transform=published.transform if published else Transform(net.resize, net.image_size),
        accuracy=published.accuracy if published else None,
    )
    save_checkpoint(out, params, manifest)
    return manifest


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m converters", description=__doc__)
    parser.add_argument("network", choices=sorted(NETWORKS))
    parser.add_argument("--source", type=Path, required=True, help="torchvision state dict (.pth)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the new checkpoint")
    parser.add_argument("--weights", help="published entry that the file must be, e.g. IMAGENET1K_V2")
    arguments = parser.parse_args(argv)
    try:
        manifest = convert_file(arguments.network, arguments.source, arguments.out, arguments.weights)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    t = manifest.transform
    print(f"{manifest.network} weights {manifest.weights}, {manifest.classes} classes -> {arguments.out}")
    print(f"images: resize {t.resize}, centre crop {t.crop}, mean {t.mean}, std {t.std}")
    if manifest.weights == "custom":
        print("the file is none of torchvision's published ones, so the transform is the usual one of this network")
    return 0


if __name__ == "__main__":
    sys.exit(main())
