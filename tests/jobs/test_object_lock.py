"""The lock of an output directory in an object store: one writer, killed writers, writers that lost it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from s3_server import S3Server, s3_server

from jobs.runtime import s3_lock as object_lock
from jobs.runtime.run_directory import only_writer
from peace.core.errors import DataError
from peace.core.storage import to_path


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    """A store with the bucket runs."""
    with s3_server() as found:
        store: Any = to_path("s3://runs/x")
        store.fs.mkdir("runs")
        yield found


def test_one_of_many_jobs_wins(server: S3Server) -> None:
    out = to_path("s3://runs/contested")
    start, told, won = threading.Barrier(6), [], []

    def job() -> None:
        start.wait()
        try:
            with only_writer(out):
                won.append(1)
                time.sleep(1)
        except DataError as error:
            told.append(str(error))

    jobs = [threading.Thread(target=job) for _ in range(6)]
    for thread in jobs:
        thread.start()
    for thread in jobs:
        thread.join()
    assert (len(won), len(told)) == (1, 5)
    assert f"process {os.getpid()}" in told[0]
    with only_writer(out):  # and what it held is free again
        pass


def test_a_store_without_conditions_is_warned_of(
    server: S3Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with only_writer(to_path("s3://runs/guarded")):
        assert capsys.readouterr().err == ""
    monkeypatch.setattr(server, "conditional", False)
    with only_writer(to_path("s3://runs/unguarded")):
        assert "ignores conditional writes" in capsys.readouterr().err


KILLED = """
import os, sys
from jobs.runtime.run_directory import only_writer
from peace.core.storage import to_path
with only_writer(to_path(sys.argv[1])):
    os.kill(os.getpid(), 9)
"""


def test_a_lock_that_a_killed_job_left_goes(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    out = to_path("s3://runs/left")
    subprocess.run([sys.executable, "-c", KILLED, str(out)], check=False)
    assert (out / ".lock").exists()
    home = object_lock._home()
    monkeypatch.setattr(object_lock, "_home", lambda: "another machine")
    with pytest.raises(DataError, match="if it was killed, its lock expires in"), only_writer(out):
        pass
    monkeypatch.setattr(object_lock, "_home", lambda: home)
    with only_writer(out):  # here its process can be seen to be gone
        pass
    subprocess.run([sys.executable, "-c", KILLED, str(out)], check=False)
    monkeypatch.setattr(object_lock, "_home", lambda: "another machine")
    monkeypatch.setattr(object_lock, "EXPIRES_SECONDS", 1.0)
    time.sleep(2.5)
    with only_writer(out):
        pass


@pytest.mark.heavy
def test_beats_keep_a_lock_and_a_job_that_lost_it_ends(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_lock, "BEAT_SECONDS", 0.3)
    monkeypatch.setattr(object_lock, "EXPIRES_SECONDS", 2.0)
    out = to_path("s3://runs/beaten")
    with only_writer(out):
        time.sleep(3)
        with pytest.raises(DataError, match="another job is writing"), only_writer(out):
            pass

    def overtaken() -> None:
        with only_writer(out):
            (out / ".lock").write_text('{"token": "of another"}')
            time.sleep(10)

    with pytest.raises(DataError, match="another job has taken over"):
        overtaken()
    assert json.loads((out / ".lock").read_text()) == {"token": "of another"}
