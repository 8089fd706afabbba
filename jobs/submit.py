"""`peace submit`: run a verb on a Ray cluster as a job of its own, follow it, and end as it ends.

    peace submit demo --out runs/demo --address http://127.0.0.1:8265
    peace submit pretrain --shards s3://data/shards --out s3://runs/pretrain --address http://head:8265 ray.workers=8

What stands after VERB is its own command line. Ctrl-C leaves the job running: `peace jobs` finds it again.
"""

from __future__ import annotations

import argparse
import getpass
import shlex
import sys
import time
import uuid
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.runtime.harness import Job, Table, Verb, main, parser_of
from jobs.runtime.overrides import refuse_unread
from peace.config import Config, load_config
from peace.core.errors import ConfigError, DataError, PeaceError

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

HERE_ONLY = ("submit", "jobs", "cluster", "status", "plan", "config")


def add_own_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `submit` itself: they may stand before VERB or anywhere behind it."""
    parser.add_argument(
        "--address",
        metavar="URL",
        help="http://HEAD:8265; default RAY_API_SERVER_ADDRESS, RAY_ADDRESS, then `peace cluster up`",
    )
    parser.add_argument(
        "--shared", action="append", default=[], metavar="DIR", help="a folder mounted on all nodes under the same path"
    )
    parser.add_argument(
        "--env", action="append", default=[], metavar="NAME=VALUE", help="a variable of the job; never a secret"
    )
    parser.add_argument(
        "--driver-cpus",
        type=float,
        metavar="N",
        help="cores for the verb's own process, on any node; else the head",
    )
    parser.add_argument("--detach", action="store_true", help="return as soon as the job is submitted")
    parser.add_argument("--json", action="store_true", help="at the end one JSON document; the output goes to stderr")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    add_own_arguments(parser)
    parser.add_argument("verb", metavar="VERB", help="any verb that runs a job, such as demo")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="its own arguments")


def variant(args: argparse.Namespace) -> Verb | None:
    """Take the options of `submit` out of the verb's line; what was written before VERB for the verb goes there."""
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add_own_arguments(own)
    found, rest = own.parse_known_args(args.arguments)
    args.address = found.address or args.address
    args.driver_cpus = found.driver_cpus or args.driver_cpus
    args.shared, args.env = [*args.shared, *found.shared], [*args.env, *found.env]
    args.detach, args.json = args.detach or found.detach, args.json or found.json
    if args.out is not None or args.config is not None or args.fresh or args.preset != "demo":
        raise ConfigError(f"write --out, --config, --preset and --fresh behind the verb: peace submit {args.verb} ...")
    args.arguments = rest
    return None


@dataclass(frozen=True)
class Inner:
    """The verb that is to run: its command line with whole paths, and what was found in it."""

    name: str
    words: list[str]
    config: Config
    paths: dict[str, str]
    files: dict[str, Path]
    out: str | None


def read_line(name: str, arguments: Sequence[str], overrides: Sequence[str]) -> Inner:
    """Parse the verb's line as the verb itself will. Raises ConfigError for what it would refuse."""
    from jobs.runtime.verbs import VERBS, verb_of
    from jobs.submission.package import INPUTS, Paths, absolute, configured_paths

    if name not in VERBS:
        raise ConfigError(f"unknown verb '{name}'")
    if name in HERE_ONLY:
        raise ConfigError(f"`peace {name}` runs here and is not submitted")
    verb = verb_of(name)
    parser, paths = parser_of(verb), Paths()
    paths.watch(parser)
    args = parser.parse_args(list(arguments))
    verb = verb.variant(args) or verb
    refuse_unread(verb.name, overrides, verb.reads)
    config = load_config(args.preset, args.config, [*overrides, *verb.overrides(args)])
    out = args.out or verb.default_out(args)
    if out is None and verb.keeps_run:
        raise ConfigError("--out DIR is missing: the directory that this run may write")
    words, files = absolute(arguments, paths.given), {}
    if args.config is not None:  # small, and read where the job runs: it travels with the code
        files["config.yaml"] = args.config
        full = absolute([str(args.config)], {str(args.config): "--config"})[0]
        words = [word.replace(full, f"{INPUTS}/config.yaml") if full in word else word for word in words]
        paths.given.pop(str(args.config), None)
    found = paths.given | configured_paths(config)
    keys = absolute(overrides, {})
    return Inner(name, [*words, *keys], config, found, files, None if out is None else _whole(out))


def _whole(out: Path) -> str:
    return str(out.absolute()) if isinstance(out, Path) else str(out)


def work(job: Job) -> dict[str, Any]:
    """Submit, follow, and give how it ended."""
    from jobs.submission.client import connect, exit_code_of, find_address, job_details, local_cluster
    from jobs.submission.follow import follow
    from jobs.submission.job_list import described
    from jobs.submission.package import (
        environment,
        is_this_machine,
        package,
        refuse_unseen,
        sees_this_machine,
        tracking,
    )

    args = job.args
    inner = read_line(args.verb, args.arguments, args.overrides)
    address = find_address(args.address)
    variables = environment(args.env)
    if not is_this_machine(address):
        refuse_unseen(inner.paths, args.shared, address)
    client = connect(address)
    here = is_this_machine(address) and sees_this_machine(_nodes(client, address))
    if not here:
        refuse_unseen(inner.paths, args.shared, address)
    local = local_cluster(address)
    uri = tracking(inner.config, local.mlflow if local else None, here, address)
    if uri is not None:
        variables["MLFLOW_TRACKING_URI"] = uri
    name = f"{inner.name}-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:4]}"
    with package(inner.files) as folder:
        # a cluster of this machine may have been started where another Python comes first
        command = [sys.executable if here else "python", "-m", "jobs.cli", inner.name, *inner.words]
        request = {
            "entrypoint": shlex.join(command),
            "submission_id": name,
            "runtime_env": {"working_dir": str(folder), "env_vars": variables},
            "metadata": _about(inner),
            "entrypoint_num_cpus": args.driver_cpus,
        }
        _submit(client, address, request)
    say = sys.stderr if args.json else sys.stdout
    print(f"{name} is submitted to {address}; `peace jobs logs {name}` follows it, `peace jobs stop` ends it", file=say)
    details = None
    if not args.detach:
        try:
            details = follow(client, address, name, say)
        except KeyboardInterrupt:
            print(
                f"\n{name} continues. To follow it: peace jobs logs {name}. To end it: peace jobs stop {name}",
                file=sys.stderr,
            )
            return {"address": address, "job": name, "state": "DETACHED", "exit_code": 130, "out": inner.out}
    ended = details is not None
    details = details or job_details(client, address, name)
    return {"address": address, **described(details), "exit_code": exit_code_of(details) if ended else 0}


def _nodes(client: JobSubmissionClient, address: str) -> list[dict[str, Any]]:
    """The living nodes of the cluster."""
    from jobs.submission.client import asked

    summary = asked(address, lambda: client._do_request("GET", "/nodes?view=summary").json())
    return [node for node in summary["data"]["summary"] if node["raylet"].get("state") == "ALIVE"]


def _about(inner: Inner) -> dict[str, str]:
    """What the dashboard shows beside the job, and `peace jobs` reads back."""
    name = f"peace {inner.name} {Path(inner.out).name}" if inner.out else f"peace {inner.name}"
    return {
        "job_name": name,
        "verb": inner.name,
        "user": getpass.getuser(),
        **({"out": inner.out} if inner.out else {}),
    }


def _submit(client: JobSubmissionClient, address: str, request: dict[str, Any]) -> None:
    """Submit once, also where the answer was lost and the request is made again."""
    from jobs.submission.client import Unreachable, asked, patiently

    def submit() -> None:
        try:
            asked(address, lambda: client.submit_job(**deepcopy(request)))
        except Unreachable:
            raise
        except PeaceError:
            if not _known(client, address, request["submission_id"]):
                raise

    patiently(submit, lambda message: print(f"peace submit: {message}", file=sys.stderr))


def _known(client: JobSubmissionClient, address: str, name: str) -> bool:
    from jobs.submission.client import Unreachable, job_details

    try:
        job_details(client, address, name)
    except Unreachable:
        raise
    except DataError:
        return False
    return True


def tables(result: dict[str, Any]) -> list[Table]:
    """How it ended, in a line."""
    rows = [(result["job"], result["state"].lower(), str(result["exit_code"]), result["out"] or "")]
    return [Table("", ("job", "state", "exit", "out"), rows)]


VERB = Verb(
    name="submit",
    summary="Run a verb on a Ray cluster, follow its output, and end with its exit code.",
    add_arguments=add_arguments,
    work=work,
    tables=tables,
    sections=(),
    settings=tuple(Config.model_fields),  # the verb that is submitted refuses what it does not read
    final=False,
    tracked=False,
    keeps_run=False,
    exit_code=lambda result: int(result["exit_code"]),
    variant=variant,
)

if __name__ == "__main__":
    sys.exit(main(VERB))
