"""FairFace as a TensorFlow Datasets builder, and the reader of what it prepared; TensorFlow itself is not needed.

    python -m bias_jax.data.fairface_tfds --source FAIRFACE --out PREPARED

copies labels and the untouched image bytes into array_record files; `read_fairface(PREPARED)` then reads them.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from bias_jax.data.dataset import FaceDataset
from bias_jax.data.fairface import ATTRIBUTES, SPLITS, read_fairface
from bias_jax.errors import InputError


class Fairface(tfds.core.GeneratorBasedBuilder):
    """FairFace (Karkkainen & Joo, WACV 2021, CC BY 4.0) from its official folder, given as the manual directory."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Official CSV files and images."}  # noqa: RUF012
    MANUAL_DOWNLOAD_INSTRUCTIONS = "The folder with train/, val/ and fairface_label_{train,val}.csv."

    def _info(self) -> tfds.core.DatasetInfo:
        labels = {a.name: tfds.features.ClassLabel(names=list(a.categories)) for a in ATTRIBUTES}
        features = {"image": tfds.features.Image(shape=(None, None, 3)), "file": tfds.features.Text(), **labels}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        root = Path(dl_manager.manual_dir)
        found = [s for s in ("train", "val") if (root / f"fairface_label_{s}.csv").exists()]
        if not found:
            raise InputError("holds no fairface_label_train.csv", file=root, remedy="give FairFace's official folder")
        return {split: self._generate_examples(root, split) for split in found}

    def _generate_examples(self, root: Path, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        dataset = read_fairface(root, splits=split)
        for i, name in enumerate(dataset.image_names):
            labels = {a.name: a.categories[dataset.labels[a.name][i]] for a in ATTRIBUTES}
            # Bytes, not pixels: they are stored untouched, and encoding pixels would need TensorFlow.
            yield name, {"image": dataset.read_bytes(i), "file": name, **labels}


def read_prepared(directory: Path, *, splits: str) -> FaceDataset:
    """FaceDataset of a prepared version directory (the one with ``dataset_info.json``)."""
    try:
        builder = tfds.builder_from_directory(str(directory))
        decoders = {"image": tfds.decode.SkipDecoding()}
        sources = [builder.as_data_source(split, decoders=decoders) for split in SPLITS[splits]]
        for attribute in ATTRIBUTES:
            stored = tuple(builder.info.features[attribute.name].names)
            if stored != attribute.categories:
                raise ValueError(f"{attribute.name} has the categories {stored}")
        records = [(source, i, source[i]) for source in sources for i in range(len(source))]
    except Exception as error:  # TFDS and array_record raise many kinds on damaged directories
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        remedy = "prepare it again with `python -m bias_jax.data.fairface_tfds`"
        raise InputError(f"cannot be read as prepared FairFace ({reason})", file=directory, remedy=remedy) from None
    return FaceDataset(
        name="fairface",
        attributes=ATTRIBUTES,
        labels={a.name: np.array([r[a.name] for *_, r in records], dtype=np.int32) for a in ATTRIBUTES},
        image_names=tuple(r["file"].decode() for *_, r in records),
        rows=tuple(i for _, i, _ in records),
        read_bytes=lambda k: records[k][0][records[k][1]]["image"],
        source=str(directory),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Prepare a folder; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="FairFace's official folder")
    parser.add_argument("--out", type=Path, required=True, help="folder for prepared data sets")
    arguments = parser.parse_args(argv)
    try:
        if not arguments.source.is_dir():
            raise InputError("no such folder", file=arguments.source, remedy="give FairFace's official folder")
        builder = Fairface(data_dir=str(arguments.out), file_format="array_record")
        config = tfds.download.DownloadConfig(manual_dir=str(arguments.source.resolve()))
        builder.download_and_prepare(download_config=config)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"prepared: --data fairface --data-dir {builder.data_dir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
