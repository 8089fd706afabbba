"""Whether a cluster has room for the workers of a training, machine by machine, and how much each may take."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from peace.config import RayConfig
from peace.core.errors import ConfigError

WORKER_MB = 800  # of memory: Python, torch and Ray, before any record
UNTOLD = 2.0**60  # bytes of memory of a machine that does not tell
Resources = Mapping[str, float]


def alive_nodes() -> list[dict[str, float]]:
    """The resources of each machine of the cluster."""
    import ray

    return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]


def cpus_and_threads(settings: RayConfig, nodes: Sequence[Resources]) -> tuple[float, int]:
    """CPUs that a worker reserves, and its threads. Raises ConfigError where more workers are asked for than CPUs."""
    if settings.cpus_per_worker is not None:
        return settings.cpus_per_worker, max(1, int(settings.cpus_per_worker))
    if settings.min_workers is not None:
        return 1.0, 1
    cpus = [node.get("CPU", 0.0) for node in nodes]
    if settings.workers > sum(cpus):
        raise ConfigError(
            f"ray.workers={settings.workers}: the cluster has {sum(cpus):g} CPUs; ask for as many workers at most, "
            f"or set ray.cpus_per_worker below 1"
        )
    shares = {count / parts for count in cpus for parts in range(1, settings.workers + 1) if count >= parts}
    fitting = [share for share in shares if sum(int(count / share + 1e-6) for count in cpus) >= settings.workers]
    # where whole CPUs are spread so that none fits, the check of the room says so
    share = max(fitting, default=1.0)
    return math.floor(share * 1e4) / 1e4, max(1, int(share))


def worker_resources(settings: RayConfig, cpus: float) -> dict[str, float]:
    """What each worker reserves."""
    gpu = {"GPU": 1.0} if settings.gpu else {}
    return {"CPU": cpus, **gpu, **settings.resources}


def check_capacity(settings: RayConfig, needs: Resources, nodes: Sequence[Resources], records_mb: float) -> None:
    """Raise ConfigError where the cluster's machines cannot hold the workers, were they all free.

    `records_mb` is what each worker holds of records.
    """
    least = settings.min_workers or settings.workers
    rooms = [min(int(node.get(name, 0.0) / count + 1e-6) for name, count in needs.items() if count) for node in nodes]
    if sum(rooms) < least:
        raise ConfigError(
            f"{_workers(least)} of {_listed(needs)} each: the cluster has {_listed(_summed(needs, nodes))} on "
            f"{len(nodes)} machine{'s' * (len(nodes) != 1)}, room for {sum(rooms)}"
        )
    if "memory" in needs:
        return
    bytes_each = (WORKER_MB + records_mb) * 2**20
    fits = sum(min(room, int(node.get("memory", UNTOLD) / bytes_each)) for room, node in zip(rooms, nodes, strict=True))
    if fits < least:
        memory = sum(node.get("memory", 0.0) for node in nodes) / 2**30
        raise ConfigError(
            f"{_workers(least)} of about {bytes_each / 2**30:.1f} GiB memory each: the cluster has {memory:.1f} GiB, "
            f"room for {fits}; a lower ray.in_memory_mb streams the records"
        )


def _summed(needs: Resources, nodes: Sequence[Resources]) -> dict[str, float]:
    return {name: sum(node.get(name, 0.0) for node in nodes) for name in needs}


def _listed(resources: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{count:g} {name}{'s' * (name in ('CPU', 'GPU') and count != 1)}" for name, count in resources.items()
    )


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"
