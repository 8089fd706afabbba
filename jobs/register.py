"""`peace register`: put an adapted model into the MLflow registry, under a name and an alias.

peace register --run runs/zzu-full --name peace12
peace predict P00001_E01.hea --model models:/peace12@candidate
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.runtime.harness import Job, Table, Verb, main
from peace.core.errors import DataError
from peace.core.files import file_digest, read_json

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from peace.inference import Predictor

REGISTERED_BY = "peace.registered_by"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument(
        "--run", type=Path, required=True, metavar="DIR", help="run directory of adapt (or a checkpoint)"
    )
    parser.add_argument(
        "--evaluation", type=Path, metavar="DIR", help="where `peace evaluate` left metrics.json; default: --run"
    )
    parser.add_argument("--name", help="of the registered model; default: tracking.model_name")
    parser.add_argument("--alias", default="candidate", help="default: candidate")
    parser.add_argument("--synthetic", action="store_true", help="say in the card that the recordings were synthetic")


def overrides(args: argparse.Namespace) -> list[str]:
    """The options, as configuration. Raises ConfigError for a name that no registry can hold."""
    from jobs.registry.client import check_names

    if args.name is None:
        return []
    check_names(args.name, args.alias)
    return [f"tracking.model_name={json.dumps(args.name)}"]


def default_out(args: argparse.Namespace) -> Path:
    """Where this job keeps its books: RUN/registration."""
    return Path(args.run) / "registration"


def identity(args: argparse.Namespace) -> dict[str, Any]:
    """Weights and metrics, by digest."""
    from peace.checkpoint import INFERENCE_FILES, find_checkpoint

    place = find_checkpoint(args.run)
    metrics = _metrics_path(args)
    return {
        "checkpoint": [file_digest(place / name) for name in INFERENCE_FILES],
        "metrics": file_digest(metrics) if metrics.exists() else None,
        "alias": args.alias,
        "synthetic": args.synthetic,
    }


def work(job: Job) -> dict[str, Any]:
    """Build the model, check that it loads and says the same, register it, set the alias."""
    from jobs.registry.champions import PromotionLog
    from jobs.registry.client import check_names, registry_client, write_description
    from jobs.registry.packaging import build_model, check_model
    from jobs.tracking.store import tracking_uri
    from peace.inference import Predictor

    name, alias = job.config.tracking.model_name, job.args.alias
    check_names(name, alias)
    client = registry_client(job)
    run = Path(job.args.run).absolute()
    predictor = Predictor.load(run)
    measured = _metrics_path(job.args)
    metrics = read_json(measured) if measured.exists() else None
    uri = tracking_uri(job.config)
    version = _version_of(client, name, str(job.run.run_id))
    if version is None:
        with tempfile.TemporaryDirectory(prefix="peace-model-") as place:
            folder = build_model(Path(place), run, name, predictor, metrics, job.args.synthetic)
            check_model(folder, predictor)
            shutil.copyfile(folder / "README.md", job.out / "README.md")
            version = _create_version(client, job, name, folder, predictor, metrics)
        job.run.artifact(job.out / "README.md")
    client.set_registered_model_alias(name, alias, version)
    job.run.tags({"mlflow.runName": f"register {run.name} as {name} version {version}"})
    write_description(client, PromotionLog(client, name, "champion"))
    found = client.get_model_version(name, version)
    return {
        "name": name,
        "version": int(version),
        "alias": alias,
        "model_uri": f"models:/{name}@{alias}",
        "run_id": found.run_id,
        "store": uri,
    }


def tables(result: dict[str, Any]) -> list[Table]:
    """What a person reads at the end."""
    rows = [
        ("model", f"{result['name']}, version {result['version']}"),
        ("alias", result["alias"]),
        ("load it with", f'mlflow.pyfunc.load_model("{result["model_uri"]}")'),
        ("use it with", f"peace predict RECORD.hea --model {result['model_uri']}"),
        ("store", result["store"]),
    ]
    return [Table("Registered", ("", ""), rows)]


def _metrics_path(args: argparse.Namespace) -> Path:
    """The metrics for the card; raises DataError where --evaluation was given and holds none."""
    path = Path(args.evaluation or args.run) / "metrics.json"
    if args.evaluation and not path.exists():
        raise DataError(f"{path} does not exist: `peace evaluate` writes it")
    return path


def _version_of(client: MlflowClient, name: str, run_id: str) -> str | None:
    """The version that an earlier, interrupted call of this job made, if it came so far."""
    for version in client.search_model_versions(f"name='{name}'"):
        if version.tags.get(REGISTERED_BY) == run_id and version.status == "READY":
            return str(version.version)
    return None


def _create_version(
    client: MlflowClient,
    job: Job,
    name: str,
    folder: Path,
    predictor: Predictor,
    metrics: dict[str, Any] | None,
) -> str:
    """Upload the model's folder and make a version of it; returns the version."""
    from mlflow.entities import Metric

    from peace.evaluation.metric_names import flatten_metrics

    run_id = job.run.run_id
    assert run_id is not None
    source_run = _source_run(client, Path(job.args.run), run_id)
    tags = _lineage(job, predictor, metrics)
    experiment = client.get_run(run_id).info.experiment_id
    model = client.create_logged_model(
        experiment, name=name, source_run_id=source_run, model_type="ecg-classifier", tags=tags
    )
    client.log_model_artifacts(model.model_id, str(folder))
    client.finalize_logged_model(model.model_id, "READY")
    now = int(time.time() * 1000)
    flat = flatten_metrics(metrics) if metrics else {}
    numbers = [Metric(key, value, now, 0, model_id=model.model_id) for key, value in flat.items()]
    client.log_batch(run_id, metrics=numbers)
    _make_name(client, name, experiment)
    version = client.create_model_version(
        name,
        source=model.artifact_location,
        run_id=source_run,
        tags={**tags, REGISTERED_BY: run_id},
        description=(folder / "README.md").read_text(encoding="utf-8"),
        model_id=model.model_id,
    )
    return str(version.version)


def _make_name(client: MlflowClient, name: str, experiment: str) -> None:
    """The registered model with its ledger of champions, unless it is there already."""
    from mlflow.exceptions import MlflowException

    from jobs.registry.champions import LEDGER_TAG, new_ledger

    if any(found.name == name for found in client.search_registered_models(f"name='{name}'")):
        return
    ledger = new_ledger(client, name, experiment)
    try:
        client.create_registered_model(name, tags={LEDGER_TAG: ledger})
    except MlflowException as error:
        client.delete_run(ledger)
        if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another job made it at the same moment
            raise


def _source_run(client: MlflowClient, run: Path, fallback: str) -> str:
    """The MLflow run that trained the model, where this store knows it; else the run of this job."""
    from mlflow.exceptions import MlflowException

    try:
        trained = (run / "mlflow_run_id").read_text(encoding="utf-8").strip()
        return str(client.get_run(trained).info.run_id)
    except (OSError, MlflowException):
        return fallback


def _lineage(job: Job, predictor: Predictor, metrics: dict[str, Any] | None) -> dict[str, str]:
    meta = predictor.meta
    known = {
        "cohort": meta.cohort,
        "protocol": meta.protocol,
        "label_set": meta.label_set,
        "label_set_digest": meta.label_set_digest,
        "descriptor_digest": meta.descriptor_digest,
        "code_version": meta.code_version,
        "trained_in": str(Path(job.args.run).absolute()),
        **_headline(metrics),
    }
    return {f"peace.{key}": str(value) for key, value in known.items() if value}


def _headline(metrics: dict[str, Any] | None) -> dict[str, str]:
    """Macro AUC with its interval and the number of test records, for the tags of the version."""
    from peace.evaluation.metric_names import MACRO_AUC, RECORDS, flatten_metrics

    flat = flatten_metrics(metrics) if metrics else {}
    auc = {name: f"{value:.4f}" for name, value in flat.items() if name.startswith(MACRO_AUC)}
    return {**auc, **({RECORDS: str(int(flat[RECORDS]))} if flat else {})}


VERB = Verb(
    name="register",
    summary="Put an adapted model into the MLflow registry: signature, example, model card, weights without pickle.",
    add_arguments=add_arguments,
    work=work,
    tables=tables,
    sections=("tracking",),
    identity=identity,
    overrides=overrides,
    default_out=default_out,
)

if __name__ == "__main__":
    sys.exit(main(VERB))
