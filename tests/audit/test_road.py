"""The road, with a network and instruments that take no time: who gets what, what is stored, what is done again."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from bias_jax.audit import BASELINE, RunConfig, Seen, audit
from bias_jax.audit.subjects import MEAN_COLOUR, Baseline
from bias_jax.data import Attribute
from bias_jax.data.decoding import decode
from bias_jax.errors import InputError
from bias_jax.results import Folder
from tests.audit.toys import Beside, Means, Other, Recorder, ToySubject, faces, features_of, pictures

FILES = pictures(6)


@pytest.fixture
def subject():
    return ToySubject()


def run(subject, out, *instruments, files=FILES, **config):
    return audit(subject, instruments, faces=faces(files), config=RunConfig(**config), out=out)


def test_every_picture_goes_through_the_network_once(subject, tmp_path):
    """Two instruments on overlapping pictures; one that is there twice counts once, and run.json says so."""
    mine = tuple(pictures(4, first=4))  # two of them are faces as well
    found = run(subject, tmp_path, Recorder(), Other(files=(*mine, mine[0])), files=[*FILES, *FILES[:2]])
    assert len(subject.seen) == len(set(subject.seen)) == found.images == 8
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["images"] == 6 and record["equal_images_left_out"] == 2
    for layer in ("early", "late", "wide"):
        x = found.stored["other"].load(layer)["x"]
        expected = features_of(mine, layer)
        width = {"early": 48}.get(layer, expected.shape[1])
        np.testing.assert_allclose(x[:, : expected.shape[1]], expected[:, :width])
        np.testing.assert_allclose(found.stored["recorder"].load(layer)["x"], features_of(FILES, layer))


def test_a_source_beside_the_network_gets_only_the_pictures_it_is_for(subject, tmp_path, monkeypatch):
    """Two of the four are faces as well; the other faces do not pass."""
    mine, seen = tuple(pictures(4, first=4, size=36)), []
    extract = Baseline.extract

    def counted(self, images, *arguments, **options):
        seen.extend(images.pictures.read_bytes(i) for i in range(len(images)))
        return extract(self, images, *arguments, **options)

    monkeypatch.setattr(Baseline, "extract", counted)
    files = pictures(6, size=36)
    found = run(subject, tmp_path, Recorder(), Beside(files=mine), files=files)
    assert not found.failures and sorted(seen) == sorted(mine) and found.images == 8
    colours = found.stored["beside"].load(MEAN_COLOUR, BASELINE)["x"]
    expected = np.stack([decode(data)[2:34, 2:34].mean(axis=(0, 1)) for data in mine]) / 127.5 - 1.0
    np.testing.assert_allclose(colours, expected, atol=1e-5)


def test_nothing_is_asked_about_what_everybody_shares(subject, tmp_path, caplog):
    """Faces of women only: said at the start, and the rest runs."""
    caplog.set_level("INFO")
    mixed = faces(FILES * 4)
    labels = {"gender": np.zeros(24, np.int32), **mixed.labels}
    women = replace(mixed, attributes=(Attribute("gender", ("Female", "Male")), *mixed.attributes), labels=labels)
    found = audit(subject, [Recorder()], faces=women, out=tmp_path / "run")
    assert not found.failures and found.stored["recorder"].facts["groups"] == ["even", "odd"]
    assert "gender is always 'Female'" in caplog.text


def test_means_of_groups_are_those_of_the_bank(subject, tmp_path):
    """Streamed where nobody needs the bank, taken of the bank where somebody does: the same numbers."""
    alone = run(subject, tmp_path / "alone", Means())
    beside = run(subject, tmp_path / "beside", Recorder(), Means())
    for layer in ("late", "wide"):
        x = features_of(FILES, layer)
        expected = np.stack([x[::2].mean(axis=0), x[1::2].mean(axis=0)])
        streamed, taken = (found.stored["means"].load(layer)["x"] for found in (alone, beside))
        np.testing.assert_allclose(streamed, expected, rtol=1e-6)
        np.testing.assert_allclose(taken - taken[:1], expected - expected[:1], rtol=1e-4, atol=1e-4)  # up to a shift


def test_means_of_groups_count_a_picture_as_often_as_it_is_there(subject, tmp_path, monkeypatch):
    """The first picture three times in an instrument's task: alone, and beside an instrument that needs the bank."""
    rows = np.array([0, 1, 2, 3, 4, 5, 0, 0])
    prepare = Means.prepare

    def thrice(self, seen, faces, layers, context):
        return prepare(self, Seen(seen.dataset.take(rows), seen.rows[rows], seen.sha256), faces, layers, context)

    monkeypatch.setattr(Means, "prepare", thrice)
    for name, instruments in (("alone", [Means()]), ("beside", [Recorder(), Means()])):
        found = run(subject, tmp_path / name, *instruments)
        x = features_of(FILES, "late")
        means = found.stored["means"].load("late")["x"]
        expected = x[[0, 0, 0, 2, 4]].mean(axis=0) - x[1::2].mean(axis=0)
        np.testing.assert_allclose(means[0] - means[1], expected, rtol=1e-4, atol=1e-4)


def test_small_memory_makes_waves_and_the_same_numbers(subject, tmp_path):
    whole = run(subject, tmp_path / "whole", Recorder())
    few = run(subject, tmp_path / "few", Recorder(), memory_gib=200 / 2**30)
    assert len(subject.seen) > 2 * len(FILES)
    for layer in ("early", "late", "wide"):
        np.testing.assert_array_equal(
            whole.stored["recorder"].load(layer)["x"], few.stored["recorder"].load(layer)["x"]
        )
    with pytest.raises(InputError, match="--memory-gib"):
        run(subject, tmp_path / "none", Recorder(), memory_gib=1 / 2**30)
    assert not (tmp_path / "none/run.json").exists()


def times(folder):
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.suffix in (".arrow", ".parquet", ".png")}


def test_an_instrument_added_later_redoes_nothing_else(subject, tmp_path):
    first = run(subject, tmp_path, Recorder())
    before = times(tmp_path)
    found = run(subject, tmp_path, Recorder(), Other(files=tuple(pictures(2, first=20))))
    assert all(times(tmp_path)[path] == t for path, t in before.items())
    assert set(found.tables) == {"recorder", "other"} and first.findings in found.findings
    seen = len(subject.seen)
    run(subject, tmp_path, Recorder(), Other(files=tuple(pictures(2, first=20))))
    assert len(subject.seen) == seen  # nothing left to do, so nothing goes through the network


def test_another_option_redoes_this_instrument_only(subject, tmp_path):
    run(subject, tmp_path, Recorder(), Means())
    before = times(tmp_path)
    again = run(subject, tmp_path, Recorder(scale=2.0), Means())
    after = times(tmp_path)
    assert all((after[path] != t) == ("recorder" in path.parts) for path, t in before.items())
    np.testing.assert_allclose(again.stored["recorder"].load("late")["x"], 2 * features_of(FILES, "late"))


def test_places_do_not_count_and_looks_redraw_figures_only(subject, tmp_path):
    run(subject, tmp_path, Recorder(folder="here"))
    before = times(tmp_path)
    run(subject, tmp_path, Recorder(folder="there", colour="blue"))
    after = times(tmp_path)
    assert all((after[path] != t) == (path.suffix == ".png") for path, t in before.items())


@pytest.mark.parametrize("where", ["late", "tables", "figures", "findings"])
def test_an_instrument_that_fails_takes_nothing_with_it(subject, tmp_path, where):
    found = run(subject, tmp_path, Recorder(fails=where), Other(files=tuple(FILES)))
    assert set(found.failures) == {"recorder"} and str(found.failures["recorder"]) == "as told"
    told = ["recorder: 3 layers"] if where == "figures" else []  # a figure takes nothing of what was found with it
    assert found.findings.split("\n\n") == [*told, "other: 3 layers"]
    assert (tmp_path / "other/figures/sums.png").exists()
    assert (tmp_path / "recorder/figures/sums.png").exists() == (where in ("figures", "findings"))
    assert Folder(tmp_path / "recorder").has("network/early.arrow")  # what was finished stays


def test_a_failed_figure_is_drawn_when_the_command_is_repeated(subject, tmp_path):
    run(subject, tmp_path, Recorder(fails="figures"))
    assert "broken" in str(run(subject, tmp_path, Recorder(fails="figures")).failures["recorder"].__notes__)


def test_interrupted_anywhere_it_ends_with_the_same_bytes(subject, tmp_path, monkeypatch):
    """Interrupted before every file there is, one after the other."""
    instruments = Recorder(), Means(), Other(files=tuple(pictures(2, first=20)))
    run(subject, tmp_path / "whole", *instruments)
    replacing, files = Folder._replacing, iter(range(100))

    def interrupted(self, target):
        if next(files) == moments[-1]:
            raise KeyboardInterrupt
        return replacing(self, target)

    moments = [-1]
    monkeypatch.setattr(Folder, "_replacing", interrupted)
    for moment in range(40):
        moments.append(moment)
        files = iter(range(100))
        try:
            run(subject, tmp_path / "parts", *instruments)
            break
        except KeyboardInterrupt:
            continue
    else:
        pytest.fail("it never ended")
    for path in (tmp_path / "whole").rglob("*.*"):
        if path.is_file() and path.name != ".lock":
            assert path.read_bytes() == (tmp_path / "parts" / path.relative_to(tmp_path / "whole")).read_bytes(), path


def test_other_faces_or_weights_are_another_run(subject, tmp_path):
    run(subject, tmp_path, Recorder())
    with pytest.raises(InputError, match=r"holds another run.*data_sha256"):
        run(subject, tmp_path, Recorder(), files=pictures(5))
    subject.sha256 = "1"
    with pytest.raises(InputError, match=r"holds another run.*weights_sha256"):
        run(subject, tmp_path, Recorder())
    with pytest.raises(InputError, match=r"holds another run.*activations"):
        subject.sha256 = "0"
        run(subject, tmp_path, Recorder(), seed=1)


def test_run_json_says_who_is_there(subject, tmp_path):
    """Persons and look-alikes, and that joining them is another run."""
    people = np.array([4, 4, 7, 7, 7, 8])
    given = replace(faces(FILES), people=people, labels={"kind": np.array([0, 0, 1, 1, 1, 0], np.int32)})
    audit(subject, [Recorder()], faces=given, config=RunConfig(), out=tmp_path / "run")
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert (record["persons"], record["near_duplicates"], record["equal_images_left_out"]) == (3, 0, 0)
    ignored = audit(
        subject, [Recorder()], faces=faces(FILES), config=RunConfig(near_duplicates="ignore"), out=tmp_path / "b"
    )
    record = json.loads((ignored.path / "run.json").read_text())
    assert "persons" not in record and "near_duplicates" not in record
    with pytest.raises(InputError, match=r"holds another run.*data_sha256"):
        audit(subject, [Recorder()], faces=given, config=RunConfig(), out=tmp_path / "b")


def test_result_without_a_directory(subject):
    found = run(subject, None, Recorder())
    assert found.tables["recorder"].num_rows == 3 and found.figure("sums").get_facecolor()[0] == 1
    assert found.figure_names() == {"recorder": ["sums"]} and found.programs.count >= 0
    with pytest.raises(KeyError, match="no figure 'none'"):
        found.figure("none")


def test_bad_choices(subject, tmp_path):
    with pytest.raises(InputError, match="no layer 'middle'"):
        run(subject, tmp_path, Recorder(), layers=("middle",))
    with pytest.raises(InputError, match="chosen once"):
        run(subject, tmp_path, Recorder(), Recorder())
    with pytest.raises(InputError, match="unknown network"):
        audit("alexnet", [Recorder()], faces=faces(FILES), out=tmp_path)
    assert not (tmp_path / "run.json").exists()


def test_run_json_says_what_was_audited(subject, tmp_path):
    run(subject, tmp_path, Recorder())
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["identity"]["activations"]["seed"] == 0 and record["identity"]["versions"]["jax"]
    assert record["data"] == "toy" and record["images"] == 6 and record["weights"] == "no weights"


@dataclass(frozen=True)
class Laid(Recorder):
    """Its figure has a layout, which moves a little whenever it is computed again."""

    def figures(self, stored, tables):
        def draw():
            made = Figure(figsize=(4, 3), layout="compressed")
            panels = made.subplots(2, 3)
            drawn = [axes.imshow(np.eye(4)) for axes in panels.ravel()]
            made.colorbar(drawn[0], ax=panels, shrink=0.6).set_label("share")
            return made

        yield "laid", draw


def test_a_figure_in_one_format_is_the_same_with_and_without_the_others(subject, tmp_path):
    run(subject, tmp_path / "both", Laid())
    run(subject, tmp_path / "svg", Laid(), formats=("svg",))
    name = "recorder/figures/laid.svg"
    assert (tmp_path / "both" / name).read_bytes() == (tmp_path / "svg" / name).read_bytes()
