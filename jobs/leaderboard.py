"""`peace leaderboard`: registered versions and evaluated runs, best first, with intervals.

peace leaderboard                          versions and runs of the store, as tables
peace leaderboard --name peace12 --json
peace leaderboard --out runs/board         leaderboard.csv and leaderboard.html besides
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.runtime.harness import Job, Table, Verb, main
from peace.core.errors import DataError
from peace.core.files import json_text, write_text
from peace.evaluation.metric_names import MACRO_AUC, RECORDS, label_auc_of, macro_auc_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

COLUMNS = (
    *("kind", "name", "version", "aliases", "run", "cohort", "protocol", "label_set", "records"),
    *("macro_auc", "macro_auc_low", "macro_auc_high", "champion_why", "mlflow_run_id", "labels"),
)
MOST = 1000  # runs that are looked at, newest first


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument("--name", help="only versions of this registered model")
    parser.add_argument("--limit", type=int, default=50, metavar="N", help="rows of each kind; default: 50")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")


def work(job: Job) -> dict[str, Any]:
    """Collect, sort, write."""
    from jobs.registry.client import check_names
    from jobs.tracking.store import connect, first_line, tracking_uri

    if job.args.name is not None:
        check_names(job.args.name)
    uri = tracking_uri(job.config)
    file = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not file.exists():
        raise DataError(f"no MLflow store at {file}: go to where it is, or set tracking.uri or MLFLOW_TRACKING_URI")
    try:
        client = connect(uri)
        versions = _versions(client, job.args.name)
        runs = [] if job.args.name else _runs(client, job.config.tracking.experiment)
    except Exception as error:  # a store or a network may fail in many ways
        raise DataError(f"MLflow at {uri} does not answer ({first_line(error)})") from error
    if job.args.name and not versions:
        raise DataError(f"no version of a registered model '{job.args.name}' in {uri}")
    rows = [row for kind in (versions, runs) for row in sorted(kind, key=_best_first)[: job.args.limit]]
    result = {"store": uri, "rows": rows}
    write_text(job.out / "leaderboard.csv", as_csv(rows))
    write_page(job.out / "leaderboard.html", rows, uri)
    if job.args.json:
        print(json_text(result), end="")
    return {**result, "printed": job.args.json}


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """The rows, a column each for what is known and for each label's AUC with its interval."""
    labels = sorted({label for row in rows for label in row["labels"]})
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    ends = ("", "_low", "_high")
    writer.writerow([*COLUMNS[:-1], *(f"auc{end}_{label}" for label in labels for end in ends)])
    for row in rows:
        known = [" ".join(row[name]) if name == "aliases" else row[name] for name in COLUMNS[:-1]]
        writer.writerow([*known, *(row["labels"].get(label, {}).get(f"auc{end}") for label in labels for end in ends)])
    return stream.getvalue()


def write_page(path: Path, rows: Sequence[dict[str, Any]], store: str) -> None:
    """The same as a page."""
    from peace.reports.page import NOT_A_DEVICE, ReportTable, Section, number, with_interval, write_report

    sections = [
        Section("", paragraphs=[f"From {store}. In brackets 95 % intervals, where the evaluation made some."]),
    ]
    for kind, title in (("version", "Registered versions"), ("run", "Evaluated runs")):
        some = [row for row in rows if row["kind"] == kind]
        labels = list(dict.fromkeys(label for row in some for label in row["labels"]))
        cells = [
            [
                *_words(row),
                with_interval(*(row[f"macro_auc{end}"] for end in ("", "_low", "_high"))),
                str(row["records"] or "–"),
                *(number(row["labels"].get(label, {}).get("auc")) for label in labels),
            ]
            for row in some
        ]
        header = ("what", "data", "macro AUC", "test records", *labels)
        sections.append(Section(title, table=ReportTable(header, cells, text_columns=2)))
    reasons = [f"{row['name']} version {row['version']}: {row['champion_why']}" for row in rows if row["champion_why"]]
    sections.append(Section("PromotionLog, and why", paragraphs=reasons or ["none yet"], notes=[NOT_A_DEVICE]))
    write_report(path, "PEACE leaderboard", sections)


def _versions(client: MlflowClient, name: str | None) -> list[dict[str, Any]]:
    rows = []
    for model in _all(client.search_registered_models, filter_string=f"name='{name}'" if name else None):
        for version in _all(client.search_model_versions, filter_string=f"name='{model.name}'"):
            aliases = sorted(alias for alias, number in model.aliases.items() if str(number) == str(version.version))
            rows.append(_version_row(client, version, aliases))
    return rows


def _version_row(client: MlflowClient, version: ModelVersion, aliases: list[str]) -> dict[str, Any]:
    from mlflow.exceptions import MlflowException

    metrics: dict[str, float] = {}
    try:
        metrics = client.get_run(version.tags["peace.registered_by"]).data.metrics
    except (KeyError, MlflowException):
        pass  # made by hand, or its run is gone: the tags still tell the macro AUC
    tags = {key.removeprefix("peace."): value for key, value in version.tags.items()}
    told = {key: float(value) for key, value in tags.items() if key.startswith("test/")}
    return {
        "kind": "version",
        "name": version.name,
        "version": int(version.version),
        "aliases": aliases,
        "run": tags.get("trained_in"),
        **{name: tags.get(name) for name in ("cohort", "protocol", "label_set")},
        "records": int(told[RECORDS]) if RECORDS in told else None,
        **macro_auc_of(told),
        "champion_why": tags.get("champion.why") if "champion" in aliases else None,
        "mlflow_run_id": version.run_id,
        "labels": label_auc_of(metrics),
    }


def _runs(client: MlflowClient, experiment: str) -> list[dict[str, Any]]:
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return []
    runs = client.search_runs(
        [found.experiment_id],
        f"metrics.`{MACRO_AUC}` >= 0",
        max_results=MOST,
        order_by=["attributes.start_time DESC"],
    )
    # the job that registers a model repeats the figures of the run it registers
    return [_run_row(run) for run in runs if run.data.tags.get("peace.verb") != "register"]


def _run_row(run: Any) -> dict[str, Any]:
    tags, metrics = run.data.tags, run.data.metrics
    return {
        "kind": "run",
        "name": tags.get("mlflow.runName"),
        "version": None,
        "aliases": [],
        "run": tags.get("run") or tags.get("peace.out"),
        **{name: tags.get(name) for name in ("cohort", "protocol", "label_set")},
        "records": int(metrics[RECORDS]) if RECORDS in metrics else None,
        **macro_auc_of(metrics),
        "champion_why": None,
        "mlflow_run_id": run.info.run_id,
        "labels": label_auc_of(metrics),
    }


def _all(search: Any, **words: Any) -> list[Any]:
    """Every page of a search."""
    found, token = [], None
    while True:
        page = search(page_token=token, **words)
        found += page
        token = page.token
        if not token:
            return found


def _best_first(row: dict[str, Any]) -> tuple[bool, float]:
    return row["macro_auc"] is None, -(row["macro_auc"] or 0.0)


def _words(row: dict[str, Any]) -> tuple[str, str]:
    what = f"{row['name']} {row['version']}" if row["kind"] == "version" else str(row["name"])
    aliases = "".join(f" @{alias}" for alias in row["aliases"])
    return what + aliases, ", ".join(str(row[key]) for key in ("cohort", "protocol", "label_set") if row[key]) or "–"


def tables(result: dict[str, Any]) -> list[Table]:
    """What a person reads."""
    from peace.reports.page import with_interval

    if result["printed"]:
        return []
    found = []
    for kind, title in (("version", "Registered versions"), ("run", "Evaluated runs")):
        rows = [
            (*_words(row), with_interval(*(row[f"macro_auc{end}"] for end in ("", "_low", "_high"))))
            for row in result["rows"]
            if row["kind"] == kind
        ]
        found.append(Table(f"{title} in {result['store']}", ("what", "data", "macro AUC"), rows))
    return found


VERB = Verb(
    name="leaderboard",
    summary="Registered versions and evaluated runs with their AUCs and intervals: table, CSV, HTML.",
    add_arguments=add_arguments,
    work=work,
    tables=tables,
    sections=(),
    settings=("tracking.uri", "tracking.experiment"),
    identity=lambda args: {"name": args.name, "limit": args.limit},
    final=False,
    tracked=False,
    keeps_run=False,
)

if __name__ == "__main__":
    sys.exit(main(VERB))
