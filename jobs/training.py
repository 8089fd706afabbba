"""`peace.learning` on Ray Train: workers, checkpoints that survive crashes, and one live view of it all.

The driver owns everything people see (jobs/board.py); workers tell it how far they are.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from jobs.board import Board, note, watching
from jobs.harness import Job
from peace.config import RayConfig
from peace.errors import ConfigError, DataError, PeaceError

if TYPE_CHECKING:
    from peace.learning.train import TrainingPlan


def train_on_ray(
    job: Job, plan: TrainingPlan, room: tuple[float, int] | None = None, callbacks: Sequence[Any] = ()
) -> Path:
    """Train the plan on the cluster that Ray has joined; gives the folder of the best checkpoint.

    `room`: CPUs that a worker reserves and its threads, where the caller shares the cluster out among several
    trainings; `callbacks` are Ray Train's.

    The run's name holds the identity of the job: the same command goes on where it stopped, a changed one starts anew.
    Raises ConfigError where the cluster is too small, and the PeaceError of a worker.
    """
    import ray
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    settings = job.config.ray
    share, threads = room or worker_share(settings, ray.cluster_resources())
    board: Any = ray.remote(num_cpus=0)(Board).remote()
    work: Any = _work  # Ray's annotation knows of no return value, its Result does
    trainer = TorchTrainer(
        work,
        train_loop_config={"plan": asdict(plan), "board": board, "threads": threads},
        scaling_config=ScalingConfig(
            num_workers=settings.workers, use_gpu=settings.gpu, resources_per_worker={"CPU": share} | _gpu(settings)
        ),
        run_config=RunConfig(
            name=f"{job.identity[:12]}",
            storage_path=str(job.out / "ray"),
            failure_config=FailureConfig(max_failures=settings.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=1, checkpoint_score_attribute="val_auc"),
            callbacks=list(callbacks),
        ),
    )
    with watching(job, board, plan.build()[1].epochs):
        result = _fit(trainer)
    if result.return_value:
        raise DataError(result.return_value)
    if not result.best_checkpoints:
        raise DataError(f"the training in {job.out} ended without a checkpoint; see {job.out}/log.txt")
    for _, metrics in result.best_checkpoints:
        note(job, metrics)  # an epoch whose driver was killed before it could look at the board
    best, _ = max(result.best_checkpoints, key=lambda found: found[1]["val_auc"])
    return Path(best.path)


def worker_share(settings: RayConfig, resources: dict[str, float]) -> tuple[float, int]:
    """CPUs that a worker reserves, and its threads; raises ConfigError where the cluster has too little.

    Workers leave one CPU, or half of what there is, to Ray Data: a training that reserves all CPUs waits for ever.
    """
    cpus, gpus = resources.get("CPU", 0.0), resources.get("GPU", 0.0)
    if settings.gpu and gpus < settings.workers:
        raise ConfigError(f"ray.workers={settings.workers} with a GPU each: the cluster has {gpus:g} GPUs")
    share = settings.cpus_per_worker or max(cpus - 1, cpus / 2) / settings.workers
    if share * settings.workers > cpus:
        raise ConfigError(f"{settings.workers} workers of {share:g} CPUs each: the cluster has {cpus:g} CPUs")
    return round(share, 4), max(1, int(cpus // settings.workers))


def _work(settings: dict[str, Any]) -> str | None:
    """What each worker runs; gives the message of an error that all ranks met alike, for which no retry helps."""
    import ray.train
    import torch
    from ray.train.torch import get_device

    from peace.learning.train import Hooks, TrainingPlan, train

    torch.set_num_threads(settings["threads"])
    plan, board = TrainingPlan(**settings["plan"]), settings["board"]
    context = ray.train.get_context()
    first = context.get_world_rank() == 0

    def on_step(done: int, total: int) -> None:
        if first and (done % 5 == 0 or done == total):
            board.step.remote(done, total)

    def on_epoch(metrics: dict[str, Any], write: Any) -> None:
        with TemporaryDirectory() as folder:
            place = Path(folder) / "checkpoint"
            if first:
                write(place)
                board.epoch.remote(metrics)
            ray.train.report(metrics, ray.train.Checkpoint.from_directory(str(place)) if first else None)

    earlier = ray.train.get_checkpoint()
    try:
        train(plan, Hooks(on_step, on_epoch), None, Path(earlier.path) if earlier else None, get_device())
    except PeaceError as error:
        if context.get_world_size() > 1:
            raise
        return str(error)
    return None


def _fit(trainer: Any) -> Any:
    """Run the trainer; a worker's PeaceError comes out as itself, and Ctrl-C as KeyboardInterrupt.

    In a thread of its own, since in the main thread Ray puts in a handler of Ctrl-C that ends the process.
    """
    from ray.train import TrainingFailedError

    outcome: Future[Any] = Future()

    def run() -> None:
        try:
            outcome.set_result(trainer.fit())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        return outcome.result()
    except TrainingFailedError as failed:
        failures = getattr(failed, "worker_failures", {}).values()
        raise next(filter(None, map(_mistake, failures)), failed) from None


def _mistake(error: BaseException | None) -> PeaceError | None:
    """The PeaceError behind an error that Ray has wrapped."""
    while error is not None and not isinstance(error, PeaceError):
        error = getattr(error, "cause", None) or error.__cause__
    return error


def _gpu(settings: RayConfig) -> dict[str, float]:
    return {"GPU": 1.0} if settings.gpu else {}
