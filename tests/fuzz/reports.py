"""Pages about runs of which `section.json`, `failures.json` or `run.json` say anything."""

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from bias_jax.report.page import write_report
from bias_jax.report.reading import FAILURES, SECTION
from tests.fuzz.runs import HOW, JSON, edited, spoil
from tests.fuzz.watching import nothing_outside, outcome
from tests.report.runs import HOSTILE, write_run
from tests.report.test_page import Page

SAID = st.one_of(
    st.sampled_from([*HOSTILE, 10**400, -(10**400), 2**63, 1e308, float("nan"), float("inf"), "\ud800", "\0", "", " ",
                     "early", "curves", "points", "$", "$$", "{}", "../x", "a/b", [1, 2, 3], [1, None, 3], [[]], {}]),
    JSON,
)  # fmt: skip
FILES = {"section": f"scores/{SECTION}", "failures": FAILURES, "record": "run.json"}
REPORTS = {
    "edits": st.lists(
        st.tuples(st.sampled_from(["section"] * 4 + ["failures", "record"]),
                  st.sampled_from(["edited"] * 3 + ["removed", "renamed"]), st.integers(0, 10**6), SAID),
        min_size=1, max_size=5,
    ),
    "damage": st.none() | st.none() | st.none() | st.tuples(st.sampled_from(sorted(FILES)), HOW),
    "failed": st.dictionaries(st.sampled_from(["scores", "others", "x"]), SAID, max_size=2),
    "alone": st.booleans(),
}  # fmt: skip


@functools.cache
def written() -> dict[str, bytes]:
    """Files of a run; templates are read before anybody watches which files are opened."""
    with tempfile.TemporaryDirectory() as folder:
        roots = [write_run(Path(folder) / name) for name in ("run", "other")]
        write_report(roots, out=Path(folder) / "both.html")
        write_report(roots[:1])
        return {str(p.relative_to(roots[0])): p.read_bytes() for p in sorted(roots[0].rglob("*")) if p.suffix}


def changed(content: Any, edits: list[tuple]) -> str:
    """JSON with some of its values changed."""
    for _, kind, number, value in edits:
        content = edited(content, kind, number, value)
    return json.dumps(content)


def any_report(edits, damage, failed, alone):
    """A page whose elements are closed, without a script or an address, or one message."""
    with tempfile.TemporaryDirectory() as folder:
        whole, run = Path(folder) / "whole", Path(folder) / "run"
        for root in (whole, run):
            for name, content in written().items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_bytes(content)
        (run / FAILURES).write_text(json.dumps(failed))
        for key, name in FILES.items():
            own = [edit for edit in edits if edit[0] == key]
            if own:
                (run / name).write_text(changed(json.loads((run / name).read_bytes()), own))
        if damage is not None:
            spoil(run / FILES[damage[0]], damage[1])
        with nothing_outside(Path(folder)):
            roots = [run] if alone else [whole, run]
            found = outcome(lambda: write_report(roots, out=Path(folder) / "page.html"))
        if found is not None:
            page = Page(found.read_text(encoding="utf-8"))
            assert not {tag for tag, _ in page.elements} & {"script", "iframe", "object", "link", "base", "form"}
            for _, attributes in page.elements:
                assert not [name for name in attributes if name.startswith("on")]
                addresses = [attributes.get(name) or "#" for name in ("href", "src")]
                assert all(address.startswith(("#", "data:")) for address in addresses), addresses
