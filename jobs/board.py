"""The live view of a training: workers write on a board, the driver shows it as a bar, a history and MLflow metrics.

The driver is the one owner of history.jsonl and of the MLflow run, so that an epoch is noted once, however often its
workers were restarted.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jobs.harness import Job
from jobs.history import append_history, read_history
from peace.progress import progress

SECONDS_BETWEEN_LOOKS = 0.5


class Board:
    """Where the first rank writes how far it is, for the driver to show. Lives as a Ray actor."""

    def __init__(self) -> None:
        self.done = 0
        self.total = 0
        self.epochs: list[dict[str, Any]] = []

    def step(self, done: int, total: int) -> None:
        """Note the steps done."""
        self.done, self.total = done, total

    def epoch(self, metrics: dict[str, Any]) -> None:
        """Note the figures of a finished epoch."""
        self.epochs.append(metrics)

    def read(self, seen: int) -> tuple[int, int, list[dict[str, Any]]]:
        """Steps done, steps in all, and the epochs after the first `seen`."""
        return self.done, self.total, self.epochs[seen:]


@contextmanager
def watching(job: Job, board: Any, epochs: int) -> Iterator[None]:
    """Show the board as a bar while the block runs; pass each finished epoch on, once."""
    ended = threading.Event()
    thread = threading.Thread(target=_watch, args=(job, board, epochs, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=30)


def _watch(job: Job, board: Any, epochs: int, ended: threading.Event) -> None:
    import ray

    seen, last_look = 0, False
    with progress(None, f"{job.label}: workers start", unit="step") as bar:
        while not last_look:
            last_look = ended.wait(SECONDS_BETWEEN_LOOKS)
            done, total, news = ray.get(board.read.remote(seen))
            seen += len(news)
            if total and bar.total is None:
                # the clock of the rate starts with the first steps, also where an earlier run left some behind it
                bar.set_description(job.label, refresh=False)
                bar.reset(total)
                bar.n = bar.initial = done
            bar.update(done - bar.n)
            for metrics in news:
                bar.set_postfix(epoch=f"{metrics['epoch']:.0f}/{epochs}", val_auc=f"{metrics['val_auc']:.3f}")
                note(job, metrics)


def note(job: Job, metrics: dict[str, Any]) -> None:
    """Put a finished epoch into history.jsonl and the MLflow run, unless it is there already."""
    history = job.out / "history.jsonl"
    if metrics["epoch"] in {epoch["epoch"] for epoch in read_history(history)}:
        return
    figures = {name: value for name, value in metrics.items() if name not in ("gate_steps", "first_step")}
    job.log.info("epoch %s", figures)
    append_history(history, metrics)
    job.run.metrics(figures, step=int(metrics["epoch"]))
    job.run.series("gate_step", metrics["gate_steps"], metrics["first_step"])
