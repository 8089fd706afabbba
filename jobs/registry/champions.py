"""Who is champion of a registered model, and who was: an alias that changes by agreement.

MLflow moves an alias for whoever asks last. So each change is first entered in a ledger: a run of its own whose
parameters are written once, which the store itself enforces. Change number n is whoever enters it first; everyone else
learns that they came late. The alias follows the ledger, and a change that was entered by a job which was killed is
carried out by the next.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from peace.core.errors import DataError

if TYPE_CHECKING:
    from mlflow import MlflowClient

REFUSED = 3  # exit code of a change that was not made
LEDGER_TAG = "peace.ledger"
TRIES = 5


@dataclass(frozen=True)
class Change:
    """One entry: the alias goes from `previous` to `version`, for `why`, as run `run_id` decided."""

    number: int
    kind: Literal["promote", "rollback"]
    version: str
    previous: str | None
    why: str
    run_id: str
    at: str


class PromotionLog:
    """The ledger of one alias of a registered model. Raises DataError where the model is not there."""

    def __init__(self, client: MlflowClient, name: str, alias: str) -> None:
        from mlflow.exceptions import MlflowException

        self._client, self.name, self.alias = client, name, alias
        try:
            tags = client.get_registered_model(name).tags
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise DataError(f"there is no registered model '{name}': `peace register` makes one") from None
        self.ledger: str = tags.get(LEDGER_TAG) or self._late_ledger()

    def current(self) -> str | None:
        """The version that the alias names now."""
        found = self._client.get_registered_model(self.name).aliases.get(self.alias)
        return None if found is None else str(found)

    def changes(self) -> list[Change]:
        """All entries, oldest first."""
        pattern = re.compile(rf"{re.escape(self.alias)}\.\d{{4}}")
        params = self._client.get_run(self.ledger).data.params
        return [Change(**json.loads(params[key])) for key in sorted(params) if pattern.fullmatch(key)]

    def enter(
        self,
        after: int,
        kind: Literal["promote", "rollback"],
        version: str,
        previous: str | None,
        why: str,
        run_id: str,
    ) -> Change | None:
        """Enter the change that follows number `after`; None where somebody else's came first."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        change = Change(after + 1, kind, version, previous, why[:2000], run_id, now)
        return change if self._write_once(self._key(change.number), json.dumps(asdict(change))) else None

    def reconcile(self) -> None:
        """Make the alias what the last entry says, unless that was done; the version says since when and why."""
        set_to = None
        while True:
            changes = self.changes()
            if not changes:
                return
            last = changes[-1]
            done = f"{self._key(last.number)}.done" in self._client.get_run(self.ledger).data.params
            # one who was slow may have put an older version back after a newer entry: look again after each setting
            if last.number == set_to or (done and set_to is None):
                return
            self._client.set_registered_model_alias(self.name, self.alias, last.version)
            set_to = last.number
            self._tell(last)
            self._write_once(f"{self._key(last.number)}.done", "yes")

    def previous(self) -> str | None:
        """The version that a rollback puts back: the champion before the present one, passing over what was undone."""
        from mlflow.exceptions import MlflowException

        current = self.current()
        for version in reversed(self._line()):
            if version == current:
                continue
            try:
                self._client.get_model_version(self.name, version)
                return version
            except MlflowException:
                continue  # deleted since
        return None

    def _line(self) -> list[str]:
        """PromotionLog that nobody has rolled back, oldest first."""
        line: list[str] = []
        for change in self.changes():
            if change.previous and change.previous not in line[-1:] and change.kind == "promote":
                line.append(change.previous)  # set by hand, without an entry
            if change.kind == "promote":
                line.append(change.version)
            else:
                while line and line[-1] != change.version:
                    line.pop()
        return line

    def _key(self, number: int) -> str:
        return f"{self.alias}.{number:04d}"

    def _tell(self, change: Change) -> None:
        """Tags on the versions concerned."""
        versions = self._client
        since = {f"peace.{self.alias}.since": change.at, f"peace.{self.alias}.why": change.why}
        for key, value in {**since, f"peace.{self.alias}.decision_run": change.run_id}.items():
            versions.set_model_version_tag(self.name, change.version, key, value)
        if change.previous and change.previous != change.version:
            versions.set_model_version_tag(self.name, change.previous, f"peace.{self.alias}.until", change.at)

    def _write_once(self, key: str, value: str) -> bool:
        """Write a parameter of the ledger; False where it has another value. Raises what the store raises."""
        from mlflow.exceptions import MlflowException

        for attempt in range(TRIES):
            try:
                self._client.log_param(self.ledger, key, value)
                return True
            except MlflowException:
                # refused, or written although the answer was lost, or a store that was busy for long
                written = self._client.get_run(self.ledger).data.params.get(key)
                if written is not None:
                    return bool(written == value)
                if attempt == TRIES - 1:
                    raise
                time.sleep(0.2 * 2**attempt)
        raise AssertionError

    def _late_ledger(self) -> str:
        """A ledger for a model that was made by hand."""
        versions = self._client.search_model_versions(f"name='{self.name}'")
        runs = [version.run_id for version in versions if version.run_id]
        if not runs:
            raise DataError(f"'{self.name}' has no version that a run of this store made: `peace register` makes one")
        experiment = self._client.get_run(runs[0]).info.experiment_id
        self._client.set_registered_model_tag(self.name, LEDGER_TAG, new_ledger(self._client, self.name, experiment))
        return str(self._client.get_registered_model(self.name).tags[LEDGER_TAG])


def new_ledger(client: MlflowClient, name: str, experiment: str) -> str:
    """A run to enter changes in; returns its id."""
    note = (
        f"Who was champion of the registered model {name}, in the order of the changes: each parameter is one, written "
        "once. The runs below this one are the decisions, with their reasons. Do not delete it."
    )
    tags: dict[str, Any] = {"mlflow.note.content": note, "peace.verb": "ledger", "peace.model": name}
    run = client.create_run(experiment, run_name=f"champions of {name}", tags=tags)
    client.set_terminated(run.info.run_id)
    return str(run.info.run_id)
