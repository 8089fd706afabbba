"""How many trials run at a time on a cluster, and what each may take of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.training.resources import WORKER_MB, Resources
from peace.config import RayConfig
from peace.core.errors import ConfigError

# A trial's driver waits for its workers: it must ask for something (Ray refuses 0), and must not take a worker's place.
DRIVER_CPUS = 0.001
# What workers leave of their CPU, so that the drivers find room beside them: two that ask for all of it never start.
WORKER_SHARE = 0.95
FRACTIONS = (0.5, 0.25, 0.125, 0.0625)


@dataclass(frozen=True)
class TrialResources:
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


def trial_resources(
    nodes: Sequence[Resources], settings: RayConfig, asked: int | None, trials: int, records_mb: float = 0.0
) -> TrialResources:
    """Share the cluster out: `asked` trials at a time, or as many as find a CPU (GPU, memory) for each worker.

    No more than `trials`; where there are fewer of them than CPUs, each gets more. `records_mb` is what a worker holds
    of records. Raises ConfigError where not even one trial fits, or not as many as asked.
    """
    cpus, gpus = (sum(node.get(name, 0.0) for node in nodes) for name in ("CPU", "GPU"))
    cluster = f"{cpus:g} CPU{'s' if cpus != 1 else ''}" + (f", {gpus:g} GPU{'s' if gpus != 1 else ''}" if gpus else "")
    workers = settings.workers
    least = settings.cpus_per_worker or 1.0
    memory = (WORKER_MB + records_mb) * 2**20
    wanted = min(asked or _places(nodes, least, settings.gpu, memory) // workers or 1, trials)
    sizes = [float(size) for size in range(int(max(node.get("CPU", 0.0) for node in nodes)), 0, -1)]
    for size in [settings.cpus_per_worker] if settings.cpus_per_worker else [*sizes, *FRACTIONS]:
        if _places(nodes, size, settings.gpu, memory) >= wanted * workers:
            share = round(size * WORKER_SHARE, 4)
            return TrialResources(wanted, workers, share, max(1, int(size)), settings.gpu, cluster)
    trial = "1 trial" if wanted == 1 else f"{wanted} trials"
    gpu = ", a GPU" if settings.gpu else ""
    raise ConfigError(
        f"{trial} at a time, each {workers} worker{'s' if workers > 1 else ''} of {least:g} CPUs{gpu} and about "
        f"{memory / 2**30:.1f} GiB: the cluster ({cluster}) has no room for that"
    )


def _places(nodes: Sequence[Resources], size: float, gpu: bool, memory: float) -> int:
    """Workers of `size` CPUs and so many bytes, and a GPU where asked, that the machines hold together."""
    needs = {"CPU": size, "memory": memory, **({"GPU": 1.0} if gpu else {})}
    known = [{"memory": 2.0**60, **node} for node in nodes]
    return sum(min(int(node.get(name, 0.0) / need + 1e-9) for name, need in needs.items()) for node in known)
