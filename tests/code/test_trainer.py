"""What Ray Train starts beside the workers: what jobs/training/ray_internals.py leaves out is there to be left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ray.train
from ray.train.v2._internal.execution.controller import TrainController

from jobs.training.ray_internals import Controller, Preemption, Trainer


def parts(place: Path, outlived: bool) -> set[str]:
    """Names of the callbacks of a trainer."""
    v2: Any = ray.train
    scaling, run = v2.ScalingConfig(num_workers=1), v2.RunConfig(name="run", storage_path=str(place))
    trainer = Trainer(lambda: None, outlived, False, scaling_config=scaling, run_config=run)
    return {type(part).__name__ for part in trainer._create_default_callbacks()}


def test_a_training_of_its_own_job_starts_no_helpers(tmp_path: Path) -> None:
    found = parts(tmp_path, outlived=False)
    assert not found & {"DatasetsCallback", "PlacementGroupCleanerCallback"}
    assert parts(tmp_path, outlived=True) - found == {"PlacementGroupCleanerCallback"}


def test_drained_machines_are_watched_where_there_are_others(monkeypatch: Any) -> None:
    def made(self: Any, **options: Any) -> None:
        self._health_check_interval_s = 2.0
        self._worker_group_callbacks_to_propagate = [Preemption()]

    monkeypatch.setattr(TrainController, "__init__", made)
    assert len(Controller(True)._worker_group_callbacks_to_propagate) == 1
    assert not Controller(False)._worker_group_callbacks_to_propagate
    assert Controller(False)._health_check_interval_s == 0.5
