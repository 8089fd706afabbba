"""`peace fetch`: a public cohort, or its first records, from PhysioNet or figshare.

peace fetch ptbxl --out data --records 500
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from jobs.runtime.harness import Job, Table, Verb, main
from peace.core.errors import ConfigError

NAMES = ("ptbxl", "mimic-demo", "mimic", "zzu")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument("source", choices=NAMES, help="which cohort; it goes to OUT/SOURCE")
    parser.add_argument("--records", type=int, metavar="N", help="the tables and the first N records only")
    parser.add_argument("--base-url", metavar="URL", help="another address of this cohort, such as a mirror's")


def overrides(args: argparse.Namespace) -> list[str]:
    """--base-url as the configuration has it."""
    return [] if args.base_url is None else [f"fetch.base_url.{args.source.replace('-', '_')}={args.base_url}"]


def work(job: Job) -> dict[str, Any]:
    """Bring the tree, or what is missing of it."""
    from peace.data.download import fetch

    if job.args.records is not None and job.args.records < 1:
        raise ConfigError(f"--records {job.args.records}: at least one")
    root = job.out / job.args.source
    result = fetch(job.args.source, root, job.config.fetch, job.args.records)
    job.log.info("%s: %s", root, result)
    return {"source": job.args.source, "root": str(root), **result}


def tables(result: dict[str, Any]) -> list[Table]:
    """What came, what was there."""
    rows = [(name, f"{result[name]:,}") for name in ("records", "missing", "files", "skipped", "bytes")]
    words = {"files": "files written", "skipped": "files that were there", "missing": "records listed without files"}
    rows = [(words.get(name, name), value) for name, value in rows]
    return [Table(f"{result['source']} in {result['root']}: {result['seconds']:.0f} s", ("", "n"), rows)]


VERB = Verb(
    name="fetch",
    summary="Download a public cohort, or its first records: resumed, checked, and ready for `peace index`.",
    add_arguments=add_arguments,
    work=work,
    tables=tables,
    settings=("fetch",),
    sections=(),  # however a tree was fetched, it is the same tree
    overrides=overrides,
    final=False,
    tracked=False,
)

if __name__ == "__main__":
    sys.exit(main(VERB))
