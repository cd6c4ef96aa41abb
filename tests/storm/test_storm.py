"""A short storm; the long one is `python -m tests.storm --help`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.storm.disasters import stage

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_short_storm_leaves_no_difference():
    few = ["--kills", "2", "--signals", "1", "--full-disks", "1", "--damaged", "1", "--seed", "1",
           "--instruments", "probes,maps,variance,associations,predictions"]  # fmt: skip
    found = subprocess.run([sys.executable, "-m", "tests.storm", *few], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0 and "differences: 0" in found.stdout, found.stdout + found.stderr


def test_stages_are_told_by_the_newest_file(tmp_path):
    assert stage(tmp_path, {}) == "before its first file"
    moments = iter(range(1, 9))
    for name, expected in {"run.json": "opening", "a/network/x.arrow": "measuring", "a/tables.json": "tables",
                           "a/illustrations/x.arrow": "illustrations", "a/figures/x.png": "figures",
                           "a/figures/.partial-y.png": "writing a file (.png)"}.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (0, next(moments)))
        assert stage(tmp_path, {}) == expected
