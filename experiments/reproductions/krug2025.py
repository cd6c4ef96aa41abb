"""Krug & Stober 2025, "Assessing Intersectional Bias in Representations of Pre-Trained Image Recognition Models".

    python -m experiments.reproduce krug2025 --data fairface --data-dir FAIRFACE --weights CHECKPOINT

Probes of all 126 groups by the published recipe (dropout, L1 over four exponents, feature maps of at most 8 x 8), with
honest probes beside them, the variance partition, and topographic maps; then the seven findings. Two readings of the
pooling are run, each into a directory of its own. Without --weights the network is untrained, and decides nothing. Any
size will do: --per-group, --layers.

Rules, fixed before any number was seen. Intervals are corrected for seven findings. Supported: the whole interval lies
on the claimed side of the limit; not supported: on the other; not decidable: it holds the limit, there are fewer than
20 errors, the probe is not surely better than chance, groups are missing, or the network is untrained. None is below
5 %, mostly and most above 50 %, almost always above 90 %. See docs/reproduce.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from bias_jax.activations import RULES as POOLING
from bias_jax.audit import Audit, RunConfig
from bias_jax.data import FaceDataset
from bias_jax.data.fairface import ATTRIBUTES
from bias_jax.errors import InputError
from bias_jax.instruments import Maps, Probes, Recipe, Variance
from bias_jax.published.finding import HONEST, Finding, all_of, lines
from bias_jax.published.keeping import keep_findings
from bias_jax.published.krug2025 import krug2025
from bias_jax.report.page import write_report
from experiments.audits import NetworkConfig, run_audits
from experiments.datasets import DataConfig, flat, read_faces

PAPER = ("vgg16", "resnet50", "inception_v3")


@dataclass(frozen=True)
class Krug2025Config:
    """Probes and maps of FairFace in the layers of networks, and what the paper says of them."""

    # how feature maps become 8 x 8 at most, each a run of its own: grid (averages), subsample (single positions),
    # window (averages of whole windows); the paper names averages and single positions
    readings: tuple[str, ...] = ("grid", "subsample")
    data: flat(DataConfig) = field(default_factory=DataConfig)  # type: ignore[valid-type]
    networks: flat(NetworkConfig) = field(  # type: ignore[valid-type]
        default_factory=lambda: NetworkConfig(models=("inception_v3",))
    )
    run: flat(RunConfig) = field(default_factory=RunConfig)  # type: ignore[valid-type]
    recipe: Recipe = field(default_factory=Recipe)
    probes: Probes = field(default_factory=Probes)
    variance: Variance = field(default_factory=Variance)
    maps: Maps = field(default_factory=Maps)

    def __post_init__(self) -> None:
        if not self.readings or len(set(self.readings)) < len(self.readings) or set(self.readings) - set(POOLING):
            problem = f"--readings must be of {', '.join(POOLING)}, each once"
            raise InputError(problem, remedy="see --help")
        if self.run.pooling != RunConfig.pooling:
            raise InputError("--readings takes the place of --pooling", remedy="leave --pooling out")
        if self.run.near_duplicates == "join":
            problem = "krug2025 counts images, which must show different persons"
            raise InputError(problem, remedy="leave out --near-duplicates join")
        if self.maps.compare or self.maps.errors != "none" or self.maps.contrast:
            problem = "the findings are about maps of all groups"
            raise InputError(problem, remedy="leave out --maps.compare, --maps.errors and --maps.contrast")


def reproduce(config: Krug2025Config) -> int:
    """Audit every network in every reading, and test the findings."""
    if config.data.features:
        raise InputError("the published recipe reduces feature maps", remedy="leave out --features")
    faces = read_faces(config.data, config.run)
    _check(faces)
    instruments = (config.recipe, config.probes, config.variance, config.maps)
    found: dict[str, dict[str, Finding]] = {}
    paths: list[Path] = []
    status = 0
    for reading in config.readings:
        networks = config.networks
        if len(config.readings) > 1 and networks.out:
            networks = replace(networks, out=str(Path(networks.out) / reading))
        run = replace(config.run, pooling=reading)

        def test(audit: Audit, trained: bool, reading: str = reading) -> None:
            if audit.failures:
                print("the findings need all four instruments, and one failed")
                return
            tested = krug2025(audit.path, config.maps, trained=trained)
            options = {"paper": "arXiv 2506.03664", "trained": trained}
            keep_findings(audit.path, tested.account, tested.findings, excerpts=tested.excerpts, tables=tested.tables,
                          figures=tested.figures, options=options, formats=config.run.formats)  # fmt: skip
            model = audit.stored["maps"].run["model"]
            print(f"findings of Krug & Stober 2025 in {model}, {reading}:", *lines(tested.findings), "", sep="\n")
            found.setdefault(reading, {})[model] = tested.findings[-1]
            paths.append(audit.path)

        name = f"{config.data.data}-krug2025-{reading}"
        status = max(status, run_audits(networks, run, faces, instruments, name, finished=test))
    for line in _of_three(found):
        print(line)
    if len(paths) > 1:
        page = write_report(paths, out=Path(config.networks.out or "runs") / f"{config.data.data}-krug2025.html")
        print(f"side by side: {page}")
    return status


def _check(faces: FaceDataset) -> None:
    """Labels must be FairFace's, and images of different persons.

    Raises:
        InputError: they are not.
    """
    if [(a.name, tuple(a.categories)) for a in faces.attributes] != [(a.name, a.categories) for a in ATTRIBUTES]:
        problem = "krug2025 is about race, age and gender as FairFace has them"
        raise InputError(problem, file=faces.source, remedy="give --data fairface --data-dir FAIRFACE")
    if faces.persons is not None:
        problem = "krug2025 counts images, which must show different persons"
        raise InputError(problem, file=faces.source, remedy="leave out --group-column")


def _of_three(found: dict[str, dict[str, Finding]]) -> Iterator[str]:
    """Finding 7 is about three networks."""
    for reading, own in found.items():
        if set(PAPER) <= own.keys():
            verdict = all_of([own[model].verdict for model in PAPER])
            yield f"7. In all three architectures, {reading}, {HONEST}: {verdict}."
