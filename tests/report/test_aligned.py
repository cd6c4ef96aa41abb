from bias_jax.report.account import Column, Excerpt
from bias_jax.report.aligned import aligned


def test_text_to_the_left_numbers_to_the_right():
    columns = (Column("layer"), Column("share", "percent"), Column("p", "p"))
    rows = (("early", (0.5, 0.4, 0.6), 0.01), ("a\nvery " + "long " * 20, None, 1.0))
    lines = aligned(Excerpt("x", "What it shows", columns, rows)).splitlines()
    assert lines[0] == "What it shows" and len(lines) == 4
    assert lines[2].startswith("  early  ") and lines[2].endswith("50.0 [40.0, 60.0]  0.01")
    assert lines[3].startswith("  a very long") and "...  " in lines[3] and lines[3].endswith("1")
    assert len({len(line) for line in lines[1:]}) == 1
