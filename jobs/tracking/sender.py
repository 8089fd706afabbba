"""From a run's journal to a store, in a thread of its own: a job never waits for MLflow but when it starts and ends.

A store that is down or silent costs one warning; it is asked again now and then, and gets all of the journal when it
is back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jobs.tracking.batches import batches, short, tell
from jobs.tracking.journal import Journal, LogEntry
from jobs.tracking.store import connect, experiment_id, first_line, warn
from peace.core.errors import PeaceError
from peace.core.files import write_text

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN_ID_FILE = "mlflow_run_id"
JOURNAL_TAG = "peace.journal"
PAUSES = (1.0, 2.0, 5.0, 15.0, 30.0)  # seconds between attempts while a store is down
TRIES = 3  # at an entry that a living store does not take
SILENT_FOR = 60.0  # seconds in which a store that did not answer is not waited for again at a start or an end
SLOW = 2.0  # seconds that tell silence from a refusal, which costs nothing

_silent_since: dict[str, float] = {}


class RunDeleted(Exception):
    """The run was deleted from its store while the job was writing to it."""


class Sender:
    """Sends a journal to the store at `uri`. `fresh` says that no earlier call can have made its run."""

    def __init__(
        self, journal: Journal, uri: str, verb: str, parent: Sender | None = None, fresh: bool = False
    ) -> None:
        self.journal, self.uri, self._verb, self._parent = journal, uri, verb, parent
        self.run_id: str | None = None
        self._fresh = fresh
        self.warned = False
        self._client: MlflowClient | None = None
        self._attaching = threading.RLock()
        self._wake, self._idle, self._ending = threading.Event(), threading.Event(), threading.Event()
        self._failed, self._hurry = threading.Event(), threading.Event()
        self._tries: dict[int, int] = {}
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Connect if the store answers now, and go on sending in a thread."""
        if self._is_silent():
            self._warn("it did not answer a moment ago")
        else:
            began = time.monotonic()
            try:
                self.attach()
            except PeaceError:
                raise
            except Exception as error:  # anything may come out of a store or a network
                self._note_failure(error, began)
        self._thread = threading.Thread(target=self._work, daemon=True, name="mlflow-sender")
        self._thread.start()

    def wake(self) -> None:
        """There is something to send."""
        self._idle.clear()
        self._wake.set()

    def flush(self) -> bool:
        """Wait until the store has all of the journal, or has failed; says whether it has all."""
        if self._thread is None:
            return not self.journal.unsent
        self._failed.clear()
        self.wake()
        self._hurry.set()
        while self.journal.unsent and self._thread.is_alive():
            if self._failed.wait(0.02):
                return False
        return not self.journal.unsent

    def stop(self) -> bool:
        """Send what is left, as long as the store takes it; says whether it has all."""
        sent = not self._is_silent() and self.flush()
        self._ending.set()
        self._wake.set()
        self._hurry.set()
        if self._thread is not None:
            self._thread.join(timeout=5 if not sent else None)
        return sent

    def push(self) -> int:
        """Send the next part; returns its number of entries, 0 where nothing is left. Raises what the store raises."""
        self.attach()
        part = self.journal.entries(int(self.journal.sent["offset"]))
        for parcel in batches(part):
            self._send(parcel)
        return len(part)

    def push_skipped(self) -> None:
        """Try once more what a store refused before."""
        self.attach()
        for start in list(self.journal.sent["skipped"]):
            tell(self._live, str(self.run_id), self.journal.out, [self.journal.entries(start, 1)[0].entry])
            self.journal.note_sent(skipped=[other for other in self.journal.sent["skipped"] if other != start])

    def attach(self) -> None:
        """Connect, and find the run in the store or make it. Raises whatever the store raises."""
        with self._attaching:
            if self._client is not None:
                return
            if self._parent is not None:
                self._parent.attach()
            client = connect(self.uri)
            run_id = self._known_run(client)
            if run_id is None:
                run_id = self._new_run(client)
                self.journal.note_sent(offset=0, skipped=[])
            self.journal.note_sent(uri=self.uri, run_id=run_id)
            write_text(self.journal.out / RUN_ID_FILE, run_id + "\n")
            self.run_id, self._client = run_id, client
            _silent_since.pop(self.uri, None)

    @property
    def _live(self) -> MlflowClient:
        assert self._client is not None
        return self._client

    def _work(self) -> None:
        failures = 0
        while True:
            began = time.monotonic()
            try:
                if self.journal.unsent and self.push():
                    failures = 0
                    continue
            except Exception as error:  # see start
                self._note_failure(error, began)
                if isinstance(error, RunDeleted):
                    return
                self._hurry.wait(PAUSES[min(failures, len(PAUSES) - 1)])
                self._hurry.clear()
                if self._ending.is_set():
                    return
                failures += 1
                continue
            if self._ending.is_set():
                return
            self._wake.wait(timeout=60)
            self._wake.clear()

    def _is_silent(self) -> bool:
        since = _silent_since.get(self.uri)
        return since is not None and time.monotonic() - since < SILENT_FOR

    def _note_failure(self, error: Exception, began: float) -> None:
        if time.monotonic() - began > SLOW and not isinstance(error, RunDeleted):
            _silent_since[self.uri] = time.monotonic()
        self._warn(str(error) if isinstance(error, RunDeleted) else first_line(error))
        self._failed.set()

    def _warn(self, why: str) -> None:
        if not self.warned:
            self.warned = True
            told = (
                f"no MLflow at {self.uri} ({why}): the job continues, what it logs is kept and sent when MLflow answers"
            )
            warn(self._verb, told)

    def _known_run(self, client: MlflowClient) -> str | None:
        """The run of this journal that an earlier call made in this store, where it is still there."""
        from mlflow.exceptions import MlflowException

        begin, known = self.journal.begin, self.journal.sent["run_id"]
        assert begin is not None
        if known:
            try:
                if client.get_run(known).info.lifecycle_stage == "active":
                    return str(known)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
        if self._fresh:
            self._fresh = False
            return None
        experiment = client.get_experiment_by_name(begin["experiment"])
        if experiment is None:
            return None
        found = client.search_runs([experiment.experiment_id], f"tags.`{JOURNAL_TAG}` = '{begin['id']}'", max_results=1)
        return str(found[0].info.run_id) if found else None

    def _new_run(self, client: MlflowClient) -> str:
        begin = self.journal.begin
        assert begin is not None
        tags = {**begin["tags"], JOURNAL_TAG: begin["id"]}
        parent = self._parent_id(begin)
        if parent:
            tags["mlflow.parentRunId"] = parent
        experiment = experiment_id(client, begin["experiment"], self.uri)
        run = client.create_run(experiment, start_time=begin["time"], run_name=begin["name"], tags=tags)
        return str(run.info.run_id)

    def _parent_id(self, begin: dict[str, Any]) -> str | None:
        """The parent's run as this store knows it: its directory may have moved, and its run be made later."""
        if self._parent is not None:
            return self._parent.run_id
        if begin.get("parent_place"):
            file = self.journal.out / begin["parent_place"] / RUN_ID_FILE
            if file.exists():
                return file.read_text(encoding="utf-8").strip()
        return begin.get("parent")

    def _send(self, parcel: Sequence[LogEntry]) -> None:
        """Send entries that belong together; one that a living store refuses is left out, with a warning."""
        try:
            tell(self._live, str(self.run_id), self.journal.out, [placed.entry for placed in parcel])
        except Exception as error:  # see start
            self._look_into(error)
            if len(parcel) > 1:
                for placed in parcel:
                    self._send([placed])
                return
            entry, start, _ = parcel[0]
            self._tries[start] = self._tries.get(start, 0) + 1
            if self._tries[start] < TRIES and not isinstance(error, FileNotFoundError):
                raise
            warn(self._verb, f"MLflow does not take {short(entry)} ({first_line(error)})")
            self.journal.note_sent(skipped=[*self.journal.sent["skipped"], start])
        self.journal.note_sent(offset=parcel[-1].end)

    def _look_into(self, error: Exception) -> None:
        """Raise where it is the store that failed, or the run that is gone, rather than an entry that is wrong."""
        from mlflow.exceptions import MlflowException

        if isinstance(error, MlflowException) and error.error_code == "TEMPORARILY_UNAVAILABLE":
            raise error
        try:
            found = self._live.get_run(str(self.run_id))
        except MlflowException as failure:
            if failure.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            found = None
        if found is None or found.info.lifecycle_stage != "active":
            raise RunDeleted(f"run {self.run_id} was deleted there") from error
