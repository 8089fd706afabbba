"""Which processes belong to a cluster that we started, and how they are ended: those, and no others.

Each process that we start carries the cluster's mark in its environment, and so does all that it starts. Ray's workers
overwrite theirs with a title; they are found by their session, or as children of a marked one.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

MARK = "PEACE_CLUSTER_ID"


def start(command: Sequence[str], environment: Mapping[str, str], mark: str, log: Path) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own, marked, in the folder of its log, to which it writes."""
    with log.open("ab") as stream:
        return subprocess.Popen(
            list(command),
            env={**environment, MARK: mark},
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def of_cluster(mark: str) -> list[psutil.Process]:
    """All living processes of the cluster with this mark."""
    everyone = list(psutil.process_iter())
    marked = {process.pid: process for process in everyone if _mark(process) == mark}
    sessions = {_session(pid) for pid in marked} - {None}
    found = marked | {process.pid: process for process in everyone if _session(process.pid) in sessions}
    for process in list(found.values()):
        try:
            found |= {child.pid: child for child in process.children(recursive=True)}
        except psutil.Error:
            continue
    found.pop(os.getpid(), None)
    return [process for process in found.values() if _alive(process)]


def end(mark: str, patience: float = 15.0) -> int:
    """End every process of the cluster, in order at first, by force after `patience` seconds; returns how many."""
    ended: set[int] = set()
    deadline = time.monotonic() + patience
    while living := of_cluster(mark):
        force = time.monotonic() > deadline
        for process in living:
            if force or process.pid not in ended:
                ended.add(process.pid)
                try:
                    process.kill() if force else process.terminate()
                except psutil.Error:
                    continue
        psutil.wait_procs(living, timeout=1)
    return len(ended)


def _mark(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(MARK)
    except (psutil.Error, OSError):
        return None


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
