"""One MLflow run a job, owned by the process that started it; a job that is run again continues in the same run.

What a job logs goes into its directory first (tracking_journal) and from there to the store (tracking_sender), so that
a tracking server that is down, slow or silent costs a warning and nothing else, and nothing is logged twice. Only
`MlflowClient` with an explicit run id is used: MLflow's fluent API keeps state per thread and has made two runs of one
in other projects. The run id lies in OUT/mlflow_run_id.
"""

from __future__ import annotations

import math
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

from jobs.tracking.journal import Journal
from jobs.tracking.sender import RUN_ID_FILE, Sender
from jobs.tracking.store import tracking_uri, warn
from peace.config import Config
from peace.core.errors import DataError
from peace.core.files import digest
from peace.core.storage import is_remote

__all__ = ["RUN_ID_FILE", "Run", "open_run"]

COMMIT_VARIABLE = "PEACE_COMMIT"
VALUE_LIMIT = 6000  # characters of a parameter or tag that MLflow takes
KEY_LIMIT = 250


class Run:
    """A run of the tracking store, as a context manager; without a journal it does nothing and `run_id` is None.

    No call waits for the store, or fails with it.
    """

    def __init__(
        self, journal: Journal | None = None, sender: Sender | None = None, verb: str = "", guest: bool = False
    ) -> None:
        self._journal, self._sender, self._verb, self._guest = journal, sender, verb, guest

    @property
    def run_id(self) -> str | None:
        """The run's id; None without tracking, and until a store that is down answers."""
        return self._sender.run_id if self._sender else None

    @property
    def tracked(self) -> bool:
        """Whether anything that is logged is kept."""
        return self._journal is not None

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._journal is None or self._sender is None:
            return
        status = "FINISHED" if kind is None else "KILLED" if issubclass(kind, KeyboardInterrupt) else "FAILED"
        if not self._guest:
            self._do(lambda journal: journal.add({"status": status, "time": _now()}))
        if not self._sender.stop():
            place = self._journal.out
            warn(
                self._verb,
                f"MLflow at {self._sender.uri} lacks a part of this run: `peace track sync {place}` sends it",
            )
        self._journal.close()
        self._journal = None

    def params(self, values: Mapping[str, Any]) -> None:
        """Log parameters; nested mappings become dotted keys. One that the run already has keeps its value."""
        flat = {clean_name(key)[:KEY_LIMIT]: str(value)[:VALUE_LIMIT] for key, value in flatten(values)}
        self._do(lambda journal: journal.params(flat))

    def metrics(self, values: Mapping[str, float | None], step: int | None = None) -> None:
        """Log numbers; what is None or not finite is left out, since no chart can show it.

        A metric has each step once, also across kills and reruns; without a step it is logged when it has changed.
        """
        numbers = {clean_name(key): float(value) for key, value in values.items() if value is not None}
        numbers = {key: value for key, value in numbers.items() if math.isfinite(value)}
        self._do(lambda journal: journal.metrics(numbers, step, _now()))

    def series(self, name: str, values: Sequence[float], first_step: int) -> None:
        """Log consecutive values of one metric, a step each; steps that the run has already keep their value."""
        numbers = [float(value) for value in values]
        if all(map(math.isfinite, numbers)):
            self._do(lambda journal: journal.series(clean_name(name), numbers, first_step, _now()))

    def next_step(self, name: str) -> int:
        """The step after the last one that was logged of a metric, by this call or an earlier one."""
        return self._journal.next_step(name) if self._journal else 0

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Copy a file, or all that a directory holds, to the run's artefacts, in `folder` where one is named.

        It is read when the store takes it, so it must stay where it is, or move with the run's directory.
        """
        self._do(lambda journal: journal.add({"artifact": _as_seen_from(journal.out, path), "folder": folder}))

    def tags(self, values: Mapping[str, Any]) -> None:
        """Set tags; a later value replaces an earlier one."""
        tags = {clean_name(key)[:KEY_LIMIT]: str(value)[:VALUE_LIMIT] for key, value in values.items()}
        self._do(lambda journal: journal.add({"tags": tags}))

    def dataset(self, name: str, digest: str, source: str, context: str = "input") -> None:
        """Note what the run read: a name, a digest of at most 36 characters, where it lies, and what it was for."""
        entry = {"name": name[:500], "digest": digest[:36], "source": str(source), "context": context}
        self._do(lambda journal: journal.add({"dataset": entry}))
        self.tags({f"peace.data.{name}": digest})

    def flush(self) -> bool:
        """Wait until the store has all that was logged; says whether it has."""
        return self._sender is not None and self._sender.flush()

    def _do(self, action: Callable[[Journal], None]) -> None:
        if self._journal is None or self._sender is None:
            return
        try:
            action(self._journal)
        except OSError as error:  # a full disk, which the job itself will meet and tell
            if not self._sender.warned:
                self._sender.warned = True
                warn(self._verb, f"cannot keep what is logged ({error.strerror})")
        self._sender.wake()


def open_run(config: Config, out: Path, verb: str, parent: Run | str | None, enabled: bool, guest: bool = False) -> Run:
    """Start the run of a job that writes to `out`, or continue in the run that an earlier call there began.

    Returns a run that does nothing where tracking is disabled. Raises ConfigError for a tracking address that MLflow
    cannot use. `parent` is the run that this one belongs under, or its id. A `guest` logs into the run of another
    verb, where there is one, and leaves its status as it is.
    """
    if not enabled:
        return Run()
    uri = tracking_uri(config)
    above = parent if isinstance(parent, Run) else None
    try:
        journal = Journal(out)
    except DataError as error:
        warn(verb, f"{error}: the job continues untracked")
        return Run()
    fresh = journal.begin is None
    if fresh:
        name = verb if out.name == verb else f"{verb} {out.name}"
        given = {"parent": parent} if isinstance(parent, str) else {"parent_place": _place_of(above, out)}
        begin = {"name": name, "experiment": config.tracking.experiment, "uri": uri, "time": _now()}
        journal.start({**begin, "tags": _tags(config, out, verb), **given})
    elif not guest:
        journal.add({"status": "RUNNING", "time": _now()})
    sender = Sender(journal, uri, verb, above._sender if above else None, fresh)
    sender.start()
    run = Run(journal, sender, verb, guest and not fresh)
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


def git_commit() -> str | None:
    """The commit of the source tree that this package runs from, or that a submitted job came from; else None."""
    place = Path(__file__).resolve().parents[2]
    if not (place / ".git").exists():
        return os.environ.get(COMMIT_VARIABLE)
    try:
        answer = subprocess.run(
            ["git", "-C", str(place), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def _now() -> int:
    return int(time.time() * 1000)


def _as_seen_from(out: Path, path: Path) -> str:
    """A path that still leads to the file when the run's directory has moved with it."""
    return str(path) if is_remote(out) or is_remote(path) else os.path.relpath(path.absolute(), out)


def _place_of(parent: Run | None, out: Path) -> str | None:
    if parent is None or parent._journal is None:
        return None
    return _as_seen_from(out, parent._journal.out)


def _tags(config: Config, out: Path, verb: str) -> dict[str, str]:
    commit = git_commit()
    return {
        "mlflow.source.name": f"peace {verb}",
        "mlflow.source.type": "JOB",
        "peace.verb": verb,
        "peace.version": version("peace-ray"),
        "peace.config_digest": digest(config.model_dump(mode="json")),
        "peace.out": str(out),
        **({"mlflow.source.git.commit": commit} if commit else {}),
    }
