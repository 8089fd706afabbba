"""`peace.training` on Ray Train: workers, checkpoints that survive crashes, and one live view of it all.

The driver owns everything people see (jobs/training/monitor.py); workers tell it how far they are. Checkpoints are the
training's own (peace/training/checkpoint_manager.py): whichever way it starts again - after a crash of a worker, of the
driver, of a machine, or with another number of workers - it resumes from the newest one that is whole.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.runtime.harness import Job
from jobs.training.monitor import ProgressActor, monitor
from peace.config import RayConfig
from peace.core.errors import DataError, PeaceError, StoreError
from peace.core.files import read_json, write_json
from peace.core.storage import is_remote, scratch, to_path

if TYPE_CHECKING:
    from jobs.training.preemption import PreemptionNotice
    from peace.training.plan import TrainingPlan

OWNER = "owner.json"  # in the folder of checkpoints: how a worker knows that it sees the same folder
SECONDS_BETWEEN_NOTES = 0.5


def train_on_ray(
    job: Job, plan: TrainingPlan, room: tuple[float, int] | None = None, callbacks: Sequence[Any] = ()
) -> Path:
    """Train the plan on the cluster that Ray has joined; returns the folder of the best checkpoint.

    `room`: CPUs that a worker reserves and its threads, where the caller shares the cluster out among several
    trainings; `callbacks` are Ray Train's.

    The same command resumes where it stopped. Raises ConfigError where the cluster is too small, and the PeaceError of
    a worker. On Ctrl-C or SIGTERM workers have ray.grace_seconds for a checkpoint of the next step.
    """
    from jobs.training.resources import alive_nodes, check_capacity, cpus_and_threads, worker_resources
    from peace.training.checkpoint_manager import CheckpointManager

    settings = job.config.ray
    nodes = alive_nodes()
    share, threads = room or cpus_and_threads(settings, nodes)
    needs = worker_resources(settings, share)
    held = records_mb(plan.shards, settings.in_memory_mb) if plan.record_ids is None else 0.0
    check_capacity(settings, needs, nodes, held)
    checkpoints = checkpoints_of(job)
    board = _board()
    watch_nodes = len(nodes) > 1 or settings.min_workers is not None
    loop_config = {
        "plan": plan,
        "board": board,
        "threads": threads,
        "checkpoints": str(checkpoints),
        "keeping": asdict(_keeping(job)),
        "watch_nodes": watch_nodes,
    }
    wanted = {name: count * (settings.min_workers or settings.workers) for name, count in needs.items()}
    with scratch() as folder, monitor(job, board, plan.settings.epochs, wanted):
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", str(int(watch_nodes)))
        trainer = _trainer(settings, loop_config, needs, job.identity[:12], folder, list(callbacks))
        result = _fit(trainer, board, settings.grace_seconds)
    if result.return_value and result.return_value.get("fault"):
        raise DataError(result.return_value["fault"])
    return CheckpointManager(checkpoints, _keeping(job), job.log.warning).best()


def _board() -> Any:
    """The board, on the driver's machine: it must not go with another."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here: Any = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    return ray.remote(num_cpus=0, scheduling_strategy=here)(ProgressActor).remote()


def _trainer(
    settings: RayConfig,
    loop_config: dict[str, Any],
    needs: dict[str, float],
    name: str,
    folder: Path,
    callbacks: list[Any],
) -> Any:
    """Ray's TorchTrainer. Of what it writes to `folder` nothing is read: docs/design/checkpoints.md says why."""
    import ray.train
    from ray.train.torch import TorchTrainer

    from jobs.training.torch_backend import WorkerTorchConfig

    v2: Any = ray.train  # its annotations are those of Train V1
    least, most = settings.min_workers or settings.workers, settings.workers
    work: Any = _train_loop
    return TorchTrainer(
        work,
        train_loop_config=loop_config,
        torch_config=WorkerTorchConfig(),
        scaling_config=v2.ScalingConfig(
            num_workers=most if least == most else (least, most),
            use_gpu=settings.gpu,
            resources_per_worker=needs,
            elastic_resize_monitor_interval_s=settings.resize_seconds,
        ),
        run_config=v2.RunConfig(
            name=name,
            storage_path=str(folder),
            failure_config=v2.FailureConfig(max_failures=settings.max_failures),
            callbacks=callbacks,
        ),
    )


def checkpoints_of(job: Job) -> Path:
    """The folder of the job's checkpoints, marked as such: in its run directory, or one of its own in ray.storage."""
    found: Path = job.out / "checkpoints"
    if job.config.ray.storage is not None:
        note = job.out / "checkpoints.json"
        if not note.exists():
            folder = f"{job.config.ray.storage.rstrip('/')}/{job.identity[:12]}-{uuid.uuid4().hex[:6]}"
            write_json(note, {"place": str(_absolute(folder))})
        found = to_path(read_json(note)["place"])
    write_json(found / OWNER, {"identity": job.identity, "out": str(job.out)})
    return found


def _absolute(folder: str) -> Path:
    found = to_path(folder)
    return found if is_remote(found) else found.absolute()


def _keeping(job: Job) -> Any:
    from peace.training.checkpoint_manager import RetentionPolicy

    settings = job.config.ray
    return RetentionPolicy(settings.keep_last, settings.keep_best, settings.checkpoint_minutes)


def records_mb(shards_place: str, limit_mb: float) -> float:
    """What a worker holds of the training records: nothing where they pass `limit_mb` and are streamed."""
    from peace.data.shards import ShardSet
    from peace.training.streaming import fits_in_memory

    shards = ShardSet.open(shards_place)
    if not fits_in_memory(shards, limit_mb):
        return 0.0
    return shards.splits.get("train", 0) * 2 * 12 * shards.length / 2**20


def _train_loop(settings: dict[str, Any]) -> dict[str, Any]:
    """What each worker runs; returns `fault`, the message of a mistake for which no retry helps, and why it left."""
    import ray
    import ray.train
    import torch
    from ray.train.torch import get_device

    from jobs.training.preemption import Preempted, PreemptionNotice, StopReason, begin_training
    from peace.training.checkpoint_manager import CheckpointManager, RetentionPolicy
    from peace.training.train import train

    torch.set_num_threads(settings["threads"])
    context = ray.train.get_context()
    board = settings["board"]
    first = context.get_world_rank() == 0
    fault = ray.get(board.start.remote(context.get_world_size(), first))
    if fault is not None:
        return {"fault": fault}
    try:
        checkpoints = to_path(settings["checkpoints"])
        if not (checkpoints / OWNER).exists():
            raise DataError(
                f"the worker on {ray.util.get_node_ip_address()} does not see {checkpoints}: set --out or ray.storage "
                f"to a path that all nodes can reach, such as a shared mount or s3://BUCKET/FOLDER"
            )
        store = CheckpointManager(
            checkpoints, RetentionPolicy(**settings["keeping"]), lambda text: board.warn.remote(text)
        )
        hooks = _Hooks(board, first, PreemptionNotice(settings["watch_nodes"]))
        begin_training()
        device = get_device()
        if device.type == "cuda":
            torch.cuda.set_device(device)
        left = train(settings["plan"], hooks.made(), store, device=device)
    except PeaceError as error:
        if context.get_world_size() == 1:
            return {"fault": str(error)}
        if not isinstance(error, StoreError):
            ray.get(board.give_up.remote(str(error)))
        raise
    if left == StopReason.MOVE:
        raise Preempted("this worker's machine goes: a checkpoint is written, the training resumes from it elsewhere")
    return {"left": left}


class _Hooks:
    """A worker's side of the board."""

    def __init__(self, board: Any, first: bool, notice: PreemptionNotice) -> None:
        self._board = board
        self._first = first
        self._notice = notice
        self._said: Any = None
        self._when = 0.0
        self._stop = 0

    def made(self) -> Any:
        from peace.training.run import Hooks

        return Hooks(self.step, self.epoch, lambda metrics: self._board.epoch.remote(metrics), self.should_stop)

    def step(self, done: int, total: int) -> None:
        """Tell the board, now and then, and read what it answered the last time, without waiting for it."""
        import ray

        if not self._first:
            return
        if self._said is not None and ray.wait([self._said], timeout=0)[0]:
            self._stop = ray.get(self._said)
            self._said = None
        if done == total or (self._said is None and time.monotonic() - self._when > SECONDS_BETWEEN_NOTES):
            self._said, self._when = self._board.step.remote(done, total), time.monotonic()

    def epoch(self, metrics: dict[str, Any]) -> None:
        """Report the epoch to Ray Train and its callbacks, such as Tune's; a barrier of all workers."""
        import ray.train

        ray.train.report(metrics)

    def should_stop(self) -> int:
        """Whether this worker is to go, and why."""
        from jobs.training.preemption import StopReason

        return max(self._stop, StopReason.MOVE if self._notice.given() else StopReason.STAY)


def _fit(trainer: Any, board: Any, grace_seconds: float) -> Any:
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
    except KeyboardInterrupt:
        _stop_in_order(outcome, board, grace_seconds)
        raise


def _stop_in_order(outcome: Future[Any], board: Any, grace_seconds: float) -> None:
    """Give the workers time for a checkpoint; another interrupt cuts it short."""
    import ray

    from jobs.training.preemption import StopReason

    with suppress(Exception):
        if ray.get(board.request_stop.remote(StopReason.STOP), timeout=grace_seconds):
            print(f"\na checkpoint of the next step is taken, within {grace_seconds:g} s", file=sys.stderr)
            outcome.result(timeout=grace_seconds)


def _mistake(error: BaseException | None) -> PeaceError | None:
    """The PeaceError behind an error that Ray has wrapped."""
    while error is not None and not isinstance(error, PeaceError):
        error = getattr(error, "cause", None) or error.__cause__
    return error
