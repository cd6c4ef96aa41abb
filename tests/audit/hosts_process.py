"""One process of a run of two: python -m tests.audit.hosts_process OUT HOW NUMBER PORT.

NUMBER -1: a run of its own; PORT 0: a cluster says where the others are.

HOW: ``well``; ``early`` and ``late``: measuring together fails in process 1 alone, before and after what is computed
together; ``stall``: process 1 writes its number into OUT.stalled while it measures, and does nothing more.
"""

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import jax
import numpy as np

from bias_jax.audit import RunConfig, audit
from bias_jax.devices import AXIS, gather, replicate, spread
from bias_jax.networks import NETWORKS
from experiments.commands import run, tell_failures
from experiments.distributed import HostsConfig, together
from tests.audit.toys import Means, Recorder, faces, pictures
from tests.small import SMALL

JOBS = 6


@dataclass(frozen=True)
class Together(Recorder):
    """Multiplies all features by several numbers, on as many devices as there are."""

    how: str = "well"
    out: str = ""

    name: ClassVar[str] = "together"
    places: ClassVar[tuple[str, ...]] = ("folder", "how", "out")
    collective: ClassVar[bool] = True

    def measure(self, task, layers, features, wanted, context) -> Iterator:
        mesh = context.mesh
        if jax.process_index() and self.how == "stall":
            Path(f"{self.out}.stalled").write_text(str(os.getpid()))
            time.sleep(600)
        if jax.process_index() and self.how == "early":
            raise RuntimeError("as told")
        numbers = np.arange(-(-JOBS // mesh.size) * mesh.size, dtype=np.float32)

        def one(x, factors):
            return jax.lax.map(lambda factor: factor * x, factors)

        spread_out = jax.jit(jax.shard_map(one, mesh=mesh, in_specs=(jax.P(), jax.P(AXIS)), out_specs=jax.P(AXIS)))
        for layer in wanted:
            found = spread_out(replicate(mesh, features[layer]), spread(mesh, numbers))
            yield layer, {"x": jax.device_get(gather(mesh, found))[:JOBS]}
        if jax.process_index() and self.how == "late":
            raise RuntimeError("as told")


def program(out: str, how: str) -> int:
    NETWORKS["small"] = SMALL
    instruments = Recorder(), Together(how=how, out=out), Means()
    given, read = faces(pictures(21, size=30)), []
    counted = replace(given, read_bytes=lambda i: read.append(i) or given.read_bytes(i))
    config = RunConfig(batch_size=1, layers=("first", "second"))
    found = audit("small", instruments, faces=counted, config=config, out=out)
    Path(f"{out}.read-by-{jax.process_index()}").write_text(str(len(read)))
    print(found.findings)
    return tell_failures(found.failures)


if __name__ == "__main__":
    out, how, number, port = sys.argv[1:]
    hosts = HostsConfig()
    if int(number) >= 0:
        hosts = HostsConfig(True, f"127.0.0.1:{port}", 2, int(number)) if int(port) else HostsConfig(True)
    sys.exit(run(lambda: together(hosts, lambda: program(out, how))))
