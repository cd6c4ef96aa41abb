"""What `--models module:name` may name: any text, and modules that hold anything."""

import functools
import importlib
import os
import shutil
import string
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

from hypothesis import strategies as st

from bias_jax.audit import OwnNetwork
from experiments.models import find_network
from tests.fuzz.watching import outcome

HEAD = """import jax.numpy as jnp
from flax import nnx
from bias_jax.audit import own_network
from bias_jax.networks import Transform

SMALL = Transform(28, 24)
def forward(images): return {"maps": jnp.tanh(images[:, ::4, ::4])}
made = own_network(forward, preparation=SMALL)
flax = nnx.Linear(3, 3, rngs=nnx.Rngs(0))
"""
# What a module binds to a name.
VALUES = [
    "made", "flax", "forward", "own_network(forward, preparation=SMALL)", "nnx.Linear", "lambda: made", "lambda: flax",
    "lambda: None", "lambda: lambda: made", "lambda *a, **b: made", "lambda a: made", "lambda a=3: made", "None", "3",
    "3.5", "''", "[]", "{}", "object()", "object", "int", "print", "jnp", "nnx", "SMALL", "type", "property(forward)",
    "classmethod", "Exception('x')", "own_network", "own_network(3)", "own_network(forward, preparation=3)",
    "own_network(forward, name='')", "own_network(forward, name='../x')", "own_network(forward, params=object())",
    "1 / 0", "{}['x']", "[][3]", "undefined", "open('/nowhere')", "int('x\\n\\x1b[31m')", "__import__('nothing')",
    "exec('raise SystemExit')", "exec('raise SystemExit(\"\\\\n\")')", "exec('raise Warning')", "exec('import q.r')",
    "exec('def f(): return f()\\nf()')", "lambda: 1 / 0", "lambda: exit()", "lambda: undefined", "lambda: (made,)",
    "lambda: forward", "lambda: object", "lambda: iter(())", "lambda: (_ for _ in ()).throw(KeyError)",
    "type('T', (), {'__getattr__': lambda s, n: 1 / 0})()", "type('T', (), {'__getattr__': lambda s, n: s})()",
    "type('T', (), {'__call__': lambda s: made})()", "type('T', (), {'__call__': lambda s, x: made})()",
    "type('T', (), {'__slots__': ('a',)})()", "type('T', (), {'made': property(lambda s: 1 / 0)})()",
    "type('T', (), {'__str__': lambda s: 1 / 0})()", "type('T', (), {'__signature__': 3, '__call__': lambda s: 3})()",
    "type('T\\n', (), {})()", "type('T', (Exception,), {'__str__': lambda s: 1 / 0})",
    "exec('class E(Exception):\\n def __str__(self): return 3\\nraise E')",
]  # fmt: skip
LINES = st.sampled_from(
    ["def __getattr__(name): raise KeyError(name)", "def __getattr__(name): raise AttributeError(name)", "def (", "\0",
     "import nothing_of_the_kind", "\tx = 3", "# é", "1 / 0", "__all__ = 3", "del made",
     "__path__ = []", "__file__ = 3", "del __file__", "import sys; sys.modules[__name__] = None",
     "import sys; sys.modules[__name__] = 3"]
)  # fmt: skip
NAMES = ["made", "make", "flax", "forward", "T", "a", "é", "__name__", "__dict__", "__class__", "__doc__"]
PARTS = st.sampled_from(NAMES) | st.text(string.ascii_letters + ":. /-\0\n", max_size=3)
CODE = st.builds(
    lambda values, lines: "".join([HEAD, *(f"{name} = {value}\n" for name, value in values.items()), *lines]).encode(),
    st.dictionaries(st.sampled_from(["make", "T", "a", "é"]), st.sampled_from(VALUES), max_size=2),
    st.lists(LINES, max_size=1),
)  # fmt: skip
MODULES = {
    "code": CODE | CODE | CODE | st.binary(max_size=20),
    "names": st.lists(st.lists(PARTS, min_size=1, max_size=3).map(".".join), min_size=1, max_size=3),
    "package": st.booleans(),
    "free": st.text(max_size=8).map(lambda text: f"{text}:a"),
}


@functools.cache
def place() -> tempfile.TemporaryDirectory:
    """A folder of this process: faults are told apart by files, so all modules have one name."""
    return tempfile.TemporaryDirectory()


def any_module(code, names, package, free):
    """A network, or one message."""
    folder, here, path = Path(place().name), os.getcwd(), list(sys.path)
    shutil.rmtree(folder / "drawn", ignore_errors=True)
    (folder / "drawn.py").unlink(missing_ok=True)
    file = folder / ("drawn/__init__.py" if package else "drawn.py")
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(code)
    sys.dont_write_bytecode = True
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    try:
        for model in (*(f"drawn:{own}" for own in names), "drawn.sub:made", "drawn_not:made", free):
            sys.modules.pop("drawn", None)
            importlib.invalidate_caches()
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                found = outcome(lambda model=model: find_network(model))
            assert found is None or isinstance(found, OwnNetwork)
    finally:
        os.chdir(here)
        sys.path[:] = path
