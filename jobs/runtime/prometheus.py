"""The figures that a running job exports to Prometheus, by Ray's metrics endpoint of each node. Every name is here.

Ray puts `ray_` before each name, and its own labels beside ours (`run`: the folder that the job writes to).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

PREFIX = "ray_"
RUN = "run"


@dataclass(frozen=True)
class Figure:
    """A metric: its name, what it says, and the labels that it has beside `run`."""

    name: str
    says: str
    counts: bool = False
    labels: tuple[str, ...] = ()

    @property
    def exported(self) -> str:
        """The name that Prometheus sees."""
        return f"{PREFIX}{self.name}"


KEPT = Figure("peace_records_kept_total", "records that went into shards", counts=True)
REJECTED = Figure("peace_records_rejected_total", "records that were left out, by reason", True, ("reason",))
SAMPLES_PER_SECOND = Figure("peace_samples_per_second", "training samples a second over all workers, last epoch")
DATA_WAIT = Figure("peace_data_wait_share", "share of an epoch in which workers waited for data")
GATE = Figure("peace_gate", "curriculum gate on the contrastive loss, mean of the last epoch")
LOSS = Figure("peace_loss", "training loss, mean of the last epoch")
GRADIENT = Figure("peace_gradient_norm", "gradient norm, mean of the last epoch")
AUC = Figure("peace_validation_auc", "macro AUC on the validation split, last epoch")
EPOCH = Figure("peace_epoch", "epochs finished")
FIGURES = (KEPT, REJECTED, SAMPLES_PER_SECOND, DATA_WAIT, GATE, LOSS, GRADIENT, AUC, EPOCH)
# keys of history.jsonl
OF_AN_EPOCH = {
    "samples_per_second": SAMPLES_PER_SECOND,
    "data_wait_share": DATA_WAIT,
    "gate": GATE,
    "loss": LOSS,
    "gradient_norm": GRADIENT,
    "val_auc": AUC,
    "epoch": EPOCH,
}


def export_epoch(out: Path, metrics: Mapping[str, Any]) -> None:
    """Show the figures of a finished epoch."""
    for key, figure in OF_AN_EPOCH.items():
        value = metrics.get(key)
        if value is not None:
            _metric(figure).set(float(value), {RUN: str(out)})


def export_shard(out: Path, done: Mapping[str, Any]) -> None:
    """Count the records of a finished shard, by its done file."""
    if done["kept"]:
        _metric(KEPT).inc(done["kept"], {RUN: str(out)})
    for reject in done["rejects"]:
        _metric(REJECTED).inc(1, {RUN: str(out), "reason": str(reject["reason"])})


@cache
def _metric(figure: Figure) -> Any:
    """Ray's object for a figure; one a process."""
    from ray.util.metrics import Counter, Gauge

    kind = Counter if figure.counts else Gauge
    return kind(figure.name, description=figure.says, tag_keys=(RUN, *figure.labels))
