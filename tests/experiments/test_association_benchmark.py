import numpy as np
import pytest

from bias_jax.association.sampled import count_hits
from bias_jax.randomness import key_for
from experiments.benchmark import main
from experiments.benchmarks.association import numpy_joint, numpy_single


def test_all_versions_count_the_same_thing(rng):
    """What is compared for speed must be the same computation."""
    rows = rng.standard_normal((3, 20)) + 0.3 * (np.arange(20) < 10)
    rows -= rows.mean(axis=1, keepdims=True)
    draws = 100_000
    own, largest = numpy_joint(rows, 10, draws, rng)
    hits = count_hits(rows, 10, draws, key_for(0, "benchmark"), two_sided=False)
    single = [numpy_single(row, 10, draws, rng) for row in rows]
    error = 5 * np.sqrt(2 * 0.25 / draws)
    np.testing.assert_allclose(hits.own / draws, own / draws, atol=error)
    np.testing.assert_allclose(hits.own / draws, np.array(single) / draws, atol=error)
    np.testing.assert_allclose(hits.largest / draws, largest / draws, atol=error)


def test_association_benchmark_prints_a_table(capsys):
    assert main(["association", "--layers", "2", "--draws", "2000", "--numpy-draws", "500"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "15 tests x 2 layers x 2000 relabellings" in lines[0] and len(lines) == 9
    assert all(float(line[33:43]) > 0 for line in lines[5:])


def test_bad_input_ends_with_status_2(capsys):
    assert main(["association", "--draws", "0"]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    for argv in ([], ["nothing"]):
        with pytest.raises(SystemExit) as caught:
            main(argv)
        assert caught.value.code == 2 and "association" in capsys.readouterr().err
