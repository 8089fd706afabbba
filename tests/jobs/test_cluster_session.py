"""One way to Ray: a cluster of our own, the one that is named, or the one that is there."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from jobs.runtime.ray_session import session_home
from peace.core.errors import DataError

OWN = """
import signal, tempfile
from pathlib import Path
import ray
from jobs.runtime.ray_session import PREFIX, ray_session, session_home
from peace.config import RayConfig
signal.signal(signal.SIGTERM, lambda *_: None)
ours = signal.getsignal(signal.SIGTERM)
assert len(tempfile.gettempdir()) > 100
dead = session_home() / f"{PREFIX}999999999-x"
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


def test_own_cluster_serves_guests_and_goes_with_its_block(tmp_path: Path) -> None:
    """The temporary folder is one whose sockets Ray could not name."""
    long = tmp_path / ("long" * 25)
    long.mkdir()
    env = {**os.environ, "TMPDIR": str(long)}
    done = subprocess.run([sys.executable, "-c", OWN], capture_output=True, text=True, timeout=120, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_a_temporary_folder_is_kept_where_it_is_short_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for length, kept in ((10, True), (19, False), (200, False)):
        folder = Path("/tmp") / ("t" * (length - len("/tmp/")))
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        monkeypatch.setattr(os, "access", lambda home, mode: True)
        monkeypatch.setattr(os, "getpid", lambda: 1234567)
        assert session_home() == (folder if kept else Path("/tmp"))
        monkeypatch.setattr(os, "access", lambda home, mode: len(str(home)) > 9)
        if not kept:
            with pytest.raises(DataError, match=f"TMPDIR {folder} is too long"):
                session_home()


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
