import os

import pytest

from bias_jax.activations.host_memory import host_memory

BUILT_IN = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(
    "groups, limits, expected",
    [
        ("", {}, BUILT_IN),
        ("0::/", {"memory.max": "max"}, BUILT_IN),
        ("0::/", {"memory.max": "1000000"}, 1_000_000),
        ("0::/job/step", {"job/step/memory.max": "max", "job/memory.max": "2000000"}, 2_000_000),
        ("0::/host/path", {"memory.max": "3000000"}, 3_000_000),  # a container that shows the path of the host
        ("4:cpu,memory:/job\n1:cpu:/", {"memory/job/memory.limit_in_bytes": "4000000"}, 4_000_000),
        ("4:memory:/job", {"memory/job/memory.limit_in_bytes": "9223372036854771712"}, BUILT_IN),
        ("4:cpu:/job", {"memory/job/memory.limit_in_bytes": "4000000"}, BUILT_IN),
    ],
)
def test_what_control_groups_allow(groups, limits, expected, tmp_path):
    files = {f"sys/fs/cgroup/{name}": text for name, text in limits.items()} | {"proc/self/cgroup": groups}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert host_memory(tmp_path) == expected


def test_without_control_groups_it_is_all_there_is(tmp_path):
    assert host_memory(tmp_path) == BUILT_IN and 0 < host_memory() <= BUILT_IN
