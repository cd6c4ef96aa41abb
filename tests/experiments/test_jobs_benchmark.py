"""`benchmark jobs`: what it counts, and the same bytes on several devices at sizes at which XLA spreads its loops."""

import pytest

from experiments.benchmarks.jobs import JobsBenchmark, run_jobs
from experiments.benchmarks.report import Table


@pytest.mark.slow
def test_work_is_shared_and_the_bytes_are_the_same():
    config = JobsBenchmark(jobs=(4,), devices=(1, 8), shared=20, images=500, features=255, strengths=2, repeats=1)
    lines = list(run_jobs(config))
    growing, shared = (i for i, line in enumerate(lines) if isinstance(line, Table))
    (row,) = lines[growing + 1 : shared]
    assert row[0] == 4 and row[4] > 0 and 0 < row[5] <= 1e-4
    one, eight = lines[shared + 1 :]
    assert (one[0], one[1]) == (1, "20 to 20") and (eight[0], eight[1]) == (8, "2 to 4")
    assert one[2] == one[3] == one[4] == eight[2] and eight[3] < eight[2] / 8 < eight[4]
    assert eight[5] < one[5] and one[7] == eight[7] == "yes"  # parts of the starts, and all of the features
