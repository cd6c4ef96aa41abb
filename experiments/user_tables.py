"""Anybody's images or features with a table of labels, in CSV or parquet, as the options ask for them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bias_jax.data import Attribute, FaceDataset, LabelRules, Table, open_images
from bias_jax.data.embedded_images import EmbeddedImages
from bias_jax.data.labels import read_label
from bias_jax.data.listed_images import ListedImages, Places
from bias_jax.data.numeric_labels import number
from bias_jax.data.parquet_table import parquet_table
from bias_jax.data.table import read_rows
from bias_jax.errors import InputError
from bias_jax.features import Features, label_features

if TYPE_CHECKING:
    from experiments.datasets import DataConfig


def user_table(
    config: "DataConfig", rules: LabelRules, skip_unreadable: bool, features: Features | None
) -> FaceDataset:
    """A table with one column an attribute, and images of which it holds the paths, or themselves; or features.

    Raises:
        InputError: naming file, row and way out.
    """
    path = Path(config.table)
    given = given_categories(config.categories)
    for option, names in (("categories", given), ("bins", rules.bins)):
        if unknown := sorted(set(names) - set(config.attributes)):
            remedy = "list it in --attributes as well"
            raise InputError(f"--{option} names {unknown[0]!r}, which is no attribute", remedy=remedy)
    if twice := sorted(set(given) & set(rules.bins)):
        raise InputError(f"{twice[0]!r} has both --categories and --bins", remedy="leave one of them out")
    found = parquet_table(config.table)
    if found and (config.encoding or config.skip_lines):
        raise InputError("--encoding and --skip-lines are for CSVs", file=path, remedy="leave them out")
    tables = [found or Table.file(path, config.encoding, config.skip_lines)]
    attributes = [given.get(name, name) for name in dict.fromkeys(config.attributes)]
    if features is not None:
        return label_features(
            features, tables, attributes, id_column=config.id_column, group_column=config.group_column, rules=rules
        )
    column = found.image_column(config.image_column) if found else config.image_column or "file"
    places: Places
    if found and found.has_images(column):
        if config.data_dir:
            raise InputError("holds the images themselves", file=path, remedy="leave --data-dir out")
        places = EmbeddedImages(found, column)
    else:
        folder = config.data_dir or (found.files[0].path.parent if found else path.parent)
        places = ListedImages(open_images(folder), column, skip_absent=skip_unreadable)
    return read_rows(tables, places, attributes, name="table", group_column=config.group_column, rules=rules)


def given_categories(entries: Sequence[str]) -> dict[str, Attribute]:
    """Attributes with their categories in an order, from ``age=young|old``.

    Raises:
        InputError: an attribute without name or categories, or one of them twice.
    """
    attributes: dict[str, Attribute] = {}
    for entry in entries:
        name, _, text = entry.partition("=")
        categories = tuple(read_label(category, name) for category in text.split("|"))
        if not name or not all(categories) or len(set(categories)) < len(categories) or name in attributes:
            remedy = "give each attribute once, its categories once, such as age=young|old"
            raise InputError(f"--categories cannot be {entry!r}", remedy=remedy)
        attributes[name] = Attribute(name, categories)
    return attributes


def given_bins(entries: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """First values of bins by attribute, from ``age=0``, ``18``, ``income=0``, ``9``: commas part them all alike.

    Raises:
        InputError: no attribute, or what is no number.
    """
    bins: dict[str, tuple[float, ...]] = {}
    name = ""
    for entry in entries:
        before, equals, text = entry.rpartition("=")
        name = before.strip() if equals else name
        value = number(text.strip())
        if not name or value is None or (equals and name in bins):
            raise InputError(f"--bins cannot hold {entry!r}", remedy="give numbers, such as --bins age=0,18,40,65")
        bins[name] = (*bins.get(name, ()), value)
    return bins
