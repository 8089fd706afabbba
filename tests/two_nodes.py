"""Ray nodes that are machines to each other: network namespaces on a bridge; they share processors and disk alone.

Needs root and iproute2. What a node must not see of this machine's disk can be hidden from it, so that a test knows
that its files came over the network. Servers of a test listen at `gateway`, which every node reaches.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

BIN = Path(sys.executable).parent
GCS_PORT = 6379
STORE_BYTES = 2**27
START_SECONDS = 120
TRIES = 3  # Ray itself gives up on a machine that is busy with other things after 30 s


class Nodes:
    """The nodes of one cluster. The first that is started is its head."""

    def __init__(self, number: int, hidden: Sequence[Path], environment: Mapping[str, str]) -> None:
        self.prefix = f"10.{200 + number // 250}.{1 + number % 250}"
        self.gateway = f"{self.prefix}.1"
        self.bridge = f"peace{number}"
        self.hidden = hidden
        self.folder = Path(tempfile.mkdtemp(prefix="nodes-"))
        self.environment = {
            **os.environ,
            "RAY_TMPDIR": str(self.folder),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "disabled",  # whatever token lies in this home
            **environment,
        }
        self._started: dict[str, int] = {}

    @property
    def address(self) -> str:
        """Of the head, as ray.address takes it."""
        return f"{self.prefix}.2:{GCS_PORT}"

    def ip(self, name: str) -> str:
        """The address of a node."""
        return f"{self.prefix}.{self._started[name]}"

    def start(self, name: str, cpus: int = 1, *options: str) -> None:
        """Start a node and wait until it has joined; `options` go to `ray start` (dashboard, resources)."""
        head = not self._started
        self._started.setdefault(name, 2 + len(self._started))
        if not Path(f"/run/netns/{self._space(name)}").exists():
            self._connect(name)
        words = ["--head", f"--port={GCS_PORT}"] if head else [f"--address={self.address}"]
        if head and not any("dashboard" in option for option in options):
            words.append("--include-dashboard=false")
        words += [f"--node-ip-address={self.ip(name)}", f"--num-cpus={cpus}", f"--object-store-memory={STORE_BYTES}"]
        log = self.folder / f"{name}.log"
        for _ in range(TRIES):
            with log.open("w") as stream:
                command = [BIN / "ray", "start", *words, *options]
                if self.popen(name, command, stdout=stream, stderr=subprocess.STDOUT).wait(START_SECONDS) == 0:
                    return
            self.kill(name)
        raise AssertionError(log.read_text())

    def popen(self, name: str, command: Sequence[str | Path], **options: Any) -> subprocess.Popen[str]:
        """A process on a node, first of its session."""
        hide = " && ".join([*(f"mount -t tmpfs none {place}" for place in self._hidden(name)), 'exec "$@"'])
        words = ["ip", "netns", "exec", self._space(name), "sh", "-c", hide, "sh", *map(str, command)]
        options = {"env": self.environment, "text": True, "start_new_session": True, **options}
        return subprocess.Popen(words, **options)

    def pids(self, name: str) -> list[int]:
        """The processes of a node."""
        listed = subprocess.run(["ip", "netns", "pids", self._space(name)], capture_output=True, text=True)
        return [int(word) for word in listed.stdout.split()]

    def kill(self, name: str) -> None:
        """The machine is gone: SIGKILL to all that runs on it."""
        end = time.monotonic() + 30
        while (pids := self.pids(name)) and time.monotonic() < end:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    def close(self) -> None:
        """End everything and take the network down."""
        for name in reversed(list(self._started)):
            self.kill(name)
            _ip("netns", "del", self._space(name))
        _ip("link", "del", self.bridge)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _space(self, name: str) -> str:
        return f"{self.bridge}-{name}"

    def _hidden(self, name: str) -> Sequence[Path]:
        return () if self._started[name] == 2 else self.hidden

    def _connect(self, name: str) -> None:
        space, outer = self._space(name), f"{self.bridge}v{self._started[name]}"
        _ip("netns", "add", space, check=True)
        _ip("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", space, check=True)
        _ip("link", "set", outer, "master", self.bridge, "up", check=True)
        inside = ["-n", space]
        _ip(*inside, "addr", "add", f"{self.ip(name)}/24", "dev", "eth0", check=True)
        _ip(*inside, "link", "set", "eth0", "up", check=True)
        _ip(*inside, "link", "set", "lo", "up", check=True)
        _ip(*inside, "route", "add", "default", "via", self.gateway, check=True)


@contextmanager
def nodes(hidden: Sequence[Path] = (), environment: Mapping[str, str] | None = None) -> Iterator[Nodes]:
    """A bridge with no node on it yet; everything is ended and removed at the end of the block.

    `hidden` are folders that all nodes but the head see empty. Skips where this machine does not allow it.
    """
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    number = os.getpid() % 10000
    made = Nodes(number, hidden, environment or {})
    if _ip("link", "add", made.bridge, "type", "bridge").returncode != 0:
        shutil.rmtree(made.folder)
        pytest.skip("this machine allows no network of our own")
    try:
        _ip("addr", "add", f"{made.gateway}/24", "dev", made.bridge, check=True)
        _ip("link", "set", made.bridge, "up", check=True)
        yield made
    finally:
        made.close()


def _ip(*words: str, check: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=check)
