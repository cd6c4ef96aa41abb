"""Programs are counted, and kept on disk for the next process."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from bias_jax.compilation import counted_programs, default_cache, use_cache
from bias_jax.errors import InputError

CODE = """
import sys
import jax, jax.numpy as jnp
from bias_jax.compilation import counted_programs, use_cache
use_cache(sys.argv[1])
with counted_programs() as found:
    jax.jit(lambda x: jnp.sin(x) + 1)(jnp.ones(7)).block_until_ready()
print(found.count, found.cached)
"""


def in_a_process(argument, **environment):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    found = subprocess.run([sys.executable, "-c", CODE, argument], capture_output=True, text=True,
                           env={**clean, **environment}, check=True)  # fmt: skip
    return tuple(map(int, found.stdout.split()))


def test_every_program_is_counted_once():
    with counted_programs() as found:
        f = jax.jit(lambda x: jnp.cos(x) * 3)
        for _ in range(3):
            f(jnp.ones(11)).block_until_ready()
    assert 1 <= found.count <= 3 and found.seconds > 0  # the function, and perhaps the ones
    with counted_programs() as again:
        f(jnp.ones(11))
    assert again.count == 0


def test_the_next_process_compiles_nothing(tmp_path):
    count, cached = in_a_process(str(tmp_path / "cache"))
    assert count > 0 and cached == 0
    assert in_a_process(str(tmp_path / "cache")) == (count, count)
    assert (tmp_path / "cache").stat().st_mode & 0o077 == 0  # what lies there is run
    assert in_a_process("off")[1] == 0


def test_the_default_is_the_users_own_cache(tmp_path):
    in_a_process("", XDG_CACHE_HOME=str(tmp_path))
    assert any((tmp_path / "bias-jax/programs").iterdir())
    assert default_cache().parts[-2:] == ("bias-jax", "programs")
    in_a_process("", XDG_CACHE_HOME=str(tmp_path / "unused"), JAX_COMPILATION_CACHE_DIR=str(tmp_path / "jax"))
    assert any((tmp_path / "jax").iterdir()) and not (tmp_path / "unused").exists()


def test_a_place_that_cannot_hold_programs_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot hold compiled programs"):
        use_cache(str(tmp_path / "file" / "cache"))
