"""`peace jobs`: the jobs on a cluster.

    peace jobs list
    peace jobs logs JOB         follows until the job ends; --no-follow prints what there is
    peace jobs wait JOB         ends with the job's exit code
    peace jobs stop JOB

JOB may be the beginning of a name; without one the latest job is meant.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING, Any

from jobs.runtime.console import hours_minutes_seconds
from jobs.runtime.harness import Job, Table, Verb, main
from peace.core.errors import ConfigError

if TYPE_CHECKING:
    from ray.job_submission import JobDetails


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument("action", choices=("list", "logs", "wait", "stop"))
    parser.add_argument("job", nargs="?", metavar="JOB", help="its name or the beginning of it; default: the latest")
    parser.add_argument("--address", metavar="URL", help="http://HEAD:8265; default as for `peace submit`")
    parser.add_argument("--no-follow", action="store_true", help="logs: what there is, without waiting for more")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")


def work(job: Job) -> dict[str, Any]:
    """Ask the cluster."""
    from jobs.submission.client import asked, connect, exit_code_of, find_address, job_details
    from jobs.submission.follow import follow, wait_for
    from jobs.submission.job_list import described, stop, submitted

    args = job.args
    address = find_address(args.address)
    client = connect(address)
    if args.action == "list":
        return {"address": address, "jobs": [described(details) for details in submitted(client, address)]}
    name = chosen(submitted(client, address), args.job)
    words = sys.stderr if args.json else sys.stdout
    if args.action == "stop":
        stop(client, address, name)
        details = wait_for(client, address, name)
        return {"address": address, "jobs": [described(details)]}
    if args.action == "logs" and args.no_follow:
        print(asked(address, lambda: client.get_job_logs(name)), end="", file=words)
        details = job_details(client, address, name)
        return {"address": address, "jobs": [described(details)], "shown": True}
    details = follow(client, address, name, words) if args.action == "logs" else wait_for(client, address, name)
    return {"address": address, "jobs": [described(details)], "exit_code": exit_code_of(details)}


def chosen(jobs: list[JobDetails], name: str | None) -> str:
    """The full name of a job. Raises ConfigError where none, or more than one, is meant."""
    names = [str(details.submission_id) for details in jobs]
    if name is None:
        if not names:
            raise ConfigError("the cluster has no jobs yet")
        return names[-1]
    meant = [name] if name in names else [full for full in names if full.startswith(name)]
    if len(meant) != 1:
        which = f"{len(meant)} jobs begin with {name}" if meant else f"no job is called {name}"
        raise ConfigError(f"{which}; `peace jobs list` shows them")
    return meant[0]


def tables(result: dict[str, Any]) -> list[Table]:
    """A line a job."""
    from datetime import datetime

    if result.get("shown"):
        return []
    rows = [
        (
            item["job"],
            item["verb"] or "",
            item["state"].lower(),
            "" if item["exit_code"] is None else str(item["exit_code"]),
            datetime.fromtimestamp(item["started"]).strftime("%Y-%m-%d %H:%M:%S") if item["started"] else "",
            _duration(item),
            item["out"] or "",
        )
        for item in result["jobs"]
    ]
    return [Table(f"jobs at {result['address']}", ("job", "verb", "state", "exit", "since", "took", "out"), rows)]


def _duration(item: dict[str, Any]) -> str:
    if not item["started"]:
        return ""
    return hours_minutes_seconds((item["ended"] or time.time()) - item["started"])


VERB = Verb(
    name="jobs",
    summary="The jobs on a cluster: list, logs, wait, stop.",
    add_arguments=add_arguments,
    work=work,
    tables=tables,
    sections=(),
    final=False,
    tracked=False,
    keeps_run=False,
    exit_code=lambda result: int(result.get("exit_code", 0)),
)

if __name__ == "__main__":
    sys.exit(main(VERB))
