"""Shared fixtures. Photographs are found through FAIRFACE_DIR, published association tests through IEAT_DIR, a trained
network through TRAINED_DIR, defective tables through FAULTS_DIR, frozen values of other programs through ORACLES_DIR.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import jax
import numpy as np
import pytest

from bias_jax.compilation import make_room_for_programs
from bias_jax.data import Attribute, FaceDataset
from bias_jax.devices import device_mesh

# An array that is stretched or widened in silence is a mistake more often than a convenience. Set in the environment
# too, so that the commands that tests start are as strict.
STRICT = {"jax_numpy_rank_promotion": "raise", "jax_numpy_dtype_promotion": "strict"}
for option, value in STRICT.items():
    os.environ[option.upper()] = value
    jax.config.update(option, value)

# Tests of work that is spread over devices take the first few; everything else runs on the first alone.
jax.config.update("jax_num_cpu_devices", 8)

# Most of the time of the tests is compilation: all processes of a run share what they compile, and so do runs that are
# given one folder.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    compiled = tempfile.mkdtemp(prefix="compiled-")
    atexit.register(shutil.rmtree, compiled, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = compiled
    jax.config.update("jax_compilation_cache_dir", compiled)  # JAX read its environment before
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@pytest.fixture(scope="module", autouse=True)
def room_for_programs():
    """A process that tests for long would compile more programs than it can map."""
    yield
    make_room_for_programs(0.25)


@pytest.fixture(scope="session")
def fairface_dir() -> Path:
    directory = os.environ.get("FAIRFACE_DIR")
    if not directory:
        pytest.skip("FAIRFACE_DIR is not set")
    return Path(directory)


@pytest.fixture(scope="session")
def ieat_dir() -> Path:
    directory = os.environ.get("IEAT_DIR")
    if not directory:
        pytest.skip("IEAT_DIR is not set")
    return Path(directory)


@pytest.fixture(scope="session")
def trained_dir() -> Path:
    directory = os.environ.get("TRAINED_DIR")
    if not directory:
        pytest.skip("TRAINED_DIR is not set")
    return Path(directory)


@pytest.fixture(scope="session")
def faults_dir() -> Path:
    directory = os.environ.get("FAULTS_DIR")
    if not directory:
        pytest.skip("FAULTS_DIR is not set")
    return Path(directory)


@pytest.fixture(scope="session")
def oracles_dir() -> Path:
    directory = os.environ.get("ORACLES_DIR")
    if not directory:
        pytest.skip("ORACLES_DIR is not set")
    return Path(directory)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def toy_dataset(counts, solo: bool = False, seed: int = 0) -> FaceDataset:
    """A data set of two attributes without images, with the given number of images per group [A, B]."""
    counts = np.asarray(counts)
    first, second = np.repeat(np.indices(counts.shape).reshape(2, -1), counts.ravel(), axis=1).astype(np.int32)
    labels = {"first": first, "second": second}
    attributes = tuple(
        Attribute(name, tuple(f"{name} {i}" for i in range(size)))
        for name, size in zip(("first", "second"), counts.shape, strict=True)
    )
    extra = ()
    if solo:
        extra = (Attribute("coin", ("tails", "heads")),)
        labels["coin"] = np.random.default_rng(seed).integers(0, 2, len(first)).astype(np.int32)
    return FaceDataset(
        name="toy",
        attributes=attributes,
        labels=labels,
        image_names=tuple(f"image {i}" for i in range(len(first))),
        rows=tuple(range(len(first))),
        read_bytes=lambda i: b"",
        source="toy",
        solo_attributes=extra,
    )


@pytest.fixture(autouse=True, scope="session")
def one_device_by_default():
    """Runs inside a test take the first device unless they ask for more: eight share the cores of one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bias_jax.audit.run.device_mesh", lambda count=None: device_mesh(count or 1))
        yield
