"""What `peace cluster up` leaves for the other commands: a folder with addresses, token, logs and the MLflow store."""

from __future__ import annotations

import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from peace.core.errors import DataError
from peace.core.files import read_json, write_json

FOLDER_VARIABLE = "PEACE_CLUSTER_DIR"
STATE = "cluster.json"
TOKEN = "auth_token"


@dataclass(frozen=True)
class LocalCluster:
    """A cluster on this machine: how it is reached and what it left where. Addresses are http://HOST:PORT."""

    mark: str
    address: str
    ray_address: str
    metrics: str
    mlflow: str | None
    temp: str
    token_file: str
    log: str
    cpus: int
    started: float


def cluster_folder(given: Path | None = None) -> Path:
    """Where a cluster keeps its books: as given, else PEACE_CLUSTER_DIR, else ~/.peace/cluster."""
    return (given or Path(os.environ.get(FOLDER_VARIABLE) or "~/.peace/cluster")).expanduser().absolute()


def read_state(folder: Path) -> LocalCluster | None:
    """The cluster that was started last from a folder and not taken down, whether it lives or not."""
    file = folder / STATE
    if not file.exists():
        return None
    values: dict[str, Any] = read_json(file)
    try:
        return LocalCluster(**values)
    except TypeError:
        raise DataError(f"{file} is not what `peace cluster up` writes: remove it, or choose another --dir") from None


def write_state(folder: Path, cluster: LocalCluster) -> None:
    """Note a cluster."""
    write_json(folder / STATE, asdict(cluster))


def forget(folder: Path) -> None:
    """Remove the note and the token of a cluster that has ended."""
    for name in (STATE, TOKEN):
        (folder / name).unlink(missing_ok=True)


def new_token(folder: Path) -> Path:
    """A file with a fresh token of 256 bits that only its owner may read."""
    file = folder / TOKEN
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(secrets.token_hex(32))
    return file
