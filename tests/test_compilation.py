"""Programs are counted, and kept on disk for the next process."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pyarrow as pa
import pytest

from bias_jax import compilation
from bias_jax.compilation import counted_programs, default_cache, make_room_for_programs, use_cache
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


def test_damaged_programs_are_thrown_away_and_compiled_again(tmp_path):
    """Cut short by a kill, emptied or zeroed by a loss of power, one bit turned over, no program at all."""
    cache = tmp_path / "cache"
    count, _ = in_a_process(str(cache))
    entries = sorted(cache.glob("*-cache"))
    whole = entries[0].read_bytes()
    half = len(whole) // 2
    damaged = [whole[:half], b"", bytes(len(whole)), whole[:half] + bytes([whole[half] ^ 8]) + whole[half + 1 :], b"no"]
    for content in damaged:
        entries[0].write_bytes(content)
        use_cache_in_a_test(cache)
        assert not entries[0].exists() and all(entry.exists() for entry in entries[1:])
    entries[0].write_bytes(whole[:half])
    assert in_a_process(str(cache)) == (count, count - 1)
    assert in_a_process(str(cache)) == (count, count)


def test_entries_of_zstd_are_checked_too(tmp_path):
    content = pa.compress(b"a" * 1000 + os.urandom(1000), "zstd", asbytes=True)
    for name, data in {"whole": content, "half": content[:900]}.items():
        (tmp_path / f"{name}-cache").write_bytes(data)
    use_cache_in_a_test(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["whole-cache"]


def test_programs_are_forgotten_before_there_are_too_many(tmp_path, monkeypatch):
    """Here as if Linux allowed 100 mappings, of which the file holds 49, 51, or it cannot be read."""
    allowed, held = tmp_path / "allowed", tmp_path / "held"
    monkeypatch.setattr(compilation, "MOST_MAPPINGS", allowed)
    monkeypatch.setattr(compilation, "MAPPINGS", held)
    program = jax.jit(lambda x: x + 1)
    program(jnp.ones(3))
    assert not make_room_for_programs()
    allowed.write_text("100\n")
    for lines, forgotten in ((49, False), (51, True)):
        held.write_text("a mapping\n" * lines)
        assert make_room_for_programs() == forgotten
        assert program._cache_size() == (0 if forgotten else 1)
    assert program(jnp.ones(3)).tolist() == [2, 2, 2]


def use_cache_in_a_test(folder):
    before = dict(jax.config.values)
    try:
        use_cache(str(folder))
    finally:
        for name in ("compilation_cache_dir", "persistent_cache_min_compile_time_secs",
                     "persistent_cache_min_entry_size_bytes"):  # fmt: skip
            jax.config.update(f"jax_{name}", before[f"jax_{name}"])
