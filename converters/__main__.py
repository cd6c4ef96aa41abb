"""Published or fine-tuned weights to checkpoints, and proof that the networks are the same.

python -m converters resnet50 --source resnet50-0676ba61.pth --out DIR     convert a file (.pth or .safetensors)
python -m converters resnet50 --source last.ckpt --take ema --out DIR      one of several networks in a file
python -m converters simclrv2_r50_1x_sk0 --source model.ckpt-250228.index --out DIR  TensorFlow's checkpoint
python -m converters resnet50 --download --weights IMAGENET1K_V2 --out DIR  fetch a published one first
python -m converters list                                                  every published entry
python -m converters verify resnet50 --weights IMAGENET1K_V1 --images DIR  compare with torchvision's network
python -m converters evaluate resnet50 --checkpoint DIR --imagenet DIR     top-1 and top-5 accuracy

A file may hold the network in a mapping (state_dict, model, ...) or under a prefix (module., _orig_mod., backbone.,
...): what stands before the names of all its arrays is taken off, whatever it is. Without a classifier, all layers up
to the pooled features can be audited. What was done is printed, and written into the checkpoint's manifest.json.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bias_jax.endings import run
from bias_jax.errors import InputError
from bias_jax.networks import PRECISIONS, load_checkpoint, network
from bias_jax.networks.checkpoint import require_free
from bias_jax.networks.tokens import Tokens
from bias_jax.progress import messages
from converters.checkpoint import Weights, convert_file, open_weights
from converters.clusters import NAMES
from converters.evaluation import evaluate
from converters.families import FAMILIES
from converters.images import class_folders, image_folder
from converters.published import table
from converters.verification import TOLERANCE, verify


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status: 0, 1 (verification above tolerance) or 2 (bad input)."""

    def program() -> int:
        arguments = _parser().parse_args(argv)
        with messages():
            return arguments.command(arguments)

    return run(program)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m converters", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(metavar="NETWORK | list | verify | evaluate", required=True)
    for name, family in FAMILIES.items():
        one = commands.add_parser(name, help=f"convert weights of {name}")
        one.set_defaults(command=_convert, network=name)
        where = one.add_mutually_exclusive_group(required=True)
        where.add_argument(
            "--source", type=Path, help="weights file that torch or safetensors wrote, or a TensorFlow checkpoint"
        )
        where.add_argument("--download", action="store_true", help="fetch the published entry of --weights")
        one.add_argument("--weights", help="published entry that the file must be, e.g. IMAGENET1K_V1 (see list)")
        _add_choices(one)
        ways = tuple(network(name).preparations)
        if len(ways) > 1:
            usual = f"how its images are prepared (default: that of the weights, or {ways[0]})"
            one.add_argument("--preparation", choices=ways, help=usual)
        if isinstance(network(name).preparation, Tokens):
            beside = f"file of its colours (default: {' or '.join(NAMES)} beside the weights)"
            one.add_argument("--clusters", type=Path, help=beside)
        for option in family.options:
            help = f"{option.help} (default: that of the weights, or {option.choices[0]})"
            one.add_argument(f"--{option.name}", choices=option.choices, help=help)
        one.add_argument("--out", type=Path, required=True, help="folder of the new checkpoint")
    commands.add_parser("list", help="published weights").set_defaults(command=_list)
    one = commands.add_parser("verify", help="compare with torchvision's network, layer by layer")
    one.set_defaults(command=_verify)
    one.add_argument("network", choices=list(TOLERANCE))
    one.add_argument("--weights", help="published entry, fetched where --source is not given")
    one.add_argument("--source", type=Path, help="weights file")
    _add_choices(one)
    one.add_argument("--images", type=Path, required=True, help="folder of images")
    one.add_argument("--limit", type=int, help="use the first images only")
    one.add_argument("--batch-size", type=int, default=8, help="images per forward pass (default: 8)")
    one.add_argument("--tolerance", type=float, help="largest relative error of a layer (default: 1e-4, or 5e-4)")
    one = commands.add_parser("evaluate", help="top-1 and top-5 accuracy of a checkpoint")
    one.set_defaults(command=_evaluate)
    one.add_argument("network", choices=list(FAMILIES))
    one.add_argument("--checkpoint", type=Path, required=True, help="folder written by a conversion")
    one.add_argument("--imagenet", type=Path, required=True, help="validation images, one folder per class")
    one.add_argument("--batch-size", type=int, default=32, help="images per forward pass (default: 32)")
    one.add_argument("--precision", choices=list(PRECISIONS), default="float32", help="arithmetic (default: float32)")
    return parser


def _add_choices(parser: argparse.ArgumentParser) -> None:
    which = "where a file holds several networks (plain and averaged, teacher and student, ...), the prefix of the one "
    parser.add_argument("--take", metavar="PREFIX", help=f"{which}to take, or a part of it that no other has")
    extra = (
        "leave out arrays that are no part of the network (queues, losses, other heads), which are refused otherwise"
    )
    parser.add_argument("--ignore-extra", action="store_true", help=extra)


def _open(arguments: argparse.Namespace) -> Weights:
    given = vars(arguments)
    options = {option.name: given.get(option.name.replace("-", "_")) for option in FAMILIES[arguments.network].options}
    return open_weights(
        arguments.network, arguments.source, arguments.weights, take=arguments.take,
        ignore_extra=arguments.ignore_extra, preparation=given.get("preparation"),
        options={name: value for name, value in options.items() if value is not None},
        clusters=given.get("clusters"),
    )  # fmt: skip


def _convert(arguments: argparse.Namespace) -> int:
    out: Path = arguments.out
    require_free(out)  # before hashing or fetching half a gibibyte
    manifest = convert_file(_open(arguments), out)
    classes = "no classifier" if manifest.untrained or not manifest.classes else f"{manifest.classes} classes"
    print(f"{manifest.network} weights {manifest.weights}, {classes} -> {out}")
    print(f"images: {manifest.transform}")
    if manifest.weights == "custom" and not vars(arguments).get("preparation"):
        print("the file is none of the known published ones, so the transform is the usual one of this network")
    if manifest.weights.endswith("(unverified)"):
        print(f"no hash of it is published, so --weights was taken at its word; SHA-256 {manifest.source_sha256}")
        print("the published accuracy is left out: it belongs to a file that is certainly the published one")
    if manifest.untrained:
        print(f"the file holds no valid values for {manifest.untrained}*: a sweep leaves out these and what is behind")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    print(table())
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    _positive(arguments.batch_size, "--batch-size")
    _positive(arguments.limit, "--limit")
    images = image_folder(arguments.images, arguments.limit)
    tolerance = TOLERANCE[arguments.network] if arguments.tolerance is None else arguments.tolerance
    weights = _open(arguments)
    comparison = verify(weights, images, arguments.batch_size)
    print(f"{weights.network} weights {weights.identity.weights} from {weights.path}, {len(images)} images")
    print(comparison)
    worst = comparison.relative(comparison.worst)
    fine = worst <= tolerance
    verdict = "within" if fine else "ABOVE"
    print(f"worst layer {comparison.worst}: relative error {worst:.2e}, {verdict} the tolerance {tolerance:g}")
    return 0 if fine else 1


def _evaluate(arguments: argparse.Namespace) -> int:
    _positive(arguments.batch_size, "--batch-size")
    params, manifest = load_checkpoint(arguments.checkpoint)
    if manifest.network != arguments.network:
        problem = f"holds {manifest.network}, not {arguments.network}"
        raise InputError(problem, file=arguments.checkpoint, remedy=f"evaluate {manifest.network}")
    if manifest.untrained or not manifest.classes:
        missing = f"valid values for {manifest.untrained}*" if manifest.untrained else "classifier"
        problem = f"weights {manifest.weights} have no {missing}, so no accuracy"
        raise InputError(problem, file=arguments.checkpoint, remedy="evaluate weights with a trained classifier")
    images = class_folders(arguments.imagenet, manifest.classes)
    accuracy = evaluate(params, manifest, images, arguments.batch_size, arguments.precision)
    print(f"{manifest.network} weights {manifest.weights}, {accuracy.images} images, {arguments.precision}")
    for k, published in zip(accuracy.correct, manifest.accuracy or (None, None), strict=False):
        print(accuracy.line(k, published))
    return 0


def _positive(value: int | None, option: str) -> None:
    if value is not None and value < 1:
        raise InputError(f"{option} must be positive", remedy="see --help")


if __name__ == "__main__":
    sys.exit(main())
