"""How a training worker learns that it is to go: a SIGTERM, its machine being drained, or the driver's word."""

from __future__ import annotations

import signal
import socket
import threading
from enum import IntEnum
from typing import Any

from ray.train.v2._internal.execution.callback import WorkerCallback


class Leave(IntEnum):
    """Why a training leaves before its end; the higher counts."""

    STAY = 0
    MOVE = 1  # a worker's machine goes: take a checkpoint, and go on elsewhere
    STOP = 2  # the job goes: take a checkpoint, and go on when the command comes again


class Moving(Exception):
    """Raised behind the checkpoint of a worker that is to go, so that Ray starts the workers again."""


_told = threading.Event()
_training = threading.Event()


class WorkerSetup(WorkerCallback):
    """What is done in the main thread of each worker's process, before it trains in another.

    Ray offers no public place for it: signal handlers can be set in the main thread alone.
    """

    def after_init_train_context(self) -> None:
        """Put the handler of SIGTERM in, and tell gloo which network the other machines are on."""
        earlier: Any = signal.getsignal(signal.SIGTERM)

        def handle(number: int, frame: Any) -> None:
            if _told.is_set() or not _training.is_set():
                earlier(number, frame)
            _told.set()

        signal.signal(signal.SIGTERM, handle)
        name_network()


def begin_training() -> None:
    """From now on a SIGTERM waits for the next step; a second one does not."""
    _training.set()


def asked_to_move() -> bool:
    """Whether this process got a SIGTERM, or Ray drains a machine of this training."""
    from ray.train.v2._internal.execution.context import get_train_context

    # ray.train.get_preemption_info is the public way, but a barrier of all workers: too slow for every step
    return _told.is_set() or get_train_context().preemption_context.preemption_info is not None


def name_network() -> None:
    """Let gloo and NCCL speak over the interface of this node's address: gloo's choice is that of the host's name."""
    import os

    import psutil
    import ray

    address = ray.util.get_node_ip_address()
    for name, addresses in psutil.net_if_addrs().items():
        if any(found.family == socket.AF_INET and found.address == address for found in addresses):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
            os.environ.setdefault("NCCL_SOCKET_IFNAME", name)
