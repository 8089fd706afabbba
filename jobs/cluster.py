"""`peace cluster`: a Ray cluster of this machine for trying things, with an MLflow server beside it.

    peace cluster up        dashboard and MLflow on loopback, token authentication, ports and folders of its own
    peace cluster status
    peace cluster down      ends what `up` started, and nothing else

Several clusters live beside each other under different --dir.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.runtime.harness import Job, Table, Verb, main
from peace.core.errors import DataError

if TYPE_CHECKING:
    from jobs.local_cluster.state import LocalCluster

GRACE_SECONDS = 60.0  # that running jobs are given to end in order


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument("action", choices=("up", "status", "down"))
    parser.add_argument(
        "--dir", type=Path, metavar="DIR", help="its books; default PEACE_CLUSTER_DIR, ~/.peace/cluster"
    )
    parser.add_argument("--cpus", type=int, metavar="N", help="up: cores that jobs may use; default: all")
    parser.add_argument(
        "--host", default="127.0.0.1", help="up: where dashboard and MLflow listen; default: this machine alone"
    )
    parser.add_argument("--no-mlflow", action="store_true", help="up: no MLflow server")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")


def work(job: Job) -> dict[str, Any]:
    """Do it, one command at a time."""
    from jobs.local_cluster.state import cluster_folder

    folder = cluster_folder(job.args.dir)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if job.args.action == "status":
        return report(folder, "status")
    with _alone(folder):
        return up(folder, job.args) if job.args.action == "up" else down(folder)


def up(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Bring the cluster up, or find it well; what a killed one or a reboot left is cleared away first."""
    from jobs.local_cluster.start import start_cluster

    if args.cpus is not None and args.cpus < 1:
        raise DataError(f"--cpus {args.cpus}: at least one")
    found = report(folder, "up")
    if found["state"] == "up":
        print("the cluster is up already", file=sys.stderr)
        return found
    if found["state"] == "broken":
        print(f"clearing away what is left of an earlier cluster ({', '.join(found['missing'])})", file=sys.stderr)
        down(folder)
    start_cluster(folder, args.host, args.cpus, not args.no_mlflow)
    return report(folder, "up")


def down(folder: Path) -> dict[str, Any]:
    """Stop its jobs, end its processes, remove its session files. The MLflow store and the logs stay."""
    from jobs.local_cluster import processes as cluster_processes
    from jobs.local_cluster.state import forget, read_state

    cluster = read_state(folder)
    if cluster is None:
        return {**report(folder, "down"), "ended_processes": 0, "stopped_jobs": []}
    stopped = _stop_jobs(cluster) if cluster_processes.of_cluster(cluster.mark) else []
    ended = cluster_processes.end(cluster.mark)
    shutil.rmtree(cluster.temp, ignore_errors=True)
    forget(folder)
    return {**report(folder, "down"), "ended_processes": ended, "stopped_jobs": stopped}


def report(folder: Path, action: str) -> dict[str, Any]:
    """State (up, down, or broken: something of it is missing), addresses, processes."""
    from jobs.local_cluster import processes as cluster_processes
    from jobs.local_cluster.start import answers, nodes
    from jobs.local_cluster.state import read_state

    cluster = read_state(folder)
    if cluster is None:
        return {"action": action, "state": "down", "running": False, "missing": [], "dir": str(folder)}
    alive = nodes(cluster) if Path(cluster.token_file).exists() else []
    parts = {
        "processes": bool(processes := cluster_processes.of_cluster(cluster.mark)),
        "Ray": bool(alive),
        "MLflow": cluster.mlflow is None or answers(cluster.mlflow),
    }
    missing = [name for name, well in parts.items() if not well]
    resources = [node["raylet"]["resourcesTotal"] for node in alive]
    return {
        "action": action,
        "state": "broken" if missing else "up",
        "running": not missing,
        "missing": missing,
        "dir": str(folder),
        "address": cluster.address,
        "dashboard": cluster.address,
        "ray_address": _ray_address(cluster, alive),
        "mlflow": cluster.mlflow,
        "metrics": cluster.metrics,
        "token_file": cluster.token_file,
        "temp": cluster.temp,
        "log": cluster.log,
        "nodes": len(alive),
        "resources": {name: sum(node.get(name, 0.0) for node in resources) for name in ("CPU", "GPU")},
        "pids": sorted(process.pid for process in processes),
    }


def tables(result: dict[str, Any]) -> list[Table]:
    """What a person needs to go on."""
    if "address" not in result:
        ended = result.get("ended_processes")
        rows = [("stopped job", job) for job in result.get("stopped_jobs", [])]
        title = "no cluster is up" if not ended else f"the cluster is down: {ended} processes ended"
        return [Table(title, ("", ""), [*rows, ("kept", f"{result['dir']}: logs and MLflow store")])]
    title = f"cluster: {result['state']}"
    if result["missing"]:
        title += f" (no answer from: {', '.join(result['missing'])}); `peace cluster up` starts it anew"
    rows = [
        ("dashboard", result["dashboard"]),
        ("its token", result["token_file"]),
        ("MLflow", result["mlflow"] or "none"),
        ("metrics", result["metrics"]),
        ("cores", f"{result['resources']['CPU']:g}"),
        ("submit", f"peace submit demo --out runs/demo --address {result['address']}"),
    ]
    return [Table(title, ("", ""), rows)]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout:
        raise DataError(f"another `peace cluster` command is at work in {folder}: wait for it") from None


def _ray_address(cluster: LocalCluster, alive: list[dict[str, Any]]) -> str:
    """As RAY_ADDRESS wants it: Ray listens at the machine's own address."""
    port = cluster.ray_address.rpartition(":")[2]
    heads = [node["raylet"]["nodeManagerAddress"] for node in alive if node["raylet"].get("isHeadNode")]
    return f"{heads[0]}:{port}" if heads else cluster.ray_address


def _stop_jobs(cluster: LocalCluster) -> list[str]:
    """Ask the running jobs to end, as Ctrl-C does, and wait for them a while."""
    from jobs.submission.job_list import stop_all

    try:
        return stop_all(cluster.address, GRACE_SECONDS)
    except DataError:  # it does not answer any more: its processes are ended all the same
        return []


VERB = Verb(
    name="cluster",
    summary="A Ray cluster of this machine, with an MLflow server beside it: up, status, down.",
    add_arguments=add_arguments,
    work=work,
    tables=tables,
    sections=(),
    final=False,
    tracked=False,
    keeps_run=False,
)

if __name__ == "__main__":
    sys.exit(main(VERB))
