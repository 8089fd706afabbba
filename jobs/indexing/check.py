"""`peace index --check`: whether a cohort's tree is what its reader expects, file by file and line by line.

peace index --check --cohort zzu --root DATA/zzu-pecg
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import Any

from jobs.runtime.harness import Job, Table, Verb
from peace.core.errors import ConfigError
from peace.core.storage import is_remote

SHOWN = 20
DEPARTS = 2  # exit code of a tree that departs


def overrides(args: argparse.Namespace) -> list[str]:
    """What the options set in the configuration."""
    given = ["index.mangled_ids=allow"] if args.allow_mangled_ids else []
    if args.max_excluded is not None:
        given += [f"index.max_excluded.{args.cohort}={args.max_excluded}", "index.too_many=error"]
    return given


def work(job: Job) -> dict[str, Any]:
    """Check the tree and print the first issues, one a line; result.json holds them all."""
    from jobs.indexing.settled import settled_patients
    from peace.data.cohorts.validation import check_tree
    from peace.data.labels import load_label_set
    from peace.data.signal.files import allow_links

    args = job.args
    allow_links(job.config.links.stores)
    if is_remote(args.root):
        raise ConfigError(f"--root {args.root}: `peace index --check` looks at a local or mounted tree")
    labels = load_label_set(job.config.labels.set)
    contract = check_tree(
        args.cohort, args.root, labels, job.config, every_header=args.check == "all", settled=settled_patients(job)
    )
    for departure in contract.issues[:SHOWN]:
        print(departure, file=sys.stderr)
    if contract.warning is not None:
        print(f"peace index --check: WARNING: {contract.warning}", file=sys.stderr)
    total = sum(contract.counts.values())
    if total > SHOWN:
        print(f"... and {total - SHOWN:,} more: with --out DIR they stand in DIR/result.json", file=sys.stderr)
    return {
        "cohort": contract.cohort,
        "root": str(args.root.absolute()),
        "holds": not total,
        "records": contract.records,
        "published": contract.whole,
        "headers_read": contract.headers,
        "counts": contract.counts,
        "index": None if contract.account is None else contract.account.counts(),
        "warning": contract.warning,
        "issues": [asdict(departure) for departure in contract.issues],
    }


def tables(result: dict[str, Any]) -> list[Table]:
    """What was looked at, and how often each kind of departure was met."""
    from peace.data.cohorts.validation import KINDS

    whole = result["published"]
    part = "" if result["records"] >= whole else ", a part"
    title = f"{result['cohort']}: {'as expected' if result['holds'] else 'departs from what is expected'}"
    rows = [
        ["records whose files were looked for", f"{result['records']:,} (published: {whole:,}{part})"],
        ["headers and sizes read", f"{result['headers_read']:,}"],
    ]
    rows += [[f"{kind}: {KINDS[kind]}", f"{count:,}"] for kind, count in result["counts"].items()]
    if (counts := result["index"]) is not None:
        rows += [[f"peace index: {name}", f"{count:,}"] for name, count in counts.items()]
    return [Table(title, ("", "n"), rows)]


CHECK = Verb(
    name="index --check",
    summary="Check a cohort's tree against what its reader expects.",
    add_arguments=lambda parser: None,  # those of `peace index`
    work=work,
    tables=tables,
    sections=("labels", "split", "index", "leads", "links"),
    overrides=overrides,
    identity=lambda args: {"cohort": args.cohort, "root": str(args.root.absolute()), "check": args.check},
    final=False,
    tracked=False,
    keeps_run=False,
    exit_code=lambda result: 0 if result["holds"] else DEPARTS,
)
