"""The published weights of all networks."""

from bias_jax.errors import InputError
from converters.entries import PublishedWeights
from converters.families import FAMILIES

PUBLISHED = tuple(entry for family in dict.fromkeys(FAMILIES.values()) for entry in family.published)


def published(network: str, name: str) -> PublishedWeights:
    """The entry of that name.

    Raises:
        InputError: the network has no such weights.
    """
    entries = {entry.name: entry for entry in PUBLISHED if entry.network == network}
    if name not in entries:
        remedy = f"choose one of {', '.join(entries)}" if entries else "give --source FILE"
        raise InputError(f"{network} has no weights {name!r}", remedy=remedy)
    return entries[name]


def table() -> str:
    """Every entry, one line each."""
    rows = [("network", "weights", "top-1", "top-5", "MiB", "SHA-256", "images", "file")]
    for entry in PUBLISHED:
        accuracy = [f"{v:.3f}" for v in entry.accuracy or ()]
        top1, top5 = (*accuracy, *["-"] * (2 - len(accuracy)))
        size = "-" if entry.mebibytes is None else f"{entry.mebibytes:.1f}"
        known = entry.hash_prefix[:8] or ("by hub" if entry.on_hub else "none")
        rows.append((entry.network, entry.name, top1, top5, size, known, str(entry.transform), entry.file))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = ("<", "<", ">", ">", ">", "<", "<", "")  # the last column, of addresses, is as wide as each of them
    return "\n".join("  ".join(f"{v:{side}{w if side else 0}}" for v, side, w in zip(row, sides, widths, strict=True))
                     for row in rows)  # fmt: skip
