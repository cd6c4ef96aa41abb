"""Completions in a folder: what is written, interrupted and continued, handed on as a data set."""

import shutil
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from bias_jax.audit import CompletionConfig, complete_pictures, completing, load_subject
from bias_jax.data import CalibrationConfig, calibration_faces
from bias_jax.data.decoding import decode
from bias_jax.errors import InputError
from bias_jax.networks.igpt import Size
from tests.networks.igpt_case import registered

SIZE = Size(blocks=2, width=16, heads=2, side=8)
CONFIG = CompletionConfig(count=3)
# Two pictures at a time.
OPTIONS = {"config": CONFIG, "memory_gib": 2.5 * 4 * 2 * 2 * 16 * (32 + 3 * 32) / 2**30, "seed": 3}


@pytest.fixture(autouse=True, scope="module")
def network():
    with registered("igpt_tiny", SIZE):
        yield


@pytest.fixture(scope="module")
def faces():
    return calibration_faces(CalibrationConfig(per_group=1), 0).take(np.arange(5))


@pytest.fixture(scope="module")
def whole(faces, tmp_path_factory):
    """A finished run."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    return out, complete_pictures("igpt_tiny", faces, out=out, **OPTIONS)


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_what_is_written(whole, faces):
    out, found = whole
    assert found.samples.shape == (5, 3, 64) and found.tokens.shape == (5, 64)
    assert np.array_equal(found.samples[..., :32], np.broadcast_to(found.tokens[:, None, :32], (5, 3, 32)))
    assert len(np.unique(found.samples.reshape(15, -1), axis=0)) == 15
    assert sorted(p.name for p in (out / "samples").iterdir()) == [f"{i:05d}.arrow" for i in range(3)]
    rows = pq.read_table(out / "completions.parquet").to_pylist()
    assert len(rows) == 15 == len(list((out / "pictures").iterdir()))
    for i, row in enumerate(rows):
        assert row["image"] == faces.image_names[i // 3] and row["sample"] == i % 3 + 1
        assert (row["keep"], row["given_pixels"], row["seed"], row["temperature"]) == ("half", 32, 3, 1.0)
        race = faces.attributes[0]
        assert row[race.name] == race.categories[faces.labels[race.name][i // 3]]
        with Image.open(out / row["file"]) as picture:
            assert np.array_equal(np.asarray(picture), found.pictures[i // 3, i % 3])
    assert len(list((out / "sheets").iterdir())) == 1


def test_the_same_again_and_without_a_folder(whole, faces):
    out, found = whole
    before = contents(out)
    again = complete_pictures("igpt_tiny", faces, out=out, **OPTIONS)
    assert np.array_equal(again.samples, found.samples) and contents(out) == before
    assert np.array_equal(complete_pictures("igpt_tiny", faces, **OPTIONS).samples, found.samples)


def test_an_interrupted_run_continues_with_the_same_bytes(whole, faces, tmp_path, monkeypatch):
    out, _ = whole
    calls = []

    def killed(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return complete(*arguments, **options)

    complete = completing.complete
    monkeypatch.setattr(completing, "complete", killed)
    with pytest.raises(KeyboardInterrupt):
        complete_pictures("igpt_tiny", faces, out=tmp_path / "run", **OPTIONS)
    assert len(list((tmp_path / "run/samples").iterdir())) == 1
    (tmp_path / "run/.partial-rest").write_bytes(b"cut")
    # With other memory, the batches stay what they were.
    complete_pictures("igpt_tiny", faces, out=tmp_path / "run", **{**OPTIONS, "memory_gib": 1.0})
    assert len(calls) == 4 and contents(tmp_path / "run") == contents(out)


def test_what_is_damaged_is_made_again(whole, faces, tmp_path):
    out, _ = whole
    shutil.copytree(out, tmp_path / "run")
    arrow, picture = tmp_path / "run/samples/00001.arrow", tmp_path / "run/pictures/00003-002.png"
    arrow.write_bytes(arrow.read_bytes()[:-50])
    picture.write_bytes(picture.read_bytes()[:-5])
    (tmp_path / "run/sheets/0001.png").unlink()
    complete_pictures("igpt_tiny", faces, out=tmp_path / "run", **OPTIONS)
    assert contents(tmp_path / "run") == contents(out)


def test_samples_do_not_depend_on_other_pictures(whole, faces):
    _, found = whole
    alone = complete_pictures("igpt_tiny", faces.take(np.array([3])), **OPTIONS)
    assert np.array_equal(alone.samples[0], found.samples[3])


def test_completions_as_a_data_set(whole, faces):
    _, found = whole
    completed, originals = found.completed_faces(), found.original_faces()
    assert len(completed) == 15 and len(originals) == 5
    assert len(set(completed.image_names)) == 15
    for attribute in faces.attributes:
        assert np.array_equal(completed.labels[attribute.name], np.repeat(faces.labels[attribute.name], 3))
    assert np.array_equal(completed.persons, np.repeat(np.arange(5), 3))  # three pictures are not three people
    assert originals.persons is None
    for i in (0, 7, 14):
        assert np.array_equal(decode(completed.read_bytes(i)), found.pictures[i // 3, i % 3])
    assert np.array_equal(decode(originals.read_bytes(2)), found.originals[2])
    several = replace(found, dataset=replace(found.dataset, people=np.array([4, 4, 0, 1, 2])))
    assert np.array_equal(several.completed_faces().persons, np.repeat([0, 0, 1, 2, 3], 3))


def test_a_mask_with_holes(faces, tmp_path):
    mask = np.zeros((8, 8), np.uint8)
    mask[2:6, ::2] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    config = CompletionConfig(keep=str(tmp_path / "mask.png"), count=2, temperature=0.0)
    found = complete_pictures("igpt_tiny", faces, config=config)
    given = mask.ravel() == 255
    assert np.array_equal(found.samples[:, 0][:, given], found.tokens[:, given])
    assert np.array_equal(found.samples[:, 0], found.samples[:, 1])  # the most likely colours


def test_the_untrained_control_has_the_colours_of_the_trained_one(faces):
    trained = load_subject("igpt_tiny", "random", faces, (224, 224), 0)
    palette = np.random.default_rng(0).uniform(-1, 1, (512, 3)).astype(np.float32)
    trained = replace(trained, transform=trained.transform.with_palette(palette, "x"))
    control = complete_pictures("igpt_tiny", faces, like=trained, **OPTIONS)
    assert control.subject.transform == trained.transform


def test_bad_input(whole, faces, tmp_path):
    out, _ = whole

    def refused(said, network="igpt_tiny", **options):
        with pytest.raises(InputError, match=said):
            complete_pictures(network, faces, **{**OPTIONS, **options})

    refused("vgg16 draws no pictures", network="vgg16")
    refused("holds another run .drawing was", out=out, config=CompletionConfig(count=2))
    refused("holds another run .given_sha256 was", out=out, config=CompletionConfig(keep="3", count=3))
    refused("more than 0.00 GiB.*lower --count", memory_gib=1e-9)
    refused("temperature -1", config=CompletionConfig(temperature=-1.0))
    (tmp_path / "other").write_text("x")
    refused("is not a run directory", out=tmp_path)
    with pytest.raises(InputError, match="--count must be positive"):
        CompletionConfig(count=0)
