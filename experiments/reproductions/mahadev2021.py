"""Mahadev & Chakravarti 2021, "Understanding Gender and Racial Disparities in Image Recognition Models".

    python -m experiments.reproduce mahadev2021 --data fairface --data-dir FAIRFACE --weights CHECKPOINT
    python -m experiments.reproduce mahadev2021 --labels train_human_labels.csv --images IMAGES --data table --table ...

Multi-label heads by the paper's two losses on frozen features, recall by gender and race, the difference between the
losses, and attention maps of mistakes. Backbone, decision rule, labels and numbers of the paper are not known: this is
the same question, not a reproduction. Options are those of experiments.disparity.

Rules, fixed before any number was seen. Intervals are corrected for all groups, losses and both findings. Gaps between
groups: supported if one interval excludes 0; not supported if all lie within 5 points of 0. Change of the gaps by the
loss: likewise, within 2 points. Not decidable: all else, an untrained network, drawn faces. See docs/reproduce.md.
"""

from dataclasses import dataclass

from bias_jax.audit import Audit
from bias_jax.audit.stored import as_rows
from bias_jax.errors import InputError
from bias_jax.instruments.heads.examples import PREFERRED
from bias_jax.published.finding import as_excerpt, lines
from bias_jax.published.keeping import keep_findings
from bias_jax.published.mahadev2021 import ACCOUNT, DRAWN, UNTRAINED, mahadev2021
from experiments.audits import run_audits
from experiments.disparity import DisparityConfig, heads_and_faces


@dataclass(frozen=True)
class Mahadev2021Config(DisparityConfig):
    """Two losses of multi-label heads, and who is recognised."""

    def __post_init__(self) -> None:
        if missing := [loss for loss in PREFERRED if loss not in self.heads.losses]:
            raise InputError(f"the paper compares {' and '.join(PREFERRED)}", remedy=f"add {missing[0]} to --losses")


def reproduce(config: Mahadev2021Config) -> int:
    """Train, evaluate, test the findings."""
    heads, faces = heads_and_faces(config)

    def test(audit: Audit, trained: bool) -> None:
        if audit.failures:
            print("the findings need the heads, and they failed")
            return
        reason = "" if trained else UNTRAINED
        reason = DRAWN if config.data.data == "calibration" else reason
        tables = as_rows(audit.finished["heads"].tables)
        found = list(mahadev2021(tables, audit.figure_names()["heads"], reason=reason))
        note = "Corrected intervals in brackets; the rules are above."
        excerpt = as_excerpt(found, "Findings of Mahadev & Chakravarti 2021", note)
        keep_findings(audit.path, ACCOUNT, found, excerpts=[excerpt],
                      options={"paper": "arXiv 2107.09211", "undecided": reason})  # fmt: skip
        print("findings of Mahadev & Chakravarti 2021:", *lines(found), "", sep="\n")

    return run_audits(config.networks, config.run, faces, [heads], f"{config.data.data}-mahadev2021", finished=test)
