"""The commands as a user types them, small: findings, table and report; resumed; bad input."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from bias_jax.data.fairface import ATTRIBUTES
from bias_jax.published.krug2025.confusions import GROUPS
from experiments.reproduce import main

TINY = ["--models", "tests.published.network:make", "--layers", "late", "--per-group", "3", "--readings", "grid",
        "--probes.l2", "1,100", "--probes.folds", "3", "--probes.draws", "100", "--recipe.epochs", "2",
        "--recipe.l1", "1e-3", "--variance.permutations", "99", "--formats", "svg"]  # fmt: skip
VERDICTS = {"supported", "not supported", "not decidable"}


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """Three noisy pictures of every group, in the layout of FairFace; their grey level is the age."""
    root, rng = tmp_path_factory.mktemp("faces"), np.random.default_rng(0)
    (root / "train").mkdir()
    lines = ["file,age,gender,race,service_test"]
    for group in range(GROUPS.size):
        label = {name: int(number[0]) for name, number in GROUPS.decode(np.array([group])).items()}
        race, age, gender = (a.categories[label[a.name]] for a in ATTRIBUTES)
        for i in range(3):
            pixels = np.clip(20 + 25 * label["age"] + rng.normal(0, 30, (16, 16, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / f"train/{group}-{i}.jpg")
            lines.append(f"train/{group}-{i}.jpg,{age},{gender},{race},False")
    (root / "fairface_label_train.csv").write_text("\n".join(lines) + "\n")
    return ["--data", "fairface", "--data-dir", str(root)]


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.slow
def test_krug2025(faces, tmp_path, capsys):
    """Eleven lines for seven sentences; what was lost is made again, with the same bytes."""
    out = tmp_path / "run"
    command = ["krug2025", *faces, *TINY, "--out", str(out)]
    assert main(command) == 0
    printed = capsys.readouterr().out
    rows = pq.read_table(out / "published/findings.parquet").to_pylist()
    assert [r["name"] for r in rows] == [*np.repeat(["1", "2", "3", "4"], 2), "5", "6", "7"]
    assert {r["verdict"] for r in rows} <= VERDICTS and all(r["sentence"] in printed for r in rows)
    confusions = pq.read_table(out / "published/confusions.parquet").to_pylist()
    assert sum(r["images"] for r in confusions if (r["protocol"], r["split"]) == ("honest", "held out")) == 378
    assert sum(r["images"] for r in confusions if r["protocol"] == "as published") == 378
    page = (out / "report.html").read_text()
    first = page.index("Published findings: Krug &amp; Stober 2025")
    assert first < page.index("Probes by the published recipe") and "Maps of all groups in the best layer" in page
    before = contents(out)
    (out / "published/findings.parquet").unlink()
    (out / "published/figures/figure-1.svg").unlink()
    (out / "variance/variance.parquet").write_bytes(b"")
    assert main(command) == 0
    assert contents(out) == before


@pytest.mark.slow
def test_mahadev2021(tmp_path, capsys):
    """The self-test: numbers, and no verdict from drawn faces."""
    out = tmp_path / "run"
    small = ["--layers", "maxpool", "--epochs", "1", "--seeds", "1", "--draws", "100", "--examples", "0"]
    small += ["--losses", "pairwise_softmax,binary_cross_entropy", "--learning-rates", "0.1", "--weight-decays", "1e-4"]
    command = ["mahadev2021", *small, "--attention", "0", "--formats", "svg", "--out", str(out)]
    assert main(command) == 0
    rows = pq.read_table(out / "published/findings.parquet").to_pylist()
    assert [r["name"] for r in rows] == ["1", "2", "3", "4"] and {r["verdict"] for r in rows} == {"not decidable"}
    assert "Published findings: Mahadev &amp; Chakravarti 2021" in (out / "report.html").read_text()
    assert "findings of Mahadev & Chakravarti 2021:" in capsys.readouterr().out


def stimuli_of(root, rng):
    """Grey pictures of one published test; x and a are bright, y and b dark."""
    for name, level in (("age/young", 200), ("age/old", 50), ("valence/pleasant", 190), ("valence/unpleasant", 60)):
        (root / name).mkdir(parents=True)
        for i in range(8):
            pixels = np.clip(level + rng.normal(0, 20, (16, 16, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return root


@pytest.mark.slow
def test_steed2021_from_pictures(tmp_path, rng, capsys):
    """Of a network that is none of the published ones: rows of both models, and nothing decided."""
    out, stimuli = tmp_path / "run", stimuli_of(tmp_path / "stimuli", rng)
    command = ["steed2021", "--stimuli", str(stimuli), "--models", "tests.published.network:make", "--formats", "svg",
               "--out", str(out)]  # fmt: skip
    assert main(command) == 0
    rows = pq.read_table(out / "published/findings.parquet").to_pylist()
    found = [r for r in rows if r["name"].startswith("Age, ") and np.isfinite(r["number"])]
    assert len(found) == 4 and {r["verdict"] for r in rows} == {"not decidable"}
    printed = capsys.readouterr().out
    assert "toy is not a published model" in printed and "raw pixels give d " in printed


def test_steed2021_from_embeddings(tmp_path, rng, capsys):
    """A planted association; run again, the same bytes."""
    folder, out = tmp_path / "embeddings", tmp_path / "run"
    folder.mkdir()
    shifts = {"X": 1.0, "Y": -1.0, "A": 2.0, "B": -2.0}
    np.savez(folder / "age__igpt_l_32.npz", **{n: rng.standard_normal((12, 6)) + s for n, s in shifts.items()})
    command = ["steed2021", "--embeddings", str(folder), "--out", str(out)]
    assert main(command) == 0
    printed, before = capsys.readouterr().out, contents(out)
    assert "Age, iGPT-L. d 0.4227, p 0.2413. As published: not supported" in printed
    assert "Age, iGPT-L. d 0.4227, p 0.2413. Honest: not supported" in printed  # none was claimed, and there is one
    assert main(command) == 0 and contents(out) == before


BAD = {
    "no data": ["krug2025"],
    "other attributes": ["krug2025", "--data", "calibration", "--per-group", "2"],
    "unknown reading": ["krug2025", "--readings", "round"],
    "pooling": ["krug2025", "--pooling", "grid"],
    "part of the maps": ["krug2025", "--maps.contrast", "a", "b"],
    "joined near duplicates": ["krug2025", "--near-duplicates", "join"],
    "nothing to test": ["steed2021"],
    "no embeddings": ["steed2021", "--embeddings", "nowhere"],
    "no such test": ["steed2021", "--stimuli", "x", "--tests", "Cats"],
    "tests without pictures": ["steed2021", "--tests", "Age"],
    "another loss": ["mahadev2021", "--losses", "binary_cross_entropy"],
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_with_status_2_and_one_message(case, capsys, monkeypatch, tmp_path):
    monkeypatch.delenv("IEAT_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    assert main(BAD[case]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "Way out" in errors[0]
    assert not list(tmp_path.rglob("*.parquet"))
