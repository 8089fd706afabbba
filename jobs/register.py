"""`peace register`: put an adapted model into the MLflow registry, under a name and an alias.

peace register --run runs/zzu-full --name peace12
peace predict P00001_E01.hea --model models:/peace12@candidate
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.harness import Job, Table, Verb, main
from peace.errors import ConfigError, DataError
from peace.files import file_digest, read_json, write_text

if TYPE_CHECKING:
    import numpy as np
    from mlflow import MlflowClient

    from peace.inference import Predictor

SOURCE = Path(__file__).with_name("registry_model.py")
REGISTERED_BY = "peace.registered_by"
TOLERANCE = 1e-5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument(
        "--run", type=Path, required=True, metavar="DIR", help="run directory of adapt (or a checkpoint)"
    )
    parser.add_argument("--name", help="of the registered model; default: tracking.model_name")
    parser.add_argument("--alias", default="candidate", help="default: candidate")
    parser.add_argument("--synthetic", action="store_true", help="say in the card that the recordings were synthetic")


def overrides(args: argparse.Namespace) -> list[str]:
    """The options, as configuration."""
    return [f"tracking.model_name={args.name}"] if args.name else []


def default_out(args: argparse.Namespace) -> Path:
    """Where this job keeps its books: RUN/registration."""
    return Path(args.run) / "registration"


def identity(args: argparse.Namespace) -> dict[str, Any]:
    """Weights and metrics, by digest."""
    from peace.checkpoint import INFERENCE_FILES, find_checkpoint

    place = find_checkpoint(args.run)
    metrics = Path(args.run) / "metrics.json"
    return {
        "checkpoint": [file_digest(place / name) for name in INFERENCE_FILES],
        "metrics": file_digest(metrics) if metrics.exists() else None,
        "alias": args.alias,
        "synthetic": args.synthetic,
    }


def work(job: Job) -> dict[str, Any]:
    """Build the model, check that it loads and says the same, register it, set the alias."""
    from jobs.tracking import connect, tracking_uri
    from peace.inference import Predictor

    name, alias = job.config.tracking.model_name, job.args.alias
    _check_names(name, alias)
    if job.run.run_id is None:
        raise DataError("registering needs MLflow: see tracking.uri and tracking.enabled")
    run = Path(job.args.run).absolute()
    predictor = Predictor.load(run)
    metrics = read_json(run / "metrics.json") if (run / "metrics.json").exists() else None
    uri = tracking_uri(job.config)
    client = connect(uri)
    version = _version_of(client, name, job.run.run_id)
    if version is None:
        with tempfile.TemporaryDirectory(prefix="peace-model-") as place:
            folder = build_model(Path(place), run, name, predictor, metrics, job.args.synthetic)
            check_model(folder, predictor)
            version = _create_version(client, job, name, folder, predictor, metrics)
            job.run.artifact(folder / "README.md")
    client.set_registered_model_alias(name, alias, version)
    found = client.get_model_version(name, version)
    return {
        "name": name,
        "version": int(version),
        "alias": alias,
        "model_uri": f"models:/{name}@{alias}",
        "run_id": found.run_id,
        "store": uri,
    }


def build_model(
    place: Path, run: Path, name: str, predictor: Predictor, metrics: dict[str, Any] | None, synthetic: bool
) -> Path:
    """Write the model as a folder that MLflow loads: code, checkpoint without the text side, card, signature, example.

    `place` is an empty folder; gives the model's folder in it.
    """
    import mlflow.pyfunc

    from peace.checkpoint import INFERENCE_FILES, copy_checkpoint, find_checkpoint
    from peace.evaluation.model_card import model_card

    copy_checkpoint(find_checkpoint(run), place / "checkpoint", INFERENCE_FILES)
    folder = place / "model"
    with _quiet():
        mlflow.pyfunc.save_model(
            path=folder,
            python_model=str(SOURCE),
            artifacts={"checkpoint": str(place / "checkpoint")},
            signature=signature(predictor),
            input_example=(example(predictor), {"cohort": "zzu"}),
            pip_requirements=_requirements(),
            metadata={"labels": list(predictor.labels), "rate_hz": predictor.signal.rate, "samples": predictor.length},
        )
    card = model_card(name, predictor.meta, predictor.full_names(), metrics, synthetic)
    write_text(folder / "README.md", card)
    return folder


def signature(predictor: Predictor) -> Any:
    """Input, output and parameters, for MLflow.

    MLflow checks input against one kind of schema, and numbers (n, 12, T) and a column of paths are two. A tensor of
    objects is the one schema that lets both pass; the model itself checks shape and values, with clearer messages.
    """
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec

    from peace.inference import DEFAULT_COHORT

    outputs = [ColSpec(DataType.double, label) for label in predictor.labels]
    return ModelSignature(
        inputs=Schema([TensorSpec(np.dtype("O"), (-1,))]),
        outputs=Schema([*outputs, ColSpec(DataType.string, "refused", required=False)]),
        params=ParamSchema([ParamSpec("cohort", DataType.string, DEFAULT_COHORT)]),
    )


def example(predictor: Predictor) -> np.ndarray:
    """Two recordings (2, 12, T) in mV, with a beat each second and each three quarters of one: shape, not medicine."""
    import numpy as np

    seconds = np.arange(predictor.length) / predictor.signal.rate
    beats = [np.exp(-(((seconds % period) - 0.3) ** 2) / 0.0004) for period in (1.0, 0.75)]
    size_mv = np.linspace(-0.5, 1.0, 12)
    return np.round(np.stack([size_mv[:, None] * beat for beat in beats]), 3).astype(np.float32)


def check_model(folder: Path, predictor: Predictor) -> None:
    """Load the model as its users will, and compare what it says with the checkpoint. Raises RuntimeError."""
    import mlflow.pyfunc
    import numpy as np

    ecg_mv = example(predictor)
    with _quiet():
        said = mlflow.pyfunc.load_model(str(folder)).predict(ecg_mv)
    if not np.allclose(said[list(predictor.labels)], predictor.predict_array(ecg_mv), atol=TOLERANCE):
        raise RuntimeError(f"the model in {folder} does not say what its checkpoint says: not registered")


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


def _check_names(name: str, alias: str) -> None:
    if not re.fullmatch(r"[\w\-. ]+", name):
        raise ConfigError(f"'{name}' cannot name a model: use letters, digits and _ - .")
    if not re.fullmatch(r"[A-Za-z_][\w\-]*", alias) or re.fullmatch(r"v\d+", alias, re.IGNORECASE) or alias == "latest":
        raise ConfigError(f"'{alias}' cannot be an alias: use letters, digits, _ and -, but neither 'latest' nor 'v1'")


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
    """Upload the model's folder and make a version of it; gives the version."""
    from mlflow.exceptions import MlflowException

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
    for key, value in _numbers(metrics).items():
        client.log_metric(run_id, key, value, model_id=model.model_id)
    try:
        client.create_registered_model(name, description="Pediatric 12-lead ECG findings, from the ECG alone (PEACE)")
    except MlflowException:
        # the name is there already: another version of it
        client.get_registered_model(name)
    version = client.create_model_version(
        name,
        source=model.artifact_location,
        run_id=source_run,
        tags={**tags, REGISTERED_BY: run_id},
        description=(folder / "README.md").read_text(encoding="utf-8"),
        model_id=model.model_id,
    )
    return str(version.version)


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
        "macro_auc": None if metrics is None else f"{metrics['macro_auc']:.4f}",
    }
    return {f"peace.{key}": str(value) for key, value in known.items() if value}


def _numbers(metrics: dict[str, Any] | None) -> dict[str, float]:
    if metrics is None:
        return {}
    overall = {f"test/{key}": value for key, value in metrics.items() if key.startswith("macro_")}
    labels = {f"test/auc/{label}": values["auc"] for label, values in metrics["labels"].items()}
    return {key: float(value) for key, value in (overall | labels).items() if value is not None}


def _requirements() -> list[str]:
    from importlib.metadata import version

    return [f"{name}=={version(name)}" for name in ("peace-ray", "mlflow", "torch", "numpy", "pandas")]


def _quiet() -> Any:
    """MLflow comments on type hints and on example schemas that it would rather infer; none of it is news here."""
    import logging
    from contextlib import ExitStack

    stack = ExitStack()
    caught = warnings.catch_warnings()
    stack.enter_context(caught)
    warnings.simplefilter("ignore")
    log = logging.getLogger("mlflow")
    stack.callback(log.setLevel, log.level)
    log.setLevel(logging.ERROR)
    return stack


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
