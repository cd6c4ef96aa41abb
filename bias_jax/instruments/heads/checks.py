"""What can only be refused when labels and layers are known, and before anything is measured."""

from collections.abc import Sequence

from bias_jax.errors import InputError
from bias_jax.instruments.heads.config import HeadsConfig
from bias_jax.instruments.heads.problem import Problem

PLANTED_LABEL = "lined"
FEWEST_POOLED = 5  # decision top gives up to so many labels


def check_problem(config: HeadsConfig, problem: Problem, layers: Sequence[str]) -> None:
    """Refuse options that do not fit the labels or the layers.

    Raises:
        InputError: the first that does not.
    """
    if config.report_layer and config.report_layer not in layers:
        remedy = f"choose among {', '.join(layers)}"
        raise InputError(f"report_layer {config.report_layer!r} has no heads", remedy=remedy)
    problem.reported(config.report_labels)
    if config.planted and config.report_labels and PLANTED_LABEL not in config.report_labels:
        what = f"report_labels must hold {PLANTED_LABEL!r}, whose disparity is planted"
        raise InputError(what, remedy="add it, or leave report_labels out")
    problem.members(config.families)
    if config.decision == "top" and not FEWEST_POOLED <= config.top_pool < len(problem.classes):
        what = f"top_pool {config.top_pool} does not fit {len(problem.classes)} labels"
        raise InputError(what, remedy=f"it must be from {FEWEST_POOLED} to one less than the number of labels")
