"""Everything that can be chosen about topographic maps."""

from dataclasses import dataclass
from typing import Literal

from bias_jax.topomaps import FORCES, METHODS, Force
from experiments.command_line import option
from experiments.config import AuditConfig, require


@dataclass(frozen=True)
class TopomapsConfig(AuditConfig):
    """One run of maps; every field is an option of the command line."""

    layouts: tuple[str, ...] = option((), f"of {', '.join(METHODS)} (default: som; with --compare: all)")
    forces: tuple[str, ...] = option(("none",), f"spread units over a disc afterwards, of {', '.join(FORCES)} steps")
    compare: bool = option(False, "measure all layouts on all layers, with and without force layout; no maps are drawn")
    metric: Literal["cosine", "euclidean"] = option("cosine", "distance of profiles, for graph, attraction and order")
    from_distances: bool = option(False, "PCA, t-SNE and UMAP see rows of the distance matrix (published in 2022)")
    published_som: bool = option(False, "the paper's map: online, sigma 1, rate 0.5, 10 steps per unit")
    size_weighted: bool = option(False, "weight groups by their images in the mean that is subtracted")
    contrast: tuple[str, ...] = option((), "only these groups, e.g. 'White / Male,Black / Male' (default: all)")
    errors: Literal["none", "correct", "confusion"] = option(
        "none", "group images by label and correctness, or label and prediction, of the probes of --predictions"
    )
    predictions: str = option("", "run directory of experiments.sweep on the same images, for --errors")
    target: str = option("gender", "what these probes predict, for --errors")
    order: Literal["table", "dendrogram"] = option("table", "of groups: a table of attributes, or likest side by side")
    round: bool = option(False, "move the units of a square layout into a disc")
    align: bool = option(False, "turn each layer's map, made round, to match that of the first layer")
    seeds: int = option(2, "layouts whose likeness is measured (only the first is drawn)")
    permutations: int = option(99, "of the units, for the p-value of Moran's I")

    def __post_init__(self) -> None:
        super().__post_init__()
        require({
            f"--layouts must be of {', '.join(METHODS)}": set(self.layouts) <= set(METHODS),
            f"--forces must be of {', '.join(FORCES)}": set(self.forces) <= set(FORCES) and len(self.forces) > 0,
            "--seeds must be positive": self.seeds > 0,
            "--permutations must be at least 19": self.permutations >= 19,
            "--errors and --predictions belong together": (self.errors == "none") == (not self.predictions),
            "--errors and --contrast exclude each other": self.errors == "none" or not self.contrast,
        })  # fmt: skip

    @property
    def methods(self) -> tuple[str, ...]:
        """Layouts to compute, in the order of the paper."""
        chosen = self.layouts or (METHODS if self.compare else ("som",))
        return tuple(method for method in METHODS if method in chosen)

    @property
    def spreads(self) -> tuple[Force, ...]:
        """Force layouts to compute after each."""
        return FORCES if self.compare else tuple(force for force in FORCES if force in self.forces)
