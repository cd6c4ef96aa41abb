"""The programs this package is compared with: which packages they need, and where PyTorch computes."""

from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any, NamedTuple

import jax

from bias_jax.errors import InputError
from experiments.benchmarks.machine import threads


class Peer(NamedTuple):
    """What a peer needs."""

    modules: dict[str, str]  # name of import -> of the package
    remedy: str


VERIFY = "pip install 'bias-jax[verify]'"
TORCH = Peer({"torch": "torch"}, VERIFY)
PEERS = {
    "sklearn": Peer({"sklearn": "scikit-learn"}, "pip install 'bias-jax[layouts]'"),
    "torch": TORCH,
    "torch-lbfgs": TORCH,
    "recipe": TORCH,
    "torchvision": Peer({"torch": "torch", "torchvision": "torchvision"}, VERIFY),
    "transformers": Peer({"torch": "torch", "transformers": "transformers"}, "pip install torch transformers"),
    "concept-erasure": Peer(
        {"torch": "torch", "concept_erasure": "concept-erasure"}, "pip install torch concept-erasure"
    ),
    "minisom": Peer({"minisom": "minisom"}, "pip install 'bias-jax[test]'"),
}


def missing_package(peer: str) -> str:
    """The package that a peer needs and that is not installed; empty if all are."""
    return next((name for module, name in PEERS[peer].modules.items() if find_spec(module) is None), "")


def check_names(peers: Iterable[str], known: tuple[str, ...]) -> None:
    """Refuse peers that a benchmark does not have.

    Raises:
        InputError: there is one.
    """
    if unknown := set(peers) - set(known):
        raise InputError(f"unknown peers {sorted(unknown)}", remedy=f"give some of {', '.join(known)}")


def require(peers: Iterable[str]) -> None:
    """Refuse peers that cannot run, before anything is measured.

    Raises:
        InputError: a package is not installed.
    """
    for peer in peers:
        if package := missing_package(peer):
            raise InputError(f"{package} is needed as the peer", remedy=f"{PEERS[peer].remedy}, or give other --peers")


def use_torch() -> tuple[Any, str]:
    """PyTorch with all cores and full float32, and its device: the one that JAX has.

    Raises:
        InputError: it is not installed.
    """
    require(["torch"])
    import torch

    torch.set_num_threads(threads())
    torch.set_float32_matmul_precision("highest")
    gpu = torch.cuda.is_available() and jax.devices()[0].platform == "gpu"
    return torch, "cuda" if gpu else "cpu"


def torch_in_words(torch: Any, place: str) -> str:
    """Version, and what it runs on."""
    where = torch.cuda.get_device_name() if place == "cuda" else f"{torch.get_num_threads()} threads"
    return f"torch {torch.__version__} on {where}"
