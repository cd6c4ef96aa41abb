"""Disks that are full, files that a disk damaged, directories that vanish."""

import errno
import os
import resource
import shutil
from contextlib import contextmanager

import numpy as np
import pytest
from matplotlib.figure import Figure

from bias_jax.errors import InputError, WriteError
from bias_jax.results import DamagedError, Folder, RunDirectory

ROWS = [{"layer": f"layer {i}", "value": i / 7} for i in range(500)]
SAVE = {
    "a.arrow": lambda folder: folder.save_arrays("a.arrow", {"x": np.random.default_rng(0).normal(size=500)}),
    "a.parquet": lambda folder: folder.save_table("a.parquet", ROWS),
    "a.png": lambda folder: folder.save_figure("a.png", Figure()),
    "a.svg": lambda folder: folder.save_figure("a.svg", Figure()),
    "a.pdf": lambda folder: folder.save_figure("a.pdf", Figure()),
    "a.html": lambda folder: folder.save_text("a.html", "<p>" * 500),
    "a.json": lambda folder: folder.save_json("a.json", ROWS),
}


@contextmanager
def files_of_at_most(size):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", SAVE)
def test_a_write_that_fails_midway_leaves_nothing(name, tmp_path):
    folder = Folder(tmp_path / "run")
    with pytest.raises(WriteError, match=rf"{name}: cannot be written.*run the same command again"), \
            files_of_at_most(300):  # fmt: skip
        SAVE[name](folder)
    assert list(folder.path.iterdir()) == []
    SAVE[name](folder)
    whole = (folder.path / name).read_bytes()
    with pytest.raises(WriteError), files_of_at_most(300):
        SAVE[name](folder)
    assert (folder.path / name).read_bytes() == whole and len(list(folder.path.iterdir())) == 1


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "no space left on the disk.*make room"), (errno.EDQUOT, "quota is used up.*make room"),
     (errno.EIO, "Input/output error.*see to the disk"), (errno.EROFS, "Read-only file system.*see to the disk")],
)  # fmt: skip
def test_what_the_disk_says_is_told(number, words, tmp_path, monkeypatch):
    def fails(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fails)
    for name, save in SAVE.items():
        with pytest.raises(WriteError, match=f"{name}: cannot be written.*{words}") as found:
            save(Folder(tmp_path))
        assert found.value.status == 1 and list(tmp_path.iterdir()) == []


def test_a_full_disk_of_real_size(tmp_path):
    """A file system of 64 KiB, where one may be mounted."""
    if os.system(f"mount -t tmpfs -o size=64k tmpfs {tmp_path} 2> {os.devnull}"):
        pytest.skip("no file system can be mounted")
    try:
        folder = Folder(tmp_path)
        folder.save_json("first.json", ROWS[:5])
        with pytest.raises(WriteError, match=r"big.arrow: cannot be written: no space left on the disk"):
            folder.save_arrays("big.arrow", {"x": np.random.default_rng(0).normal(size=20_000)})
        assert [path.name for path in tmp_path.iterdir()] == ["first.json"]
    finally:
        os.system(f"umount {tmp_path}")


@pytest.mark.parametrize("name", ["a.arrow", "a.parquet", "a.png", "a.svg", "a.pdf"])
def test_every_damaged_byte_is_found(name, tmp_path):
    """Bits turned over, zeros of a lost power, a file cut short, or empty, or longer."""
    folder, rng = Folder(tmp_path), np.random.default_rng(0)
    digest = SAVE[name](folder)
    path = tmp_path / name
    whole, damaged = path.read_bytes(), []
    for place in rng.integers(0, len(whole), 150):
        damaged.append(whole[:place] + bytes([whole[place] ^ 1 << int(rng.integers(8))]) + whole[place + 1 :])
    damaged += [b"", whole[:-1], whole[: len(whole) // 2], bytes(len(whole)), whole[:-100] + bytes(100), b"garbage"]

    def check():
        if name == "a.arrow":
            folder.load_arrays(name)
        elif name == "a.parquet":
            folder.load_table(name, digest)
        elif not folder.has_figure(name):
            raise DamagedError(path, "thrown away")

    check()
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(DamagedError, match=name):
            check()


def test_damaged_files_are_thrown_away_with_a_note(tmp_path, caplog):
    caplog.set_level("INFO")
    folder = Folder(tmp_path)
    for name in ("a.arrow", "a.png"):
        SAVE[name](folder)
        has = folder.has_arrays if name == "a.arrow" else folder.has_figure
        assert has(name)
        (tmp_path / name).write_bytes(b"")
        assert not has(name) and not folder.has(name)
        assert f"{name} is damaged" in caplog.text and "made again" in caplog.text
    folder.keep_json("a.json", [1])
    folder.keep_json("a.json", [1])
    assert "a.json" not in caplog.text
    (tmp_path / "a.json").write_text("[2]\n")
    folder.keep_json("a.json", [1])
    assert folder.load_json("a.json") == [1] and "a.json is not what this run would write" in caplog.text


def test_what_a_killed_process_left_is_swept_away(tmp_path):
    (tmp_path / ".partial-run.json").write_text("{")  # killed before there was a manifest
    run = RunDirectory(tmp_path, {"seed": 1}, {})
    run.instrument("a", {"x": 1}).save_json("b.json", 1)
    (tmp_path / "a/.partial-c.png").write_bytes(b"half")
    RunDirectory(tmp_path, {"seed": 1}, {})
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["b.json", "instrument.json"]


def test_a_directory_that_vanishes_is_not_begun_anew(tmp_path):
    folder = RunDirectory(tmp_path / "run", {"seed": 1}, {}).instrument("a", {"x": 1})
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(WriteError, match="has vanished"):
        folder.save_json("b.json", 1)
    assert not (tmp_path / "run").exists()


def test_a_damaged_identity_costs_its_instrument_only(tmp_path, caplog):
    caplog.set_level("INFO")
    run = RunDirectory(tmp_path, {"seed": 1}, {})
    for name in "ab":
        run.instrument(name, {"x": 1}).save_json("b.json", 1)
    (tmp_path / "a/instrument.json").write_bytes(b"")
    assert not run.instrument("a", {"x": 1}).has("b.json") and run.instrument("b", {"x": 1}).has("b.json")
    assert "a/instrument.json is damaged" in caplog.text
    (tmp_path / "run.json").write_bytes(b"")
    with pytest.raises(InputError, match="damaged manifest"):
        RunDirectory(tmp_path, {"seed": 1}, {})
