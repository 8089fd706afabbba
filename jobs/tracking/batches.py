"""Entries of a journal, as MLflow takes them: numbers, parameters and tags in batches, everything else one by one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from jobs.tracking.journal import LogEntry
from peace.core.storage import is_remote, local_copy, to_path

if TYPE_CHECKING:
    from mlflow import MlflowClient

# what MLflow takes at once
METRICS_PER_BATCH, PARAMS_PER_BATCH, TAGS_PER_BATCH = 1000, 100, 100
ALONE = frozenset(("dataset", "artifact", "status"))

Item = TypeVar("Item")


def tell(client: MlflowClient, run_id: str, out: Path, entries: Sequence[dict[str, Any]]) -> None:
    """Write a parcel of entries to a run, in as few calls as may be; `out` is where its artefacts lie."""
    from mlflow.entities import Metric, Param, RunTag

    metrics: list[Metric] = []
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    for entry in entries:
        params |= entry.get("params", {})
        tags |= entry.get("tags", {})
        metrics += [Metric(key, value, entry["time"], entry["step"]) for key, value in entry.get("metrics", {}).items()]
        for number, value in enumerate(entry.get("values", ())):
            metrics.append(Metric(entry["series"], value, entry["time"], entry["first"] + number))
    for some in chunks([Param(key, value) for key, value in params.items()], PARAMS_PER_BATCH):
        client.log_batch(run_id, params=some)
    for few in chunks([RunTag(key, value) for key, value in tags.items()], TAGS_PER_BATCH):
        client.log_batch(run_id, tags=few)
    for many in chunks(metrics, METRICS_PER_BATCH):
        client.log_batch(run_id, metrics=many)
    if not ALONE.isdisjoint(entries[0]):
        _tell_alone(client, run_id, out, entries[0])


def _tell_alone(client: MlflowClient, run_id: str, out: Path, entry: dict[str, Any]) -> None:
    if "dataset" in entry:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        values = dict(entry["dataset"])
        context = InputTag("mlflow.data.context", values.pop("context"))
        client.log_inputs(run_id, datasets=[DatasetInput(Dataset(source_type="local", **values), [context])])
    elif "artifact" in entry:
        path = to_path(entry["artifact"])
        path = path if is_remote(path) else Path(os.path.normpath(out / path))
        if path.is_dir():
            client.log_artifacts(run_id, str(path), entry["folder"])
        else:
            with local_copy(path) as local:
                client.log_artifact(run_id, str(local), entry["folder"])
    elif entry["status"] == "RUNNING":
        client.update_run(run_id, status="RUNNING")
    else:
        client.set_terminated(run_id, entry["status"], entry["time"])


def chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Consecutive parts of at most `size` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def batches(entries: Sequence[LogEntry]) -> Iterator[list[LogEntry]]:
    """Entries that go together: what log_batch takes, up to a batch of numbers; anything else alone."""
    parcel: list[LogEntry] = []
    numbers = 0
    for placed in entries:
        alone = not ALONE.isdisjoint(placed.entry)
        size = len(placed.entry.get("metrics", ())) + len(placed.entry.get("values", ()))
        if parcel and (alone or numbers + size > METRICS_PER_BATCH):
            yield parcel
            parcel, numbers = [], 0
        parcel.append(placed)
        numbers += size
        if alone:
            yield parcel
            parcel, numbers = [], 0
    if parcel:
        yield parcel


def short(entry: dict[str, Any]) -> str:
    """An entry in a few words, for a warning."""
    return ", ".join(f"{key} {str(value)[:80]}" for key, value in entry.items() if key not in ("time", "folder"))
