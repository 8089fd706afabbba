"""One MLflow run a job, owned by the process that started it; a job that is run again goes on in the same run.

Only `MlflowClient` with an explicit run id is used: MLflow's fluent API keeps state per thread and has made two runs
of one in other projects. The run id lies in OUT/mlflow_run_id. A tracking server that is down costs a warning, never
the job.
"""

from __future__ import annotations

import logging
import math
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from jobs.store import connect, experiment_id, first_line, tracking_uri
from peace.config import Config
from peace.errors import ConfigError
from peace.files import digest, write_text
from peace.places import nearby

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN_ID_FILE = "mlflow_run_id"
VALUE_LIMIT = 6000  # characters of a parameter or tag that MLflow takes
KEY_LIMIT = 250
PARAMS_PER_BATCH = 100
METRICS_PER_BATCH = 1000

Item = TypeVar("Item")


class Run:
    """A run of the tracking store, as a context manager; without a client it does nothing and `run_id` is None.

    The first failure of the store is reported once, and the rest of the job goes on untracked.
    """

    def __init__(self, client: MlflowClient | None = None, run_id: str | None = None, verb: str = "") -> None:
        self.run_id = run_id
        self._client = client
        self._verb = verb
        self._logged: dict[str, set[tuple[int, float]]] = {}
        self._params: set[str] | None = None

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        status = "FINISHED" if kind is None else "KILLED" if issubclass(kind, KeyboardInterrupt) else "FAILED"
        self._do(lambda client, run_id: client.set_terminated(run_id, status))

    def params(self, values: Mapping[str, Any]) -> None:
        """Log parameters; nested mappings become dotted keys. One that the run already has keeps its value."""
        flat = {clean_name(key)[:KEY_LIMIT]: str(value)[:VALUE_LIMIT] for key, value in flatten(values)}

        def log(client: MlflowClient, run_id: str) -> None:
            from mlflow.entities import Param

            if self._params is None:
                self._params = set(client.get_run(run_id).data.params)
            params = [Param(key, value) for key, value in flat.items() if key not in self._params]
            for batch in chunks(params, PARAMS_PER_BATCH):
                client.log_batch(run_id, params=batch)
            self._params |= set(flat)

        self._do(log)

    def metrics(self, values: Mapping[str, float | None], step: int | None = None) -> None:
        """Log numbers; what is None or not finite is left out, since no chart can show it.

        The same value at the same step is logged once, also across a kill and a rerun.
        """
        place = step or 0
        numbers = {clean_name(key): float(value) for key, value in values.items() if value is not None}
        numbers = {key: value for key, value in numbers.items() if math.isfinite(value)}

        def log(client: MlflowClient, run_id: str) -> None:
            from mlflow.entities import Metric

            now = int(time.time() * 1000)
            fresh = {key: value for key, value in numbers.items() if (place, value) not in self._history(client, key)}
            metrics = [Metric(key, value, now, place) for key, value in fresh.items()]
            for batch in chunks(metrics, METRICS_PER_BATCH):
                client.log_batch(run_id, metrics=batch)
            for key, value in fresh.items():
                self._logged[key].add((place, value))

        self._do(log)

    def series(self, name: str, values: Sequence[float], first_step: int) -> None:
        """Log consecutive values of one metric, a step each; give every part once."""

        def log(client: MlflowClient, run_id: str) -> None:
            from mlflow.entities import Metric

            now = int(time.time() * 1000)
            points = [Metric(name, float(value), now, first_step + place) for place, value in enumerate(values)]
            for batch in chunks(points, METRICS_PER_BATCH):
                client.log_batch(run_id, metrics=batch)

        self._do(log)

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Copy a file, or all that a directory holds, to the run's artefacts, in `folder` where one is named."""
        if path.is_dir():
            self._do(lambda client, run_id: client.log_artifacts(run_id, str(path), folder))
        else:
            with nearby(path) as local:
                self._do(lambda client, run_id: client.log_artifact(run_id, str(local), folder))

    def tags(self, values: Mapping[str, Any]) -> None:
        """Set tags; a later value replaces an earlier one."""

        def log(client: MlflowClient, run_id: str) -> None:
            from mlflow.entities import RunTag

            tags = [RunTag(clean_name(key)[:KEY_LIMIT], str(value)[:VALUE_LIMIT]) for key, value in values.items()]
            for batch in chunks(tags, PARAMS_PER_BATCH):
                client.log_batch(run_id, tags=batch)

        self._do(log)

    def dataset(self, name: str, digest: str, source: str) -> None:
        """Note what the run read: a name, a digest of at most 36 characters, and where it lies."""

        def log(client: MlflowClient, run_id: str) -> None:
            from mlflow.entities import Dataset, DatasetInput

            entry = Dataset(name=name[:500], digest=digest[:36], source_type="local", source=str(source))
            client.log_inputs(run_id, datasets=[DatasetInput(entry)])

        self._do(log)

    def _history(self, client: MlflowClient, key: str) -> set[tuple[int, float]]:
        """What the store already has of a metric: asked once a key, and only by the process that owns the run."""
        if key not in self._logged:
            assert self.run_id is not None
            entries = client.get_metric_history(self.run_id, key)
            self._logged[key] = {(entry.step, entry.value) for entry in entries}
        return self._logged[key]

    def _do(self, action: Callable[[MlflowClient, str], None]) -> None:
        if self._client is None or self.run_id is None:
            return
        try:
            action(self._client, self.run_id)
        # whatever the store or the network raises, the job is worth more than its log
        except Exception as error:
            self._client = None
            warn(self._verb, f"MLflow stopped answering, the job goes on untracked ({first_line(error)})")


def open_run(config: Config, out: Path, verb: str, parent: str | None, enabled: bool) -> Run:
    """Start the run of a job that writes to `out`, or go on in the run that an earlier call there began.

    Gives a run that does nothing where tracking is disabled, or where the store does not answer (with a warning).
    Raises ConfigError for a tracking address that MLflow cannot use.
    """
    if not enabled:
        return Run()
    uri = tracking_uri(config)
    try:
        client = connect(uri)
        run_id, known = _run_id(client, config, out, verb, parent, uri)
    except ConfigError:
        raise
    # see Run._do: anything may come out of a store
    except Exception as error:
        warn(verb, f"no MLflow at {uri}, the job goes on untracked ({first_line(error)})")
        return Run()
    write_text(out / RUN_ID_FILE, run_id + "\n")
    run = Run(client, run_id, verb)
    if not known:
        run.params(config.model_dump(mode="json"))
    return run


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of nested mappings."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def clean_name(name: str) -> str:
    """A name that MLflow takes: letters, digits, and _ - . / of punctuation."""
    return re.sub(r"[^\w\-./]", "_", name)


def chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Consecutive parts of at most `size` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def warn(verb: str, message: str) -> None:
    """Say something on stderr and in the job's log."""
    print(f"peace {verb}: warning: {message}", file=sys.stderr)
    log = logging.getLogger(f"peace.{verb}")
    # without the job's log file, logging would say it on stderr a second time
    if log.handlers:
        log.warning(message)


def git_commit() -> str | None:
    """The commit of the source tree that this package runs from; None for an installed copy."""
    place = Path(__file__).resolve().parents[1]
    if not (place / ".git").exists():
        return None
    try:
        answer = subprocess.run(
            ["git", "-C", str(place), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def _run_id(
    client: MlflowClient, config: Config, out: Path, verb: str, parent: str | None, uri: str
) -> tuple[str, bool]:
    """The id of the run to write to, and whether it was begun by an earlier call."""
    experiment = experiment_id(client, config.tracking.experiment, uri)
    earlier = _earlier_run(client, out)
    if earlier is not None:
        client.update_run(earlier, status="RUNNING")
        return earlier, True
    name = verb if out.name == verb else f"{verb} {out.name}"
    run = client.create_run(experiment, run_name=name, tags=_tags(config, out, verb, parent))
    return str(run.info.run_id), False


def _earlier_run(client: MlflowClient, out: Path) -> str | None:
    from mlflow.exceptions import MlflowException

    try:
        run_id = (out / RUN_ID_FILE).read_text(encoding="utf-8").strip()
        run = client.get_run(run_id)
    except (OSError, MlflowException):
        # none yet, or of a store that has been deleted since
        return None
    return run_id if run.info.lifecycle_stage == "active" else None


def _tags(config: Config, out: Path, verb: str, parent: str | None) -> dict[str, str]:
    commit = git_commit()
    return {
        "mlflow.source.name": f"peace {verb}",
        "mlflow.source.type": "JOB",
        "peace.verb": verb,
        "peace.version": version("peace-ray"),
        "peace.config_digest": digest(config.model_dump(mode="json")),
        "peace.out": str(out),
        **({"mlflow.source.git.commit": commit} if commit else {}),
        **({"mlflow.parentRunId": parent} if parent else {}),
    }
