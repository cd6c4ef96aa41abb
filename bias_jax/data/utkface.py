"""UTKFace: labels in file names, ``[age]_[gender]_[race]_[time].jpg``; ages binned to FairFace's categories.

Zhang, Song & Qi 2017. Ages are estimates. Its races are not FairFace's ("Asian" merges two, "Others" matches none), so
race results cannot be compared between the two sets; gender and binned age can.
"""

import re
from bisect import bisect_right
from collections import defaultdict
from pathlib import Path

import numpy as np

from bias_jax.data.attributes import Attribute
from bias_jax.data.dataset import FaceDataset
from bias_jax.data.fairface import AGE
from bias_jax.data.listings import Store, below, is_archive, is_picture, packed_inside
from bias_jax.data.stores import open_images
from bias_jax.errors import InputError

RACE = Attribute("race", ("White", "Black", "Asian", "Indian", "Others"))
GENDER = Attribute("gender", ("Male", "Female"))
_AGE_STARTS = (3, 10, 20, 30, 40, 50, 60, 70)  # first year of every category but the first
# Cropped pictures end in `.jpg.chip.jpg`, a few published ones in `jpg.chip.jpg` and `.pg.chip.jpg`.
_NAME = re.compile(r"(\d{1,3})_([01])_([0-4])_\d{17}(?:\.?[a-z]{2,4})?(?:\.chip)?\.[a-z]+", re.ASCII | re.IGNORECASE)
OLDEST = 116
UNOPENED = "archives inside were not opened"


def read_utkface(path: str | Path) -> FaceDataset:
    """All images whose name carries every field; what is left out is counted by reason.

    A missing race shifts the time stamp into its place, so the whole name must match.

    Args:
        path: a folder or a zip archive of the images, or a folder with several of both, as the parts are published.

    Raises:
        InputError: no such file or directory, a damaged archive, or not one image.
    """
    if not Path(path).exists():
        remedy = "give the folder or zip archive of UTKFace's images"
        raise InputError("no such directory or zip archive", file=path, remedy=remedy)
    store = open_images(path)
    names, left_out = _sorted_out(store)
    if not names:
        if packed := left_out.get(UNOPENED):
            raise packed_inside(min(packed), path)
        problem = f"holds no image named [age]_[gender]_[race]_[time].jpg (found: {store.summary()})"
        raise InputError(problem, file=path, remedy="give the folder or zip archive of UTKFace's images")
    labels = [
        (int(match[3]), bisect_right(_AGE_STARTS, int(match[1])), int(match[2]))
        for name in names
        if (match := _NAME.fullmatch(name.rpartition("/")[2]))
    ]
    columns = np.array(labels, dtype=np.int32).T
    return FaceDataset(
        name="utkface",
        attributes=(RACE, AGE, GENDER),
        labels=dict(zip(("race", "age", "gender"), columns, strict=True)),
        image_names=tuple(name.encode(errors="backslashreplace").decode() for name in names),  # folders: any bytes
        rows=tuple(range(1, len(names) + 1)),
        read_bytes=lambda i: store.read(names[i]),
        source=str(path),
        in_table=False,
        notes=tuple(f"{len(files)} {why}, the first {min(files)!r}" for why, files in left_out.items()),
    )


def _sorted_out(store: Store) -> tuple[list[str], dict[str, list[str]]]:
    """Images with complete names, and the other files by the reason for which they are left out."""
    names: list[str] = []
    left_out: dict[str, list[str]] = defaultdict(list)
    folders = list(store.walk())
    for folder in tuple(folders):
        for archive in folder.archives:
            folders += store.walk(below(folder.path, archive))
    for folder in folders:
        for name in folder.files:
            match = _NAME.fullmatch(name)
            if is_archive(name):
                why = UNOPENED
            elif not is_picture(name):
                why = "files that are no pictures were skipped"
            elif match is None or int(match[1]) > OLDEST:
                why = f"files without a complete name were skipped (age up to {OLDEST}, gender, race, time)"
            else:
                names.append(below(folder.path, name))
                continue
            left_out[why].append(below(folder.path, name))
        for name in folder.outside:
            left_out["links that leave the folder were skipped"].append(below(folder.path, name))
    for name in store.closed:
        left_out["folders may not be listed"].append(name)
    return sorted(names), left_out
