"""`peace index`: a cohort's raw tree into manifest.parquet, one row a record, excluded ones too.

peace index --cohort ptbxl --root DATA/ptb-xl-1.0.3 --out runs/ptbxl/index
peace index --check --cohort ptbxl --root DATA/ptb-xl-1.0.3                 is the tree what the reader expects?
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.indexing.check import CHECK, overrides
from jobs.indexing.settled import settled_patients
from jobs.runtime.harness import Job, Table, Verb, main
from peace.core.errors import DataError
from peace.core.files import file_digest, replacing
from peace.core.storage import to_path

if TYPE_CHECKING:
    from peace.data.cohorts.outcome import Outcome
    from peace.data.labels import LabelSet

COHORT_NAMES = ("mimic", "zzu", "ptbxl")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cohort", required=True, choices=COHORT_NAMES)
    parser.add_argument(
        "--root", required=True, type=to_path, metavar="DIR", help="the cohort's tree as it was published"
    )
    parser.add_argument(
        "--keep-splits", type=to_path, metavar="FILE", help="an earlier manifest: its patients stay in their splits"
    )
    parser.add_argument(
        "--max-excluded",
        metavar="SHARE",
        help="fail where more than this share of the records is left out",
    )
    parser.add_argument(
        "--allow-mangled-ids",
        action="store_true",
        help="continue with ids that a spreadsheet has changed, and count them",
    )
    parser.add_argument(
        "--check",
        nargs="?",
        const="sample",
        choices=("sample", "all"),
        help="only check the tree against what its reader expects; of the headers a sample, or all",
    )


def work(job: Job) -> dict[str, Any]:
    """Read the tree, split the kept records by patient, and write manifest.parquet, label_audit.csv and the report."""
    from peace.data.cohorts.manifest import manifest_table, write_manifest
    from peace.data.cohorts.outcome import index_tree
    from peace.data.labels import load_label_set
    from peace.data.splits import check_patients
    from peace.reports.data import write_index_report

    labels = load_label_set(job.config.labels.set)
    try:
        outcome = index_tree(job.args.cohort, job.args.root, labels, job.config, settled_patients(job))
        if outcome.refusal is not None:
            raise DataError(outcome.refusal)
    except DataError:
        _withdraw(job.out)
        raise
    index, split = outcome.index, outcome.split
    if outcome.warning is not None:
        job.log.warning(outcome.warning)
        print(f"peace index: WARNING: {outcome.warning}", file=sys.stderr)
    table = manifest_table(index, labels.labels, split)
    check_patients(table.select(["patient_id", "split"]).to_pandas())
    manifest = job.out / "manifest.parquet"
    write_manifest(manifest, table)
    with replacing(job.out / "label_audit.csv") as temporary:
        index.audit.to_csv(temporary, index=False)
    result = _result(job, outcome, labels)
    report = write_index_report(job.out, table, index.audit, labels, result)
    job.log.info(
        "%s: %d indexed, %d kept, excluded %s", *(result[k] for k in ("cohort", "indexed", "kept", "excluded"))
    )
    job.run.dataset(f"{index.cohort}-manifest", file_digest(manifest), str(manifest))
    job.run.metrics({name: result[name] for name in ("indexed", "kept", "patients")})
    job.run.metrics({f"excluded/{reason}": count for reason, count in result["excluded"].items()})
    job.run.metrics({f"records/{label}": count for label, count in result["labels"].items()})
    for path in (job.out / "label_audit.csv", report, report.with_suffix(".json")):
        job.run.artifact(path)
    return result


def _withdraw(out: Path) -> None:
    """Set the manifest and the result of an earlier run aside: nobody continues with them where this one fails."""
    for name in ("result.json", "manifest.parquet"):
        if (out / name).exists():
            with replacing(out / "previous" / name) as temporary:
                temporary.write_bytes((out / name).read_bytes())
            (out / name).unlink()


def tables(result: dict[str, Any]) -> list[Table]:
    """Records in and out, and the kept records of each label by split."""
    rows = [["indexed", f"{result['indexed']:,}"]]
    rows += [[f"excluded: {reason}", f"{count:,}"] for reason, count in result["excluded"].items()]
    rows += [["kept", f"{result['kept']:,}"], ["patients", f"{result['patients']:,}"]]
    if result["published"] is not None:
        rows.append(["kept by the paper (arXiv 2605.00647)", f"{result['published']:,}"])
    rows += [[name.replace("_", " "), f"{count:,}"] for name, count in result["notes"].items() if count]
    splits = list(result["splits"])
    by_label = [
        [label, f"{count:,}", *(f"{result['labels_by_split'][label][name]:,}" for name in splits)]
        for label, count in result["labels"].items()
    ]
    by_label.append(["all records", f"{result['kept']:,}", *(f"{result['splits'][name]:,}" for name in splits)])
    return [
        Table(f"{result['cohort']} indexed", ("records", "n"), rows),
        Table("kept records by label and split", ("label", "n", *splits), by_label),
    ]


def _result(job: Job, outcome: Outcome, labels: LabelSet) -> dict[str, Any]:
    from peace.data.cohorts import COHORTS, is_synthetic
    from peace.data.splits import SPLITS

    index, split = outcome.index, outcome.split
    kept, account = index.kept, outcome.account
    cohort = COHORTS[index.cohort]
    comparable = labels.name == "peace12" and len(index.frame) >= 0.99 * cohort.whole
    by_split = {name: index.targets[(split == name).to_numpy(dtype=bool)].sum(axis=0) for name in SPLITS}
    return {
        "cohort": index.cohort,
        "root": str(job.args.root.absolute()),
        "synthetic": is_synthetic(job.args.root),
        "indexed": account.whole,
        "kept": account.kept,
        "excluded": account.left_out,
        "patients": int(index.frame.loc[kept, "patient_id"].nunique()),
        "labels": dict(zip(labels.labels, (int(n) for n in index.targets[kept].sum(axis=0)), strict=True)),
        "splits": {name: int((split == name).sum()) for name in SPLITS},
        "labels_by_split": {
            label: {name: int(by_split[name][position]) for name in SPLITS}
            for position, label in enumerate(labels.labels)
        },
        "label_set": labels.name,
        "label_set_digest": labels.digest,
        "published": cohort.published if comparable else None,
        "notes": index.notes,
        "warning": outcome.warning,
    }


VERB = Verb(
    name="index",
    summary="Read a cohort's tree into manifest.parquet: ids, labels, patient-level split, and what was left out.",
    add_arguments=add_arguments,
    work=work,
    tables=tables,
    sections=("labels", "split", "index", "leads"),
    overrides=overrides,
    identity=lambda args: {
        "cohort": args.cohort,
        "root": str(args.root.absolute()),
        "keep_splits": str(args.keep_splits),
    },
    final=False,  # the tree may have changed: always read it again
    writes_anywhere=True,
    variant=lambda args: CHECK if args.check else None,
)

if __name__ == "__main__":
    sys.exit(main(VERB))
