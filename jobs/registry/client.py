"""What the verbs of the registry share: reaching it, naming a version, fetching its checkpoint, and its front page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.registry.champions import PromotionLog
from jobs.runtime.harness import Job
from jobs.tracking.store import connect, first_line, signed_in, tracking_uri
from peace.config import Config
from peace.core.errors import ConfigError, DataError, nearest
from peace.reports.page import NOT_A_DEVICE

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


def check_names(name: str, alias: str = "candidate") -> None:
    """Raise ConfigError for a name or an alias that no registry can hold."""
    if not re.fullmatch(r"[\w\-. ]{1,250}", name) or name != name.strip() or not name.strip("."):
        raise ConfigError(f"{name!r} cannot name a model: use letters, digits and _ - .")
    if not re.fullmatch(r"[A-Za-z_][\w\-]*", alias) or re.fullmatch(r"v\d+", alias, re.IGNORECASE) or alias == "latest":
        raise ConfigError(f"{alias!r} cannot be an alias: use letters, digits, _ and -, but neither 'latest' nor 'v1'")


def registry_client(job: Job) -> MlflowClient:
    """A client of the job's store. Raises DataError where there is none: the registry cannot do without."""
    uri = tracking_uri(job.config)
    if job.run.run_id is None:
        raise DataError(f"`peace {job.label}` needs MLflow at {uri}: see tracking.uri and tracking.enabled")
    return connect(uri)


def resolve(client: MlflowClient, name: str, wanted: str) -> str:
    """The version meant by a number or an alias. Raises DataError naming those there are."""
    aliases = {alias: str(version) for alias, version in client.get_registered_model(name).aliases.items()}
    if wanted in aliases:
        return aliases[wanted]
    versions = [str(version.version) for version in client.search_model_versions(f"name='{name}'")]
    number = wanted.removeprefix("v")
    if number in versions:
        return number
    known = [*sorted(versions, key=int), *aliases]
    raise DataError(f"'{name}' has no version '{wanted}'{nearest(wanted, known)} (known: {', '.join(known)})")


def fetch_checkpoint(model: str, config: Config, place: Path) -> Path:
    """Bring a registered model (models:/NAME/VERSION or models:/NAME@ALIAS) to `place`; returns its checkpoint folder.

    Raises DataError where it is not available.
    """
    uri = tracking_uri(config)
    file = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not file.exists():
        raise DataError(f"no MLflow store at {file}: go to where it is, or set tracking.uri or MLFLOW_TRACKING_URI")
    try:
        connect(uri)
        from mlflow.artifacts import download_artifacts

        place.mkdir(parents=True, exist_ok=True)
        plain = signed_in(uri)
        folder = Path(download_artifacts(model, dst_path=str(place), tracking_uri=plain, registry_uri=plain))
    # a store, a server or a disk may fail in many ways; all of them mean that the model is not available
    except Exception as error:
        raise DataError(f"cannot get {model!r} from {uri}: {first_line(error)}") from error
    return folder / "artifacts" / "checkpoint"


def write_description(client: MlflowClient, champions: PromotionLog) -> None:
    """The front page of a registered model in MLflow: what it is, which version is champion and why, how to load it."""
    name, alias = champions.name, champions.alias
    version = champions.current()
    found = None if version is None else client.get_model_version(name, version)
    rows = [
        f"| {change.at[:16].replace('T', ' ')} | {change.kind} | {change.version} | {change.previous or '–'} "
        f"| {change.why} |"
        for change in reversed(champions.changes())
    ]
    history = ["| when (UTC) | what | version | before | why |", "|---|---|---|---|---|", *rows]
    client.update_registered_model(
        name,
        description="\n".join(
            [
                f"# {name}: findings in a 12-lead ECG, from the ECG alone",
                "",
                f"A PEACE model: probabilities of findings, several of which may hold. **{NOT_A_DEVICE}**",
                "",
                *_who(client, found, alias),
                "",
                *_how(name, alias if found else "candidate"),
                "",
                *([f"## Changes of {alias}", "", *history] if rows else []),
            ]
        ),
    )


def _who(client: MlflowClient, found: ModelVersion | None, alias: str) -> list[str]:
    if found is None:
        return [
            f"## There is no {alias} yet",
            "",
            f"`peace promote NAME --candidate V --to {alias} --shards DIR` holds a version against the gate.",
        ]
    tags = found.tags
    known = {
        "Why": tags.get(f"peace.{alias}.why"),
        "Since": tags.get(f"peace.{alias}.since"),
        "Decision": _run_link(client, tags.get(f"peace.{alias}.decision_run"), "/artifacts"),
        "Where it came from": _run_link(client, found.run_id),
        "Data": f"adapted to {tags.get('peace.cohort')}, protocol {tags.get('peace.protocol')}, "
        f"label set {tags.get('peace.label_set')}",
        "Macro AUC on its own test split": tags.get("peace.test/macro_auc"),
    }
    return [
        f"## The {alias} is version {found.version}",
        "",
        *(f"- {what}: {value}" for what, value in known.items() if value),
        "- Its model card, with the AUC of each label and age band, is the description of that version.",
    ]


def _run_link(client: MlflowClient, run_id: str | None, page: str = "") -> str | None:
    from mlflow.exceptions import MlflowException

    if not run_id:
        return None
    try:
        run = client.get_run(run_id)
    except MlflowException:  # deleted since
        return None
    return f"[{run.info.run_name}](#/experiments/{run.info.experiment_id}/runs/{run_id}{page})"


def _how(name: str, alias: str) -> list[str]:
    return [
        "## Load it",
        "",
        "```python",
        "import mlflow, pandas",
        'mlflow.set_tracking_uri("the address of this page")',
        f'model = mlflow.pyfunc.load_model("models:/{name}@{alias}")',
        'model.predict(pandas.DataFrame({"path": ["record.hea"]}))',
        "```",
        "",
        f"or `peace predict record.hea --model models:/{name}@{alias}`. It needs the peace-ray package.",
    ]
