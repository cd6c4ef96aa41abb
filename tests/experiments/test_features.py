"""A sweep of features in a process of its own: killed and continued, from several kinds of files."""

import json
import signal
import time
from dataclasses import replace

import pandas as pd
import pyarrow.parquet as pq
import pytest

from bias_jax.audit import Choice, audit
from bias_jax.instruments import Maps, Probes, Variance
from experiments.sweep import main
from experiments.topomaps import main as topomaps
from tests.audit.toys import ToySubject, faces, features_of, pictures
from tests.experiments.test_sweep import FEW, start
from tests.features.test_opening import write

COUNT = 36
FILES = pictures(COUNT)
ARRAYS = {layer: features_of(FILES, layer) for layer in ("late", "wide")}
TABLES = ("probes/probes.parquet", "probes/recalls.parquet", "maps/topomaps.parquet", "variance/variance.parquet",
          "recipe/recipe.parquet")  # fmt: skip


@pytest.fixture
def options(tmp_path):
    (tmp_path / "labels.csv").write_text(
        "file,kind\n" + "".join(f"{i}.jpg,{('even', 'odd')[i % 2]}\n" for i in range(COUNT))
    )
    return ["--table", str(tmp_path / "labels.csv"), "--attributes", "kind", "--instruments",
            "probes,maps,variance,recipe", "--recipe.epochs", "3", "--recipe.seeds", "1", *FEW]  # fmt: skip


@pytest.mark.slow
def test_any_kind_of_file_killed_at_any_moment_gives_the_same_bytes(options, tmp_path, capsys):
    archive = write("npz", tmp_path, ARRAYS)
    process = start("--features", str(archive), *options, out=tmp_path / "killed")
    while process.poll() is None and not list(tmp_path.glob("killed/probes/*/*.arrow")):
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert main(["--features", str(archive), *options, "--out", str(tmp_path / "killed")]) == 0
    other = write("parquet", tmp_path, ARRAYS)
    assert main(["--features", str(other), *options, "--out", str(tmp_path / "whole")]) == 0
    for name in TABLES:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert f"{COUNT} distinct rows of features were read" in capsys.readouterr().out
    rows = pq.read_table(tmp_path / "whole/probes/probes.parquet").to_pylist()
    assert {"none", "shuffled labels", "selectivity"} <= {row["control"] for row in rows}
    assert json.loads((tmp_path / "whole/run.json").read_text())["weights"] == "computed elsewhere"


@pytest.mark.slow
def test_a_network_that_computes_them_gives_the_same_bytes():
    """The road of pictures, and that of their features: the tables of all instruments, to the last digit."""

    class Blind(ToySubject):
        def choice(self, requested):
            return Choice(("late", "wide"), False, output=False, pixels=False)

    given = replace(faces(FILES), image_names=tuple(map(str, range(COUNT))))
    subject = Blind("features", "computed elsewhere", shapes={"late": (1, 2), "wide": (1, 4)})
    instruments = [Probes(l2=(1.0, 10.0), draws=100, folds=3), Maps(), Variance(99)]
    network = audit(subject, instruments, faces=given)
    features = audit(features=ARRAYS, faces=given, instruments=instruments)
    assert not network.failures and not features.failures and network.tables.keys() == features.tables.keys()
    for name, table in network.tables.items():
        pd.testing.assert_frame_equal(features.tables[name].to_pandas(), table.to_pandas(), check_exact=True)


@pytest.mark.parametrize(
    "more, message",
    [
        (["--instruments", "associations,heads"], "features are not enough for associations and heads"),
        (["--models", "vgg16"], "--features take the place of --models and --weights"),
        (["--layers", "early"], "has no layer 'early'. Way out: choose among 'late', 'wide'"),
        (["--id-column", "file"], "has no 'file' (found: 'late', 'wide'), and beside it there is no clip.csv"),
        (["--feature-columns", "a"], "--feature-columns is for parquet files"),
        (["--near-duplicates", "join"], "--near-duplicates join compares pictures"),
    ],
)
def test_options_that_do_not_go_together(more, message, options, tmp_path, capsys):
    path = write("npz", tmp_path, ARRAYS)
    assert main(["--features", str(path), *options, "--out", str(tmp_path / "run"), *more]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert len(errors) == 1 and message in errors[0]


def test_topographic_maps_of_features(options, tmp_path, capsys):
    """Of means of groups alone: no bank is kept."""
    path = write("folder", tmp_path, ARRAYS)
    few = ["--layouts", "pca", "--features", str(path), *options[:4], "--out", str(tmp_path / "maps")]
    assert topomaps(few) == 0
    assert "means of 2 groups" in capsys.readouterr().out
    assert len(pq.read_table(tmp_path / "maps/maps/layouts.parquet")) > 0
