"""Figures of association tests: the effect size by layer, for each kind of cosine."""

from collections.abc import Callable, Iterator
from functools import partial

from matplotlib.figure import Figure

from bias_jax.audit import Rows, Stored
from bias_jax.instruments.associations.measuring import VARIANTS
from bias_jax.report import effect_by_layer


def association_figures(stored: Stored, rows: Rows) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Figures by name."""
    names = dict.fromkeys(row["test"] for row in rows)
    for variant in VARIANTS:
        shown = {name: [row for row in rows if (row["test"], row["cosine"]) == (name, variant)] for name in names}
        title = f"{stored.title}\n{variant} cosines; filled: p <= 0.05 (max-T)"
        yield f"effect_by_layer-{variant}", partial(effect_by_layer, shown, title)
