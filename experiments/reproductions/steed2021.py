"""Steed & Caliskan 2021, "Image Representations Learned With Unsupervised Pre-Training Contain Human-like Biases".

    python -m experiments.reproduce steed2021 --embeddings FOLDER
    python -m experiments.reproduce steed2021 --stimuli IEAT --models simclrv2_r152_3x_sk1 --weights CHECKPOINT

Every published row, fifteen tests in two models, beside the recomputed one: from embeddings, TEST__MODEL.npz with the
arrays X, Y, A and B (default: the folder that the environment variable IEAT_DIR names); and from pictures, a download
of ryansteed/ieat, by networks.

Rules, fixed before any number was seen. As published: d and p agree to their digits, drawn p-values to their draws.
Honest: the interval of d, targets and attributes resampled, corrected for thirty rows. A row with p below 0.1 claims an
association, supported if the interval is above 0, not supported if it is below 0 or below the published d; another row
claims none, supported within 0.2 of 0, not supported if the interval excludes 0. Not decidable: all else, fewer than 8
images a set, another or an untrained network. See docs/reproduce.md.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bias_jax.audit import Audit, RunConfig
from bias_jax.data.published_tests import MAIN
from bias_jax.data.stimulus_sources import folder_tests
from bias_jax.errors import InputError
from bias_jax.instruments import Associations
from bias_jax.published.finding import Finding, as_excerpt, lines
from bias_jax.published.keeping import begin_run, keep_findings
from bias_jax.published.steed2021 import ACCOUNT, Recomputed, digest_of, from_pictures, read_embeddings, row_findings
from bias_jax.report.page import write_report
from experiments.audits import NetworkConfig, run_audits
from experiments.datasets import flat


@dataclass(frozen=True)
class Steed2021Config:
    """Published association tests, from embeddings and from pictures."""

    embeddings: str = ""  # folder of TEST__MODEL.npz (default: that of IEAT_DIR)
    stimuli: str = ""  # download of ryansteed/ieat, whose pictures go through --models
    tests: tuple[str, ...] = ()  # of the fifteen, by pictures (default: all whose pictures are there)
    networks: flat(NetworkConfig) = field(  # type: ignore[valid-type]
        default_factory=lambda: NetworkConfig(models=("simclrv2_r152_3x_sk1",))
    )
    run: flat(RunConfig) = field(default_factory=RunConfig)  # type: ignore[valid-type]

    def __post_init__(self) -> None:
        if unknown := [name for name in self.tests if name not in MAIN]:
            raise InputError(f"{unknown[0]!r} is none of the fifteen tests", remedy=f"choose of {', '.join(MAIN)}")
        if self.tests and not self.stimuli:
            raise InputError("--tests are for --stimuli", remedy="see --help")


def reproduce(config: Steed2021Config) -> int:
    """Recompute what can be, and test the rows."""
    folder = config.embeddings or ("" if config.stimuli else os.environ.get("IEAT_DIR", ""))
    if not folder and not config.stimuli:
        remedy = "give --embeddings FOLDER, or set IEAT_DIR, or give --stimuli with --models and --weights"
        raise InputError("steed2021 needs embeddings or pictures", remedy=remedy)
    recomputed = read_embeddings(folder) if folder else []
    if not config.stimuli:
        out = Path(config.networks.out or "runs/steed2021")
        begin_run(out, "published embeddings", Path(folder).name, *digest_of(recomputed), config.run.seed)
        _keep(out, recomputed, config, {"embeddings": True})
        print(f"report: {write_report([out])}")
        return 0
    tests = config.tests or tuple(one.name for one in folder_tests(config.stimuli) if one.name in MAIN)
    if not tests:
        raise InputError("holds none of the fifteen tests", file=config.stimuli, remedy="download ryansteed/ieat")
    instrument = Associations(stimuli=config.stimuli, tests=tests, alternative="greater")

    def test(audit: Audit, trained: bool) -> None:
        if audit.failures:
            print("the findings need the association tests, and they failed")
            return
        found = [*recomputed, *from_pictures(audit.path, trained=trained)]
        _keep(audit.path, found, config, {"embeddings": bool(folder), "trained": trained})

    return run_audits(config.networks, config.run, None, [instrument], "steed2021", finished=test)


def _keep(out: Path, recomputed: Sequence[Recomputed], config: Steed2021Config, options: dict[str, Any]) -> None:
    found: list[Finding] = list(row_findings(recomputed, config.run.seed))
    excerpt = as_excerpt(found, "Published association tests", "Corrected intervals in brackets; the rules are above.")
    keep_findings(out, ACCOUNT, found, excerpts=[excerpt], options={"paper": "arXiv 2010.15052", **options})
    print("findings of Steed & Caliskan 2021:", *lines(found), "", sep="\n")
