"""A column of labels: text in, category numbers out, for categories that are given, found, or bins of numbers."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from bias_jax.data.attributes import Attribute
from bias_jax.data.labels import LabelRules, Place, folded, is_missing, one_spelling, read_label, refuse_single, seen
from bias_jax.data.numeric_labels import bin_names, bin_of, by_value, refuse_many
from bias_jax.errors import InputError, counted, quoted


class LabelColumn:
    """Reads the labels of one attribute: each text is judged once, where it comes up first, and then is a number."""

    def __init__(
        self,
        attribute: Attribute | str,
        rules: LabelRules,
        restore: Callable[[Attribute, str], str | None] = lambda attribute, label: None,
        repair_labels: bool = False,
        people: bool = False,
    ):
        """Begin a column.

        Args:
            attribute: with its categories, or its name alone: then the categories are what comes up.
            rules: for labels that are no clean categories.
            restore: what a mangled label was before (or None); used if `repair_labels`, otherwise told.
            repair_labels: accept labels that `restore` understands.
            people: it tells who is on each image, and has no categories that one could name.

        Raises:
            InputError: bins that are none.
        """
        self.name = attribute if isinstance(attribute, str) else attribute.name
        self.known: dict[str, int] = {}  # text -> its number
        self._rules, self._restore, self._repair_labels, self._people = rules, restore, repair_labels, people
        self._found: list[tuple[str, str | None, Place]] = []  # of each text: label, category (None: missing), place
        self._edges = rules.bins.get(self.name)
        if self._edges is not None:
            attribute = Attribute(self.name, bin_names(self._edges, self.name), ordinal=True)
        self._attribute = None if isinstance(attribute, str) else attribute

    def number(self, text: str, place: Place = (None, None)) -> int:
        """Number of a text.

        Raises:
            InputError: a label that is missing (unless images are left out for that), or none of the categories.
        """
        if text not in self.known:
            label = read_label(text, self.name, place)
            self._found.append((label, self._category(label, place), place))
            self.known[text] = len(self.known)
        return self.known[text]

    def category(self, number: int) -> str | None:
        """What the text of a number means; None if it is missing."""
        return self._found[number][1]

    def _category(self, label: str, place: Place) -> str | None:
        categories = self._attribute.categories if self._attribute else ()
        if label in categories and self._edges is None:  # whoever names NA among the categories means it
            return label
        if is_missing(label):
            if self._rules.missing == "refuse":
                raise self._missing(label, place)
            return None
        if self._edges is not None:
            return categories[bin_of(label, self._edges, self.name, place)]
        return label if self._attribute is None else self._known_category(self._attribute, label, place)

    def _missing(self, label: str, place: Place) -> InputError:
        problem, remedy = f"{self.name} is missing", "fill it in, or pass --missing drop to leave such images out"
        if label:
            problem += f" ({quoted(label)})"
        if label and self._attribute is None:
            remedy += "; if it means something else, spell it otherwise" + (
                "" if self._people else ", or name it in --categories"
            )
        return InputError(problem, file=place[0], row=place[1], remedy=remedy)

    def _known_category(self, attribute: Attribute, label: str, place: Place) -> str:
        same = [category for category in attribute.categories if folded(category) == folded(label)]
        original = self._restore(attribute, label)
        if len(same) == 1 and self._rules.merge_case:
            return same[0]
        if original is not None and self._repair_labels:
            return original
        problem, remedy = f"{self.name} {quoted(label)} ", "correct the label or delete the row"
        if len(same) == 1:
            problem += f"differs from {quoted(same[0])} in case alone"
            remedy = "correct the label, or pass --merge-case"
        elif original is not None:
            problem += f"is {quoted(original)} after a spreadsheet took it for a date"
            remedy = "use the original file, or pass --repair-labels"
        else:
            problem += f"is not one of {', '.join(attribute.categories)}"
            if alike := [category for category in attribute.categories if seen(category) == seen(label)]:
                problem = f"{self.name} {quoted(label)} looks like {quoted(alike[0])}, and is another text"
                remedy = f"write {alike[0]}"
        raise InputError(problem, file=place[0], row=place[1], remedy=remedy)

    def finish(self, numbers: np.ndarray) -> tuple[Attribute, np.ndarray, list[str]]:
        """The attribute, categories int32 [N], and a sentence for each label that was read otherwise than written.

        Args:
            numbers: of the text of each image, int [N]; none is missing.

        Raises:
            InputError: found categories that differ in case alone or look the same, a quantity without bins, or nearly
                as many categories as images.
        """
        counts = np.bincount(numbers, minlength=len(self._found)).tolist()
        attribute, categories = self._attribute, [category for _, category, _ in self._found]
        if attribute is None:
            spelling, places = self._spelling(counts)
            refuse_many(places, self.name)
            categories = [label and spelling[label] for label in categories]
            there: Counter[str] = Counter()
            for category, count in zip(categories, counts, strict=True):
                if category and count:
                    there[category] += count
            refuse_single(there, self.name, self._found[0][2][0] if self._found else None)
            attribute = Attribute(self.name, tuple(sorted(there, key=by_value)))
        changed: Counter[tuple[str, str]] = Counter()
        for (label, _, _), category, count in zip(self._found, categories, counts, strict=True):
            if category is not None and category != label and self._edges is None:
                changed[label, category] += count
        notes = [
            f"{counted(n, 'label', 'labels')} {quoted(label)} read as {quoted(category)}"
            for (label, category), n in changed.items()
        ]
        return attribute, _codes(categories, attribute.categories)[numbers], notes

    def missing(self, numbers: np.ndarray) -> np.ndarray:
        """Whether each image lacks a label, bool [N]."""
        return np.array([category is None for _, category, _ in self._found], bool)[numbers]

    def distinct(self, numbers: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """Codes int32 [N] of labels of which there may be any number, such as people, and what was merged.

        Args:
            numbers: of the text of each image, int [N]; none is missing.

        Raises:
            InputError: labels that differ in case alone, look the same, or are the same number.
        """
        counts = np.bincount(numbers, minlength=len(self._found)).tolist()
        spelling, _ = self._spelling(counts)
        labels = [label and spelling[label] for _, label, _ in self._found]
        merged = [(label, kept) for label, kept in spelling.items() if label != kept]
        notes = []
        if merged:
            label, kept = merged[0]
            more = f"{len(merged)} spellings of {self.name} differ from others in case alone and were merged"
            notes.append(f"{more}, the first {quoted(label)} with {quoted(kept)}")
        return _codes(labels, sorted({label for label in labels if label is not None}))[numbers], notes

    def _spelling(self, counts: Sequence[int]) -> tuple[dict[str, str], dict[str, Place]]:
        """Of each label that was found: the spelling under which it counts, and where it comes up first."""
        places: dict[str, Place] = {}
        images: Counter[str] = Counter()
        for (_, label, place), count in zip(self._found, counts, strict=True):
            if label is not None:
                places.setdefault(label, place)
                images[label] += count
        return one_spelling(places, self.name, images if self._rules.merge_case else None), places


def _codes(labels: Sequence[str | None], order: Sequence[str]) -> np.ndarray:
    code = {label: i for i, label in enumerate(order)}
    return np.array([-1 if label is None else code.get(label, -1) for label in labels], np.int32)


def complete_rows(columns: Sequence[LabelColumn], numbers: np.ndarray, file: str) -> tuple[np.ndarray, list[str]]:
    """The rows in which no label is missing, int [M], and a sentence about the others if there are any.

    Args:
        columns: K of them.
        numbers: of the text of each image in each column, int [K, N].
        file: of the labels, for messages.

    Raises:
        InputError: every row lacks a label.
    """
    lacking = {column.name: column.missing(mine) for column, mine in zip(columns, numbers, strict=True)}
    out = np.any(list(lacking.values()), axis=0)
    counts = ", ".join(f"{name} {mask.sum()}" for name, mask in lacking.items() if mask.any())
    if out.all():
        remedy = "choose other attributes"
        raise InputError(f"not one image has every label (missing: {counts})", file=file, remedy=remedy)
    left_out = f"{counted(int(out.sum()), 'image was', 'images were')} left out because a label is missing ({counts})"
    return np.flatnonzero(~out), [left_out] if out.any() else []
