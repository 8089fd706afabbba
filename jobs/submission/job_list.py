"""The jobs that a cluster knows: list, describe and stop them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from jobs.submission.client import asked, connect

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
POLL_SECONDS = 1.0


def submitted(client: JobSubmissionClient, address: str) -> list[JobDetails]:
    """The submitted jobs, the oldest first."""
    found = [details for details in asked(address, client.list_jobs) if details.submission_id]
    return sorted(found, key=lambda details: details.start_time or 0)


def described(details: JobDetails) -> dict[str, Any]:
    """A job for tables and JSON; times are in seconds since 1970."""
    metadata = details.metadata or {}
    return {
        "job": details.submission_id,
        "state": str(details.status.value),
        "verb": metadata.get("verb"),
        "out": metadata.get("out"),
        "command": details.entrypoint,
        "started": details.start_time / 1000 if details.start_time else None,
        "ended": details.end_time / 1000 if details.end_time and details.status in ENDED else None,
        "exit_code": details.driver_exit_code,
    }


def stop(client: JobSubmissionClient, address: str, name: str) -> None:
    """Ask a job to end as Ctrl-C does."""
    asked(address, lambda: client.stop_job(name))


def stop_all(address: str, patience: float) -> list[str]:
    """Stop every running job of a cluster and wait for them; returns their names."""
    client = connect(address)
    running = [str(details.submission_id) for details in submitted(client, address) if details.status not in ENDED]
    for name in running:
        stop(client, address, name)
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if all(details.status in ENDED for details in submitted(client, address)):
            break
        time.sleep(POLL_SECONDS)
    return running
