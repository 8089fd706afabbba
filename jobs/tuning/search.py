"""What Ray Tune tries next: trials that were cut short, then new ones from the grid or from Optuna's TPE.

Search algorithm and scheduler are made anew in each call and told of every trial that the store holds. So a sweep
that was killed at any point continues as if it had not been, and a finished one takes further trials.
"""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

from ray import tune
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from peace.experiments.sweeps.repeats import next_point
from peace.experiments.sweeps.space import Parameter, Space
from peace.experiments.sweeps.trial_store import Trial, TrialStore

BEST = "best"  # the best value of the metric so far: what Tune compares trials by


class StoredSearch(Searcher):
    """Hands out the store's open trials, then new ones until there are `trials` of them.

    `start`: the configuration's own values, which are the first trial of TPE, so that the best is never worse.
    """

    def __init__(self, space: Space, store: TrialStore, trials: int, start: dict[str, Any], seed: int) -> None:
        super().__init__(metric=BEST, mode=space.mode)
        self._space, self._ledger, self._limit, self._start = space, store, trials, start
        self._left = [trial.number for trial in store.of("open")]
        self._numbers: dict[str, int] = {}
        self._own: set[str] = set()
        self._optuna = _optuna(space, trials, seed) if space.search == "tpe" else None
        for trial in store.of("finished", "stopped"):
            self._tell(trial)

    def suggest(self, trial_id: str) -> Any:
        """The next trial for Tune's `trial_id`; None: ask again later; FINISHED: there is none."""
        if self._left:
            trial = self._ledger.trials[self._left.pop(0)]
        elif len(self._ledger.trials) >= self._limit:
            return Searcher.FINISHED
        else:
            found = self._new(trial_id)
            if not isinstance(found, Trial):
                return found
            trial = found
        self._numbers[trial_id] = trial.number
        draw = {} if trial.draw is None else {"draw": trial.draw}
        return {"trial": trial.number, **draw, **self._space.active(trial.parameters)}

    def _new(self, trial_id: str) -> Trial | str | None:
        if self._optuna is None:
            found = next_point(self._space, list(self._ledger.trials.values()))
            if isinstance(found, str):
                return Searcher.FINISHED if found == "end" else None
            return self._ledger.begin(*found)
        if not self._ledger.trials:
            return self._ledger.begin(self._start)
        drawn = self._optuna.suggest(trial_id)
        if drawn is None:
            return None
        self._own.add(trial_id)
        return self._ledger.begin({key: self._space.parameters[key].decode(value) for key, value in drawn.items()})

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Hand an epoch on to Optuna."""
        if self._optuna is not None and trial_id in self._own and BEST in result:
            self._optuna.on_trial_result(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell Optuna how a trial ended, whoever had proposed it."""
        if self._optuna is None:
            return
        if trial_id in self._own:
            self._optuna.on_trial_complete(trial_id, result if result and BEST in result else None, error)
        elif trial_id in self._numbers:
            self._tell(self._ledger.trials[self._numbers[trial_id]], (result or {}).get(BEST))

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the store is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the store is the state."""

    def _tell(self, trial: Trial, value: float | None = None) -> None:
        """Let Optuna know a trial that it did not propose in this call, where the space could have held it."""
        value = trial.value if value is None else value
        known = all(self._space.parameters[key].holds(drawn) for key, drawn in trial.parameters.items())
        if self._optuna is not None and value is not None and known:
            encoded = {key: self._space.parameters[key].code(drawn) for key, drawn in trial.parameters.items()}
            self._optuna.add_evaluated_point(encoded, value)


def scheduler_of(space: Space, store: TrialStore, epochs: int) -> TrialScheduler:
    """The space's scheduler, told of the epochs of all trials that have ended."""
    if space.scheduler.name == "plain":
        return FIFOScheduler()
    asha = ASHAScheduler(
        time_attr="epoch",
        metric=BEST,
        mode=space.mode,
        max_t=epochs + 1,  # a trial's last epoch ends it by itself
        grace_period=min(space.scheduler.grace, epochs),
        reduction_factor=space.scheduler.reduction,
    )
    pick = max if space.mode == "max" else min
    for trial in store.of("finished", "stopped"):
        ended: Any = SimpleNamespace(trial_id=f"ended-{trial.name}")
        controller: Any = None
        asha.on_trial_add(controller, ended)
        values = []
        for epoch, value in trial.curve:
            values.append(value)
            asha.on_trial_result(controller, ended, {"epoch": epoch, BEST: pick(values)})
    return asha


def _optuna(space: Space, trials: int, seed: int) -> OptunaSearch:
    """Optuna's TPE behind Ray's wrapper. A quarter of the trials are random, for it to start from."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("ray.tune.search.optuna").setLevel(logging.ERROR)
    sampler = optuna.samplers.TPESampler(n_startup_trials=max(2, min(10, trials // 4)), constant_liar=True, seed=seed)
    domains = {key: _domain(parameter) for key, parameter in space.parameters.items()}
    return OptunaSearch(OptunaSearch.convert_search_space(domains), metric=BEST, mode=space.mode, sampler=sampler)


def _domain(parameter: Parameter) -> Any:
    if parameter.choice is not None:
        return tune.choice(list(parameter.labels))
    low, high = parameter.ends
    if parameter.integer is not None:
        return tune.randint(int(low), int(high) + 1)
    return tune.loguniform(low, high) if parameter.log_uniform is not None else tune.uniform(low, high)
