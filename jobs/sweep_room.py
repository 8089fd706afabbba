"""How many trials run at a time on a cluster, and what each may take of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from peace.config import RayConfig
from peace.errors import ConfigError

# A trial's driver waits for its workers: it must ask for something (Ray refuses 0), and must not take a worker's place.
DRIVER_CPUS = 0.001
# What workers leave of their CPU, so that the drivers find room beside them: two that ask for all of it never start.
WORKER_SHARE = 0.95
FRACTIONS = (0.5, 0.25, 0.125, 0.0625)


@dataclass(frozen=True)
class Node:
    """What a machine of the cluster offers."""

    cpus: float
    gpus: float = 0.0


@dataclass(frozen=True)
class Room:
    """So many trials at a time, each with `workers` workers that reserve `share` CPUs and compute with `threads`."""

    at_once: int
    workers: int
    share: float
    threads: int
    gpu: bool
    cluster: str

    def __str__(self) -> str:
        trials = "1 trial" if self.at_once == 1 else f"{self.at_once} trials"
        workers = "1 worker" if self.workers == 1 else f"{self.workers} workers"
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        gpu = ", a GPU" if self.gpu else ""
        each = " each" if self.workers > 1 else ""
        return f"{self.cluster}: {trials} at a time, each {workers} of {self.share:g} CPUs{gpu} and {threads}{each}"


def cluster_nodes() -> list[Node]:
    """The machines of the cluster that Ray has joined."""
    import ray

    found = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Node(resources.get("CPU", 0.0), resources.get("GPU", 0.0)) for resources in found]


def room_for(nodes: Sequence[Node], settings: RayConfig, asked: int | None, trials: int) -> Room:
    """Share the cluster out: `asked` trials at a time, or as many as find a CPU (and GPU) for each worker.

    No more than `trials`; where there are fewer of them than CPUs, each gets more.
    Raises ConfigError where not even one trial fits, or not as many as asked.
    """
    cpus, gpus = sum(node.cpus for node in nodes), sum(node.gpus for node in nodes)
    cluster = f"{cpus:g} CPU{'s' if cpus != 1 else ''}" + (f", {gpus:g} GPUs" if gpus else "")
    workers = settings.workers
    least = settings.cpus_per_worker or 1.0
    wanted = min(asked or _places(nodes, least, settings.gpu) // workers or 1, trials)
    sizes = [float(size) for size in range(int(max(node.cpus for node in nodes)), 0, -1)]
    for size in [settings.cpus_per_worker] if settings.cpus_per_worker else [*sizes, *FRACTIONS]:
        if _places(nodes, size, settings.gpu) >= wanted * workers:
            share = round(size * WORKER_SHARE, 4)
            return Room(wanted, workers, share, max(1, int(size)), settings.gpu, cluster)
    each = f"ray.workers={workers}" + (f", ray.cpus_per_worker={least:g}" if settings.cpus_per_worker else "")
    needs = "a GPU for each worker" if settings.gpu else "that much room"
    raise ConfigError(f"{wanted} trials at a time with {each}: the cluster ({cluster}) has not {needs}")


def _places(nodes: Sequence[Node], size: float, gpu: bool) -> int:
    """Workers of `size` CPUs, and a GPU where asked, that the machines hold together."""
    counts = [int(node.cpus / size + 1e-9) for node in nodes]
    if gpu:
        counts = [min(count, int(node.gpus)) for count, node in zip(counts, nodes, strict=True)]
    return sum(counts)
