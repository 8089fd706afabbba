"""The store of a sweep: one folder a trial, written before the trial begins and closed when it has ended.

trials/0003/trial.json   number, parameters, status, value, curve, error: all that a restart or a report needs
trials/0003/...          what its training leaves

The state of search algorithm and scheduler follows from closed trials, so that nothing else must survive a kill.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from peace.core.files import read_json, write_json

ENDED, FAULT = "ended.json", "fault.json"  # what a trial's own process leaves: that it is through, or why it cannot

Status = Literal["open", "finished", "stopped", "failed"]


@dataclass(frozen=True)
class Trial:
    """One trial. `stopped`: by the scheduler, before its last epoch.

    `curve` holds (epoch, metric), `value` the best of them; `test` what a trial of draws scored on the test split.
    """

    number: int
    parameters: dict[str, Any]
    draw: int | None = None
    status: Status = "open"
    value: float | None = None
    best_epoch: int | None = None
    curve: list[tuple[int, float]] = field(default_factory=list)
    error: str | None = None
    failures: int = 0
    seconds: float = 0.0
    test: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """Its folder."""
        return f"{self.number:04d}"

    @property
    def scored(self) -> bool:
        """Whether it ended with a value."""
        return self.status in ("finished", "stopped") and self.value is not None


class TrialStore:
    """All trials of a sweep, in memory and on disk. One process writes it: the sweep's."""

    def __init__(self, place: Path, mode: str = "max") -> None:
        self.path = place
        self.mode = mode
        self.trials: dict[int, Trial] = {}
        for file in sorted(place.glob("[0-9]*/trial.json")):
            values = read_json(file)
            trial = Trial(**{**values, "curve": [(epoch, value) for epoch, value in values["curve"]]})
            self.trials[trial.number] = trial

    def folder(self, number: int) -> Path:
        """Where a trial writes."""
        return self.path / f"{number:04d}"

    def begin(self, parameters: Mapping[str, Any], draw: int | None = None) -> Trial:
        """Enter a new trial."""
        return self._write(Trial(max(self.trials, default=0) + 1, dict(parameters), draw))

    def reopen(self, number: int) -> Trial:
        """Let a failed trial run again."""
        (self.folder(number) / FAULT).unlink(missing_ok=True)
        return self._write(replace(self.trials[number], status="open", error=None, failures=0))

    def lose_try(self, number: int) -> int:
        """Note that an open trial died and may run again; returns how often it has died."""
        return self._write(replace(self.trials[number], failures=self.trials[number].failures + 1)).failures

    def close(self, number: int, status: Status, curve: Mapping[int, float], **values: Any) -> Trial:
        """Enter how a trial ended: its metric by epoch, and `values` of Trial."""
        points = sorted(curve.items())
        best = best_point(points, self.mode)
        trial = replace(
            self.trials[number],
            status=status,
            curve=points,
            best_epoch=None if best is None else best[0],
            value=None if best is None else best[1],
            **values,
        )
        return self._write(trial)

    def of(self, *states: Status) -> list[Trial]:
        """The trials in these states, in order."""
        return [trial for _, trial in sorted(self.trials.items()) if trial.status in states]

    def _write(self, trial: Trial) -> Trial:
        write_json(self.path / trial.name / "trial.json", asdict(trial))
        self.trials[trial.number] = trial
        return trial


def best_point(points: Sequence[tuple[int, float]], mode: str) -> tuple[int, float] | None:
    """The first epoch with the best metric; NaN counts for nothing."""
    known = [point for point in points if point[1] == point[1]]
    pick = max if mode == "max" else min
    return pick(known, key=lambda point: point[1]) if known else None


def best_trial(trials: Sequence[Trial], mode: str) -> Trial | None:
    """The trial with the best value, the earliest of equal ones; None where none has a value."""
    pick = max if mode == "max" else min
    return pick((trial for trial in trials if trial.scored), key=lambda trial: trial.value or 0.0, default=None)
