"""`peace status`: the jobs that run now, with stage, rate and time left.

peace status                     run directories below ./runs, and the jobs of a cluster where one is known
peace status /shared/runs s3://bucket/runs/pretrain
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from jobs.runtime.console import hours_minutes_seconds
from jobs.runtime.harness import Job, Table, Verb, main
from jobs.runtime.progress_file import NAME, read_progress
from peace.core.errors import ConfigError, PeaceError
from peace.core.storage import is_remote, to_path, translate_errors

DEPTH = 3  # of run directories below the ones named


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument("places", type=to_path, nargs="*", metavar="DIR", help="run directories, or what holds some")
    parser.add_argument("--address", metavar="URL", help="http://HEAD:8265; default as for `peace submit`")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")


def work(job: Job) -> dict[str, Any]:
    """Look into the directories and ask the cluster; a job that both know is told of once."""
    places = job.args.places or ([Path("runs")] if Path("runs").is_dir() else [])
    found = {item["out"]: item for folder in places for item in below(folder)}
    for item in on_cluster(job.args.address):
        out = item["out"]
        known = found.pop(out, None) if out else None
        known = known or (read_progress(to_path(out)) if out else None) or {}
        found[out or item["job"]] = {**item, **known, "job": item["job"]}
    return {"jobs": sorted(without_stages(list(found.values())), key=lambda item: item.get("started") or 0.0)}


def below(folder: Path) -> Iterator[dict[str, Any]]:
    """The running jobs in a directory and below it."""
    if is_remote(folder):
        store = cast(Any, folder)
        with translate_errors(folder):
            files = store.fs.glob(f"{store.path.rstrip('/')}/**/{NAME}", maxdepth=DEPTH + 1)
        outs = [to_path(f"s3://{file.removesuffix(f'/{NAME}')}") for file in files]
    else:
        folder = folder.absolute()
        outs = [file.parent for depth in range(DEPTH + 1) for file in folder.glob("*/" * depth + NAME)]
    yield from (item for item in map(read_progress, outs) if item is not None)


def on_cluster(given: str | None) -> list[dict[str, Any]]:
    """The jobs of the cluster that have not ended; none where no cluster is named or known."""
    from jobs.submission.client import connect, find_address
    from jobs.submission.job_list import ENDED, described, submitted

    try:
        address = find_address(given)
        found = submitted(connect(address), address)
    except PeaceError as error:
        if given:
            raise
        if not isinstance(error, ConfigError):
            print(f"peace status: {error}: its jobs are not shown", file=sys.stderr)
        return []
    jobs = [described(details) for details in found if details.status not in ENDED]
    return [{**item, "state": item["state"].lower()} for item in jobs]


def without_stages(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the parts of a job that runs others in its own process, such as the demo's."""
    kept = []
    for item in jobs:
        outer = [other for other in jobs if other is not item and other.get("pid") == item.get("pid")]
        if item.get("pid") is None or not any(str(item["out"]).startswith(f"{other['out']}/") for other in outer):
            kept.append(item)
    return kept


def tables(result: dict[str, Any]) -> list[Table]:
    """A line a job."""
    header = ("out", "verb", "stage", "done", "rate", "left", "state")
    rows = [
        (
            str(item.get("out") or item.get("job")),
            str(item.get("verb") or ""),
            str(item.get("stage") or ""),
            _done(item),
            f"{item['rate']:,.3g} {item['unit']}/s" if item.get("rate") else "",
            hours_minutes_seconds(item["seconds_left"]) if item.get("seconds_left") is not None else "",
            _state(item),
        )
        for item in result["jobs"]
    ]
    gone = any(item["state"] == "gone" for item in result["jobs"])
    title = "what is gone was killed: the same command resumes" if gone else "" if rows else "nothing runs"
    return [Table(title, header, rows)]


def _done(item: dict[str, Any]) -> str:
    if item.get("done") is None:
        return ""
    return f"{item['done']:,} of {item['total']:,}" if item.get("total") else f"{item['done']:,}"


def _state(item: dict[str, Any]) -> str:
    if item["state"] != "gone":
        return str(item["state"])
    return f"gone for {hours_minutes_seconds(time.time() - item['updated'])}"


VERB = Verb(
    name="status",
    summary="The jobs that run now, in run directories and on a cluster: stage, rate, time left.",
    add_arguments=add_arguments,
    work=work,
    tables=tables,
    sections=(),
    final=False,
    tracked=False,
    keeps_run=False,
)

if __name__ == "__main__":
    sys.exit(main(VERB))
