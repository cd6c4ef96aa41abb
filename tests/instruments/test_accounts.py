"""What instruments say of themselves in a report: words for everything they make, excerpts that are their tables."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import fisher_exact

from bias_jax.audit import Accounted, RunConfig, audit
from bias_jax.data import Attribute
from bias_jax.instruments import (
    INSTRUMENTS,
    Erasure,
    Heads,
    Maps,
    Neighbours,
    Predictions,
    Probes,
    Recipe,
    Similarity,
    Variance,
)
from bias_jax.instruments.probes.gaps import recall_gaps
from bias_jax.report.reading import read_run
from bias_jax.statistics import holm
from tests.audit.toys import ToySubject, faces, pictures
from tests.report.runs import HOSTILE
from tests.report.test_page import Page


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_every_instrument_explains_itself(name):
    kind = INSTRUMENTS[name]
    instrument = kind.__new__(kind)
    assert isinstance(instrument, Accounted)
    account = kind.account
    assert account.question.endswith("?") and account.reads and account.limits
    sentences = (*account.reads, *account.limits, *account.figures.values())
    assert all(sentence[0].isupper() and sentence.endswith(".") for sentence in sentences if sentence[:2] != "p ")
    assert account.tables and not any(text.endswith(".") for text in account.tables.values())


def test_sections_have_places_of_their_own():
    places = [kind.account.place for kind in INSTRUMENTS.values()]
    assert len(set(places)) == len(places)


def hostile_faces(number=96):
    """Toy pictures with hostile categories in two attributes."""
    plain = faces(pictures(number, size=36))
    kind, gender = Attribute("kind <b>", HOSTILE[:4]), Attribute("gender", ("x", "y"))
    labels = {kind.name: np.arange(number) % 4, gender.name: np.arange(number) // 4 % 2}
    return replace(
        plain, attributes=(kind, gender), labels={name: values.astype(np.int32) for name, values in labels.items()}
    )


def check(found):
    """Everything has words, every excerpt names a table, and the page holds it all."""
    assert not found.failures
    run = read_run(found.path)
    assert not run.missing
    for section in run.sections:
        account = section.told.account
        assert section.tables.keys() <= account.tables.keys(), section.name
        for name in section.told.figures:
            assert account.caption(name).endswith("."), name
            assert (found.path / section.name / f"figures/{name}.svg").exists()
        assert section.told.findings and all(s.endswith(".") for s in section.told.findings), section.name
        assert section.told.excerpts
        for excerpt in section.told.excerpts:
            assert excerpt.table in section.tables, excerpt.name
            assert set(excerpt.compared) <= {column.name for column in excerpt.columns}
            assert len({row[: excerpt.keys] for row in excerpt.rows}) == len(excerpt.rows), excerpt.name
    page = Page(found.report().read_text(encoding="utf-8"))
    assert len(page.all("img")) == sum(len(section.told.figures) for section in run.sections)
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids)) and not page.all("script") and not page.all("b")
    assert found.listing


def test_an_audit_with_hostile_labels(tmp_path):
    """From pictures to the page; counts of the groups are in it."""
    instruments = [Variance(permutations=99), Predictions(permutations=99, min_images=1),
                   Neighbours(at=(3,), distances=("cosine",), permutations=99, draws=100), Similarity()]  # fmt: skip
    found = audit(ToySubject(title='"</title>'), instruments, faces=hostile_faces(), out=tmp_path / "run",
                  config=RunConfig(layers=("late",)))  # fmt: skip
    check(found)
    counts = read_run(found.path).record["counts"]
    assert counts["kind <b>"] == dict.fromkeys(HOSTILE[:4], 24)
    assert list(counts["kind <b> x gender"].values()) == [12] * 8
    shares = {row["term"]: row for row in found.tables["variance"].to_pylist()
              if (row["layer"], row["level"]) == ("late", "group means")}  # fmt: skip
    excerpt = next(s for s in read_run(found.path).sections if s.name == "variance").told.excerpts[0]
    (late,) = (row for row in excerpt.rows if row[0] == "late")
    place = [column.name for column in excerpt.columns].index("gender")
    assert late[place] == tuple(shares["gender"][key] for key in ("omega_squared", "low", "high"))


@pytest.mark.slow
def test_an_audit_by_all_instruments_of_faces(tmp_path):
    few = {"epochs": 1, "seeds": 1}
    heads = Heads(folds=3, draws=100, examples=0, **few)
    instruments = [Probes(l2=(0.1, 10.0), folds=3, shuffles=1, draws=100, signs=1), Maps(), Variance(permutations=99),
                   Recipe(l1=(1e-3,), learning_rates=(1e-3,), batch_size=24, **few),
                   Predictions(permutations=99, min_images=1), heads, Similarity(),
                   Neighbours(at=(1, 3), permutations=99, draws=100),
                   Erasure(l2=(0.1, 10.0), folds=3, neighbours=3, draws=100)]  # fmt: skip
    check(audit(ToySubject(), instruments, faces=hostile_faces(), out=tmp_path / "run"))


def test_gaps_in_recall_by_hand():
    """Two classes give one row, three give three; p-values are Fisher's, corrected together; the surest first."""
    scores = [{"layer": layer, "probe": t, "target": t, "split": "held out", "metric": "balanced_accuracy",
               "control": "none", "value": value, "low": 0.0, "high": 1.0, "chance": 0.5, "images": 9}
              for t in ("two", "three") for layer, value in (("pixels", 0.9), ("a", 0.6), ("b", 0.7))]  # fmt: skip
    hits = {"two": {"x": (18, 20), "y": (4, 20)}, "three": {"p": (5, 10), "q": (5, 10), "r": (9, 10), "s": (0, 0)}}
    recalls = [
        {"layer": layer, "probe": t, "group": g, "recall": k / n if n else np.nan, "low": 0.0, "high": 1.0, "images": n}
        for layer in ("a", "b")
        for t, own in hits.items()
        for g, (k, n) in own.items()
    ]
    tables = {"probes": scores, "recalls": recalls}
    rows = recall_gaps(tables, ["two", "three"], of_persons=False)
    assert [r["group"] for r in rows][:2] == ["y", "r"] and len(rows) == 4 and {r["layer"] for r in rows} == {"b"}
    assert rows[0]["difference"] == pytest.approx(-0.7) and rows[1]["difference"] == pytest.approx(0.4)
    assert rows[0]["p_value"] == pytest.approx(fisher_exact([[4, 16], [18, 2]]).pvalue, rel=1e-9)  # equal margins
    np.testing.assert_allclose([r["p_holm"] for r in rows], holm([r["p_value"] for r in rows]))
    persons = recall_gaps(tables, ["two"], of_persons=True)
    assert persons[0]["p_holm"] is None and np.isnan(persons[0]["low"])
