"""Compiled programs: counted, and kept in a cache on disk so that the next run need not compile them again."""

import logging
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jax
import pyarrow as pa

from bias_jax.errors import InputError

COMPILED = "/jax/core/compile/backend_compile_duration"  # of every program, also of those that come from the cache
FROM_CACHE = "/jax/compilation_cache/cache_hits"
OFF = "off"
MAPPINGS, MOST_MAPPINGS = Path("/proc/self/maps"), Path("/proc/sys/vm/max_map_count")
ZSTD = b"\x28\xb5\x2f\xfd"  # how an entry begins where JAX finds a package for zstd; else it uses zlib
log = logging.getLogger("bias_jax.compilation")


@dataclass
class Programs:
    """What was compiled."""

    count: int = 0  # programs that were needed
    cached: int = 0  # of these, how many came from the cache on disk
    seconds: float = 0.0  # of compiling, and of reading the cache

    def __str__(self) -> str:
        return f"{self.count} programs in {self.seconds:.1f} s, {self.cached} of them from the cache"


@cache
def _total() -> Programs:
    """Of this process, from the first call on. JAX keeps its listeners for good, so there is one for all."""
    total = Programs()

    def compiled(event: str, duration_secs: float, **_: str | int) -> None:
        if event == COMPILED:
            total.count += 1
            total.seconds += duration_secs

    def happened(event: str, **_: str | int) -> None:
        total.cached += event == FROM_CACHE

    jax.monitoring.register_event_duration_secs_listener(compiled)
    jax.monitoring.register_event_listener(happened)
    return total


@contextmanager
def counted_programs() -> Iterator[Programs]:
    """Count what is compiled while the block runs, in all threads; complete when the block ends."""
    total, found = _total(), Programs()
    before = Programs(total.count, total.cached, total.seconds)
    try:
        yield found
    finally:
        found.count, found.cached = total.count - before.count, total.cached - before.cached
        found.seconds = total.seconds - before.seconds


def make_room_for_programs(share: float = 0.5) -> bool:
    """Forget the compiled programs of this process if they take more than a share of the mappings that Linux allows.

    A program for a CPU takes dozens of memory mappings, of which a process may have 65,530 (``vm.max_map_count``).
    Beyond that XLA ends the process by a segmentation fault. What is forgotten comes from the cache on disk again.

    Returns:
        Whether programs were forgotten; never on other systems.
    """
    try:
        held = MAPPINGS.read_bytes().count(b"\n")
        allowed = int(MOST_MAPPINGS.read_text())
    except (OSError, ValueError):
        return False
    if held <= share * allowed:
        return False
    jax.clear_caches()
    return True


def default_cache() -> Path:
    """The user's own folder for compiled programs."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "bias-jax" / "programs"


def use_cache(directory: str) -> None:
    """Keep compiled programs on disk, from now on.

    Args:
        directory: a folder of the user's own, since what lies there is run; empty: `default_cache`; ``off``: none. A
            folder set by JAX's own variable JAX_COMPILATION_CACHE_DIR is left alone unless another one is named.

    Raises:
        InputError: the folder cannot be written, or belongs to somebody else.

    Entries that are damaged are deleted first: JAX would compile their programs again in every run, with a warning, and
    never replace what it cannot read.
    """
    if directory == OFF:
        jax.config.update("jax_enable_compilation_cache", False)
        return
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    if not directory and jax.config.values["jax_compilation_cache_dir"]:
        return
    path, remedy = Path(directory) if directory else default_cache(), "choose another --cache, or --cache off"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner, writable = path.stat().st_uid, os.access(path, os.W_OK)
    except OSError as error:
        raise InputError(f"cannot hold compiled programs ({error.strerror})", file=path, remedy=remedy) from None
    if owner != os.getuid() or not writable:
        raise InputError("cannot hold compiled programs: it must be your own", file=path, remedy=remedy)
    _delete_damaged(path)
    jax.config.update("jax_compilation_cache_dir", str(path.resolve()))


def _delete_damaged(directory: Path) -> None:
    """Entries of a process that was killed while it wrote them, or that a disk has damaged."""
    damaged = [path for path in directory.glob("*-cache") if not _unpacks(path)]
    for path in damaged:
        path.unlink(missing_ok=True)
    if damaged:
        log.info("note: %d damaged programs in %s are thrown away and compiled again", len(damaged), directory)


def _unpacks(path: Path) -> bool:
    try:
        data = path.read_bytes()
        if data.startswith(ZSTD):
            pa.input_stream(pa.BufferReader(data), compression="zstd").read()
            return True
        unpacking = zlib.decompressobj()  # checks a checksum at the end
        unpacking.decompress(data)
        return unpacking.eof and not unpacking.unused_data
    except (OSError, zlib.error):
        return not path.exists()  # another process may have deleted it meanwhile
