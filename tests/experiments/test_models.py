"""`--models module:name`: a network of the user's own on the command line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bias_jax.audit import OwnNetwork
from bias_jax.errors import InputError
from experiments.audits import NetworkConfig
from experiments.models import find_network
from experiments.sweep import main

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
HEAD = """import jax.numpy as jnp
from flax import nnx
from bias_jax.audit import own_network
from bias_jax.networks import Transform

def network(images):
    maps = jnp.tanh(images[:, ::4, ::4])
    return maps.mean(axis=(1, 2)), {"maps": maps}

"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module of a new name into the current folder, and gives its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    number = iter(range(100))

    def write(text, head=HEAD):
        name = f"own_{tmp_path.name.replace('-', '_')}_{next(number)}"
        (tmp_path / f"{name}.py").write_text(head + text)
        return name

    return write


def test_networks_and_functions_that_make_one(module):
    name = module("""
made = own_network(network, preparation=Transform(28, 24))
def make(): return own_network(network, name="called", preparation=Transform(28, 24))
def usual(preparation=Transform(28, 24)): return own_network(network, name="usual", preparation=preparation)
def flax(): return nnx.Linear(3, 3, rngs=nnx.Rngs(0))
class Zoo:
    one = made
""")
    found = {path: find_network(f"{name}:{path}") for path in ("made", "make", "usual", "flax", "Zoo.one")}
    assert all(isinstance(network, OwnNetwork) for network in found.values())
    assert [network.model for network in found.values()] == ["network", "called", "usual", "Linear", "network"]


@pytest.mark.parametrize(
    ("path", "text", "problem"),
    [
        ("make", "def other(): pass", r"own_.*\.py: own_.* has no 'make'. Way out: it has .*network, other"),
        ("network", "", r"network takes arguments \(images\), so it is no function that makes a network.*def make\(\)"),
        ("make", "def make(): return 3", r"\.py: make is no network, but of the type int\."),
        ("three", "three = 3", r"\.py: three is no network, but of the type int\."),
        (
            "make",
            "def make():\n    return {}['weights']",
            r"calling make of own_.* fails with KeyError: 'weights' at .*:11\..*; own_.*\.make\(\)' shows",
        ),
        ("make", "import nothing_of_the_kind", r"importing own_.* fails with ModuleNotFoundError: No module .*:10\."),
        (
            "make",
            "def make():\n    import no_such",
            r"calling make .* No module .*:11\. Way out: install no_such where .*make\(\)' shows more",
        ),
        ("make", "1 / 0", r"importing own_.* fails with ZeroDivisionError: division by zero at .*own_.*\.py:10\."),
        ("make", "def make(:", r"importing own_.* fails with SyntaxError: .*line 10\)\. Way"),
        ("make", "raise SystemExit(0)", r"importing own_.* fails with SystemExit: 0"),
        ("three.make", "three = 3", r"own_.* has no 'three.make'. Way out: name a network"),
        ("make", "def __getattr__(name): raise KeyError(name)", r"looking for make in own_.* fails with KeyError"),
        ("made", "def make(): pass", r"it has make$"),
        ("x", "".join(f"def m{i}(): pass\n" for i in range(99)), r"it has own_network(, \w+){11}$"),
    ],
)
def test_what_is_wrong_with_a_users_module_is_told_in_one_line(module, path, text, problem):
    name = module(text)
    with pytest.raises(InputError, match=problem) as error:
        find_network(f"{name}:{path}")
    assert "\n" not in str(error.value)


def test_no_such_module_and_no_such_form(module):
    with pytest.raises(InputError, match=r"there is no module 'not_here'.*start the command where not_here.py"):
        find_network("not_here:make")
    package = module("", head="")
    with pytest.raises(InputError, match=rf"importing {package}.sub fails|there is no module"):
        find_network(f"{package}.sub:make")
    for odd in (":make", "module:", "a:b:c", "a b:c", "../a:b"):
        with pytest.raises(InputError, match="is no module:name"):
            find_network(odd)


def test_weights_belong_to_ones_own_network():
    with pytest.raises(InputError, match="a:b is your own network, which brings its weights"):
        NetworkConfig(models=("vgg16", "a:b"), weights=("folder",))
    assert NetworkConfig(models=("vgg16", "a:b"), weights=("folder", "random"))


def test_an_error_of_a_users_function_ends_a_command_with_status_2(module, capsys):
    name = module("def make(): return own_network(lambda x: x.nothing, name='bad', preparation=Transform(28, 24))")
    assert main(["--models", f"{name}:make", "--out", "run", "--per-group", "1"]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: bad fails with AttributeError") and f"{name}.py:10" in error


@pytest.mark.parametrize("name", ["jax_function", "flax_module", pytest.param("torch_module", marks=pytest.mark.torch)])
def test_the_examples_of_the_documents(name, monkeypatch):
    if name == "torch_module":
        pytest.importorskip("torch")
    monkeypatch.chdir(EXAMPLES)
    monkeypatch.syspath_prepend(EXAMPLES)
    network = find_network(f"mynetworks:{name}")
    layers = {"jax_function": ("conv", "pooled"), "flax_module": ("stem", "blocks.0", "blocks.1", "drop", "head"),
              "torch_module": ("2", "5")}  # fmt: skip
    assert network.choice(()).layers == layers[name] and network.choice(()).output


@pytest.mark.slow
def test_a_command_from_anywhere(tmp_path):
    text = HEAD + "def make(): return own_network(network, name='my net', preparation=Transform(28, 24))\n"
    (tmp_path / "mynets.py").write_text(text)
    command = [sys.executable, "-m", "experiments.sweep", "--models", "mynets:make", "--instruments", "variance",
               "--per-group", "2", "--variance.permutations", "99"]  # fmt: skip
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=clean)
    assert found.returncode == 0, found.stderr
    assert (tmp_path / "runs/my-net-calibration/variance/variance.parquet").exists()
