"""One way to Ray for every verb: join the cluster that is named, or start one of this machine's own."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from peace.config import RayConfig
from peace.core.errors import DataError
from peace.core.storage import STORE_ENVIRONMENT

# Set before ray is imported, where the user has not set them: no usage reports, no hint about accelerators on every
# start, and a look at the workers every fifth of a second instead of every two: the end of an epoch waits for it.
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
}
# Ray's default is 30 % of the memory, in /dev/shm; our datasets stream, and other jobs live here too.
LARGEST_STORE_BYTES = 2 * 1024**3
SMALLEST_STORE_BYTES = 256 * 1024**2
PREFIX = "peace-ray-"
LONGEST_SOCKET = 107  # bytes of a socket's path
SESSION = "session_2026-01-31_23-59-59_123456_"  # and a process id, as Ray names it
SHORT_HOMES = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))


@contextmanager
def ray_session(config: RayConfig, dashboard: bool = False) -> Iterator[None]:
    """Ray, ready to use, inside the block.

    An initialised Ray is used as it is. Otherwise `ray.address`, then RAY_ADDRESS, names a cluster to join; without
    either a cluster of this machine's own is started, and ended with the block (never another's: no `ray stop`).
    `dashboard`: start that cluster with one. Ray Train frees the resources of killed trials through it.
    Raises DataError where the named cluster cannot be reached.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        _quiet()
        yield
        return
    address = config.address or os.environ.get("RAY_ADDRESS")
    if address and address != "local":
        _join(address)
        try:
            yield
        finally:
            ray.shutdown()
        return
    with _own_cluster(dashboard):
        yield


def _join(address: str) -> None:
    import ray

    os.environ.setdefault("RAY_TRAIN_ENABLE_STATE_TRACKING", "1")  # trainings on the dashboard's page of Ray Train
    try:
        _knock(address)
        with _our_signal_handlers():
            ray.init(
                address=address, log_to_driver=False, logging_level=logging.ERROR, runtime_env=_store_environment()
            )
    except (OSError, ValueError) as error:  # a ConnectionError is an OSError
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"cannot join the Ray cluster at {address} ({first}): check ray.address, RAY_ADDRESS, "
            "and where it asks for a token RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH"
        ) from None
    _quiet()


def _store_environment() -> dict[str, Any] | None:
    """Which object store we mean, for workers elsewhere; a submitted job's own environment reaches them already."""
    found = {name: os.environ[name] for name in STORE_ENVIRONMENT if name in os.environ}
    return {"env_vars": found} if found and "RAY_JOB_CONFIG_JSON_ENV_VAR" not in os.environ else None


def _knock(address: str) -> None:
    """Raise OSError at once where nobody listens: Ray itself would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


@contextmanager
def _own_cluster(dashboard: bool) -> Iterator[None]:
    """A local cluster with its session files in a folder of its own."""
    import ray

    home = session_home()
    _sweep(home)
    place = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=home))
    try:
        with _our_signal_handlers():
            # 'local' keeps ray.init from joining whatever cluster it finds on this machine
            ray.init(
                address="local",
                include_dashboard=dashboard,
                log_to_driver=False,
                logging_level=logging.ERROR,
                object_store_memory=_store_bytes(),
                _temp_dir=str(place),
            )
        _quiet()
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _our_signal_handlers() -> Iterator[None]:
    """Keep the handlers of SIGINT and SIGTERM: ray.init puts in its own, which abort instead of ending in order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in ours.items():
            if handler is not None:
                signal.signal(number, handler)


def session_home() -> Path:
    """The folder to put Ray's files in: the temporary folder, or a shorter one where its sockets would not fit.

    Raises DataError where there is none that can be written.
    """
    wanted = Path(tempfile.gettempdir()).absolute()
    for home in (wanted, *SHORT_HOMES):
        socket_path = home / f"{PREFIX}{os.getpid()}-12345678" / f"{SESSION}{os.getpid()}" / "sockets" / "plasma_store"
        if len(os.fsencode(socket_path)) <= LONGEST_SOCKET and os.access(home, os.W_OK | os.X_OK):
            return home
    raise DataError(f"TMPDIR {wanted} is too long for Ray's sockets, and no shorter folder can be written: name one")


def _sweep(home: Path) -> None:
    """Remove session files that killed jobs of ours left behind."""
    for place in home.glob(f"{PREFIX}*-*"):
        pid = place.name.removeprefix(PREFIX).split("-")[0]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists() and Path("/proc/self").exists():
            shutil.rmtree(place, ignore_errors=True)


def _store_bytes() -> int:
    """A quarter of what is free in /dev/shm, within bounds."""
    try:
        free = shutil.disk_usage("/dev/shm").free
    except OSError:
        return SMALLEST_STORE_BYTES
    return max(SMALLEST_STORE_BYTES, min(LARGEST_STORE_BYTES, free // 4))


def _quiet() -> None:
    """Ray Data's own bars and notices off the console: the verb shows one bar, and Ray's log files keep the rest."""
    import ray.data

    ray.data.DataContext.get_current().enable_progress_bars = False
    for name in ("ray.data", "ray.train", "ray.tune"):
        for handler in logging.getLogger(name).handlers:
            if isinstance(handler, logging.StreamHandler):
                handler.setLevel(logging.ERROR)
