"""What `sweep`, `ieat`, `topomaps` and `disparity` do with their options: one audit for each network."""

import logging
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bias_jax.audit import RANDOM, Audit, Instrument, RunConfig, audit
from bias_jax.compilation import use_cache
from bias_jax.data import FaceDataset
from bias_jax.errors import InputError, printable, reason
from bias_jax.features import Features
from bias_jax.networks import NETWORKS
from experiments.commands import tell_failures
from experiments.models import find_network, is_own

log = logging.getLogger("bias_jax.experiments")
MODELS = ", ".join(NETWORKS)


@dataclass(frozen=True)
class NetworkConfig:
    """Which networks, and where results go."""

    models: tuple[str, ...] = ("resnet50",)  # networks to audit, see python -m converters list; or yours, module:name
    weights: tuple[str, ...] = (RANDOM,)  # checkpoint folder of each network, or random (untrained control; and yours)
    out: str = ""  # run directory (default: runs/<model>-<data>)
    print_tables: bool = False  # print the numbers as tables above the findings, too
    cache: str = ""  # folder for compiled programs (default: ~/.cache/bias-jax/programs), or off

    def __post_init__(self) -> None:
        if not self.models:
            raise InputError("--models must name at least one network", remedy=f"choose of {MODELS}")
        if len(self.weights) not in (1, len(self.models)):
            raise InputError("--weights must be given once per model", remedy="see --help")
        weights = self.weights if len(self.weights) > 1 else self.weights * len(self.models)
        for model, given in zip(self.models, weights, strict=True):
            if is_own(model) and given != RANDOM:
                remedy = f"leave --weights out, or give one for each model, with {RANDOM} in the place of this one's"
                raise InputError(f"{model} is your own network, which brings its weights", remedy=remedy)


def run_audits(
    networks: NetworkConfig, config: RunConfig, faces: FaceDataset | None, instruments: Sequence[Instrument], name: str,
    features: Features | None = None, finished: Callable[[Audit, bool], None] | None = None,
) -> int:  # fmt: skip
    """Audit every network, print what was found, and give the exit status.

    Args:
        networks: which networks, and where results go.
        config: of every run.
        faces: labelled images, if there are any.
        instruments: what is measured.
        name: of the run directories, behind that of the network.
        features: in the place of networks.
        finished: called with every audit, and whether its network is trained, before its report is written.

    Raises:
        InputError: features, and networks or weights as well.
    """
    use_cache(networks.cache)
    if features is not None:
        usual = NetworkConfig()
        if networks.models != usual.models or networks.weights != usual.weights:
            raise InputError("--features take the place of --models and --weights", remedy="leave these out")
        out = Path(networks.out or f"runs/{features.model}-{name}")
        found = audit(features=features, instruments=instruments, faces=faces, config=config, out=out)
        tell(found, networks.print_tables, "distinct rows of features were read")
        return max(tell_failures(found.failures), tell_report(found))
    weights = networks.weights * len(networks.models) if len(networks.weights) == 1 else networks.weights
    status = 0
    models = [find_network(model) if is_own(model) else model for model in networks.models]
    for network, source in zip(models, weights, strict=True):
        called = network if isinstance(network, str) else re.sub(r"[^\w.-]+", "-", network.model)
        folder, several = f"{called}-{name}", len(networks.models) > 1
        out = Path(networks.out or "runs") / folder if several or not networks.out else Path(networks.out)
        found = audit(network, instruments, faces=faces, weights=source, config=config, out=out)
        tell(found, networks.print_tables)
        if finished is not None:
            finished(found, source != RANDOM or not isinstance(network, str))  # yours brings its weights
        status = max(status, tell_failures(found.failures), tell_report(found))
    return status


def tell(found: Audit, tables: bool = False, counted: str = "distinct images went through the network") -> None:
    """Print times, where everything lies, and what was found.

    Args:
        found: what is told.
        tables: whether the numbers are printed as tables, too.
        counted: what there is a number of.
    """
    if tables and (listing := found.listing):
        print(listing)
    print("wall time: " + ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in found.seconds.items()))
    print(f"compiled: {found.programs}; {found.images} {counted}")
    files = ", ".join(f"{i}/{name}.parquet" for i, own in found.finished.items() for name in own.tables)
    print(f"results: {found.path}/ (run.json, {files}, figures in */figures/)")
    if findings := found.findings:
        print("", *map(printable, findings.splitlines()), "", sep="\n")  # labels come from strangers


def tell_report(found: Audit) -> int:
    """Write the report of a run and print where it is; the exit status. What fails here loses nothing of the run."""
    if not any(own.tables for own in found.finished.values()):
        return 0  # nothing was finished, which was told
    try:
        print(f"report: {found.report()}")
    except Exception as error:
        log.debug("the report failed", exc_info=error)
        told = str(error) if isinstance(error, InputError) else f"the report failed: {reason(error)}"
        print(f"error: {told}. Everything else is complete", file=sys.stderr)
        return 1
    return 0
