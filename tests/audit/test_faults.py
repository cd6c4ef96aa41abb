"""The road on a machine that gives out: full disks, damaged results, no memory, instruments that break."""

import errno
import json
import logging
import os
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pytest

from bias_jax.audit import RunConfig, audit
from bias_jax.errors import WriteError
from bias_jax.results import Folder
from tests.audit.toys import Beside, Means, Other, Recorder, ToySubject, faces, pictures

FILES = pictures(6)
INSTRUMENTS = Recorder(), Means(), Other(files=tuple(pictures(2, first=20)))


def run(out, *instruments, subject=None, **config):
    return audit(subject or ToySubject(), instruments, faces=faces(FILES), config=RunConfig(**config), out=out)


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    run(folder, *INSTRUMENTS)
    return contents(folder)


def test_a_disk_that_is_full_at_any_file(whole, tmp_path, monkeypatch):
    """Full before every file there is, one after the other: the run ends at once, and continues to the same bytes."""
    sync, left = os.fsync, 0

    def full(file):
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(file)

    monkeypatch.setattr(os, "fsync", full)
    for ends in range(90):
        left, before = 1 + ends % 3, contents(tmp_path)  # tables are made anew until all of them are there
        try:
            found = run(tmp_path, *INSTRUMENTS)
            break
        except WriteError as error:
            assert "no space left on the disk" in str(error)
        after = contents(tmp_path)
        assert before.keys() <= after.keys() and len(after) <= len(before) + 3
        assert not [path for path in after if path.name.startswith(".partial")]
    assert not found.failures and ends > 10 and contents(tmp_path) == whole


def test_whatever_file_a_disk_damages_is_made_again(whole, tmp_path, caplog):
    """Every file there is in turn: emptied, cut, filled with zeros, one bit turned over; with a note in the log."""
    caplog.set_level(logging.INFO)
    run(tmp_path, *INSTRUMENTS)
    rng = np.random.default_rng(0)
    for number, (name, content) in enumerate(whole.items()):
        if name.name == "run.json":
            continue
        place = int(rng.integers(len(content)))
        damaged = [b"", content[:place], bytes(len(content)),
                   content[:place] + bytes([content[place] ^ 8]) + content[place + 1 :]]  # fmt: skip
        (tmp_path / name).write_bytes(damaged[number % 4])
        caplog.clear()
        found = run(tmp_path, *INSTRUMENTS)
        assert not found.failures and contents(tmp_path) == whole, name
        assert str(tmp_path / name) in caplog.text or name.name == "instrument.json", name


@dataclass(frozen=True)
class Broken(Beside):
    """Breaks before anything is measured."""

    when: str = "prepare"

    def pictures(self, faces_, context):
        if self.when == "pictures":
            raise RuntimeError("as told")
        return super().pictures(faces_, context)

    def prepare(self, seen, faces_, layers, context):
        raise RuntimeError("as told")


@pytest.mark.parametrize("when", ["pictures", "prepare"])
def test_an_instrument_that_breaks_before_it_measures_leaves_the_others_alone(when, tmp_path):
    found = run(tmp_path, Broken(files=tuple(FILES), when=when), Recorder())
    assert list(found.failures) == ["beside"] and found.findings == "recorder: 3 layers"
    assert (tmp_path / "recorder/figures/sums.png").exists() and not (tmp_path / "beside").exists()
    alone = run(tmp_path / "alone", Broken(files=tuple(FILES), when=when))
    assert list(alone.failures) == ["beside"] and alone.findings == "" and not alone.tables


@dataclass(frozen=True)
class ManyFigures(Recorder):
    """Some of its figures fail."""

    broken: tuple[str, ...] = ()
    looks: ClassVar[tuple[str, ...]] = ("colour", "broken")

    def figures(self, stored, tables):
        def draw(name):
            if name in self.broken:
                raise ValueError(f"no {name}")
            return next(iter(super(ManyFigures, self).figures(stored, tables)))[1]()

        for name in "abc":
            yield name, lambda name=name: draw(name)


def test_figures_fail_one_by_one_and_are_all_named(tmp_path):
    found = run(tmp_path, ManyFigures(broken=("a", "c")))
    notes = " ".join(found.failures["recorder"].__notes__)
    assert "drawing figures/a.png" in notes and "drawing figures/c.png: ValueError: no c" in notes
    assert sorted(p.name for p in (tmp_path / "recorder/figures").iterdir()) == ["b.png", "b.svg"] and found.findings
    kept = json.loads((tmp_path / "failures.json").read_text())  # for the report
    assert "drawing figures/a.png" in kept["recorder"] and "failed" in found.report().read_text()
    assert not run(tmp_path, ManyFigures()).failures and not (tmp_path / "failures.json").exists()


@dataclass
class SmallMemory(ToySubject):
    """Has memory for so many images per forward pass and so many layers at a time."""

    images: int = 4
    layers: int = 9
    passes: list = field(default_factory=list)  # (layers, batch)

    def extract(self, images, wave, labels, *, batch_size, precision, mesh):
        self.passes.append((len(wave), batch_size))
        if batch_size > self.images or len(wave) > self.layers:
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 123 bytes.")
        return super().extract(images, wave, labels, batch_size=batch_size, precision=precision, mesh=mesh)


def batches(folder):
    return json.loads((folder / "run.json").read_text())["batches"]


def test_short_of_memory_the_batch_shrinks_and_a_resumed_run_keeps_it(whole, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    subject = SmallMemory(images=5)
    found = run(tmp_path, *INSTRUMENTS, subject=subject)
    assert not found.failures and [batch for _, batch in subject.passes] == [32, 16, 8, 4]
    assert list(batches(tmp_path).values()) == [4]
    assert "not enough memory" in caplog.text and "4 images per forward pass from now on" in caplog.text
    same = {k: v for k, v in contents(tmp_path).items() if k.name != "run.json"}
    assert same == {k: v for k, v in whole.items() if k.name != "run.json"}
    (tmp_path / "recorder/network/late.arrow").unlink()
    again = SmallMemory(images=99)  # now there would be memory
    run(tmp_path, *INSTRUMENTS, subject=again)
    assert again.passes == [(3, 4)] or [batch for _, batch in again.passes] == [4]
    assert {k: v for k, v in contents(tmp_path).items() if k.name != "run.json"} == same


def test_short_of_memory_for_one_image_a_wave_falls_in_two(whole, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    subject = SmallMemory(layers=1)
    assert not run(tmp_path, Recorder(), subject=subject).failures
    assert "fewer layers at a time" in caplog.text
    for layer in ("early", "late", "wide"):
        name = f"recorder/network/{layer}.arrow"
        assert (tmp_path / name).read_bytes() == {str(k): v for k, v in whole.items()}[name]
    kept = batches(tmp_path)
    (tmp_path / "recorder/network/wide.arrow").unlink()
    again = SmallMemory()
    run(tmp_path, Recorder(), subject=again)
    assert {layers for layers, _ in again.passes} == {1} and batches(tmp_path) == kept


def test_without_memory_for_one_layer_the_others_are_measured(tmp_path):
    class Wide(SmallMemory):
        def extract(self, images, wave, labels, **options):
            if any(plan.name == "wide" for plan in wave):
                raise MemoryError
            return super().extract(images, wave, labels, **options)

    found = run(tmp_path, Recorder(), Other(files=tuple(FILES), own=("late",)), subject=Wide())
    assert list(found.failures) == ["recorder"] and isinstance(found.failures["recorder"], MemoryError)
    assert Folder(tmp_path / "recorder").has("network/late.arrow") and found.findings == "other: 1 layers"


def test_a_temporary_run_that_ends_early_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        run(None, Recorder(), subject=Interrupts())
    assert list(tmp_path.iterdir()) == []


class Interrupts(ToySubject):
    def extract(self, images, wave, labels, **options):
        raise KeyboardInterrupt
