"""Features in the place of a network: the same numbers as a network that computes them, whatever they lie in."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from bias_jax.activations import pool
from bias_jax.audit import FeatureSubject, RunConfig, audit
from bias_jax.data import LabelRules, Table
from bias_jax.errors import InputError
from bias_jax.features import block_rows, hold_features, label_features, open_features, values
from bias_jax.instruments import Associations, Heads, Predictions, Recipe, Variance
from tests.audit.toys import Means, Recorder, ToySubject, faces, features_of, pictures
from tests.features.test_opening import FORMS, lists, write, write_parquet

COUNT = 24
FILES = pictures(COUNT)
LAYERS = ("late", "wide")
GIVEN = {layer: features_of(FILES, layer) for layer in LAYERS}
KIND = np.arange(COUNT) % 2
FACES = replace(faces(FILES), image_names=tuple(map(str, range(COUNT))))


@dataclass(frozen=True)
class Taken(Recorder):
    without_pictures: ClassVar[bool] = True


@dataclass(frozen=True)
class TakenMeans(Means):
    without_pictures: ClassVar[bool] = True


def run(features, *instruments, out=None, **options):
    return audit(features=features, labels={"kind": KIND}, instruments=instruments or [Taken()], out=out, **options)


def stored(found, instrument="recorder"):
    layers = found.stored[instrument].layers
    return {layer.name: found.stored[instrument].load(layer.name)["x"] for layer in layers}


def test_a_network_that_computes_them_gives_the_same_tables(tmp_path):
    """Byte for byte: what pictures it was, and that there was a network, makes no difference."""
    subject = ToySubject("features", "computed elsewhere", shapes={"late": (1, 2), "wide": (1, 4), "pixels": (1, 3)})
    given = replace(FACES, name="labels", source="labels")
    network = audit(subject, [Variance(99)], faces=given, config=RunConfig(layers=LAYERS), out=tmp_path / "network")
    features = audit(features=GIVEN, faces=given, instruments=[Variance(99)], out=tmp_path / "features")
    own = {layer: network.stored["variance"].load(layer) for layer in LAYERS}
    for layer in LAYERS:
        found = features.stored["variance"].load(layer)
        assert own[layer].keys() == found.keys()
        for name in found:
            np.testing.assert_array_equal(found[name], own[layer][name])
    rows = [[{**row, "depth": 0} for row in f.tables["variance"].to_pylist() if row["layer"] != "pixels"]
            for f in (network, features)]  # fmt: skip
    assert [r["omega_squared"] for r in rows[1]] == [r["omega_squared"] for r in rows[0]] and rows[0]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_run(form, tmp_path):
    """The same tables, and the same run: another form of the same numbers continues it."""
    out = tmp_path / "run"
    first = audit(features=hold_features(GIVEN), labels={"kind": KIND}, instruments=[Taken()], out=out)
    features = replace(open_features(write(form, tmp_path, GIVEN)), model="features")
    found = run(features, out=out)
    assert found.tables["recorder"].equals(first.tables["recorder"]) and "extract" not in found.seconds
    again = run(features)
    for layer, x in stored(again).items():
        np.testing.assert_array_equal(x, GIVEN[layer])
    assert again.tables["recorder"].equals(first.tables["recorder"])


@pytest.mark.parametrize("rows", [1, 5])
def test_blocks_of_any_size(rows, tmp_path, monkeypatch):
    """Rows that are chosen by a table, in another order; banks, and means of groups without them."""
    monkeypatch.setattr(values, "BLOCK_BYTES", rows * 16)
    ids = np.array([f"img {i}" for i in range(COUNT)])
    np.savez(tmp_path / "x.npz", **GIVEN, who=ids)
    order = np.random.default_rng(0).permutation(COUNT)[:15]
    (tmp_path / "x.csv").write_text("who,kind\n" + "".join(f"img {i},{'ab'[i % 2]}\n" for i in order))
    features = open_features(tmp_path / "x.npz", id_column="who")
    assert block_rows((COUNT, 4)) == rows
    labelled = label_features(features, [Table.file(tmp_path / "x.csv")], ["kind"], id_column="who")
    assert labelled.image_names == tuple(ids[order])
    found = audit(features=features, faces=labelled, instruments=[Taken()])
    assert len(repr(found)) < 300 and "tables: " in repr(found)  # no arrays
    for layer, x in stored(found).items():
        np.testing.assert_array_equal(x, GIVEN[layer][order])
    on_device = replace(hold_features({layer: jnp.asarray(x) for layer, x in GIVEN.items()}), names=tuple(ids))
    for given in (features, on_device):
        means = audit(features=given, faces=labelled, instruments=[TakenMeans()])
        for layer, x in stored(means, "means").items():
            expected = [GIVEN[layer][order[order % 2 == k]].mean(axis=0) for k in (0, 1)]
            np.testing.assert_allclose(x[1] - x[0], expected[1] - expected[0], rtol=1e-5, atol=1e-4)


def test_feature_maps_are_pooled_by_the_rule_of_the_run(rng, monkeypatch):
    monkeypatch.setattr(values, "BLOCK_BYTES", 4 * 7 * 5 * 3 * 4)
    maps = rng.normal(size=(COUNT, 7, 5, 3)).astype("f4")
    for rule in ("mean", "grid"):
        expected = np.asarray(jax.device_get(pool(rule, jnp.asarray(maps))))
        for given in (maps, jnp.asarray(maps)):
            found = run({"maps": given}, config=RunConfig(pooling=rule))
            np.testing.assert_allclose(stored(found)["maps"], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(stored(run({"maps": maps}))["maps"], maps.mean(axis=(1, 2)), rtol=1e-5, atol=1e-6)


def test_what_lies_on_the_device_is_not_copied(monkeypatch):
    """It is hashed on the host, block by block; what is measured is the array itself, and it is there afterwards."""
    given = jnp.asarray(GIVEN["wide"])
    measured = []

    @dataclass(frozen=True)
    class Look(Taken):
        def measure(self, task, layers, features, wanted, context):
            measured.append(features["wide"].unsafe_buffer_pointer())
            return super().measure(task, layers, features, wanted, context)

    found = run({"wide": given}, Look())
    assert measured == [given.unsafe_buffer_pointer()]
    np.testing.assert_array_equal(stored(found)["wide"], given)


def test_kinds_of_labels():
    """As tables are read: text by letters, numbers by value; what pandas and NumPy call missing is missing."""
    series = {"text": ["b", "a"] * 12, "numbers": [2.0, 10.0] * 12, "bools": pd.Series([True, False] * 12),
              "numpy": np.array(["m", "f"] * 12), "pandas": pd.Series(["x", "y"] * 12, dtype="category")}  # fmt: skip
    expected = {"text": ("a", "b"), "numbers": ("2", "10"), "bools": ("False", "True"), "numpy": ("f", "m"),
                "pandas": ("x", "y")}  # fmt: skip
    for name, column in series.items():
        found = audit(features=GIVEN, labels={"kind": column}, instruments=[Taken()])
        assert tuple(found.stored["recorder"].facts["groups"]) == expected[name]
    frame = pd.DataFrame({"kind": ["b", "a"] * 12, "two": [1, 1, 2, 2] * 6})
    found = audit(features=GIVEN, labels=frame, instruments=[Taken()])
    assert found.stored["recorder"].facts["groups"] == [
        "a / 1", "a / 2", "b / 1", "b / 2"]  # fmt: skip
    for hole in (None, float("nan"), pd.NA, ""):
        column = [hole, *["a", "b"] * 11, "a"]
        with pytest.raises(InputError, match="labels: row 0: kind is missing"):
            audit(features=GIVEN, labels={"kind": column}, instruments=[Taken()])
        found = audit(features=GIVEN, labels={"kind": column}, rules=LabelRules("drop"), instruments=[Taken()])
        assert found.images == COUNT - 1
    with pytest.raises(InputError, match="age holds 24 different numbers"):
        audit(features=GIVEN, labels={"age": np.arange(COUNT)}, instruments=[Taken()])


def test_persons_are_known(tmp_path):
    audit(features=GIVEN, labels={"kind": KIND}, persons=np.arange(COUNT) // 4, instruments=[Taken()], out=tmp_path)
    assert json.loads((tmp_path / "run.json").read_text())["persons"] == 6


REFUSED = {
    "no labels": ({"features": GIVEN}, "features have no labels"),
    "nothing": ({}, "neither a network nor features"),
    "both": ({"features": GIVEN, "network": "resnet50", "labels": {"kind": KIND}}, "both features and a network"),
    "labels alone": ({"network": "resnet50", "labels": {"kind": KIND}}, "labels, persons and rules go with features"),
    "number": ({"features": GIVEN, "labels": {"kind": KIND[1:]}}, r"labels\['kind'\] has 23 values.* have 24 rows"),
    "text": ({"features": GIVEN, "labels": {"kind": "ab" * 12}}, "no sequence of labels"),
    "matrix": ({"features": GIVEN, "labels": {"kind": KIND[:, None]}}, "no sequence of labels"),
    "no attribute": ({"features": GIVEN, "labels": {}}, "labels names 0 attributes"),
    "list": ({"features": [1], "labels": {"kind": KIND}}, "features cannot be list"),
    "empty": ({"features": {}, "labels": {"kind": KIND}}, "features holds no layer"),
    "pixels": ({"features": {"pixels": GIVEN["wide"]}, "labels": {"kind": KIND}}, "a layer is called 'pixels'"),
    "unknown": ({"features": GIVEN, "labels": {"kind": KIND}, "config": RunConfig(layers=("x",))}, "no layer 'x'"),
    "join": (
        {"features": GIVEN, "labels": {"kind": KIND}, "config": RunConfig(near_duplicates="join")},
        "--near-duplicates join compares pictures",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_arguments_that_do_not_go_together(what):
    options, message = REFUSED[what]
    with pytest.raises(InputError, match=message):
        audit(instruments=[Taken()], **options)


def test_the_usual_instruments_and_those_that_need_pictures():
    """Without a choice there are three; what needs pictures is refused before anything is read."""
    for instrument in (Associations(stimuli="x"), Heads(), Predictions()):
        with pytest.raises(InputError, match=f"features are not enough for {instrument.name}"):
            run(GIVEN, instrument)
    assert Recipe.without_pictures
    with pytest.raises(InputError, match="2 images, fewer than the 5 folds"):  # it is the probes who say so
        audit(features=np.eye(2), labels={"kind": ["a", "b"]})


def test_equal_rows_count_once(caplog):
    """Equal in all layers that are audited, not in one; other labels are refused, or left out."""
    caplog.set_level("INFO")
    twice = {layer: np.concatenate([x, x[:2], x[:1] * np.float32(-0.0 if not x[0].any() else 1)])
             for layer, x in GIVEN.items()}  # fmt: skip
    kind = np.concatenate([KIND, KIND[:2], KIND[:1]])
    found = audit(features=twice, labels={"kind": kind}, instruments=[Taken()])
    assert found.images == COUNT
    assert "3 rows were left out because an equal row counts, e.g. '24' beside '0'" in caplog.text
    differs = {**twice, "wide": twice["wide"] + np.arange(COUNT + 3, dtype="f4")[:, None]}
    assert audit(features=differs, labels={"kind": kind}, instruments=[Taken()]).images == COUNT + 3
    config = RunConfig(layers=("late",))  # the layer that differs is not audited
    assert audit(features=differs, labels={"kind": kind}, instruments=[Taken()], config=config).images == COUNT
    kind[24] = 1
    with pytest.raises(InputError, match="row '24' has the same features as '0' of row 0, but kind is '1', not '0'"):
        audit(features=twice, labels={"kind": kind}, instruments=[Taken()])
    config = RunConfig(drop_contradictory=True)
    assert audit(features=twice, labels={"kind": kind}, instruments=[Taken()], config=config).images == COUNT - 1


@pytest.mark.parametrize(
    "kind, value, message",
    [
        ("f4", np.nan, "feature 1 is nan"), ("f2", np.inf, "feature 1 is inf"),
        ("f8", 1e300, "feature 1 is infinite in float32"),
        ("i8", 2**24 + 1, "feature 1 is a whole number that float32 does not hold"),
    ],
)  # fmt: skip
def test_values_that_are_not_finite(kind, value, message, caplog):
    """Named with layer and row; a row that no label is for is not looked at."""
    caplog.set_level("INFO")
    broken = {"late": GIVEN["late"], "wide": GIVEN["wide"].astype(kind)}
    broken["wide"][3, 1] = value
    with pytest.raises(InputError, match=rf"layer 'wide', row 3 \(from 0\): {message}"):
        run(broken)
    assert run(broken, config=RunConfig(skip_unreadable=True)).images == COUNT - 1
    assert "1 row is not finite and was skipped" in caplog.text
    features = hold_features(broken)
    assert audit(features=features, faces=FACES.take(np.arange(4, COUNT)), instruments=[Taken()]).images == COUNT - 4


def test_another_file_is_another_run(tmp_path):
    """Other numbers, labels or layers; the same ones continue."""
    run(GIVEN, out=tmp_path)
    assert "extract" not in run(GIVEN, out=tmp_path).seconds
    other = {**GIVEN, "wide": GIVEN["wide"] + np.eye(COUNT, 4, dtype="f4")}
    swapped = dict(reversed(GIVEN.items()))
    for features in (other, {"wide": GIVEN["wide"]}, swapped):
        with pytest.raises(InputError, match="holds another run"):
            run(features, out=tmp_path)
    with pytest.raises(InputError, match="holds another run"):
        audit(features=GIVEN, labels={"kind": KIND[::-1]}, instruments=[Taken()], out=tmp_path)
    with pytest.raises(InputError, match="has no row 'toy 0'"):
        audit(FeatureSubject(hold_features(GIVEN)), [Taken()], faces=faces(FILES))


def test_rows_are_matched(tmp_path, caplog):
    """By identifiers, with a note on what is on one side only; else in order, and then the numbers must agree."""
    table = Table("t.csv", lambda: b"who,kind\n3.0,a\n1,b\n9,a\n")
    arrays = {"x": np.arange(8.0).reshape(4, 2), "who": np.array([1, 2, 3, 4])}
    np.savez(tmp_path / "x.npz", **arrays)
    features = open_features(tmp_path / "x.npz", id_column="who")
    found = label_features(features, [table], ["kind"], id_column="who")
    assert found.image_names == ("3", "1") and found.rows == (2, 3) and found.labels["kind"].tolist() == [0, 1]
    one, other = found.notes
    assert one == "1 row of t.csv has no features, the first '9'"
    assert other == f"2 rows of {tmp_path}/x.npz are not in t.csv, the first '2'"
    faulty = {b"who,kind\n1,a\n1,b\n": "row 3: who '1' is there twice, first in row 2",
              b"who,kind\n,a\n2,b\n": "row 2: column 'who' is empty",
              b"who,kind\nx,a\ny,b\n": "no who is one of .*x.npz, such as 'x'; there it is such as '1'"}  # fmt: skip
    for text, message in faulty.items():
        with pytest.raises(InputError, match=message):
            label_features(features, [Table("t.csv", lambda text=text: text)], ["kind"], id_column="who")
    for rows in (3, 5):
        text = b"kind\n" + b"a\nb\n" * 3
        with pytest.raises(InputError, match=f"t.csv: has {rows} rows, .*has 4.*match them by --id-column"):
            label_features(open_features(tmp_path / "x.npz"), [Table("t.csv", lambda t=text, r=rows: t[: 5 + 2 * r])],
                           ["kind"])  # fmt: skip


MEASURED = """
import resource, sys
import numpy as np
from bias_jax.audit import RunConfig, audit
from bias_jax.instruments import Variance

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10

small = np.random.default_rng(0).normal(size=(240, 300)).astype("f4")
labels = {"kind": ["a", "b", "c"] * 80}
audit(features={"x": small}, labels=labels, instruments=[Variance(99)])  # all that is compiled or imported
before = peak()
labels = {"kind": ["a", "b", "c"] * (int(sys.argv[2]) // 3)}
found = audit(features=sys.argv[1], labels=labels, instruments=[Variance(99)], config=RunConfig(layers=("big",)))
assert found.images == int(sys.argv[2]), found.images
print(peak() - before)
"""


@pytest.mark.slow
def test_a_file_far_larger_than_what_is_kept_of_it(tmp_path):
    """Feature maps of 3 GiB, pooled to 1.5 MB; beside it a layer of 40 GiB that is not asked for: 200 MiB of memory."""
    rows, shape = 750, (32, 32, 1024)
    folder = tmp_path / "features"
    folder.mkdir()
    big = np.lib.format.open_memmap(folder / "big.npy", mode="w+", dtype="f4", shape=(rows, *shape))
    for i in range(rows):  # a sparse file: the rest takes no room on the disk
        big[i, 0, 0, :4] = i + np.arange(4)
    del big
    np.lib.format.open_memmap(folder / "unused.npy", mode="w+", dtype="f4", shape=(rows, 14_000_000))
    assert (folder / "unused.npy").stat().st_size > 40e9 and (folder / "big.npy").stat().st_size > 3e9
    command = [sys.executable, "-c", MEASURED, str(folder), str(rows)]
    found = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "XLA_FLAGS": ""}, check=False)
    assert found.returncode == 0, found.stderr
    assert float(found.stdout.splitlines()[-1]) < 200, found.stdout


def test_only_the_rows_that_are_needed_are_read(tmp_path):
    """Of a file of 60 GB, larger than the memory of most machines, with the blocks of a few rows."""
    rows, width = 6000, 2_500_000
    array = np.lib.format.open_memmap(tmp_path / "x.npy", mode="w+", dtype="f4", shape=(rows, width))
    for i in range(0, rows, 600):
        array[i, :2] = [i, 1 + i % 7]
    del array
    assert (tmp_path / "x.npy").stat().st_size > 6e10
    features = open_features(tmp_path / "x.npy")
    labels = {"kind": (np.arange(rows) // 600 % 2).astype(np.int32)}
    given = replace(FACES, image_names=features.names, labels=labels, rows=tuple(range(rows)))
    found = audit(features=features, faces=given.take(np.arange(0, rows, 600)), instruments=[TakenMeans()])
    x = stored(found, "means")["x"]
    kept = np.arange(0, rows, 600)
    expected = np.stack([kept, 1 + kept % 7]).reshape(2, -1, 2).mean(axis=1)
    np.testing.assert_allclose(x[1, :2] - x[0, :2], expected[:, 1] - expected[:, 0], rtol=1e-5)


def test_lists_of_a_hub_are_matched_by_a_column(tmp_path):
    """Features and labels in one parquet file."""
    ids = [f"{i}.jpg" for i in range(COUNT)]
    write_parquet(tmp_path / "x.parquet", {"file": ids, "wide": lists(GIVEN["wide"]), "kind": KIND})
    features = open_features(tmp_path / "x.parquet", id_column="file", labels=["kind"])
    assert features.names == tuple(ids) and features.notes == ()
