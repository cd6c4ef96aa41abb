import re
import sys

import pytest

from experiments.benchmark import BENCHMARKS, main
from experiments.benchmarks.machine import threads
from experiments.benchmarks.timing import alternate, rates, ratio


@pytest.mark.slow
def test_loading_prints_both_tables(capsys):
    assert main(["loading", "--images", "24", "--extract", "6", "--batch-size", "4", "--repeats", "2"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^PIL +1 +[0-9.,]+ \[", text, re.MULTILINE)
    assert "rate, images/s" in text and "waiting for data" in text


def test_unknown_benchmark_is_bad_input(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["sorting"])
    error = capsys.readouterr().err
    assert caught.value.code == 2 and all(name in error for name in BENCHMARKS)


def test_help_explains_every_benchmark(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    text = capsys.readouterr().out
    assert caught.value.code == 0
    assert all(f"• {name} " in text for name in (*BENCHMARKS, "all")) and "scikit-learn" in text and "MiniSom" in text


def test_rounds_alternate_after_one_warm_up():
    calls = []
    seconds = alternate({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2)
    assert calls == ["a", "b", "a", "b", "a", "b"]
    assert [len(values) for values in seconds.values()] == [2, 2]


def test_rates_and_ratios():
    assert rates([2.0, 1.0, 4.0], 8) == (4.0, 2.0, 8.0)
    assert ratio([1.0, 2.0], [3.0, 4.0]) == (3.0, 2.0, 3.0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The number of unique classes")  # one image a group
def test_probes_are_compared_by_sums_with_compilation(capsys):
    arguments = "--per-group 1 --layers maxpool --l2 0.1,1 --folds 2 --peers sklearn --peer-seconds 2"
    assert main(["probes", *arguments.split()]) == 0
    text = capsys.readouterr().out
    assert f"{threads()} threads" in text
    assert "126 images" in text and "7 targets x 2 strengths x 2 folds" in text
    layer, total = (re.search(rf"^{name} .*$", text, re.MULTILINE)[0].split() for name in ("maxpool", "all"))
    parts = [float(value) for value in layer[4:7]]  # after D, probes and steps
    assert layer[1:3] == ["64", "28"] and total[1:5] == ["28", *layer[4:7]] and parts[0] > 0
    fits = [line.split() for line in text.splitlines() if re.match(r"maxpool +64 +[a-z]", line)]
    assert len(fits) == 7 * 2
    last = text[text.index("for the same number of probes") :]
    sums = re.findall(r"^(64|all) +([0-9.]+) +([0-9.]+) ", last, re.MULTILINE)
    assert [name for name, *_ in sums] == ["64", "all"] and sums[0][1:] == sums[1][1:]
    theirs, ours = map(float, sums[0][1:])
    assert theirs == pytest.approx(sum(float(fit[-3]) for fit in fits), abs=0.2)
    # As many probes as scikit-learn fitted, half of all, at the mean time of all: compilation, factors and loop.
    assert ours == pytest.approx(sum(parts) / 2, abs=0.1)


@pytest.mark.parametrize(
    ("peer", "module", "name"),
    [("recipe", "torch", "torch"), ("torch-lbfgs", "torch", "torch"), ("sklearn", "sklearn", "scikit-learn")],
)
def test_a_missing_peer_is_told_before_anything_is_measured(capsys, monkeypatch, peer, module, name):
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["probes", "--peers", peer]) == 2
    captured = capsys.readouterr()
    assert f"{name} is needed" in captured.err and not captured.out


@pytest.mark.slow
def test_growth_counts_the_operations_of_a_step(capsys):
    arguments = "--images 60 --features 8 --probes 3 --usual 50,16,2 --classes 3 --repeats 2"
    assert main(["growth", *arguments.split()]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if re.match(r" +\d+ +\d+ +\d+ ", line)]
    assert [tuple(map(int, row[:3])) for row in rows] == [(60, 16, 2), (50, 8, 2), (50, 16, 3)]
    for _, _, size, steps, seconds, *_, step, each, _, peak, _ in rows:
        assert int(steps) > 1 and float(peak) > 0 and float(step) == pytest.approx(float(each) * int(size), abs=0.01)
        # To what is printed: thousandths of a second, and hundredths of a millisecond for each step.
        rounding = 5.1e-4 + 5.1e-6 * int(steps)
        assert float(seconds) == pytest.approx(1e-3 * float(step) * int(steps), abs=rounding)
