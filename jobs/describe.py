"""`peace describe`: the three-axis descriptors of a label set, checked, in one file with their provenance."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jobs.harness import Job, Table, Verb, main
from peace.errors import ConfigError
from peace.files import file_digest, write_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the texts come from."""
    parser.add_argument(
        "--provider",
        choices=("curated", "file"),
        default="curated",
        help="curated: the embedded texts; file: your own, from --file, checked",
    )
    parser.add_argument("--file", type=Path, metavar="FILE", help="a descriptors.json, with --provider file")


def work(job: Job) -> dict[str, Any]:
    """Write descriptors.json in the order of the label set, and what the checks found."""
    from peace.descriptors import check_descriptors, load_descriptors
    from peace.labels import load_label_set

    labels = load_label_set(job.config.labels.set).labels
    descriptors = load_descriptors(_source(job.args), labels)
    findings = check_descriptors(descriptors)
    write_json(job.out / "descriptors.json", descriptors.as_file())
    job.run.artifact(job.out / "descriptors.json")
    for finding in findings:
        job.log.warning("%s %s %s: %s", finding.severity, finding.label, finding.axis, finding.message)
    return {
        "provider": job.args.provider,
        "generated": 0,
        "cached": len(labels),
        "failed": {},
        "findings": [asdict(finding) for finding in findings],
        "errors": sum(finding.severity == "error" for finding in findings),
        "labels": list(labels),
        "words": {
            label: [len(text.split()) for text in texts]
            for label, texts in zip(descriptors.labels, descriptors.texts, strict=True)
        },
        "provenance": descriptors.provenance,
        "descriptor_digest": descriptors.digest,
    }


def tables(result: dict[str, Any]) -> list[Table]:
    """One row a label, and the findings where there are any."""
    findings = result["findings"]
    count = {label: sum(found["label"] == label for found in findings) for label in result["labels"]}
    rows = [[label, *map(str, words), str(count[label])] for label, words in result["words"].items()]
    summary = Table(
        f"descriptors {result['descriptor_digest']} ({result['provider']})",
        ["label", "rhythm, words", "morphology", "ST-T", "findings"],
        rows,
    )
    if not findings:
        return [summary]
    details = [[found["label"], found["axis"], found["severity"], found["message"]] for found in findings]
    return [summary, Table("findings", ["label", "axis", "severity", "message"], details)]


def identity(args: argparse.Namespace) -> Any:
    """The texts by their bytes: an edited file is another run."""
    from peace.descriptors import CURATED

    source = _source(args)
    path = CURATED if source == "curated" else Path(source)
    return {"provider": args.provider, "texts": file_digest(path) if path.is_file() else str(path)}


def _source(args: argparse.Namespace) -> str:
    if (args.provider == "file") != (args.file is not None):
        raise ConfigError("--provider file and --file FILE belong together")
    return "curated" if args.file is None else str(args.file)


VERB = Verb(
    name="describe",
    summary="Write the three-axis descriptors of each label to descriptors.json, and check them.",
    add_arguments=add_arguments,
    work=work,
    tables=tables,
    sections=("labels",),
    identity=identity,
)

if __name__ == "__main__":
    sys.exit(main(VERB))
