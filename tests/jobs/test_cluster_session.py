"""One way to Ray: a cluster of our own, the one that is named, or the one that is there."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

OWN = """
import signal, tempfile
from pathlib import Path
import ray
from jobs.runtime.ray_session import PREFIX, ray_session
from peace.config import RayConfig
signal.signal(signal.SIGTERM, lambda *_: None)
ours = signal.getsignal(signal.SIGTERM)
dead = Path(tempfile.gettempdir()) / f"{PREFIX}999999999-x"
dead.mkdir(exist_ok=True)
with ray_session(RayConfig()):
    assert not dead.exists()
    assert signal.getsignal(signal.SIGTERM) is ours
    address = ray.get_runtime_context().gcs_address
    with ray_session(RayConfig()):
        assert ray.get_runtime_context().gcs_address == address
    assert ray.is_initialized()
    import os, subprocess, sys
    join = (
        "import sys, ray\\n"
        "from jobs.runtime.ray_session import ray_session\\n"
        "from peace.config import RayConfig\\n"
        "with ray_session(RayConfig(address=sys.argv[1])):\\n"
        "    print(ray.get(ray.remote(lambda: __import__('os').environ['AWS_ENDPOINT_URL']).remote()))\\n"
    )
    env = {**os.environ, "AWS_ENDPOINT_URL": "http://store"}
    joined = subprocess.run([sys.executable, "-c", join, address], capture_output=True, text=True, check=True, env=env)
    assert joined.stdout.strip() == "http://store", joined
    assert ray.get(ray.remote(lambda: 1).remote()) == 1  # the guest's leaving did not end the cluster
assert not ray.is_initialized()
"""


def test_own_cluster_serves_guests_and_goes_with_its_block() -> None:
    done = subprocess.run([sys.executable, "-c", OWN], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "nonsense"])
def test_unreachable_cluster_is_said_at_once(address: str) -> None:
    script = (
        "import sys\n"
        "from jobs.runtime.ray_session import ray_session\n"
        "from peace.config import RayConfig\n"
        "with ray_session(RayConfig(address=sys.argv[1])): pass\n"
    )
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", script, address], capture_output=True, text=True, timeout=60)
    assert f"DataError: cannot join the Ray cluster at {address}" in done.stderr
    assert time.perf_counter() - started < 30
