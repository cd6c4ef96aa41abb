"""What a network says of people: planted logits against counts by hand, and what intervals and tests promise."""

import io
from dataclasses import replace

import jax
import numpy as np
import pytest
from flax import nnx
from PIL import Image
from scipy import stats

from bias_jax.audit import OUTPUT, Choice, Context, Layer, RunConfig, Seen, audit, open_stored
from bias_jax.audit.stored import TASK, layer_file
from bias_jax.disparity.rate_differences import difference_from_others, fisher_exact
from bias_jax.errors import InputError
from bias_jax.instruments import INSTRUMENTS, Predictions
from bias_jax.instruments.predictions.classes import class_names, read_families
from bias_jax.instruments.predictions.instrument import read_output
from bias_jax.instruments.predictions.means import group_means, permutation_tests
from bias_jax.networks import NETWORKS, Transform, image_classifier
from bias_jax.results import Folder
from bias_jax.statistics import holm
from tests.conftest import toy_dataset

COUNTS = [[40, 20], [30, 50]]  # images per group: first attribute x second attribute
FIRST = [[4, 10], [3, 5]]  # of them, how many are taken for class 0
CUSTOM = "weights custom from mine.safetensors"


def planted(dataset, folder, logits, instrument, weights=CUSTOM):
    """What a run stores of these logits, opened again, and the tables of it."""
    context = Context(0, "mean")
    layer, features = Layer(OUTPUT, (1, 1, logits.shape[1])), {OUTPUT: jax.device_put(logits)}
    seen = Seen(dataset, np.arange(len(dataset)), "seen")
    task = instrument.prepare(seen, dataset, {"network": (layer,)}, context)
    ((_, arrays),) = instrument.measure(task, [layer], features, [OUTPUT], context)
    found = Folder(folder)
    found.save_json("layers.json", {"network": [[OUTPUT, layer.grid]]})
    found.save_json("facts.json", dict(task.facts))
    found.save_arrays(TASK, task.arrays)
    found.save_arrays(layer_file("network", OUTPUT), arrays)
    run = {"model": "toy", "weights": weights, "data": dataset.name, "images": len(dataset), "seed": 0}
    found.save_json("about.json", run)
    stored = open_stored(folder)
    return stored, dict(instrument.tables(stored))


def toy_logits(dataset):
    """Five classes; in group (i, j) the first FIRST[i][j] images are of class 0, the others of class 1.

    Class 2 always comes second, class 3 third; class 4 never is among the best.
    """
    groups, logits = dataset.group_labels, np.tile(np.float32([0, 0, 2, 1, -3]), (len(dataset), 1))
    for group, hits in enumerate(np.ravel(FIRST)):
        rows = np.flatnonzero(groups == group)
        logits[rows[:hits], 0], logits[rows[hits:], 1] = 3, 3
    return logits


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    dataset = toy_dataset(COUNTS)
    folder = tmp_path_factory.mktemp("toy")
    (folder / "classes.txt").write_text("cat\ndog\ntree\ncar\nshed\n")
    instrument = Predictions(
        classes=str(folder / "classes.txt"), families=("pet=cat|dog", "place=shed"), top=2, permutations=99
    )
    stored, tables = planted(dataset, folder / "run", toy_logits(dataset), instrument)
    return instrument, stored, tables


def row(rows, **wanted):
    (found,) = [r for r in rows if all(r[key] == value for key, value in wanted.items())]
    return found


def test_rates_are_the_planted_ones(toy):
    """Counts exactly, intervals as SciPy's Clopper-Pearson to 1e-9."""
    _, _, tables = toy
    rows, hits, images = tables["predictions"], np.array(FIRST), np.array(COUNTS)
    for i, j in np.ndindex(hits.shape):
        found = row(rows, view="first x second", group=f"first {i} / second {j}", label="cat", top=1)
        assert (found["hits"], found["images"]) == (hits[i, j], images[i, j])
        exact = stats.binomtest(int(hits[i, j]), int(images[i, j])).proportion_ci(method="exact")
        np.testing.assert_allclose([found["low"], found["high"]], exact, atol=1e-9)
        assert found["value"] == hits[i, j] / images[i, j]
        # Whatever was first, class 2 came second: among two best it is cat or dog, and tree, nothing else.
        pet = row(rows, view="first x second", group=f"first {i} / second {j}", label="pet", top=1)
        assert (pet["kind"], pet["value"]) == ("family", 1.0)
    assert row(rows, view="all images", label="cat", top=2)["hits"] == hits.sum()
    assert row(rows, view="second", group="second 1", label="dog", top=1)["hits"] == (images - hits)[:, 1].sum()
    assert row(rows, view="all images", label="place", top=2)["hits"] == 0
    assert {r["label"] for r in rows} == {"cat", "dog", "pet", "place"}  # tree and car are first in no image


def test_differences_are_those_of_the_planted_rates(toy):
    """Differences by hand to 1e-12; p-values as twice the smaller tail of SciPy's test, corrected for all rows."""
    _, _, tables = toy
    rows, hits, images = tables["prediction_differences"], np.array(FIRST), np.array(COUNTS)
    rates = hits / images
    for g, (i, j) in enumerate(np.ndindex(hits.shape)):
        found = row(rows, view="first x second", group=f"first {i} / second {j}", label="cat", top=1)
        others = np.delete(rates.ravel(), g).mean()
        np.testing.assert_allclose([found["others"], found["difference"]], [others, rates[i, j] - others], atol=1e-12)
        rest = hits.sum() - hits[i, j], (images - hits).sum() - (images - hits)[i, j]
        table = [[hits[i, j], images[i, j] - hits[i, j]], rest]
        tails = [stats.fisher_exact(table, side).pvalue for side in ("less", "greater")]
        assert found["p_value"] == pytest.approx(min(1, 2 * min(tails)), rel=1e-9)
        assert found["low"] < found["difference"] < found["high"]
    # Two groups are one test; what is said of all images, or of none, is none.
    assert [r["group"] for r in rows if r["view"] == "second" and r["label"] == "cat" and r["top"] == 1] == ["second 0"]
    assert {r["label"] for r in rows} == {"cat", "dog"}
    np.testing.assert_array_equal([r["p_holm"] for r in rows], holm([r["p_value"] for r in rows]))
    order = [(r["p_value"], -abs(r["difference"])) for r in rows]
    assert order == sorted(order)
    assert rows[0]["group"] == "first 0 / second 1" and rows[0]["p_holm"] < 0.05


def test_newcombes_interval():
    """56 of 70 against 48 of 80: 0.0524 to 0.3339 (Newcombe 1998, table II, method 10); 9 of 10 against 3 of 10."""
    hits, trials = np.array([[56, 9], [48, 3]]), np.array([[70, 10], [80, 10]])
    for m, (low, high) in enumerate([(0.0524, 0.3339), (0.1705, 0.8090)]):
        found = difference_from_others(hits[:, m : m + 1], trials[:, m])
        np.testing.assert_allclose([found[1][0, 0], found[2][0, 0]], [low, high], atol=6e-5)


@pytest.mark.parametrize(
    "rates, images",
    [
        ([0.02] * 30, [16] * 30),
        ([0.3, 0.02, 0.05], [12, 40, 300]),
        ([0.5] + [0.0] * 9, [8] + [200] * 9),
        ([0.01, 0.1] * 10, [10, 60] * 10),
    ],
)
def test_intervals_of_differences_cover(rates, images):
    """20,000 drawn data sets: every group's interval holds its true difference in at least 93 % of them."""
    rng = np.random.default_rng(0)
    p = np.array(rates)
    true = p - (p.sum() - p) / (len(p) - 1)
    hits = rng.binomial(np.array(images)[:, None], p[:, None], (len(p), 20_000))
    _, low, high = difference_from_others(hits, np.array(images))
    held = ((low <= true[:, None]) & (true[:, None] <= high)).mean(axis=1)
    assert held.min() > 0.93


def test_without_an_effect_the_corrected_tests_reject_rarely():
    """400 data sets of rare and frequent classes in 40 small groups: at most 5 % with any p (Holm) < 0.05.

    Three standard errors of the simulation are allowed.
    """
    rng = np.random.default_rng(1)
    images, rejected = np.full(40, 12), 0
    groups = np.repeat(np.arange(40), images)
    for _ in range(400):
        happened = rng.random((len(groups), 8)) < np.array([0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 0.99])
        hits = np.stack([np.bincount(groups[event], minlength=40) for event in happened.T], axis=1)
        rejected += holm(fisher_exact(hits, images).ravel()).min() < 0.05
    assert rejected / 400 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


def test_means_are_those_of_the_t_test():
    """Intervals of SciPy's one-sample and Welch's two-sample t-test to 1e-10."""
    rng = np.random.default_rng(2)
    a, b = rng.gamma(2.0, 1.0, 9), rng.gamma(3.0, 1.0, 31)
    found = group_means(np.concatenate([a, b]), np.repeat([0, 1], [9, 31]))
    single, both = stats.ttest_1samp(a, 0).confidence_interval(), stats.ttest_ind(a, b, equal_var=False)
    np.testing.assert_allclose([found.low[0], found.high[0]], single, rtol=1e-10)
    interval = both.confidence_interval()
    np.testing.assert_allclose([found.difference_low[0], found.difference_high[0]], interval, rtol=1e-10)
    np.testing.assert_allclose(found.difference[0], a.mean() - b.mean(), rtol=1e-12)
    np.testing.assert_allclose(found.deviation[0], a.std(ddof=1), rtol=1e-12)


def test_intervals_of_means_cover():
    """4,000 data sets of unequal means, variances and sizes, one group of a single image: 93 to 97.5 %."""
    rng = np.random.default_rng(3)
    sizes, scale = np.array([6, 15, 40, 9]), np.array([1.0, 3.0, 0.5, 2.0])
    groups, true = np.repeat(np.arange(4), sizes), np.array([0.0, 1.0, -1.0, 2.0])
    held = np.zeros(4)
    for _ in range(4000):
        found = group_means(true[groups] + scale[groups] * rng.standard_normal(len(groups)), groups)
        wanted = true - (true.sum() - true) / 3
        held += (found.difference_low <= wanted) & (wanted <= found.difference_high)
    assert (held / 4000).min() > 0.93 and (held / 4000).max() < 0.975
    single = group_means(rng.standard_normal(21), np.repeat([0, 1, 2], [10, 10, 1]))
    assert np.isfinite([single.low, single.difference_low]).all() and np.isnan(single.deviation[2])


def test_without_an_effect_max_t_rejects_rarely():
    """200 skewed samples in two views: at most 5 % with any p (max-T) <= 0.05, three standard errors allowed.

    Each p-value by itself rejects at 5 %, four standard errors allowed.
    """
    rng = np.random.default_rng(4)
    views, rejected, small = [np.arange(60) % 2, np.arange(60) % 12], 0, np.zeros(28)
    for seed in range(200):
        values = rng.beta(8.0, 0.5, 60)
        p, corrected = permutation_tests([values, -np.log(values)], views, 99, seed)
        rejected += corrected.min() <= 0.05
        small += p <= 0.05
    assert abs(small / 200 - 0.05).max() < 4 * np.sqrt(0.05 * 0.95 / 200)
    assert rejected / 200 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


def test_confidence_is_that_of_the_softmax(toy):
    """Mean probability of the first class and mean entropy in bits to 1e-6; a planted difference is found."""
    _, _, tables = toy
    p = np.exp([0, 3, 2, 1, -3]) / np.exp([0, 3, 2, 1, -3]).sum()  # the same for every image: two zeros change places
    for measure, value in (("confidence", p.max()), ("entropy", -(p * np.log2(p)).sum())):
        rows = [r for r in tables["confidence"] if r["measure"] == measure]
        np.testing.assert_allclose([r["value"] for r in rows], value, rtol=1e-6)
        differences = [r["difference"] for r in rows if r["view"] != "all images"]
        np.testing.assert_allclose(differences, 0.0, atol=1e-12)
        assert all(r["p_value"] == r["p_max_t"] == 1.0 for r in rows if r["view"] != "all images")
    assert np.isnan(row(tables["confidence"], view="all images", measure="entropy")["difference"])


def test_a_less_confident_group_is_found(tmp_path):
    dataset = toy_dataset(COUNTS)
    rng = np.random.default_rng(5)
    logits = toy_logits(dataset) + rng.normal(0, 0.2, (len(dataset), 5)).astype(np.float32)
    logits[dataset.labels["second"] == 1] *= 0.5
    _, tables = planted(dataset, tmp_path, logits, Predictions(permutations=199))
    found = row(tables["confidence"], view="second", group="second 1", measure="confidence")
    assert found["difference_high"] < 0 and found["p_max_t"] == 1 / 200
    assert row(tables["confidence"], view="second", group="second 1", measure="entropy")["difference_low"] > 0
    assert row(tables["confidence"], view="first", group="first 1", measure="entropy")["images"] == 80


def test_the_order_of_the_images_does_not_matter(toy, tmp_path):
    instrument, _, tables = toy
    rng = np.random.default_rng(6)
    dataset = toy_dataset(COUNTS)
    logits = toy_logits(dataset) + rng.normal(0, 0.1, (len(dataset), 5)).astype(np.float32)
    order = rng.permutation(len(dataset))
    _, first = planted(dataset, tmp_path / "a", logits, instrument)
    _, second = planted(dataset.take(order), tmp_path / "b", logits[order], instrument)
    for name in ("predictions", "prediction_differences"):
        assert first[name] == second[name] == tables[name]
    for a, b in zip(first["confidence"], second["confidence"], strict=True):
        assert (a["p_value"], a["p_max_t"]) == (b["p_value"], b["p_max_t"]) or np.isnan(a["p_value"])
        assert a["value"] == pytest.approx(b["value"], rel=1e-12)


def test_equal_logits_go_to_the_first_class():
    found = read_output(jax.device_put(np.zeros((3, 8), np.float32)), 4)
    np.testing.assert_array_equal(found["classes"], np.tile(np.arange(4), (3, 1)))
    np.testing.assert_allclose(found["probabilities"], 1 / 8, rtol=1e-6)
    np.testing.assert_allclose(found["entropy"], 3.0, rtol=1e-6)
    # A network that is very sure still has an order: probabilities round to 0, logits do not.
    sure = read_output(jax.device_put(np.float32([[0, 500, 300, 200]])), 3)
    assert sure["classes"].tolist() == [[1, 2, 3]] and sure["entropy"][0] == 0
    with pytest.raises(InputError, match="no numbers"):
        read_output(jax.device_put(np.float32([[0, np.nan]])), 1)


def test_a_single_group(tmp_path):
    """Nothing to compare: rates and means without differences, and figures and findings all the same."""
    dataset = toy_dataset([[12]])
    instrument = Predictions(permutations=99)
    stored, tables = planted(dataset, tmp_path, np.eye(3, dtype=np.float32)[np.arange(12) % 2], instrument)
    assert not tables["prediction_differences"]
    assert {r["value"] for r in tables["predictions"] if r["top"] == 1} <= {0.5}
    assert all(np.isnan(r["difference"]) and np.isnan(r["p_max_t"]) for r in tables["confidence"])
    filled = {name: rows for name, rows in tables.items() if rows}  # as they are stored
    assert not list(instrument.figures(stored, filled))
    assert "nothing to compare" in "\n".join(instrument.findings(stored, filled))


def test_five_outputs_have_the_names_of_a_file(toy, tmp_path):
    instrument, stored, tables = toy
    assert [layer.features for layer in stored.layers] == [5]
    text = "\n".join(instrument.findings(stored, tables))
    share = np.sum(FIRST) / np.sum(COUNTS)
    assert f"{100 * share:.1f} % [" in text and "cat of " in text and "2 of 5 classes" in text
    assert "  cat" in "\n".join(instrument.listing(stored, tables))
    assert "family pet, most probable" in text and "not what people say of themselves" in text
    assert "dog among 2" in text or "cat, first x second first 0 / second 1" in text
    short = tmp_path / "short.txt"
    short.write_text("cat\ndog\ntree\ncar\n")
    with pytest.raises(InputError, match=r"short\.txt: names 4 classes, but the network has 5 outputs"):
        planted(toy_dataset(COUNTS), tmp_path / "run", toy_logits(toy_dataset(COUNTS)), Predictions(str(short)))
    short.write_text("cat\n\ncar\n")
    with pytest.raises(InputError, match=r"short\.txt: row 2: names no class"):
        planted(toy_dataset(COUNTS), tmp_path / "run", toy_logits(toy_dataset(COUNTS)), Predictions(str(short)))
    with pytest.raises(InputError, match=r"absent\.txt: cannot be read"):
        planted(toy_dataset(COUNTS), tmp_path / "run", toy_logits(toy_dataset(COUNTS)), Predictions("absent.txt"))


def test_names_of_classes():
    """ImageNet's names for published and random weights only; a repeated name gets its number."""
    published = class_names((), 1000, "weights IMAGENET1K_V2 from resnet50-11ad3fa6.pth")
    assert (published[0], published[413], published[763], published[999]) == (
        "tench", "assault rifle", "revolver", "toilet tissue"
    )  # fmt: skip
    assert class_names((), 1000, "random weights, seed 0: untrained control") == published
    assert class_names((), 1000, CUSTOM)[17] == class_names((), 256, "weights IMAGENET1K_V1")[17] == "class 17"
    assert class_names(("crane", "crane", "owl"), 3, CUSTOM) == ("crane (class 0)", "crane (class 1)", "owl")


def test_families(tmp_path):
    file = tmp_path / "families.txt"
    file.write_text("weapon = rifle | revolver\n\nbird=cock|hen\n")
    found = read_families(("ape=gorilla",), file)
    assert found == {"ape": ("gorilla",), "weapon": ("rifle", "revolver"), "bird": ("cock", "hen")}
    for wrong in ("weapon", "weapon=", "=rifle", "weapon=rifle||revolver"):
        with pytest.raises(InputError, match="no family"):
            read_families((wrong,), "")
    with pytest.raises(InputError, match="twice"):
        read_families(("ape=gorilla", "ape=gibbon"), "")
    file.write_text("bird=cock\n\nbird=hen\n")
    with pytest.raises(InputError, match=r"families\.txt: row 3: the family 'bird' is there twice"):
        read_families((), file)
    file.write_text("x" * 5000)
    with pytest.raises(InputError, match=r"families\.txt: row 1: 'x{57}\.\.\.' is no family"):
        read_families((), file)
    dataset, logits = toy_dataset(COUNTS), toy_logits(toy_dataset(COUNTS))
    with pytest.raises(InputError, match="'gun'"):  # before anything is measured
        planted(dataset, tmp_path / "a", logits, Predictions(families=("weapon=rifle|gun",)))
    with pytest.raises(InputError, match="the network has none"):  # ImageNet's name, but these are five other classes
        planted(dataset, tmp_path / "b", logits, Predictions(families=("weapon=rifle",)))
    _, tables = planted(dataset, tmp_path / "c", logits, Predictions(families=("some=class 0|class 1",), top=1))
    assert row(tables["predictions"], view="all images", label="some")["value"] == 1.0
    assert {r["top"] for r in tables["predictions"]} == {1}


def test_few_classes_are_reported(tmp_path):
    dataset, logits = toy_dataset(COUNTS), toy_logits(toy_dataset(COUNTS))
    for options, labels in (({"max_classes": 1}, {"class 1"}), ({"min_images": 23}, {"class 1"}),
                            ({"min_images": 22}, {"class 0", "class 1"})):  # fmt: skip
        instrument = Predictions(permutations=99, **options)
        stored, tables = planted(dataset, tmp_path / str(options), logits, instrument)
        assert {r["label"] for r in tables["predictions"]} == labels
        left_out = "left out: 1, for 15.7 % of the images" if len(labels) == 1 else "left out: 0, for 0.0 %"
        assert left_out in next(iter(instrument.findings(stored, tables)))


def test_options_are_checked():
    for options in ({"top": 0}, {"min_images": 0}, {"max_classes": -1}, {"permutations": 10}, {"shown": 0}):
        with pytest.raises(InputError, match=next(iter(options))):
            Predictions(**options)
    with pytest.raises(InputError, match="no valid classifier"):
        Predictions().choose(Choice(("a",), False, output=False))
    assert Predictions().choose(Choice(("a",), True)) == (OUTPUT,)
    assert INSTRUMENTS["predictions"] is Predictions
    with pytest.raises(InputError, match="needs labelled faces"):
        Predictions().pictures(None, Context(0, "mean"))


def test_figures_stay_readable_for_126_groups(tmp_path):
    """The worst ones only, in at most 8 inches; every figure is drawn, and dollar signs are no mathematics."""
    dataset = toy_dataset(np.full((9, 14), 4))
    dataset = replace(dataset, name="cost $5 and $6")
    rng = np.random.default_rng(7)
    instrument = Predictions(permutations=99, shown=25)
    logits = rng.normal(0, 2, (len(dataset), 12)).astype(np.float32)
    logits[dataset.labels["first"] == 3, 5] += 4
    stored, tables = planted(dataset, tmp_path, logits, instrument)
    figures = dict(instrument.figures(stored, tables))
    assert list(figures) == ["differences", "confidence-first", "confidence-second", "confidence-first-x-second"]
    drawn = {name: draw() for name, draw in figures.items()}
    assert max(figure.get_size_inches()[1] for figure in drawn.values()) <= 8
    labels = [text.get_text() for text in drawn["differences"].axes[0].get_yticklabels()]
    assert len(labels) == 25 and labels[0].startswith("class 5") and "first 3" in labels[0]
    assert len(drawn["confidence-first-x-second"].axes[0].get_yticklabels()) == 25
    drawn["differences"].savefig(tmp_path / "differences.png")


class Tiny(nnx.Module):
    """Three logits from the mean colour."""

    def __init__(self, rngs: nnx.Rngs):
        self.fc = nnx.Linear(3, 3, rngs=rngs)

    def __call__(self, images, offsets=None):
        colour = images.mean(axis=(1, 2))
        return self.fc(colour), {"colour": colour}


def coloured_faces():
    """Twelve pictures in each of four groups; the second attribute is the colour."""
    dataset = toy_dataset([[12, 12], [12, 12]])
    rng, files = np.random.default_rng(8), []
    for redness in dataset.labels["second"]:
        pixels = rng.integers(0, 60, (16, 16, 3)).astype(np.uint8)
        pixels[..., 0 if redness else 2] += 180
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG")
        files.append(stream.getvalue())
    return replace(dataset, read_bytes=files.__getitem__)


@pytest.fixture
def tiny(monkeypatch):
    network = image_classifier(
        lambda classes, rngs: Tiny(rngs), last=("fc",), preparation=Transform(16, 16), layers=("colour",)
    )
    monkeypatch.setitem(NETWORKS, "tiny", network)
    return "tiny"


def test_an_audit_from_pictures_to_findings(tiny, tmp_path):
    """The whole road with a network of three outputs: its classes follow the colour, which is an attribute.

    A file of four names is refused before anything is measured.
    """
    faces, config = coloured_faces(), RunConfig(batch_size=16)
    found = audit(tiny, [Predictions(permutations=99)], faces=faces, config=config, out=tmp_path / "run")
    assert not found.failures
    rows = found.tables["prediction_differences"].to_pylist()
    assert rows[0]["view"] == "second" and abs(rows[0]["difference"]) == 1.0 and rows[0]["p_holm"] < 1e-6
    assert "class" in found.findings and "random weights" in found.findings
    assert found.figure_names()["predictions"][0] == "differences"
    assert (tmp_path / "run/predictions/figures/differences.png").exists()
    names = tmp_path / "names.txt"
    names.write_text("a\nb\nc\nd\n")
    with pytest.raises(InputError, match=r"names 4 classes, but the network has 3 outputs"):
        audit(tiny, [Predictions(str(names))], faces=faces, config=config, out=tmp_path / "other")
    assert not (tmp_path / "other/run.json").exists()


def test_intervals_of_confidence_end_where_it_does(tmp_path):
    """Two images a group, sure of one and unsure of the other: Student's t alone would go far beyond."""
    dataset = toy_dataset([[2, 2]])
    logits = np.array([[20.0, 0.0, 0.0], [0.1, 0.0, 0.0]] * 2, np.float32)
    rows = planted(dataset, tmp_path, logits, Predictions(permutations=99))[1]["confidence"]
    ends = {"confidence": 1.0, "entropy": np.log2(3)}
    for row in (row for row in rows if row["view"] == "second"):
        most = ends[row["measure"]]
        assert (row["low"], row["high"]) == (0.0, most)
        assert (row["difference_low"], row["difference_high"]) == (-most, most)
