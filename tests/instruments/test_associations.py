"""Association tests from folders to tables, on drawn faces with a planted association."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from bias_jax.activations import OUTPUT, PIXELS
from bias_jax.audit import Choice, RunConfig, audit, own_network, sources
from bias_jax.audit import run as road
from bias_jax.data import Attribute, CalibrationConfig, calibration_faces
from bias_jax.data.decoding import decode
from bias_jax.errors import InputError
from bias_jax.instruments import Associations
from bias_jax.networks import Transform
from bias_jax.results import Folder
from tests.audit.toys import Recorder, ToySubject, faces, features_of, pictures

CONFIG = RunConfig(layers=("maxpool", "layer1.0"))
FEW = {"draws": 2000, "bootstrap": 300}


@pytest.fixture(scope="module")
def stimuli(tmp_path_factory):
    """Palettes: X and A are faces of palette 1, Y and B of palette 4. Nothing: all sets are alike."""
    root = tmp_path_factory.mktemp("stimuli")
    drawn = calibration_faces(CalibrationConfig(per_group=4, race_noise=0.1), 0)
    rng = np.random.default_rng(0)
    pools = {"first": drawn.labels["race"] == 0, "last": drawn.labels["race"] == 3}
    rows = {name: rng.permutation(np.flatnonzero(inside)) for name, inside in pools.items()}
    rows["any"] = rng.permutation(np.flatnonzero(np.isin(drawn.labels["race"], (1, 2))))
    plan = {"palettes": ("first", "last", "first", "last"), "nothing": ("any", "any", "any", "any")}
    for test, kinds in plan.items():
        used = dict.fromkeys(rows, 0)
        for name, kind in zip("xyab", kinds, strict=True):
            folder = root / test / name
            folder.mkdir(parents=True)
            for i in rows[kind][used[kind] : used[kind] + 6]:
                step = 2 + i % 3  # pictures of different sizes
                Image.fromarray(decode(drawn.read_bytes(int(i)))[::step, ::step]).save(folder / f"{i}.png")
            used[kind] += 6
    return root


@pytest.fixture(scope="module")
def few_calibrated():
    """Random weights are calibrated on fewer images than usual, to save time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bias_jax.audit.subjects.CALIBRATION_IMAGES", 8)
        yield


@pytest.fixture(scope="module")
def finished(stimuli, few_calibrated, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "run"
    found = audit("resnet50", [Associations(stimuli=str(stimuli), **FEW)], config=CONFIG, out=out)
    assert not found.failures
    return found


def test_table_is_tidy_and_complete(finished):
    table = finished.tables["associations"].to_pandas()
    assert not table.duplicated(["test", "source", "layer", "cosine"]).any()
    order = ["raw pixels", "mean colour", *["untrained network"] * 2]
    blocks = np.repeat(["raw pixels", "mean colour", "untrained network"], [2, 2, 4]).tolist()
    assert table["source"].tolist() == 2 * blocks  # both kinds of cosine of a source, then the next one
    assert table.query("test == 'palettes' and cosine == 'raw'")["source"].tolist() == order
    assert table.query("test == 'palettes' and cosine == 'raw'")["layer"].tolist() == [*order[:2], *CONFIG.layers]
    assert len(table) == 2 * 2 * (2 + 1 + 1)
    assert (table["method"] == "exact").all() and (table["total"] == 924).all()
    assert (table["p_max_t"] >= table["p_value"] - 1e-12).all() and table["p_max_t_exact"].all()
    assert (table["p_holm"] >= table["p_benjamini_hochberg"]).all() and (table["p_holm"] >= table["p_value"]).all()
    assert ((table["low"] <= table["effect_size"]) & (table["effect_size"] <= table["high"])).mean() > 0.9
    assert table["few_images"].all()
    record = json.loads((finished.path / "run.json").read_text())
    assert "untrained control" in record["weights"] and record["identity"]["versions"]["jax"]
    figures = {p.stem for p in (finished.path / "associations/figures").iterdir()}
    assert figures == {"effect_by_layer-raw", "effect_by_layer-centred"}


def test_planted_association_is_found_and_nothing_is_not(finished):
    table = finished.tables["associations"].to_pandas().query("cosine == 'centred'").set_index("test")
    palettes = table.loc["palettes"].set_index("source")
    assert (palettes["effect_size"] > 0.8).all()
    # The mean colour of a picture is mostly that of its background, which is random: a weaker witness.
    strong = palettes.drop(index="mean colour")
    assert (strong["effect_size"] > 1.5).all() and (strong["p_max_t"] < 0.01).all()
    assert (table.loc["nothing", "p_max_t"] > 0.01).all()


def test_findings_tell_every_test_and_warn_of_few_images(finished):
    sentences = finished.findings.splitlines()
    assert [s.split(":")[0] for s in sentences[:2]] == ["palettes", "nothing"] and "fewer than 8" in sentences[2]
    assert all(
        "untrained network" in s and "raw pixels" in s and "corrected for all layers" in s for s in sentences[:2]
    )
    lines = finished.listing.splitlines()
    assert lines[0].startswith("effect size d of untrained network") and "strongest layer" in lines[1]
    assert [line.split()[:2] for line in lines[2:4]] == [["nothing", "6/6"], ["palettes", "6/6"]]
    assert "fewer than 8 target images" in lines[4]


@pytest.mark.slow
def test_interrupted_run_continues_to_the_same_bytes(stimuli, finished, tmp_path, monkeypatch):
    options = {"config": CONFIG, "out": tmp_path / "run"}
    save = Folder.save_arrays

    def interrupted(self, name, arrays):
        if name == "untrained-network/layer1.0.arrow":  # half-way through a wave
            raise KeyboardInterrupt
        save(self, name, arrays)

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "save_arrays", interrupted)
        with pytest.raises(KeyboardInterrupt):
            audit("resnet50", [Associations(stimuli=str(stimuli), **FEW)], **options)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*.arrow")}
    table = "associations/associations.parquet"
    assert len(before) == 2 and not (tmp_path / "run" / table).exists()  # the tests, and one layer
    audit("resnet50", [Associations(stimuli=str(stimuli), **FEW)], **options)
    assert (tmp_path / "run" / table).read_bytes() == (finished.path / table).read_bytes()
    assert all(p.stat().st_mtime_ns == t for p, t in before.items())  # nothing done twice


@pytest.fixture
def toy(monkeypatch):
    """A network that takes no time, whatever the weights."""
    subject = ToySubject()
    monkeypatch.setitem(sources.NETWORKS, subject.model, sources.NETWORKS["resnet50"])  # so that it has a control
    for module in (road, sources):
        monkeypatch.setattr(module, "load_subject", lambda *_: subject)
    return subject


def effect_size(x, y, a, b):
    """Steed & Caliskan 2021, section 3, as it is written there."""

    def cosine(v, w):
        return v @ w / np.sqrt((v @ v) * (w @ w))

    def s(w):
        return np.mean([cosine(w, v) for v in a]) - np.mean([cosine(w, v) for v in b])

    of_x, of_y = [s(w) for w in x], [s(w) for w in y]
    return (np.mean(of_x) - np.mean(of_y)) / np.std(of_x + of_y, ddof=1)


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for i, content in enumerate(files):
        (folder / f"{i}.png").write_bytes(content)


@pytest.fixture
def noise(tmp_path):
    """A folder of one test, sets of different sizes; one picture of X is there twice, and counts once."""
    files = pictures(14)
    sets = {"x": files[:5], "y": files[5:7], "a": files[7:10], "b": files[10:14]}
    for name, own in sets.items():
        write(tmp_path / "stimuli/noise" / name, [*own, own[0]] if name == "x" else own)
    return tmp_path / "stimuli", sets


def run(folder, *, out=None, weights="random", first=(), given=None, **options):
    instrument = Associations(stimuli=str(folder), **{**FEW, **options})
    return audit("resnet50", [*first, instrument], faces=given, weights=weights, out=out)


@pytest.mark.parametrize("beside", [False, True])
def test_numbers_are_those_of_the_formula(toy, noise, beside):
    """The tests' images are other rows of the image set when faces go through the network too."""
    folder, sets = noise
    more = {"first": [Recorder()], "given": faces(pictures(5, first=3))} if beside else {}
    found = run(folder, weights="checkpoint", **more)
    assert not found.failures
    table = found.tables["associations"].to_pandas().set_index(["source", "layer", "cosine"])
    sources = ["raw pixels", "mean colour", "network", "untrained network"]
    assert list(dict.fromkeys(table.index.get_level_values("source"))) == sources
    for layer in ("late", "wide"):
        x, y, a, b = (features_of(files, layer).astype(float) for files in sets.values())
        raw = effect_size(x, y, a, b)
        mean = np.concatenate([x, y, a, b]).mean(axis=0)
        centred = effect_size(x - mean, y - mean, a - mean, b - mean)
        for source in ("network", "untrained network"):
            np.testing.assert_allclose(table.loc[(source, layer, "raw"), "effect_size"], raw, rtol=1e-9)
            np.testing.assert_allclose(table.loc[(source, layer, "centred"), "effect_size"], centred, rtol=1e-9)
    assert (table["images_x"] == 5).all() and (table["images_a"] == 3).all()
    assert "effect size d of network" in found.listing and "largest effect in layer" in found.findings


def test_repeated_pictures_are_told_and_shared_ones_refused(toy, noise, caplog):
    caplog.set_level("INFO", "bias_jax")
    run(noise[0])
    assert "noise: 1 picture is more than once in x, e.g. noise/x/5.png; each counts once" in caplog.text
    shutil.copy(noise[0] / "noise/y/0.png", noise[0] / "noise/a/9.png")
    with pytest.raises(InputError, match=r"at once \(y and a\), 'noise/y/0.png' is the same as 'noise/a/9.png'"):
        run(noise[0])


def times(folder):
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.suffix in (".arrow", ".parquet", ".png")}


def test_content_of_the_folder_counts_and_not_its_place(toy, noise, tmp_path):
    folder, _ = noise
    out = tmp_path / "run"
    run(folder, out=out)
    before, moved = times(out), folder.rename(tmp_path / "elsewhere")
    run(moved, out=out)
    assert times(out) == before
    write(moved / "noise/x", pictures(1, first=40))
    run(moved, out=out)
    assert all(t != before[path] for path, t in times(out).items())


def test_unreadable_images_are_left_out_where_that_is_asked(toy, noise):
    folder, sets = noise
    (folder / "noise/x/1.png").write_bytes(b"no image")
    instrument = Associations(stimuli=str(folder), **FEW)
    with pytest.raises(InputError, match=r"noise/x/1.png' cannot be decoded"):
        audit("resnet50", [instrument])
    found = audit("resnet50", [instrument], config=RunConfig(skip_unreadable=True))
    table = found.tables["associations"].to_pandas().set_index(["source", "layer", "cosine"])
    x, y, a, b = (features_of(files, "late").astype(float) for files in sets.values())
    expected = effect_size(x[[0, 2, 3, 4]], y, a, b)
    row = table.loc[("untrained network", "late", "raw")]
    assert row["images_x"] == 4
    np.testing.assert_allclose(row["effect_size"], expected, rtol=1e-9)


def test_grey_pictures_have_no_colour_to_associate(toy, tmp_path):
    """An undefined effect size, without a warning."""
    # All brighter than the middle: a mean colour of opposite sign would have an opposite direction.
    grey = [np.repeat(128 + decode(content)[..., :1] // 2, 3, axis=2) for content in pictures(8)]
    for number, name in enumerate("xyab"):
        (tmp_path / "grey" / name).mkdir(parents=True)
        for i in range(2):
            Image.fromarray(grey[2 * number + i]).save(tmp_path / "grey" / name / f"{i}.png")
    found = run(tmp_path)
    assert not found.failures
    row = found.tables["associations"].to_pandas().set_index(["source", "cosine"]).loc[("mean colour", "raw")]
    assert np.isnan(row["effect_size"]) and np.isnan(row["low"]) and row["p_value"] == row["p_max_t"] == 1.0
    assert all(found.figure(f"effect_by_layer-{cosine}") for cosine in ("raw", "centred"))


def test_groups_of_the_faces_as_targets(toy, noise):
    folder, sets = noise
    files = pictures(40, first=50)
    kinds, ages = np.arange(40) % 2, np.arange(40) // 2 % 2
    known = faces(files)
    known = replace(
        known,
        attributes=(*known.attributes, Attribute("age", ("young", "old"))),
        labels={**known.labels, "age": ages.astype(np.int32)},
    )
    instrument = Associations(
        x="odd / young", y="old", per_set=9, alternative="greater",
        a=str(folder / "noise/a"), b=str(folder / "noise/b"), **FEW,
    )  # fmt: skip
    found = audit("resnet50", [instrument], faces=known)
    assert not found.failures
    table = found.tables["associations"].to_pandas()
    assert set(table["test"]) == {"odd / young - old"} and set(table["a"]) == {"a"}
    assert (table["images_x"] == 9).all() and (table["images_y"] == 9).all()
    assert (table["alternative"] == "greater").all()
    assert "strongest layer" in found.listing
    chosen = [np.flatnonzero((kinds == 1) & (ages == 0))[:9], np.flatnonzero(ages == 1)[:9]]
    x, y = (features_of([files[i] for i in rows], "late").astype(float) for rows in chosen)
    a, b = (features_of(sets[name], "late").astype(float) for name in "ab")
    late = table.query("source == 'untrained network' and layer == 'late' and cosine == 'raw'")["effect_size"].item()
    np.testing.assert_allclose(late, effect_size(x, y, a, b), rtol=1e-9)


def test_only_layers_of_the_run_are_tested():
    available = Choice(("layer1", "layer2"), False)
    assert Associations().choose(available) == available.layers
    assert not {PIXELS, OUTPUT} & set(Associations().choose(available))


WRONG = {
    "two kinds of stimuli": ({"stimuli": "s", "x": "White"}, "give either stimuli"),
    "half of a test": ({"x": "White"}, "belong together"),
    "no images": ({"per_set": 0}, "per_set must be"),
    "no draws": ({"draws": 0}, "draws must be"),
    "too many draws": ({"draws": 2**31}, "draws must be"),
    "no bootstrap": ({"bootstrap": 99}, "bootstrap must be"),
    "unknown method": ({"method": "guess"}, "method must be one of auto"),
    "unknown alternative": ({"alternative": "less"}, "alternative must be one of"),
}


@pytest.mark.parametrize("case", WRONG)
def test_options_that_contradict_each_other(case):
    options, message = WRONG[case]
    with pytest.raises(InputError, match=f"{message}.*Way out"):
        Associations(**options)


BAD = {
    "nothing to test": ({}, {}, "give either stimuli"),
    "groups without faces": ({"x": "x", "y": "y", "a": "a", "b": "b"}, {}, "needs labelled faces"),
    "missing folder": ({"stimuli": "/nowhere"}, {}, "no such directory"),
    "unknown test": ({"stimuli": "STIMULI", "tests": ("Weight",)}, {}, "holds no test 'Weight'"),
    "unknown layer": ({"stimuli": "STIMULI"}, {"config": RunConfig(layers=("layer9",))}, "no layer 'layer9'"),
    "weights that are no checkpoint": ({"stimuli": "STIMULI"}, {"weights": "/nowhere"}, "no such folder"),
    "damaged image": ({"stimuli": "DAMAGED"}, {}, "cannot be decoded"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_told_before_anything_runs(case, stimuli, tmp_path, request):
    options, more, message = BAD[case]
    if case == "unknown layer":
        request.getfixturevalue("toy")  # it would be told after the weights
    if "DAMAGED" in options.values():
        shutil.copytree(stimuli, tmp_path / "damaged")
        next((tmp_path / "damaged/palettes/b").iterdir()).write_bytes(b"")
    places = {"STIMULI": str(stimuli), "DAMAGED": str(tmp_path / "damaged")}
    instrument = Associations(**{k: places.get(v, v) if isinstance(v, str) else v for k, v in options.items()})
    with pytest.raises(InputError, match=f"{message}.*Way out"):
        audit("resnet50", [instrument], out=tmp_path / "run", **more)
    assert not (tmp_path / "run/run.json").exists()


def test_tests_too_large_for_counting_are_refused(toy, noise, tmp_path):
    folder, _ = noise
    many = faces(pictures(700, first=100))  # in turn of two kinds
    groups = {"x": "even", "y": "odd", "a": str(folder / "noise/a"), "b": str(folder / "noise/b")}
    for more, message in (
        ({"method": "exact", "per_set": 36}, "36 and 36 target images, too many to count every relabelling"),
        ({"per_set": 350}, "700 target images, more than the 640"),
    ):
        with pytest.raises(InputError, match=message):
            audit("resnet50", [Associations(**groups, **more)], faces=many, out=tmp_path / "run")
        assert not (tmp_path / "run/run.json").exists()


def test_features_that_are_not_finite_end_the_instrument_in_words(toy, noise, monkeypatch):
    broken = np.full((14, 2), np.nan, np.float32)
    monkeypatch.setattr("tests.audit.toys.features_of", lambda files, layer: broken)
    error = run(noise[0]).failures["associations"]
    assert isinstance(error, InputError) and "contain NaN" in str(error) and "check the weights" in str(error)


def test_ones_own_network_without_an_untrained_one(stimuli):
    network = own_network(lambda x: {"maps": x[:, ::4, ::4]}, name="mine", preparation=Transform(28, 24))
    found = audit(network, [Associations(stimuli=str(stimuli), **FEW)])
    assert not found.failures and set(found.tables["associations"].to_pandas()["source"]) == {
        "network", "raw pixels", "mean colour"
    }  # fmt: skip
    assert found.listing.splitlines()[2].endswith(" -")
