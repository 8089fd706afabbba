"""`peace track`: send MLflow what it missed while it was down, and start a server for several people or machines.

peace track sync runs/zzu-full       this run, and all that lie below it
peace track server --store sqlite:////srv/peace/mlflow.db --port 5000
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.runtime.harness import Job, Table, Verb, main
from jobs.tracking.server import HOST, PORT
from peace.core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from jobs.tracking.journal import Journal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument("action", choices=("sync", "server"), help="send what MLflow lacks, or start a server")
    parser.add_argument("places", type=Path, nargs="*", metavar="DIR", help="sync: run directories, or what holds some")
    server = parser.add_argument_group("server")
    server.add_argument("--store", metavar="URI", help="sqlite:////path/mlflow.db (default: here) or postgresql://...")
    server.add_argument("--artifacts", metavar="DIR|URI", help="where files go; default: mlartifacts here")
    server.add_argument("--host", default=HOST, help=f"address to listen on; default: {HOST}, this machine only")
    server.add_argument("--port", type=int, default=PORT, help=f"default: {PORT}")
    server.add_argument("--server-workers", type=int, default=2, metavar="N", help="processes; default: 2")
    server.add_argument(
        "--allow", action="append", default=[], metavar="NAME[:PORT]", help="a further name by which clients call it"
    )


def work(job: Job) -> dict[str, Any]:
    """Do what was asked; a server runs until it is interrupted."""
    if job.args.action == "server":
        return _serve(job.args)
    if not job.args.places:
        raise ConfigError("`peace track sync` wants a run directory")
    runs = [found for place in job.args.places for found in sync(place.absolute(), job.config.tracking.uri)]
    return {"runs": runs, "sent": sum(run["sent"] for run in runs), "busy": sum(run["busy"] for run in runs)}


def sync(place: Path, uri: str | None = None) -> list[dict[str, Any]]:
    """Send what the journals in and below a directory hold and their store lacks; parents come before children.

    The store is `uri`, or else the one that each run was meant for. Doing it again sends nothing. Raises DataError
    where there is no journal, or the store does not take them.
    """
    from jobs.tracking.journal import FOLDER, JOURNAL

    found = sorted(place.rglob(f"{FOLDER}/{JOURNAL}"), key=lambda path: (len(path.parts), path))
    if not found:
        raise DataError(f"{place} holds no run that was tracked (no {FOLDER}/{JOURNAL} in it or below)")
    return [_sync_one(path.parents[1], uri) for path in found]


def _sync_one(out: Path, uri: str | None) -> dict[str, Any]:
    from jobs.tracking.journal import Journal

    try:
        journal = Journal(out, patience=0)
    except DataError:  # its job is running, and sends by itself
        return {"run": str(out), "mlflow_run_id": None, "sent": 0, "skipped": 0, "busy": True}
    try:
        return {"run": str(out), **_push_all(journal, uri), "busy": False}
    finally:
        journal.close()


def _push_all(journal: Journal, uri: str | None) -> dict[str, Any]:
    from jobs.tracking.sender import Sender
    from jobs.tracking.store import first_line, unmasked

    if journal.begin is None:
        return {"mlflow_run_id": None, "sent": 0, "skipped": 0}
    sender = Sender(journal, unmasked(uri or journal.begin["uri"]), "track")
    try:
        sender.attach()
        sender.push_skipped()
        sent = 0
        while more := sender.push():
            sent += more
    except Exception as error:  # a store may fail in many ways; each means that something has not been sent
        raise DataError(
            f"{journal.out}: MLflow at {sender.uri} does not take it ({first_line(error)}); what was not sent is kept"
        ) from error
    return {"mlflow_run_id": sender.run_id, "sent": sent, "skipped": len(journal.sent["skipped"])}


def _serve(args: argparse.Namespace) -> dict[str, Any]:
    from jobs.tracking.server import server_command, server_environment

    store = args.store or f"sqlite:///{Path.cwd() / 'mlflow.db'}"
    artifacts = args.artifacts or str(Path.cwd() / "mlartifacts")
    command = server_command(store, artifacts, args.host, args.port, args.server_workers, args.allow)
    print(f"MLflow at http://{args.host}:{args.port} over {store}; Ctrl-C ends it", file=sys.stderr)
    with subprocess.Popen(command, env=server_environment()) as process:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            return {"served": store}
    raise DataError(f"the MLflow server ended by itself, with code {code}: its words are above")


def tables(result: dict[str, Any]) -> list[Table]:
    """What a person reads at the end."""
    if "served" in result:
        return []
    rows = [
        (run["run"], run["mlflow_run_id"] or "-", "its job is running" if run["busy"] else str(run["sent"]))
        for run in result["runs"]
    ]
    return [Table("Sent to MLflow", ("run", "MLflow run", "entries"), rows)]


VERB = Verb(
    name="track",
    summary="Send MLflow what it missed (sync), or start a server for several people or machines (server).",
    add_arguments=add_arguments,
    work=work,
    tables=tables,
    sections=(),
    settings=("tracking.uri",),
    final=False,
    tracked=False,
    keeps_run=False,
)

if __name__ == "__main__":
    sys.exit(main(VERB))
