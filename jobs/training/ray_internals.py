"""Ray Train's trainer without what the trainings here do not use.

Each process that Ray Train starts imports for more than a second of a core before the first step and wakes up again all
through the training: on a few cores that is what a short training waits for. Ray offers no switches for it, hence a
class of its own over those of Ray (pinned in constraints.txt).
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import ray
from ray._common.network_utils import build_address
from ray.exceptions import GetTimeoutError
from ray.train._internal.utils import get_address_and_port
from ray.train.backend import Backend, BackendConfig
from ray.train.v2._internal.callbacks import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.callbacks.preemption_callback import PreemptionCallback as Preemption
from ray.train.v2._internal.constants import get_env_vars_to_propagate
from ray.train.v2._internal.execution.controller import TrainController
from ray.train.v2._internal.execution.scaling_policy import FixedScalingPolicy
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

SECONDS_BETWEEN_POLLS = 0.5  # Ray's default of two seconds is what the end of a training waits for
SECONDS_TO_LEAVE = 30.0


class Trainer(DataParallelTrainer):
    """Trains on workers that read their records themselves and form one group of torch.distributed.

    `outlived`: the job may outlive the driver of this training, as a sweep does its trials, so that somebody has to
    give back what a killed one had reserved. `drained`: a machine may be taken away and leave others to go on with.
    """

    def __init__(self, work: Any, outlived: bool, drained: bool, **options: Any) -> None:
        super().__init__(work, backend_config=TorchGroup(), **options)
        self._unused = (DatasetsCallback,) if outlived else (DatasetsCallback, PlacementGroupCleanerCallback)
        self._drained = drained

    def _create_default_callbacks(self) -> list[Any]:
        return [found for found in super()._create_default_callbacks() if not isinstance(found, self._unused)]

    def _initialize_and_run_controller(self, **options: Any) -> Any:
        policy = options["scaling_policy"]
        if isinstance(policy, FixedScalingPolicy):
            options["scaling_policy"] = FixedNumber(policy.scaling_config)
        # where no variables are set for it, a process that is up already takes it
        variables = get_env_vars_to_propagate()
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        environment: dict[str, Any] = {"runtime_env": {"env_vars": variables}} if variables else {}
        remote: Any = ray.remote(Controller)
        controller = remote.options(num_cpus=0, scheduling_strategy=here, **environment).remote(
            self._drained, **options
        )
        ray.get(controller.run.remote())
        return ray.get(controller.get_result.remote())


class Controller(TrainController):
    """Ray's controller, which looks at the workers more often, and for drained machines where there are others."""

    def __init__(self, drained: bool, **options: Any) -> None:
        super().__init__(**options)
        self._health_check_interval_s = min(self._health_check_interval_s, SECONDS_BETWEEN_POLLS)
        if not drained:
            kept = [found for found in self._worker_group_callbacks_to_propagate if not isinstance(found, Preemption)]
            self._worker_group_callbacks_to_propagate = kept


class FixedNumber(FixedScalingPolicy):
    """A fixed number of workers, which the reservation asks the cluster for: nothing is announced beside it."""

    def after_controller_start(self, train_run_context: Any) -> None:
        """Announce nothing."""

    def _maybe_send_resource_request(self) -> None:
        """Announce nothing."""


class TorchGroup(BackendConfig):
    """A group of torch.distributed, as Ray's TorchConfig; torch is imported by the workers alone."""

    @property
    def backend_cls(self) -> Any:
        """What starts and ends the group."""
        return _TorchGroup


class _TorchGroup(Backend):
    share_cuda_visible_devices = True

    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        """Let the workers join; one alone needs no group."""
        world = len(worker_group)
        if world == 1:
            return
        address, port = worker_group.execute_single(0, get_address_and_port)
        backend = "nccl" if worker_group.get_resources_per_worker().get("GPU", 0) else "gloo"
        place = f"tcp://{build_address(address, port)}"
        ray.get([worker_group.execute_single_async(rank, _join, backend, rank, world, place) for rank in range(world)])

    def on_shutdown(self, worker_group: Any, backend_config: Any) -> None:
        """Let them leave, those that still can."""
        if len(worker_group) > 1:
            with suppress(GetTimeoutError):
                ray.get(worker_group.execute_async(_leave), timeout=SECONDS_TO_LEAVE)


def _join(backend: str, rank: int, world: int, place: str) -> None:
    from ray.train.torch.config import _setup_torch_process_group

    _setup_torch_process_group(backend, rank, world, place)


def _leave() -> None:
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()
