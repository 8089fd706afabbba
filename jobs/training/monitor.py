"""The live view of a training: workers write on a board, the driver shows it as a bar, a history and MLflow metrics.

The driver is the one owner of history.jsonl and of the MLflow run, so that an epoch is noted once, however often its
workers were restarted.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from jobs.runtime.harness import Job
from jobs.runtime.history import append_history, read_history
from jobs.runtime.prometheus import export_epoch
from peace.core.progress import progress

SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_TO_ANSWER = 30.0
SECONDS_TO_WAIT = 10.0  # for workers that start, until it is said what they may be waiting for


class ProgressActor:
    """Where workers write how far they are, for the driver to show; and what the driver asks of them. A Ray actor."""

    def __init__(self) -> None:
        self.workers = 0
        self.starts = 0
        self.done = 0
        self.total = 0
        self.epochs: list[dict[str, Any]] = []
        self.warnings: list[str] = []
        self.fault: str | None = None
        self.stop_reason = 0

    def start(self, workers: int, first: bool) -> str | None:
        """A worker of so many has started; returns the fault for which none of them needs to try again."""
        self.workers = workers
        self.starts += first
        return self.fault

    def step(self, done: int, total: int) -> int:
        """Note the steps done; returns what the driver asks for: above 0, to take a checkpoint and leave."""
        self.done, self.total = done, total
        return self.stop_reason

    def epoch(self, metrics: dict[str, Any]) -> None:
        """Note the figures of a finished epoch."""
        self.epochs.append(metrics)

    def warn(self, message: str) -> None:
        """Note what a person should know."""
        self.warnings.append(message)

    def give_up(self, fault: str) -> None:
        """Note a mistake that would be the same after a restart of the workers."""
        self.fault = fault

    def request_stop(self, why: int) -> bool:
        """From the next step on, workers take a checkpoint and leave; says whether there are any at work."""
        self.stop_reason = why
        return self.total > 0

    def read(self, epochs: int, warnings: int) -> Snapshot:
        """What there is, of epochs and warnings those after the first so many."""
        return Snapshot(
            self.workers, self.starts, self.done, self.total, self.epochs[epochs:], self.warnings[warnings:]
        )


@dataclass(frozen=True)
class Snapshot:
    """What the driver reads off a board."""

    workers: int
    starts: int
    done: int
    total: int
    epochs: list[dict[str, Any]]
    warnings: list[str]


@contextmanager
def monitor(job: Job, board: Any, epochs: int, wanted: Mapping[str, float]) -> Iterator[None]:
    """Show the board as a bar while the block runs; pass each finished epoch on, once.

    While no worker has started it says what of the `wanted` resources the cluster has not free.
    Raises what kept an epoch from being noted, such as a full disk, when the block ends well.
    """
    ended = threading.Event()
    with ThreadPoolExecutor(1, thread_name_prefix="board") as thread:
        watch = thread.submit(_monitor, job, board, epochs, wanted, ended)
        try:
            yield
        except BaseException:
            ended.set()
            raise
        ended.set()
        watch.result()


def _monitor(job: Job, board: Any, epochs: int, wanted: Mapping[str, float], ended: threading.Event) -> None:
    import ray

    seen, warned, last_look, begun, starts = 0, 0, False, time.monotonic(), 0
    with progress(None, f"{job.label}: workers start", unit="step") as bar:
        while not last_look:
            last_look = ended.wait(SECONDS_BETWEEN_LOOKS)
            try:
                snapshot: Snapshot = ray.get(board.read.remote(seen, warned), timeout=SECONDS_TO_ANSWER)
            except ray.exceptions.GetTimeoutError:
                continue
            seen, warned = seen + len(snapshot.epochs), warned + len(snapshot.warnings)
            for warning in snapshot.warnings:
                job.log.warning(warning)
                bar.write(f"warning: {warning}", file=sys.stderr)
            if snapshot.starts > starts:
                said = f"training {'resumes' if starts else 'begins'} with {_workers(snapshot.workers)}"
                job.log.info(said)
                if starts:
                    bar.write(said, file=sys.stderr)
                starts = snapshot.starts
            if not snapshot.workers and time.monotonic() - begun > SECONDS_TO_WAIT:
                begun = time.monotonic()
                _say_what_lacks(job, wanted, bar)
            if snapshot.total and bar.total is None:
                # the clock of the rate starts with the first steps, also where an earlier run left some behind it
                bar.set_description(job.label, refresh=False)
                bar.reset(snapshot.total)
                bar.n = bar.initial = snapshot.done
            bar.update(snapshot.done - bar.n)
            for metrics in snapshot.epochs:
                bar.set_postfix(epoch=f"{metrics['epoch']:.0f}/{epochs}", val_auc=f"{metrics['val_auc']:.3f}")
                note(job, metrics)


def _say_what_lacks(job: Job, wanted: Mapping[str, float], bar: Any) -> None:
    """Others may hold what the workers wait for: the cluster is large enough, or the job had ended at once."""
    import ray
    from ray.util import placement_group_table

    pending = any(group["state"] == "PENDING" for group in placement_group_table().values())
    free = ray.available_resources()
    short = {name: count for name, count in wanted.items() if free.get(name, 0.0) < count}
    if pending and short:
        lacking = ", ".join(f"{free.get(name, 0.0):g} of {count:g} {name}" for name, count in short.items())
        message = f"waiting for free resources ({lacking}): others hold the rest"
        job.log.info(message)
        bar.set_description(f"{job.label}: {message}")


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"


def note(job: Job, metrics: dict[str, Any]) -> None:
    """Put a finished epoch into history.jsonl and the MLflow run, unless it is there already."""
    history = job.out / "history.jsonl"
    if metrics["epoch"] in {epoch["epoch"] for epoch in read_history(history)}:
        return
    figures = {name: value for name, value in metrics.items() if name not in ("gate_steps", "first_step")}
    job.log.info("epoch %s", figures)
    # MLflow takes an epoch once, however often it is told: so a kill between the two leaves none out
    job.run.metrics(figures, step=int(metrics["epoch"]))
    job.run.series("gate_step", metrics["gate_steps"], metrics["first_step"])
    append_history(history, metrics)
    export_epoch(job.out, metrics)
