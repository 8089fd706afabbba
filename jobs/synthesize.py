"""peace synthesize: small synthetic cohorts in the three original on-disk formats, with their truth beside them."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from jobs.runtime.harness import Job, Table, Verb, main


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")


def _work(job: Job) -> dict[str, Any]:
    from peace.synthetic import synthesize

    result = synthesize(job.out, job.config.synthetic, max(1, job.args.workers))
    for cohort, found in result["cohorts"].items():
        job.log.info("%s: %d records of %d patients", cohort, found["records"], found["patients"])
        job.run.metrics({f"{cohort}_records": found["records"]})
    return result


def _tables(result: dict[str, Any]) -> list[Table]:
    cohorts = result["cohorts"]
    names = list(dict.fromkeys(name for found in cohorts.values() for name in found["labels"]))
    rows = [[row, *(str(found[row]) for found in cohorts.values())] for row in ("records", "patients", "labelled")]
    rows += [[name, *(str(found["labels"].get(name, 0)) for found in cohorts.values())] for name in names]
    seconds = max(result["seconds"], 1e-3)
    rate = result["records"] / seconds
    title = f"Synthetic cohorts: {result['records']} records in {seconds:.0f} s ({rate:.0f} a second)"
    return [Table(title, ["", *cohorts], rows)]


VERB = Verb(
    name="synthesize",
    summary="Write synthetic adult and pediatric cohorts in the layouts of MIMIC-IV-ECG, ZZU-pECG and PTB-XL.",
    add_arguments=_arguments,
    work=_work,
    tables=_tables,
    sections=("synthetic",),
)

if __name__ == "__main__":
    sys.exit(main(VERB))
