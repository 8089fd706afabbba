"""Ray Train's torch backend, with what must be set in the main thread of each worker before it trains in another."""

from __future__ import annotations

from typing import Any

from ray.train.torch import TorchConfig

from jobs.training.preemption import prepare_worker

_Base: Any = TorchConfig().backend_cls


class WorkerTorchConfig(TorchConfig):
    """`ray.train.torch.TorchConfig` whose workers know SIGTERM and the network of the other machines.

    `ray.train.backend.Backend` is Ray's extension point for it: it runs functions in a worker's main thread, the only
    one that may set signal handlers, where the training function runs in a thread of its own.
    """

    @property
    def backend_cls(self) -> Any:
        """What starts and ends the process group."""
        return WorkerTorchBackend


class WorkerTorchBackend(_Base):
    """Prepares the workers, then lets Ray start the process group of torch.distributed."""

    def on_start(self, worker_group: Any, backend_config: TorchConfig) -> None:
        """Called by Ray Train's controller when the workers are up."""
        worker_group.execute(prepare_worker)
        super().on_start(worker_group, backend_config)
