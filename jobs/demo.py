"""`peace demo`: the whole path on synthetic cohorts, each stage the very verb that a real run calls.

synthesize -> index -> preprocess -> pretrain (adults) -> zero-shot, few-shot, full (children), full (PTB-XL labels)
-> evaluate -> register -> predict one record
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from jobs.pipeline.stages import COHORTS, Stages
from jobs.runtime.harness import Job, Table, Verb, main
from peace.config import Config

PROTOCOLS = {
    "zero-shot": ("zzu", ["--protocol", "zero-shot"]),
    "few-shot": ("zzu", ["--protocol", "few-shot"]),
    "full": ("zzu", ["--protocol", "full"]),
    "ptbxl-full": ("ptbxl", ["--protocol", "full"]),
}
REGISTERED = "full"
NOT_USED = ("fetch", "descriptors", "ablate", "promotion")  # sections that none of the stages reads


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None beside the common ones."""


def work(job: Job) -> dict[str, Any]:
    """Run all stages, then the report."""
    from jobs.pipeline.demo_report import write_demo_report
    from jobs.runtime.ray_session import ray_session

    stages = Stages(job)
    out = job.out
    with ray_session(job.config.ray):
        stages.call("data", "synthesize", [])
        for cohort in COHORTS:
            stages.call(f"index-{cohort}", "index", ["--cohort", cohort, "--root", out / "data" / cohort])
            manifest = out / f"index-{cohort}" / "manifest.parquet"
            stages.call(f"shards-{cohort}", "preprocess", ["--manifest", manifest])
        stages.call("pretrain", "pretrain", ["--shards", out / "shards-mimic"])
        for name, (cohort, options) in PROTOCOLS.items():
            stages.call(
                name, "adapt", ["--checkpoint", out / "pretrain", "--shards", out / f"shards-{cohort}", *options]
            )
        for name in ("pretrain", *PROTOCOLS):
            stages.call(f"evaluate-{name}", "evaluate", ["--run", out / name, "--synthetic"])
        registered: dict[str, Any] = {}
        if job.config.tracking.enabled:
            registered = stages.call("register", "register", ["--run", out / REGISTERED, "--synthetic"])
        record = _test_record(out)
        predicted = stages.call("predict", "predict", [record, "--model", out / REGISTERED, "--figures"])
    write_demo_report(job, stages.results)
    job.run.artifact(out / "report.html")
    return {
        "auc": {
            name: {
                key: stages.results[f"evaluate-{name}"][key] for key in ("macro_auc", "macro_auc_low", "macro_auc_high")
            }
            for name in ("pretrain", *PROTOCOLS)
        },
        "stage_seconds": {stage: result["seconds"] for stage, result in stages.results.items()},
        "registered": registered.get("model_uri"),
        "predicted": predicted["records"],
        "report": str(out / "report.html"),
        "mlflow": _mlflow_command(job),
    }


def tables(result: dict[str, Any]) -> list[Table]:
    """AUC by protocol, and where the time went."""
    from jobs.pipeline.demo_report import TITLES

    auc = [
        (TITLES[name], f"{value['macro_auc']:.3f}", f"{value['macro_auc_low']:.3f} to {value['macro_auc_high']:.3f}")
        for name, value in result["auc"].items()
    ]
    seconds = result["stage_seconds"]
    times = [(stage, f"{value:.1f}") for stage, value in seconds.items()]
    end = [
        ("report", result["report"]),
        ("model", result["registered"] or "not registered"),
        ("look at it", result["mlflow"]),
    ]
    return [
        Table(
            "Synthetic cohorts: macro AUC on test records (says nothing about patients)",
            ("", "AUC", "95 % interval"),
            auc,
        ),
        Table("Wall time", ("stage", "seconds"), [*times, ("all", f"{sum(seconds.values()):.1f}")]),
        Table("", ("", ""), end),
    ]


def _test_record(out: Path) -> Path:
    """The header of a child's record from the test split."""
    import pyarrow.parquet as pq

    manifest = pq.read_table(out / "index-zzu" / "manifest.parquet", columns=["path", "split"]).to_pylist()
    tested = sorted(row["path"] for row in manifest if row["split"] == "test")
    return Path(f"{tested[0]}.hea")


def _mlflow_command(job: Job) -> str:
    from jobs.tracking.store import tracking_uri

    uri = tracking_uri(job.config)
    command = Path(sys.executable).with_name("mlflow")
    return f"{command} ui --backend-store-uri {uri}" if uri.startswith("sqlite") else f"open {uri}"


VERB = Verb(
    name="demo",
    summary="The whole path on synthetic cohorts, set up by `make demo`.",
    add_arguments=add_arguments,
    work=work,
    tables=tables,
    sections=tuple(name for name in Config.model_fields if name not in NOT_USED),
)

if __name__ == "__main__":
    sys.exit(main(VERB))
