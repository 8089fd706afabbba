"""How a training worker learns that it has to stop: a SIGTERM, a node that is drained, or the driver's request."""

from __future__ import annotations

import signal
import socket
import threading
from enum import IntEnum
from typing import Any

STEPS_BETWEEN_CHECKS = 10  # each is a barrier of all workers; a notice comes half a minute ahead or more


class StopReason(IntEnum):
    """Why a training leaves before its end; the higher counts."""

    STAY = 0
    MOVE = 1  # a worker's machine goes: take a checkpoint, and go on elsewhere
    STOP = 2  # the job goes: take a checkpoint, and go on when the command comes again


class Preempted(Exception):
    """Raised behind the checkpoint of a worker that is to go, so that Ray starts the workers again."""


_terminated = threading.Event()
_training = threading.Event()


def prepare_worker() -> None:
    """Install the handler of SIGTERM, and tell gloo which network the other machines are on. In the main thread."""
    earlier: Any = signal.getsignal(signal.SIGTERM)

    def handle(number: int, frame: Any) -> None:
        if _terminated.is_set() or not _training.is_set():
            earlier(number, frame)
        _terminated.set()

    signal.signal(signal.SIGTERM, handle)
    name_network()


def begin_training() -> None:
    """From now on a SIGTERM waits for the next step; a second one does not."""
    _training.set()


class PreemptionNotice:
    """Whether this worker has to move. Every worker must ask once a step, since Ray's answer is a collective."""

    def __init__(self, watch_nodes: bool) -> None:
        self._watch_nodes = watch_nodes
        self._steps = 0

    def given(self) -> bool:
        """Whether this process got a SIGTERM, or Ray drains a node of this training (asked every few steps)."""
        import ray.train

        self._steps += 1
        v2: Any = ray.train
        draining = False
        if self._watch_nodes and self._steps % STEPS_BETWEEN_CHECKS == 0:
            draining = v2.get_preemption_info() is not None
        return draining or _terminated.is_set()


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
