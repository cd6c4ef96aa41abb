"""Small run directories, written as audits write them, with labels that want to be more than text."""

import math

import numpy as np

from bias_jax.report.account import Account, Column, Excerpt, Told, told_as_json
from bias_jax.report.curves import comparison_by_layer
from bias_jax.report.reading import SECTION
from bias_jax.results import RunDirectory
from bias_jax.results.tables import TABLES

HOSTILE = (
    "<script>alert(1)</script>",
    "</title></style></td><img src=x onerror=alert(1)>",
    "$a_{b}$ \\textbf{x} \\input{/etc/passwd} 100 % # & ~ ^",
    "{{ 7 * 7 }} {% for x in y %} << x >> <% y %>",
    "`code` *b* _i_ [x](http://evil.example) ![y](http://evil.example/p.png) | cell | www.evil.example a@evil.example",
    "\"double\" 'single' &amp; &#60;",
    "\u202eturned \u05e2\u05d1\u05e8\u05d9\u05ea \u0627\u0644\u0639\u0631\u0628\u064a\u0629",
    '=HYPERLINK("http://evil.example")',
    "long " * 80 + "x" * 300,
)
LAYERS = ("early", "middle", "late")


def score(layer: str, target: str, value: float) -> dict:
    """A row that `comparison_by_layer` draws."""
    return {"layer": layer, "probe": target, "target": target, "split": "held out", "control": "none",
            "metric": "adjusted_balanced_accuracy", "value": value, "low": value - 0.1, "high": value + 0.1,
            "chance": 0.25}  # fmt: skip


def told(shift: float = 0.0, layers=LAYERS) -> Told:
    """What an instrument with hostile labels tells."""
    figures = {"curves": "Curves of the targets.", "face": "Faces."}
    account = Account("Probes of <b>", "What is $x$?", ("Read it so.",), ("It is no verdict.",), figures,
                      {"scores": "a score"}, ("face",), 10)  # fmt: skip
    columns = (Column("layer"), *(Column(label, "percent") for label in HOSTILE[:3]))
    values = [(layer, *((0.3 + 0.1 * i + shift, 0.2, 0.5) for _ in HOSTILE[:3])) for i, layer in enumerate(layers)]
    curves = Excerpt("curves", "By layer, %", columns, tuple(values), "A note.", table="scores",
                     compared=HOSTILE[:3], curves=True, reference={HOSTILE[0]: 0.25})  # fmt: skip
    gaps = Excerpt(
        "gaps", "Gaps, worst first",
        (Column("group"), Column("points", "points"), Column("p", "p"), Column("n", "count")),
        tuple((label, (-0.1, math.nan, math.nan), 1e-9, 3) for label in HOSTILE), of=50, table="scores",
        compared=("points",),
    )  # fmt: skip
    findings = tuple(f"The group {label} is found [1.0, 2.0]." for label in HOSTILE)
    return Told(account, ("a note about <images>",), findings, (curves, gaps), ("curves", "faces-of-people", "absent"))


def write_run(path, weights="random weights", shift=0.0, layers=LAYERS, begun=True):
    """A run of two instruments, the second of which is not finished."""
    identity = {"versions": {"bias_jax": "0", "jax": "1"}, "device": "cpu: <x>", "weights_sha256": "ab" * 32,
                "data_sha256": "cd" * 32, "activations": {"pooling": "mean", "batch_size": 32}}  # fmt: skip
    record = {"model": "toy & co", "weights": weights, "data": HOSTILE[0], "images": 1234, "seed": 0,
              "counts": {HOSTILE[1]: {label: i for i, label in enumerate(HOSTILE)},
                         "all": {f"group {i}": i % 3 for i in range(30)}}}  # fmt: skip
    directory = RunDirectory(path, identity, record)
    folder = directory.instrument("scores", {"options": {"l2": [1, 2]}, "layers": {"network": [["a", [1, 1, 2]]]}})
    rows = [{"group": label, "value": i / 7} for i, label in enumerate(HOSTILE)]
    many = [{"group": label, "number": i} for i in range(2000) for label in HOSTILE[:3]]
    folder.save_json(TABLES, {name: folder.save_table(f"{name}.parquet", own)
                              for name, own in (("scores", rows), ("many", many))})  # fmt: skip
    scores = [score(layer, label, np.sin(i)) for i, layer in enumerate(layers) for label in HOSTILE[:5]]
    figure = comparison_by_layer(scores, HOSTILE[:5], HOSTILE[0])
    for name in ("curves", "faces-of-people"):
        folder.save_figure(f"figures/{name}.svg", figure)
    folder.save_json(SECTION, told_as_json(told(shift, layers)))
    if begun:
        directory.instrument("others", {"options": {}, "layers": {}})
    return path
