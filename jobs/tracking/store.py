"""The MLflow store: where it is, and a client of it that neither waits for ever nor talks when not asked."""

from __future__ import annotations

import logging
import os
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from peace.config import Config
from peace.core.errors import ConfigError
from peace.core.masking import MASK, masked

if TYPE_CHECKING:
    from mlflow import MlflowClient

SERVER_PATIENCE = 5.0  # seconds that a tracking server may take to say that it is there
TABLES_PATIENCE = 120.0  # seconds that another job may take to make the tables of a new sqlite store

# MLflow's pages are then those of training runs and models, not those of language models
EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.note.content": (
        "PEACE on Ray: one run a job. Compare `test/macro_auc` of the evaluate runs; the run 'champions of NAME' holds "
        "the decisions about registered models, whose page under Models says which version is champion, why, and how "
        "to load it. Research software, not a medical device."
    ),
}


def tracking_uri(config: Config) -> str:
    """Where runs are kept: tracking.uri, then MLFLOW_TRACKING_URI, then mlflow.db in the current directory.

    Raises ConfigError for a folder, which MLflow 3 refuses as a store, and for an address whose password is masked.
    """
    uri = config.tracking.uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path.cwd() / 'mlflow.db'}"
    uri = unmasked(uri)
    if "://" not in uri or uri.startswith("file:"):
        raise ConfigError(
            f"tracking.uri '{masked(uri)}' is not a store: write sqlite:////path/mlflow.db or http://host:port"
        )
    return uri


def unmasked(uri: str) -> str:
    """An address that may come from a run's files, with MASK in place of a password, as it can be used again.

    It is MLFLOW_TRACKING_URI where that is the same but for the mask, or the plain address of a server whose user
    MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD name. Raises ConfigError for any other.
    """
    if MASK not in uri:
        return uri
    named = os.environ.get("MLFLOW_TRACKING_URI", "")
    if masked(named) == uri:
        return named
    if uri.startswith("http") and "MLFLOW_TRACKING_PASSWORD" in os.environ:
        return uri.replace(f"{MASK}@", "")
    raise ConfigError(f"{uri} was kept without its password: give the whole address as tracking.uri")


def signed_in(uri: str) -> str:
    """The address without a name and password for HTTP, which go where MLflow looks for them."""
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or "@" not in parts.netloc:
        return uri
    os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username or "")
    os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password or "")
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def connect(uri: str) -> MlflowClient:
    """A client of a store. Raises OSError at once where a server does not answer, rather than minutes later."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    uri = signed_in(uri)
    if uri.startswith(("http://", "https://")):
        urllib.request.urlopen(uri.rstrip("/") + "/health", timeout=SERVER_PATIENCE).close()
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with _making_tables(uri):
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


@contextmanager
def _making_tables(uri: str) -> Iterator[None]:
    """Let one job at a time open a sqlite store: the first makes the tables, and MLflow itself trips over a second."""
    if not uri.startswith("sqlite:///"):
        yield
        return
    from filelock import FileLock

    file = Path(uri.removeprefix("sqlite:///")).absolute()
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{file}.lock", timeout=TABLES_PATIENCE):
        yield


def experiment_id(client: MlflowClient, name: str, uri: str) -> str:
    """The experiment's id; it is made where it is missing, with its artefacts beside a sqlite store."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        place = None
        if uri.startswith("sqlite:///"):
            place = (Path(uri.removeprefix("sqlite:///")).absolute().parent / "mlartifacts").as_uri()
        try:
            return str(client.create_experiment(name, artifact_location=place, tags=EXPERIMENT_TAGS))
        except MlflowException:
            # another job made it in the meantime
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def first_line(error: Exception) -> str:
    """The beginning of an error's text; some of MLflow's hold a whole traceback."""
    text = str(error).strip().splitlines() or [""]
    return masked(f"{type(error).__name__}: {text[0]}")[:240]


def warn(verb: str, message: str) -> None:
    """Say something on stderr and in the job's log."""
    message = masked(message)
    print(f"peace {verb}: warning: {message}", file=sys.stderr)
    log = logging.getLogger(f"peace.{verb}")
    # without the job's log file, logging would say it on stderr a second time
    if log.handlers:
        log.warning(message)
