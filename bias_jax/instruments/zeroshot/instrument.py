"""Zero-shot answers as an instrument."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import jax
import numpy as np
from matplotlib.figure import Figure

from bias_jax.audit import Arrays, Choice, Context, Layer, Rows, Seen, Stored, Task
from bias_jax.data import FaceDataset
from bias_jax.errors import InputError
from bias_jax.instruments.faces import OfFaces, people_of
from bias_jax.instruments.predictions.views import DRAWN, drawn_images
from bias_jax.instruments.zeroshot.account import ACCOUNT, zeroshot_excerpts
from bias_jax.instruments.zeroshot.asking import COSINES, family_facts, texts_key
from bias_jax.instruments.zeroshot.ensembles import cosines_to_texts
from bias_jax.instruments.zeroshot.figures import zeroshot_figures
from bias_jax.instruments.zeroshot.findings import zeroshot_findings
from bias_jax.instruments.zeroshot.prompts import PromptFamily, read_prompts
from bias_jax.instruments.zeroshot.tables import Chosen, zeroshot_tables
from bias_jax.instruments.zeroshot.texts import read_texts
from bias_jax.report.account import Account, Excerpt

USUAL = ("head", "attn_pool")  # of CLIP and SigLIP: the layer that shares its space with texts


@dataclass(frozen=True)
class Zeroshot(OfFaces):
    """What a model of pictures and texts says of people: nearest prompts by group, and whom a prompt retrieves."""

    prompts: str = ""  # TOML file of families of prompts and their templates, see docs/instruments/zeroshot.md
    texts: str = ""  # embeddings of their texts, .parquet of python -m experiments.texts, or .npz from anywhere
    layer: str = ""  # that shares its space with texts (default: head of CLIP, attn_pool of SigLIP, or the only one)
    k: int = 50  # nearest pictures of a prompt of which the skew is measured
    listed: int = 10  # nearest pictures that are listed
    shuffles: int = 9999  # of group labels, for p-values of spreads and skews
    shown: int = 6  # prompts in a figure, those with the largest spread

    name: ClassVar[str] = "zeroshot"
    account: ClassVar[Account] = ACCOUNT
    places: ClassVar[tuple[str, ...]] = ("prompts", "texts")
    looks: ClassVar[tuple[str, ...]] = ("shown",)
    without_pictures: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name, least in {"k": 1, "listed": 1, "shuffles": 99, "shown": 1}.items():
            if getattr(self, name) < least:
                raise InputError(f"zeroshot: {name} must be at least {least}", remedy="see --help")

    def pictures(self, faces: FaceDataset | None, context: Context) -> FaceDataset:
        if not self.prompts or not self.texts:
            remedy = "give --zeroshot.prompts FILE and --zeroshot.texts FILE, made by python -m experiments.texts"
            raise InputError("zeroshot: there are no prompts, or no embeddings of them", remedy=remedy)
        return super().pictures(faces, context)

    def choose(self, available: Choice) -> tuple[str, ...]:
        if self.layer:
            return (self.layer,)
        usual = [name for name in USUAL if name in available.layers] or list(available.layers)
        if len(usual) == 1 or usual[0] in USUAL:
            return (usual[0],)
        remedy = "name it: --zeroshot.layer"
        raise InputError("zeroshot: several layers, and none is known to share its space with texts", remedy=remedy)

    def prepare(
        self, seen: Seen, faces: FaceDataset | None, layers: Mapping[str, tuple[Layer, ...]], context: Context
    ) -> Task:
        dataset, families = seen.dataset, read_prompts(self.prompts)
        for family in families:
            check_categories(family, dataset, self.prompts)
        texts = read_texts(self.texts, families)
        (layer,) = next(iter(layers.values()))
        if (width := texts[0].shape[-1]) != layer.features:
            problem = f"texts have {width} numbers, layer {layer.name!r} has {layer.features}"
            remedy = "embed them by the text tower of the same weights, or name another --zeroshot.layer"
            raise InputError(problem, file=self.texts, remedy=remedy)
        ranked = len(dataset) if dataset.persons is None else int(dataset.persons.max()) + 1
        if self.k >= ranked:
            problem = f"zeroshot: the nearest {self.k} of {ranked} are all of them, or nearly"
            raise InputError(problem, remedy=f"give --zeroshot.k, at most {max(1, ranked // 2)}")
        facts = {
            "attributes": [[a.name, a.categories] for a in dataset.attributes],
            "families": [family_facts(family) for family in families],
            "images": dataset.image_names,
        }
        arrays = {a.name: dataset.labels[a.name] for a in dataset.attributes} | people_of(dataset)
        notes: tuple[str, ...] = ()
        if dataset.persons is not None:
            arrays[DRAWN] = drawn_images(dataset, context.seed)
            note = f"zeroshot: {ranked} persons are on {len(dataset)} images; one of each is shuffled and retrieved"
            notes = (note,)
        arrays |= {texts_key(number): found for number, found in enumerate(texts)}
        return Task(seen.rows, seen.sha256, facts, arrays, notes)

    def measure(
        self, task: Task, layers: Sequence[Layer], features: Mapping[str, jax.Array], wanted: Sequence[str],
        context: Context,
    ) -> Iterator[tuple[str, Arrays]]:  # fmt: skip
        texts = [task.arrays[texts_key(number)] for number in range(len(task.facts["families"]))]
        flat = np.concatenate([found.reshape(-1, found.shape[-1]) for found in texts])
        for layer in wanted:
            yield layer, {COSINES: cosines_to_texts(features[layer], flat)}

    def tables(self, stored: Stored) -> Iterator[tuple[str, Rows]]:
        return zeroshot_tables(stored, Chosen(self.k, self.listed, self.shuffles))

    def figures(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[tuple[str, Callable[[], Figure]]]:
        return zeroshot_figures(stored, tables, self.shown)

    def findings(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[str]:
        return zeroshot_findings(stored, tables)

    def excerpts(self, stored: Stored, tables: Mapping[str, Rows]) -> Iterable[Excerpt]:
        return zeroshot_excerpts(tables)


def check_categories(family: PromptFamily, dataset: FaceDataset, file: str) -> None:
    """Refuse a family whose labels are not the categories of its attribute.

    Raises:
        InputError: no such attribute, or a category that occurs and has no prompt, or a label that is no category.
    """
    if not family.attribute:
        return
    known = {a.name: a.categories for a in dataset.attributes}
    if family.attribute not in known:
        remedy = f"choose one of {', '.join(known)}, or leave attribute out"
        raise InputError(f"family {family.name!r}: no attribute {family.attribute!r}", file=file, remedy=remedy)
    categories = known[family.attribute]
    occurring = [categories[c] for c in np.unique(dataset.labels[family.attribute])]
    for label in (*family.labels, *occurring):
        if label not in categories or (label in occurring and label not in family.labels):
            remedy = f"give one prompt for each of {', '.join(categories)}: {{{categories[0]} = ...}}"
            problem = f"family {family.name!r}: {label!r} is no category of {family.attribute}, or has no prompt"
            raise InputError(problem, file=file, remedy=remedy)
