"""Topographic maps as an instrument: measures, figures, groups of errors, interrupted, and on bad input."""

import importlib.util
from dataclasses import dataclass, field, replace

import jax
import numpy as np
import pytest

from bias_jax.activations import GroupMeans
from bias_jax.audit import Layer, RunConfig, audit, look, open_stored, sources
from bias_jax.audit import run as road
from bias_jax.audit.stored import layer_file
from bias_jax.data import CalibrationConfig, calibration_faces
from bias_jax.data.decoding import decode
from bias_jax.errors import InputError
from bias_jax.instruments import Maps, Probes
from bias_jax.instruments.maps import units_of_layers
from bias_jax.instruments.maps.grouping import group_images
from bias_jax.instruments.maps.layouts import MEASURES
from bias_jax.results import Folder, RunDirectory
from bias_jax.topomaps import default_som, group_profiles, lay_out, published_som
from tests.audit.toys import ToySubject

SMALL = {"permutations": 19}
SIDE = 8  # of the pictures that the toy looks at


def activations(dataset) -> np.ndarray:
    """64 random features of every quarter of the pictures, float32 [n, 2, 2, 64]."""
    pixels = np.stack([decode(dataset.read_bytes(i))[::28, ::28] for i in range(len(dataset))]).astype(np.float32)
    quarters = (pixels / 255).reshape(-1, 2, SIDE // 2, 2, SIDE // 2, 3).transpose(0, 1, 3, 2, 4, 5)
    weights = np.random.default_rng(0).standard_normal((SIDE // 2 * SIDE // 2 * 3, 64)).astype(np.float32)
    return quarters.reshape(-1, 2, 2, len(weights)) @ weights + 5.0


@dataclass
class Quarters(ToySubject):
    """A subject whose layers cost nothing, one of them with space."""

    shapes: dict = field(default_factory=lambda: {"pixels": (1, 64), "flat": (1, 64), "spatial": (1, 2, 2, 64)})

    def choice(self, requested):
        return super().choice(requested or ("flat", "spatial"))

    def extract(self, images, wave, labels, *, batch_size, precision, mesh):
        seen = activations(images.pictures)
        kept = []
        for number, plan in enumerate(wave):
            x = seen if plan.name == "spatial" else seen[:, :1, :1]
            x = x.mean(axis=(1, 2)) if plan.rule == "mean" else x.reshape(len(x), -1)
            if not plan.groups:
                kept.append(jax.device_put(x))
                continue
            own = labels[number]
            with np.errstate(invalid="ignore"):
                means = np.stack([x[own == g].sum(axis=0) / (own == g).sum() for g in range(plan.groups)])
            counts = np.bincount(own[own >= 0], minlength=plan.groups).astype(np.float32)
            kept.append(GroupMeans(*jax.device_put((means, counts))))
        return kept


@pytest.fixture(scope="module", autouse=True)
def subject():
    with pytest.MonkeyPatch.context() as patch:
        for module in (road, sources):
            patch.setattr(module, "load_subject", lambda *_: Quarters())
        yield


@pytest.fixture(scope="module")
def faces():
    return calibration_faces(CalibrationConfig(per_group=2), 0)


def run(faces, out, *instruments, **config):
    found = audit("resnet50", instruments, faces=faces, config=RunConfig(**config), out=out)
    assert not found.failures, found.failures
    return found


@pytest.fixture(scope="module")
def compared(faces, tmp_path_factory):
    instrument = Maps(compare=True, layouts=("random", "som", "pca"), **SMALL)
    return run(faces, tmp_path_factory.mktemp("compared") / "run", instrument, layers=("flat",))


@pytest.fixture(scope="module")
def drawn(faces, tmp_path_factory):
    return run(faces, tmp_path_factory.mktemp("drawn") / "run", Maps())


def test_by_default_every_layer_has_a_map_and_its_errors(drawn, faces):
    """Errors and positions are those of a map trained on profiles of a bank, to 1e-4."""
    assert set(drawn.tables) == {"topomaps"}
    table = drawn.tables["topomaps"].to_pandas()
    columns = ["model", "weights", "data", "layer", "depth", "features", "units"]
    assert list(table.columns) == [*columns, "quantization_error", "topographic_error"]
    assert list(table["layer"]) == ["flat", "spatial"] and (table["units"] == 64).all()
    seen = activations(faces)
    for layer, bank in (("flat", seen[:, 0, 0]), ("spatial", seen.mean(axis=(1, 2)))):
        units = np.asarray(group_profiles(bank, faces.group_labels, faces.groups.size)).T
        arrays = drawn.stored["maps"].load(layer)
        np.testing.assert_allclose(arrays["values"], units.T, atol=1e-5)
        np.testing.assert_allclose(units_of_layers(drawn.stored["maps"])[layer], units, atol=1e-5)
        fitted = default_som(64).fit(arrays["values"].T, seed=0)
        errors = table.set_index("layer").loc[layer]
        assert errors["quantization_error"] == pytest.approx(fitted.quantization_error(units), rel=1e-4)
        assert errors["topographic_error"] == fitted.topographic_error(units)
        np.testing.assert_array_equal(arrays["positions"][0, 0], lay_out(arrays["values"].T, "som", seed=0)["none"])
    assert "nearest nodes are not neighbours" in drawn.findings and "of 2 layers" in drawn.findings
    assert sorted(p.name for p in (drawn.path / "maps/figures").iterdir()) == [
        "topomap-flat-som.png", "topomap-flat-som.svg", "topomap-spatial-som.png", "topomap-spatial-som.svg",
    ]  # fmt: skip


def test_comparison_is_tidy_and_random_is_worst(compared):
    table = compared.tables["layouts"].to_pandas()
    assert not table.duplicated(["layer", "layout", "force"]).any() and set(MEASURES) < set(table.columns)
    assert len(table) == 3 * 3 and (table["units"] == 64).all() and (table["dead_units"] == 0).all()
    plain = table[table["force"] == "none"].set_index("layout")
    for measure in ("trustworthiness_10", "continuity_10", "distance_correlation", "morans_i"):
        assert plain[measure].idxmin() == "random", measure
    assert plain["disparity_of_seeds"].idxmax() == "random" and plain.loc["random", "disparity_of_seeds"] > 0.8
    assert {p.name for p in (compared.path / "maps/figures").iterdir()} == {
        "layouts_by_layer.png",
        "layouts_by_layer.svg",
    }
    assert "\nsom long " in compared.listing and "Moran's I" in compared.listing
    assert "Of 9 layouts" in compared.findings and "the random layout" in compared.findings


def test_interrupted_run_continues_to_the_same_bytes(drawn, faces, tmp_path, monkeypatch):
    save = Folder.save_arrays

    def interrupted(self, name, arrays):
        if name.endswith("spatial.arrow"):
            raise KeyboardInterrupt
        save(self, name, arrays)

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "save_arrays", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(faces, tmp_path / "run", Maps())
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.arrow")}
    assert len(before) == 2 and not (tmp_path / "run/maps/topomaps.parquet").exists()  # the task and one layer
    run(faces, tmp_path / "run", Maps())
    for name in ("topomaps.parquet", "untrained-network/spatial.arrow", "figures/topomap-spatial-som.png"):
        assert (tmp_path / "run/maps" / name).read_bytes() == (drawn.path / "maps" / name).read_bytes()
    assert all(p.stat().st_mtime_ns == t for p, t in before.items())  # nothing done twice


def test_maps_are_redrawn_with_other_looks_only(faces, tmp_path):
    plain = Maps(forces=("none", "short"), quality=True, seeds=1, **SMALL)
    found = run(faces, tmp_path, plain)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.arrow")}
    figures = {p: p.read_bytes() for p in (tmp_path / "maps/figures").iterdir()}
    assert len(figures) == 8 and {"topomap-flat-som.png", "topomap-flat-som-short.png"} < {p.name for p in figures}
    again = run(faces, tmp_path, replace(plain, order="dendrogram", round=True, align=True))
    assert all(path.read_bytes() != old for path, old in figures.items())
    assert all(path.stat().st_mtime_ns == t for path, t in before.items())
    assert "som short" in found.listing and found.findings == again.findings
    assert again.tables["layouts"].to_pandas()["disparity_of_seeds"].isna().all()  # one seed tells nothing of likeness


def test_a_pooling_of_its_own_keeps_every_position(drawn, faces, tmp_path):
    """Probes' banks are averaged over space, maps are not; one map is trained on 4 times as many values."""
    found = run(faces, tmp_path, Maps(reduction="none"))
    arrays = found.stored["maps"].load("spatial")
    assert arrays["means"].shape == (24, 4 * 64) and arrays["values"].shape == (24, 64)
    np.testing.assert_allclose(arrays["values"], drawn.stored["maps"].load("spatial")["values"], atol=1e-5)
    assert units_of_layers(found.stored["maps"])["spatial"].shape == (64, 24 * 4)


def test_published_map(faces, tmp_path):
    found = run(faces, tmp_path, Maps(published_som=True), layers=("flat",))
    units = units_of_layers(found.stored["maps"])["flat"]
    expected = published_som(64).fit(units, seed=0).quantization_error(units)
    assert found.tables["topomaps"]["quantization_error"][0].as_py() == pytest.approx(expected, rel=1e-5)


def seen_of(faces):
    return look([faces])[1][0]


def test_contrast_of_chosen_groups(faces, tmp_path):
    race, _, gender = (a.categories for a in faces.attributes)
    wanted = (f"{race[0]} / {gender[0]}", f"{race[2]} / {gender[1]}")
    found = group_images(Maps(contrast=wanted), seen_of(faces), ("flat",)).chosen
    names = [faces.groups.classes[g].split(" / ") for g in found]
    assert len(found) == 6 and {(n[0], n[2]) for n in names} == {(race[0], gender[0]), (race[2], gender[1])}
    values = run(faces, tmp_path, Maps(contrast=wanted), layers=("flat",)).stored["maps"].load("flat")["values"]
    assert np.isfinite(values[list(found)]).all() and np.isnan(np.delete(values, found, axis=0)).all()
    np.testing.assert_allclose(values[list(found)].mean(axis=0), 0.0, atol=1e-5)


def invented(path, faces, digest):
    """A run with predictions of a probe, a tenth of them wrong; which are."""
    targets = {t.name: [a.name for a in t.attributes] for t in faces.targets}
    truth = np.zeros((1, len(targets), len(faces)), np.int32)
    number = list(targets).index("gender")
    truth[0, number] = faces.labels["gender"]
    wrong = np.arange(len(faces)) % 10 == 0
    folder = RunDirectory(path, {"data_sha256": digest}, {}).instrument("probes", {})
    about = {"model": "toy", "weights": "none", "data": "toy", "images": len(faces), "seed": 0}
    folder.save_json("about.json", about)
    folder.save_json("layers.json", {"network": [["flat", [1, 1, 64]]]})
    categories = {a.name: list(a.categories) for a in (*faces.attributes, *faces.solo_attributes)}
    facts = {"categories": categories, "targets": targets, "groups": next(iter(targets)), "ordinal": []}
    folder.save_json("facts.json", facts)
    folder.save_arrays(layer_file("network", "flat"), {"truth": truth, "predicted": np.where(wrong, 1 - truth, truth)})
    return wrong


@pytest.mark.parametrize("errors", ["correct", "confusion"])
def test_groups_by_label_and_prediction(errors, faces, tmp_path):
    seen = seen_of(faces)
    wrong = invented(tmp_path / "run", faces, seen.sha256)
    config = Maps(errors=errors, predictions=str(tmp_path / "run"))
    found = group_images(config, seen, ("flat",))
    label, prediction = found.target.decode(found.labels["flat"]).values()
    np.testing.assert_array_equal(label, faces.labels["gender"])
    assert (prediction == (~wrong if errors == "correct" else np.where(wrong, 1 - label, label))).all()
    with pytest.raises(InputError, match=r"holds no predictions.*'spatial' is not there"):
        group_images(config, seen, ("flat", "spatial"))
    invented(tmp_path / "other", faces, "another")
    with pytest.raises(InputError, match="made with other images"):
        group_images(replace(config, predictions=str(tmp_path / "other")), seen, ("flat",))


@pytest.mark.slow
def test_maps_of_the_errors_of_probes(faces, tmp_path):
    """Probes of one run make the groups of another; what they were wrong about is counted by hand."""
    run(faces, tmp_path / "probes", Probes(l2=(1.0,), folds=3, draws=100, shuffles=0), layers=("flat",))
    found = run(
        faces, tmp_path / "maps", Maps(errors="correct", predictions=str(tmp_path / "probes")), layers=("flat",)
    )
    counts = found.stored["maps"].load("flat")["counts"]
    stored = open_stored(tmp_path / "probes/probes")
    number = list(stored.facts["targets"]).index("gender")
    arrays = stored.load("flat")
    truth, predicted = (arrays[name][0, number] for name in ("truth", "predicted"))
    expected = [((truth == c) & ((predicted == truth) == fine)).sum() for c in (0, 1) for fine in (False, True)]
    np.testing.assert_array_equal(counts, expected)
    assert found.stored["maps"].facts["attributes"][1] == ["prediction", ["wrong", "correct"]]


def test_layouts_that_are_not_installed(faces, monkeypatch):
    """Left out with a note where all are compared, refused where they were chosen."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    task = Maps(compare=True).prepare(seen_of(faces), faces, {"network": (Layer("flat", (1, 1, 4)),)}, None)
    assert task.facts["layouts"] == ["random", "graph", "som", "pca"]
    assert "not installed: tsne, umap" in task.notes[0]
    with pytest.raises(InputError, match="layout 'umap' needs umap"):
        Maps(layouts=("umap",)).pictures(faces, None)


BAD = {
    "unknown layout": ({"layouts": ("swarm",)}, "layouts must be of"),
    "unknown force": ({"forces": ("strong",)}, "forces must be of"),
    "no force": ({"forces": ()}, "forces must be of"),
    "unknown metric": ({"metric": "angle"}, "metric must be of"),
    "unknown reduction": ({"reduction": "sum"}, "reduction must be of"),
    "errors without predictions": ({"errors": "correct"}, "belong together"),
    "predictions without errors": ({"predictions": "/nowhere"}, "belong together"),
    "errors and contrast": ({"errors": "correct", "predictions": "/", "contrast": ("Male",)}, "exclude each other"),
    "predictions that are none": ({"errors": "correct", "predictions": "/nowhere"}, "holds no predictions"),
    "unknown target": ({"errors": "correct", "predictions": "/nowhere", "target": "age x"}, "no probe predicts"),
    "unknown group": ({"contrast": ("Martian",)}, "is no category"),
    "no seeds": ({"seeds": 0}, "seeds must be positive"),
    "few permutations": ({"permutations": 5}, "permutations must be at least 19"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_before_any_image_is_read(case, faces, tmp_path):
    options, message = BAD[case]
    unread = replace(faces, read_bytes=lambda i: pytest.fail("an image was read"))
    with pytest.raises(InputError, match=message) as raised:
        run(unread, tmp_path / "run", Maps(**options))
    assert "Way out" in str(raised.value)


def test_profiles_that_cannot_be_laid_out_name_the_layer(faces, tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    race, age = (a.categories[0] for a in faces.attributes[:2])
    two = Maps(layouts=("tsne",), contrast=(f"{race} / {age}",))  # both genders: two values of each unit
    found = audit("resnet50", [two], faces=faces, config=RunConfig(layers=("flat",)), out=tmp_path / "two")
    with pytest.raises(InputError, match=r"layer flat: tsne needs 4 units with 4 values each, not \(64, 2\)"):
        raise found.failures["maps"]
    monkeypatch.setattr("tests.instruments.test_maps.activations", lambda data: np.full((len(data), 2, 2, 64), np.inf))
    found = audit("resnet50", [Maps()], faces=faces, config=RunConfig(layers=("flat",)), out=tmp_path / "inf")
    with pytest.raises(InputError, match=r"layer flat: the .* not all finite"):
        raise found.failures["maps"]
