import re

import pytest

from experiments.benchmark import main


@pytest.mark.torch
def test_both_train_the_same_heads(capsys):
    """What is compared for speed must be the same computation: the weights agree after training."""
    pytest.importorskip("torch")
    options = ["--widths", "8,12,8", "--images", "40", "--classes", "5", "--batch-size", "8", "--repeats", "1"]
    assert main(["heads", *options]) == 0
    output = capsys.readouterr().out
    assert "3 layers x 4 losses x 4 learning rates = 48 heads of 5 labels; 10 steps of 8 images" in output
    assert float(re.search(r"up to 0.01: (\S+)", output)[1]) < 1e-4
    assert re.search(r"^torch +\S+ \[.*\] +\S+ +\S+ \[.*\]$", output, re.MULTILINE)


def test_bad_input_ends_with_status_2(capsys):
    assert main(["heads", "--classes", "0"]) == 2
    assert capsys.readouterr().err.startswith("error: ")
