from experiments.benchmark import BENCHMARKS, main
from experiments.benchmarks.timing import alternate, describe, ratio


def test_loading_prints_both_tables(capsys):
    assert main(["loading", "--images", "24", "--extract", "6", "--batch-size", "4", "--repeats", "2"]) == 0
    text = capsys.readouterr().out
    assert "PIL, 1 thread" in text and "images/s" in text and "waiting for data: " in text


def test_unknown_benchmark_is_bad_input(capsys):
    assert main(["sorting"]) == 2
    error = capsys.readouterr().err
    assert all(name in error for name in BENCHMARKS)


def test_rounds_alternate_after_one_warm_up():
    calls = []
    seconds = alternate({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2)
    assert calls == ["a", "b", "a", "b", "a", "b"]
    assert [len(values) for values in seconds.values()] == [2, 2]


def test_rates_and_ratios():
    assert describe([2.0, 1.0, 4.0], 8, "images/s") == "4.0 images/s [2.0, 8.0]"
    assert ratio([1.0, 2.0], [3.0, 4.0]).startswith("3.00 times as fast (best of 2) [2.00, 3.00]")
