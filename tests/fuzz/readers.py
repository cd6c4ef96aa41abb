"""Every reader with what it is given: strategies of the arguments of a check, and the check."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import NamedTuple

from hypothesis.strategies import SearchStrategy

from tests.fuzz import features, modules, names, parquet, pictures, places, prompts, reports, runs, tables, weights


class Reading(NamedTuple):
    """One way to read something: whatever is drawn, `check` must pass."""

    given: dict[str, SearchStrategy]
    check: Callable[..., None]


READERS = {
    "tables": [Reading(tables.TABLES, tables.any_table)],
    "labels": [Reading(tables.IMAGE_LABELS, tables.any_labels)],
    "zips": [Reading(places.ARCHIVES, places.any_archive)],
    "parquet": [Reading(parquet.COLUMNS, parquet.any_columns), Reading(parquet.DAMAGED, parquet.damaged_parquet)],
    "folders": [Reading(places.FOLDERS, places.any_folder)],
    "features": [Reading(features.DAMAGED, features.damaged_features)],
    "prompts": [Reading(prompts.PROMPTS, prompts.any_prompts), Reading(prompts.EMBEDDED, prompts.any_texts)],
    "names": [Reading(names.NAMES, names.any_names)],
    "modules": [Reading(modules.MODULES, modules.any_module)],
    "pictures": [Reading(pictures.PICTURES, pictures.any_picture)],
    "state_dicts": [
        Reading(weights.STATE_DICTS, weights.any_state_dict),
        Reading(weights.FILES, weights.any_weights_file),
        Reading(weights.SAFETENSORS, weights.damaged_safetensors),
        *([Reading(weights.TORCH, weights.damaged_torch)] if find_spec("torch") else []),
    ],
    "checkpoints": [Reading(weights.CHECKPOINTS, weights.any_checkpoint)],
    "reports": [Reading(reports.REPORTS, reports.any_report)],
    "run_directories": [Reading(runs.RUNS, runs.any_run), Reading(runs.RUNS, runs.any_run_of_probes)],
}
