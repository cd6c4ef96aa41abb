"""The parquet files of a split: which they are, by their names, and whether all of them are there."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from bias_jax.data.checking import OFFICIAL
from bias_jax.data.fairface_places import Place, Survey, choose, padding_of
from bias_jax.data.listings import below
from bias_jax.errors import InputError

_WORDS = {"train": "train", "validation": "val", "valid": "val", "val": "val"}
_NAME = re.compile(
    rf"({'|'.join(_WORDS)})(?:-([0-9]{{1,6}})-of-([0-9]{{1,6}})(?:-\w+)?)?\.parquet"
)  # train-00000-of-00002-4a1.parquet
_NUMBER = re.compile(r"([0-9]{4,5})\.parquet")  # train/0000.parquet, as the hub converts data sets by itself


def split_of(folder: str, name: str) -> str | None:
    """The split whose shard a file is.

    >>> split_of("0.25", "validation-00000-of-00001.parquet"), split_of("train", "0003.parquet")
    ('val', 'train')
    >>> split_of("", "counts.parquet")
    """
    if match := _NAME.fullmatch(name.casefold()):
        return _WORDS[match[1]]
    return _WORDS.get(PurePosixPath(folder).name.casefold()) if _NUMBER.fullmatch(name.casefold()) else None


def choose_shards(found: Survey, splits: Sequence[str], padding: str) -> tuple[dict[str, list[Path]], list[Place]]:
    """The shards of every split in their order, and the folders in which they lie.

    Raises:
        InputError: a split of which there is none, or not all, or only in another padding.
    """
    root = found.store.source
    for folder in found.folders:
        for name in folder.outside:
            if split_of(folder.path, name):
                problem = f"{below(folder.path, name)} is a link that leaves the data directory"
                raise InputError(problem, file=root, remedy="give the folder that it leads to")
    shards: dict[str, list[Path]] = {}
    places = []
    for split in splits:
        folders = {
            folder.path: names
            for folder in found.folders
            if (names := [name for name in folder.files if split_of(folder.path, name) == split])
        }
        if not folders:
            raise _none(found, split)
        place = choose([Place(path, padding_of(path)) for path in folders], padding, root, "parquet files")
        if root.is_file() or ".zip" in place.path.lower():
            raise InputError("holds parquet files in an archive", file=root, remedy="unpack it and give the folder")
        shards[split] = [root / place.path / name for name in in_order(folders[place.path], root / place.path)]
        places.append(place)
    return shards, places


def in_order(names: Sequence[str], folder: Path) -> list[str]:
    """The shards of one split, all of them, in their order.

    Args:
        names: of files that `split_of` counts to the same split.
        folder: for messages.

    Raises:
        InputError: one is missing, or there twice, or they are of several data sets.
    """
    numbers: dict[int, str] = {}
    totals: set[int] = set()
    for name in sorted(names):
        match = _NAME.fullmatch(name.casefold())
        number = int(match[2] or 0) if match else int(name[: -len(".parquet")])
        if number in numbers:
            problem = f"holds the same shard twice, {numbers[number]} and {name}"
            raise InputError(problem, file=folder, remedy="move one of them away")
        numbers[number] = name
        totals.add(int(match[3] or 1) if match else 0)
    first = numbers[min(numbers)]
    # Of the hub's own conversion nothing tells how many there are: only gaps show.
    total = totals.pop() or max(numbers) + 1
    if totals or max(numbers) >= total:
        problem = f"holds shards of several data sets, such as {first} and {numbers[max(numbers)]}"
        raise InputError(problem, file=folder, remedy="move those of the others away")
    if missing := [number for number in range(min(total, len(numbers) + 3)) if number not in numbers]:
        word, of, _ = first.rpartition(f"{min(numbers):05d}-of-")
        named = [f"{word}{n:05d}-of-{total:05d}" if of else f"{n:04d}.parquet" for n in missing[:3]]
        problem = f"holds {len(numbers)} of {total} shards; missing: {', '.join(named)}"
        raise InputError(problem, file=folder, remedy="download what is missing")
    return [numbers[number] for number in sorted(numbers)]


def fewer_notes(shards: Mapping[str, Sequence[Path]], image_names: Sequence[str]) -> tuple[str, ...]:
    """A sentence for each split of fewer images than published, if its files do not tell how many of them there are.

    Args:
        shards: split -> its files.
        image_names: such as ``train/1.jpg``.
    """
    found = Counter(name.partition("/")[0] for name in image_names)
    official = {split: sum(OFFICIAL[split]["gender"]) for split in shards}
    return tuple(
        f"{found[split]:,} of the official {official[split]:,} images of {split}: a subset, or files are missing after "
        f"{files[-1].name}, since such names do not tell how many there are"
        for split, files in shards.items()
        if _NUMBER.fullmatch(files[-1].name.casefold()) and found[split] < official[split]
    )


def _none(found: Survey, split: str) -> InputError:
    """What to say where a split has no shard: which files are there, and of which splits."""
    files = {(folder.path, name): split_of(folder.path, name) for folder in found.folders for name in folder.files}
    others = sorted({other for other in files.values() if other})
    there = sorted(below(folder, name) for (folder, name), other in files.items() if other)
    named = ", ".join(there[:3]) + (f" and {len(there) - 3} more" if len(there) > 3 else "")
    word = "train" if split == "train" else "validation"
    remedy = f"pass --splits {others[0]}, or download the files {word}-*.parquet"
    return InputError(f"holds no parquet file of {split} (found: {named})", file=found.store.source, remedy=remedy)
