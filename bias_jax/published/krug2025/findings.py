"""All seven findings, Table 1 and Figure 1, of a finished run: its recipe, probes, variance and maps."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bias_jax.audit import Rows, Stored
from bias_jax.audit.stored import as_rows, open_stored, read_tables
from bias_jax.errors import InputError
from bias_jax.instruments import Maps
from bias_jax.instruments.faces import PEOPLE
from bias_jax.instruments.probes.findings import best_layer
from bias_jax.instruments.probes.stored import probe_facts, probe_result, scores_by_layer
from bias_jax.instruments.recipe.findings import best_layers
from bias_jax.instruments.recipe.tables import PREDICTED
from bias_jax.probes import HELD_OUT, TRAINING
from bias_jax.published.finding import AS_PUBLISHED, HONEST, Finding, Protocol, as_excerpt, corrected_level, undecided
from bias_jax.published.krug2025.confusions import FREQUENT, GROUPS, REPEATED, confusion_rows, frequent_errors
from bias_jax.published.krug2025.errors import LEAST, error_findings
from bias_jax.published.krug2025.maps import map_findings
from bias_jax.report.account import Account, Column, Excerpt

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEVEL = corrected_level(7)
UNTRAINED = "the network is untrained, and the sentence is about a trained one"
INSTRUMENTS = ("recipe", "probes", "variance", "maps")
RULES = (
    f"Intervals are of level {100 * LEVEL:.1f} %: seven findings together hold at 95 %. Supported: the interval lies "
    "wholly on the claimed side of the limit; not supported: wholly on the other; not decidable: it holds the limit, "
    f"fewer than {LEAST} errors were made, the probe is not surely better than chance, groups are missing, or the "
    "network is untrained.",
    "Words as limits: none is below 5 %, mostly and most are above 50 %, almost always is above 90 %. Errors: shares "
    "of images with Wilson's interval, as if images were independent.",
    f"Frequent errors, which the paper does not define, are the {FREQUENT} most frequent pairs of true and predicted "
    f"group that occur on {REPEATED} images or more, ties included. As published: training errors of the published "
    "recipe, in its layer of the lowest held-out error; honest: held-out errors of certified probes, in their best "
    "layer.",
    "Maps are compared by distances between the profiles that colour them, without sampling noise, with jackknife "
    "intervals over groups. A sentence that claims two things is supported if both are, and not if one is not.",
    "The most pronounced attribute must be so as a share of variance and in the distance of a typical pair; where the "
    "two disagree, nothing is decided.",
)
UNKNOWN = (
    "Not published, so that no number of the paper can be reproduced: the exponent of L1 (four are tried, the one with "
    "the lowest held-out loss is reported), optimiser, learning rate, epochs, batch size, how the split was drawn, "
    "which layers, the pooling window (grid, window and subsample are readings of it), the source of the weights, "
    "image padding and preprocessing, the number of seeds, how frequent an error must be, the layout of the maps.",
    "Layer 15 of ResNet50, of which the paper's table and figure are, cannot be told for sure: layer4.2, layer4.1 or "
    "layer4.0, as one counts.",
    "A layer's width limits what a probe can fit: which layer is best depends on it. The best layer was chosen on the "
    "same images, so its error is a little too low.",
)


class Tested(NamedTuple):
    """What `keeping.keep_findings` writes."""

    account: Account
    findings: tuple[Finding, ...]
    excerpts: tuple[Excerpt, ...]
    tables: Mapping[str, Rows]
    figures: Mapping[str, "Callable[[], Figure]"]


ACCOUNT = Account(
    title="Published findings: Krug & Stober 2025",
    question="Do the seven findings of arXiv 2506.03664 hold for this network and these images?",
    reads=RULES,
    limits=UNKNOWN,
    figures={"figure-1": "Maps of all groups in the best layer, as Figure 1 of the paper shows them."},
    tables={"findings": "a published sentence under a protocol, with number, interval and verdict",
            "confusions": "images of a pair of true and predicted group: protocol, layer, split"},
    place=0,
)  # fmt: skip


def krug2025(run: str | Path, maps: Maps, *, trained: bool) -> Tested:
    """Test the findings.

    Args:
        run: directory of a finished run on FairFace, or on images with its attributes.
        maps: the instrument as it was run, for its figure.
        trained: whether the network is.

    Raises:
        InputError: an instrument is missing, or labels are not those of FairFace.
    """
    stored = {name: open_stored(Path(run) / name) for name in INSTRUMENTS}
    tables = {name: as_rows(read_tables(own.folder)) for name, own in stored.items()}
    _check(stored["probes"])
    published_layer = next(b for b in best_layers(tables["recipe"]["recipe"]) if b.target == GROUPS.name).layer
    layer = best_layer(scores_by_layer(tables["probes"]["probes"]), GROUPS.name)
    confusions = [*_of_recipe(stored["recipe"], published_layer), *_of_probes(stored["probes"], layer)]
    by_protocol: dict[Protocol, Rows] = {
        AS_PUBLISHED: [r for r in confusions if (r["protocol"], r["split"]) == (AS_PUBLISHED, TRAINING)],
        HONEST: [r for r in confusions if (r["protocol"], r["split"]) == (HONEST, HELD_OUT)],
    }
    values, network = stored["maps"].load(layer)["values"], stored["maps"].run["model"]
    found = [
        *error_findings(by_protocol, LEVEL),
        *map_findings(values, tables["variance"]["variance"], layer, network, LEVEL),
    ]
    if not trained:
        found = [undecided(finding, UNTRAINED) for finding in found]
    excerpts = [
        as_excerpt(found, "Findings of Krug & Stober 2025", "Corrected intervals in brackets; the rules are above.")
    ]
    excerpts += _table_1(by_protocol[AS_PUBLISHED])
    begin = f"topomap-{layer}-".replace("/", "-").replace(" ", "-")
    drawn = [draw for name, draw in maps.figures(stored["maps"], tables["maps"]) if name.startswith(begin)]
    figures = {"figure-1": drawn[0]} if drawn else {}
    return Tested(ACCOUNT, tuple(found), tuple(excerpts), {"confusions": confusions}, figures)


def _check(probes: Stored) -> None:
    facts = probe_facts(probes)
    wanted = {one.name: list(one.categories) for one in GROUPS.attributes}
    if facts["groups"] != GROUPS.name or {n: list(facts["categories"].get(n, ())) for n in wanted} != wanted:
        problem = "krug2025 is about race, age and gender as FairFace has them, all 126 groups"
        raise InputError(problem, file=probes.folder.path, remedy="use --data fairface")
    if PEOPLE in probes.arrays:
        problem = "krug2025 counts images, which must show different persons"
        raise InputError(problem, file=probes.folder.path, remedy="leave out --group-column and joined near duplicates")


def _of_recipe(stored: Stored, layer: str) -> Iterator[dict]:
    """Confusions of the published recipe: first seed, chosen strength."""
    arrays = stored.load(layer)
    if PREDICTED not in arrays:
        remedy = "run it again, with another --out"
        raise InputError("written by another version of bias-jax", file=stored.folder.path, remedy=remedy)
    predicted = arrays[PREDICTED][stored.facts["targets"].index(GROUPS.name), 0]
    truth, held_out = stored.arrays[f"labels of {GROUPS.name}"], stored.arrays["held out"].astype(bool)
    for split, chosen in ((TRAINING, ~held_out), (HELD_OUT, held_out)):
        yield from confusion_rows(truth[chosen], predicted[chosen], protocol=AS_PUBLISHED, layer=layer, split=split)


def _of_probes(stored: Stored, layer: str) -> Iterator[dict]:
    """Confusions of the certified probes, which predict every image once when it is held out."""
    result, target = probe_result(stored, layer), list(stored.facts["targets"]).index(GROUPS.name)
    for split, predicted in ((HELD_OUT, result.predicted), (TRAINING, result.fitted)):
        truth: np.ndarray = result.truth[0, target]
        yield from confusion_rows(truth, predicted[0, target], protocol=HONEST, layer=layer, split=split)


def _table_1(rows: Rows) -> Iterator[Excerpt]:
    """Frequent training errors of the published recipe."""
    frequent = frequent_errors(rows)
    if not frequent:
        return
    groups = [[" / ".join(row[f"{side}_{a.name}"] for a in GROUPS.attributes) for side in ("true", "predicted")]
              for row in frequent]  # fmt: skip
    body = tuple((*pair, row["images"]) for pair, row in zip(groups, frequent, strict=True))
    note = (
        f"The {FREQUENT} most frequent errors on {REPEATED} images or more, ties included, in layer {rows[0]['layer']}."
    )
    columns = (Column("true"), Column("predicted"), Column("images", "count"))
    yield Excerpt("table-1", "Frequent training errors of the published recipe (Table 1)", columns, body, note, keys=2,
                  table="confusions")  # fmt: skip
