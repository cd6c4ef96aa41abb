"""How much memory the host lends to this process: containers and batch systems allow less than is built in."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def host_memory(root: Path = Path("/")) -> int:
    """Bytes of the host's memory, or of what the process's control groups may use, if that is less.

    Args:
        root: of the file system in which Linux tells of control groups (Docker, Kubernetes, Slurm).
    """
    built_in = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([built_in, *_limits(root)])


def _limits(root: Path) -> Iterator[int]:
    """Of the control groups that the process is in, and of those that hold them; none elsewhere than on Linux."""
    for line in filter(None, _lines(root / "proc/self/cgroup")):
        _, controllers, inside = line.split(":", 2)
        if not controllers:
            home, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            home, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"  # version 1
        else:
            continue
        group = PurePosixPath(inside.lstrip("/"))
        for place in (group, *group.parents):
            # In a container the path may be that of the host, which is not there; the limit is at its end then.
            yield from (int(limit) for limit in _lines(home / place / name) if limit.isdigit())


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []
