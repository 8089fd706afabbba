"""A sweep on Ray Tune: what is missing of it, with each trial's end in the store and its run in MLflow."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import threading
import time
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial as TuneTrial

from jobs.runtime.harness import Job
from jobs.runtime.history import read_history
from jobs.tracking.run import Run, open_run
from jobs.tuning.resources import DRIVER_CPUS
from jobs.tuning.search import BEST, StoredSearch, scheduler_of
from jobs.tuning.trial import TrialPlan, run_trial
from peace.core.errors import PeaceError
from peace.core.files import read_json
from peace.core.storage import is_remote, to_path
from peace.experiments.sweeps.space import Space, trial_config
from peace.experiments.sweeps.trial_store import ENDED, FAULT, Trial, TrialStore

NOT_OF_AN_EPOCH = ("done", "first_step", BEST)


def run_trials(job: Job, space: Space, store: TrialStore, plan: TrialPlan, trials: int, start: dict[str, Any]) -> None:
    """Run trials until the store holds `trials` closed ones, or the grid has no more.

    `start`: the parameters as the configuration has them. Raises KeyboardInterrupt as it comes, trials then stay open.
    Where Tune itself gives up (2.60 does when Ray kills a trial for want of memory), the trials that ran have lost a
    try, and Tune is started again on what is left.
    """
    # what a trial died of is in its folder, in the table and on the page: no traces between Tune's tables
    logging.getLogger("ray.tune.execution.tune_controller").setLevel(logging.CRITICAL)
    # a trial whose training had ended when the sweep was killed has nothing to report: its history is known
    os.environ["TUNE_DISABLE_STRICT_METRIC_CHECKING"] = "1"
    while True:
        tracker = TrialTracker(job, space, store, plan)
        try:
            _tune(job, space, store, plan, trials, start, tracker)
            return
        except Exception as error:
            if not tracker.runs:
                raise
            reason = _first_line(error)
            error.__traceback__ = error.__context__ = None  # they hold Tune's actors, and those their CPUs
        finally:
            tracker.leave()
        job.log.error("Ray Tune gave up (%s); it is started again on what is left", reason)
        print(f"peace sweep: Ray Tune gave up ({reason}); it is started again on what is left", file=sys.stderr)
        for number in tracker.running:
            tracker.lose(number, reason)


def _tune(
    job: Job,
    space: Space,
    store: TrialStore,
    plan: TrialPlan,
    trials: int,
    start: dict[str, Any],
    tracker: TrialTracker,
) -> None:
    folder = job.out / "tune"
    shutil.rmtree(folder, ignore_errors=True)  # Tune's own notes of an earlier call: the store knows better
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(run_trial, plan=plan), {"CPU": DRIVER_CPUS}),
        tune_config=tune.TuneConfig(
            search_alg=StoredSearch(space, store, trials, start, plan.config.seed),
            scheduler=scheduler_of(space, store, tracker.epochs),
            num_samples=max(1, trials - len(store.of("finished", "stopped", "failed"))),
            max_concurrent_trials=plan.resources.at_once,
            trial_name_creator=_name,
            trial_dirname_creator=_name,
        ),
        run_config=tune.RunConfig(
            name="sweep",
            storage_path=str(folder),
            failure_config=tune.FailureConfig(max_failures=space.budget.retries),
            callbacks=[tracker],
            verbose=1,
        ),
    )
    # Tune's tables are for people to watch; stdout is for the result
    with redirect_stdout(sys.stderr):
        _in_thread(tuner.fit)


class TrialTracker(tune.Callback):
    """Follows Tune in the sweep's own process: one MLflow run a trial, and its end in the store, once."""

    def __init__(self, job: Job, space: Space, store: TrialStore, plan: TrialPlan) -> None:
        self.job, self.space, self.store, self.plan = job, space, store, plan
        self.epochs = (plan.config.pretrain if space.stage == "pretrain" else plan.config.adapt).epochs
        self.runs: dict[int, Run] = {}
        self.curves: dict[int, dict[int, float]] = {}
        self.began: dict[int, float] = {}
        self.left = False
        self.lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune keeps a copy of its callbacks, which nobody reads."""
        return {}

    def leave(self) -> None:
        """The sweep ends, or is interrupted: what Tune says from now on is about its own undoing."""
        with self.lock:
            self.left = True
        for run in self.runs.values():
            run.__exit__(KeyboardInterrupt, None, None)

    @property
    def running(self) -> list[int]:
        """The trials that have begun and not ended."""
        return sorted(self.runs)

    def lose(self, number: int, reason: str) -> None:
        """Take a try off a trial that went down with Tune; without another one it has failed."""
        if self.store.lose_try(number) > self.space.budget.retries:
            self.store.close(number, "failed", self.curves[number], error=reason)
            run = self._run(self.store.trials[number])
            run.tags({"status": "failed", "error": reason})
            run.__exit__(PeaceError, None, None)
            _drop_checkpoints(self.store.folder(number))

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """Open the trial's run, or continue in it."""
        number = trial.config["trial"]
        with self.lock:
            if self.left or number in self.runs:
                return
            self.began[number] = time.monotonic()
            earlier = read_history(self.store.folder(number) / "history.jsonl")
            self.curves[number] = {int(epoch["epoch"]): epoch[self.space.metric] for epoch in earlier}
            self.runs[number] = self._run(self.store.trials[number])

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: dict[str, Any], **info: Any
    ) -> None:
        """Note an epoch."""
        number = trial.config["trial"]
        with self.lock:
            if self.left or number not in self.runs or "epoch" not in result:
                return
            epoch = int(result["epoch"])
            self.curves[number][epoch] = result[self.space.metric]
            self.runs[number].metrics(_figures(result), step=epoch)

    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """Close a trial that came to its end, or that the scheduler stopped."""
        number = trial.config["trial"]
        ended = self.store.folder(number) / ENDED
        found = read_json(ended) if ended.exists() else None
        whole = found is not None or max(self.curves.get(number, {}), default=0) >= self.epochs
        self._close(trial, "finished" if whole else "stopped", {"test": found["test"] if found else None})

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """Close a trial whose tries are used up."""
        number = trial.config["trial"]
        fault = self.store.folder(number) / FAULT
        error = read_json(fault)["error"] if fault.exists() else _last_words(trial)
        self.job.log.error("trial %s: %s", number, error)
        self._close(trial, "failed", {"error": error})

    def _close(self, trial: TuneTrial, status: Any, values: dict[str, Any]) -> None:
        number = trial.config["trial"]
        with self.lock:
            if self.left or number not in self.runs:
                return
            place = self.store.folder(number)
            run = self.runs.pop(number)
            for epoch in read_history(place / "history.jsonl"):
                # with what a kill kept from Tune; a step that the run has already is not logged again
                self.curves[number].setdefault(int(epoch["epoch"]), epoch[self.space.metric])
                run.metrics(_figures(epoch), step=int(epoch["epoch"]))
                run.series("gate_step", epoch.get("gate_steps", []), epoch.get("first_step", 0))
            run.tags({"status": status, **({"error": values["error"]} if values.get("error") else {})})
            for name, value in (values.get("test") or {}).items():
                if name.startswith("macro_"):
                    run.metrics({f"test/{name}": value})
            run.__exit__(None if status != "failed" else PeaceError, None, None)
            seconds = round(time.monotonic() - self.began[number], 1)
            failures = self.store.trials[number].failures + trial.num_failures
            closed = self.store.close(number, status, self.curves[number], failures=failures, seconds=seconds, **values)
            if closed.value is not None:
                self.job.run.metrics({f"trial/{self.space.metric}": closed.value}, step=number)
            self.job.log.info("trial %s %s: %s %s", number, status, self.space.metric, closed.value)
            _drop_checkpoints(place)

    def _run(self, trial: Trial) -> Run:
        place = self.store.folder(trial.number)
        drawn = self.space.active(trial.parameters)
        try:
            config = trial_config(self.plan.config, drawn, trial.draw)
        except PeaceError:  # the values do not go together: the trial itself says so
            config = self.job.config
        enabled = config.tracking.enabled
        run = open_run(config, place, "sweep", self.job.run, enabled=enabled)
        draw = {"draw": trial.draw} if trial.draw is not None else {}
        chosen = {f"drawn/{key}": value for key, value in drawn.items()}
        run.tags({"trial": trial.number, "stage": self.space.stage, **draw, **chosen})
        return run


def _drop_checkpoints(out: Path) -> None:
    """A closed trial needs nothing to resume from."""
    shutil.rmtree(out / "checkpoints", ignore_errors=True)
    note = out / "checkpoints.json"
    if not note.exists():
        return
    folder: Any = to_path(read_json(note)["place"])  # in ray.storage
    with suppress(OSError):
        folder.fs.rm(folder.path, recursive=True) if is_remote(folder) else shutil.rmtree(folder)
    note.unlink()


def _in_thread(work: Any) -> None:
    """Run `work` beside the main thread, so that Ctrl-C comes out here and not in Ray's handlers."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(timeout=0.5)
    if failed:
        raise failed[0]


def _figures(result: dict[str, Any]) -> dict[str, float]:
    """The training's own numbers among those of an epoch that Tune has added to."""
    from ray.tune.result import AUTO_RESULT_KEYS

    own = {
        name: value for name, value in result.items() if name not in AUTO_RESULT_KEYS and name not in NOT_OF_AN_EPOCH
    }
    return {name: value for name, value in own.items() if isinstance(value, int | float)}


def _first_line(error: BaseException) -> str:
    """What an error says, on one line: of a trace its end."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return f"{type(error).__name__}: {lines[-1] if lines[0].startswith('Traceback') else lines[0]}"


def _last_words(trial: TuneTrial) -> str:
    """What Tune knows of the death of a trial that could not say it itself, on one line."""
    error = trial.get_pickled_error()
    return f"its process died ({_first_line(error)})" if error else "its process died"


def _name(trial: TuneTrial) -> str:
    return f"trial-{trial.config['trial']:04d}"
