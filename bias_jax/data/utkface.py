"""UTKFace: labels in file names, ``[age]_[gender]_[race]_[time].jpg``; ages binned to FairFace's categories.

Zhang, Song & Qi 2017. Ages are estimates. Its races are not FairFace's ("Asian" merges two, "Others" matches none), so
race results cannot be compared between the two sets; gender and binned age can.
"""

import re
from bisect import bisect_right
from pathlib import Path

import numpy as np

from bias_jax.data.attributes import Attribute
from bias_jax.data.dataset import FaceDataset
from bias_jax.data.fairface import AGE
from bias_jax.data.stores import FolderImages
from bias_jax.errors import InputError

RACE = Attribute("race", ("White", "Black", "Asian", "Indian", "Others"))
GENDER = Attribute("gender", ("Male", "Female"))
_AGE_STARTS = (3, 10, 20, 30, 40, 50, 60, 70)  # first year of every category but the first
_NAME = re.compile(r"(\d{1,3})_([01])_([0-4])_(\d{17})\.jpg(\.chip\.jpg)?")
OLDEST = 116


def read_utkface(directory: str | Path) -> FaceDataset:
    """All images whose name carries every field; the others are skipped and counted.

    A missing race shifts the time stamp into its place, so the whole name must match.
    """
    root = Path(directory)
    if not root.is_dir():
        raise InputError("no such directory", file=root, remedy="give the folder of UTKFace's images")
    images = FolderImages(root)
    names, labels, skipped = [], [], []
    for name in sorted(str(path.relative_to(root)) for path in root.rglob("*.jpg")):
        match = _NAME.fullmatch(Path(name).name)
        if match is None or int(match[1]) > OLDEST or not images.inside(name):
            skipped.append(name)
            continue
        names.append(name)
        labels.append((int(match[3]), bisect_right(_AGE_STARTS, int(match[1])), int(match[2])))
    if not names:
        problem = "holds no image named [age]_[gender]_[race]_[time].jpg"
        raise InputError(problem, file=root, remedy="give the folder of UTKFace's images")
    columns = np.array(labels, dtype=np.int32).T
    note = f"{len(skipped)} files without a complete name were skipped, the first {skipped[0]!r}" if skipped else ""
    return FaceDataset(
        name="utkface",
        attributes=(RACE, AGE, GENDER),
        labels=dict(zip(("race", "age", "gender"), columns, strict=True)),
        image_names=tuple(names),
        rows=tuple(range(1, len(names) + 1)),
        read_bytes=lambda i: images.read(names[i]),
        source=str(root),
        notes=(note,) if note else (),
    )
