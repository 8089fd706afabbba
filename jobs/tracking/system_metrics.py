"""How busy each machine is while a job runs: MLflow's own monitors, once a node, as the run's system metrics.

The job's machine is sampled in a thread; other nodes of the Ray cluster that the job is on by an actor each, which
takes no CPU from the job.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from jobs.tracking.run import Run

PATIENCE = 5.0  # seconds that another node may take to answer


class NodeMonitors:
    """MLflow's monitors of processor, memory, disk, network and GPUs on the machine where this is made."""

    def __init__(self) -> None:
        from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
        from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
        from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

        self._monitors: list[Any] = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
        with suppress(Exception):  # no NVIDIA driver here
            from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor

            self._monitors.append(GPUMonitor())
        self.sample()  # processor shares are of the time between two samples

    def sample(self) -> dict[str, float]:
        """The figures since the last sample, by MLflow's names."""
        found: dict[str, float] = {}
        for monitor in self._monitors:
            monitor.collect_metrics()
            found |= monitor.aggregate_metrics()
            monitor.clear_metrics()
        return found


@contextmanager
def system_metrics(run: Run, seconds: float) -> Iterator[None]:
    """Sample every `seconds` while the block runs, and once at its end; not at all at 0 or without tracking."""
    if not seconds or not run.tracked:
        yield
        return
    ended = threading.Event()
    thread = threading.Thread(target=_watch, args=(run, seconds, ended), daemon=True, name="system-metrics")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=2 * PATIENCE)


def _watch(run: Run, seconds: float, ended: threading.Event) -> None:
    here, others = NodeMonitors(), _Others()
    step = run.next_step("system/cpu_utilization_percentage")
    while True:
        last = ended.wait(seconds)
        with suppress(Exception):  # figures beside the work: whatever fails here must not end it
            figures = {f"system/{name}": value for name, value in here.sample().items()}
            if not last:
                figures |= others.sample()
            run.metrics(figures, step=step)
            step += 1
        if last:
            return


class _Others:
    """An actor on each further node of the cluster, as nodes come and go."""

    def __init__(self) -> None:
        self._actors: dict[str, Any] = {}

    def sample(self) -> dict[str, float]:
        """The figures of the other nodes, `system/<address>/<name>`; none without a cluster."""
        ray = sys.modules.get("ray")
        if ray is None or not ray.is_initialized():
            return {}
        own = ray.get_runtime_context().get_node_id()
        nodes = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
        nodes.pop(own, None)
        self._actors = {node: self._actors.get(node) or _actor(ray, node) for node in nodes}
        found: dict[str, float] = {}
        for number, (node, actor) in enumerate(self._actors.items()):
            try:
                figures = ray.get(actor.sample.remote(), timeout=PATIENCE)
            except Exception:  # gone, or too busy to answer: the next round asks anew
                continue
            # several nodes may share an address, as on one machine
            twice = list(nodes.values()).count(nodes[node]) > 1
            name = f"{nodes[node]}-{number}" if twice else nodes[node]
            found |= {f"system/{name}/{key}": value for key, value in figures.items()}
        return found


def _actor(ray: Any, node: str) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    place = NodeAffinitySchedulingStrategy(node, soft=False)
    return ray.remote(num_cpus=0)(NodeMonitors).options(scheduling_strategy=place).remote()
