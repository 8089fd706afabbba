"""What goes to the cluster with a job: its command line with paths that hold there, the code, the environment."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from jobs.local_cluster.start import STOP_SECONDS
from jobs.runtime.ray_session import ENVIRONMENT
from jobs.submission.client import LOOPBACK
from jobs.tracking.run import COMMIT_VARIABLE, git_commit
from peace.config import Config
from peace.core.errors import ConfigError
from peace.core.storage import STORE_ENVIRONMENT, to_path

PACKAGES = ("peace", "jobs", "tune_spaces", "cluster")
NOT_PACKED = ("__pycache__", "*.pyc", ".*", "kuberay", "slurm", "cloud", "docker", "monitoring")
ADDRESS = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:/")
SECRET = re.compile(r"(SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIAL|_KEY$|_KEY_|^KEY)", re.IGNORECASE)
INPUTS = "submitted"  # folder of the package for files that travel with the job


@dataclass
class Paths:
    """The local paths of a command line, found by the verb's own parser."""

    given: dict[str, str] = field(default_factory=dict)

    def watch(self, parser: argparse.ArgumentParser) -> None:
        """Have the parser note each path that it reads, under the option's name."""
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for inner in action.choices.values():
                    self.watch(inner)
            elif action.nargs != 0 and action.choices is None and action.dest != "help":
                action.type = self._noting(action)

    def _noting(self, action: argparse.Action) -> Any:
        kind: Any = action.type or str
        name = action.option_strings[-1] if action.option_strings else str(action.metavar or action.dest)
        typed = kind in (Path, to_path)

        def read(word: str) -> Any:
            if ADDRESS.match(word) is None and (typed or _looks_like_a_path(word)):
                self.given[word] = name
            return kind(word)

        read.__name__ = getattr(kind, "__name__", "value")
        return read


def _looks_like_a_path(word: str) -> bool:
    return word.startswith(("/", "./", "../", "~")) or ("/" in word and Path(word).exists())


def absolute(words: Sequence[str], paths: Mapping[str, str]) -> list[str]:
    """The words with every path made absolute, since a job has a working directory of its own."""
    made = []
    for word in words:
        option, equals, value = word.partition("=")
        if word in paths:
            made.append(_absolute(word))
        elif equals and option.startswith("--") and value in paths:
            made.append(f"{option}={_absolute(value)}")
        else:
            made.append(word)
    return made


def _absolute(path: str) -> str:
    return os.path.normpath(Path(path).expanduser().absolute())


def configured_paths(config: Config) -> dict[str, str]:
    """Values of the configuration that are local paths, with their keys."""
    found: dict[str, str] = {}

    def look(values: Mapping[str, Any], prefix: str) -> None:
        for key, value in values.items():
            if isinstance(value, Mapping):
                look(value, f"{prefix}{key}.")
            elif isinstance(value, str) and ADDRESS.match(value) is None and _looks_like_a_path(value):
                found[value] = f"{prefix}{key}"

    look(config.model_dump(mode="json"), "")
    return found


def refuse_unseen(paths: Mapping[str, str], shared: Sequence[str], address: str) -> None:
    """Raise ConfigError for the first path that lies on this machine alone."""
    for path, name in paths.items():
        full = Path(_absolute(path))
        if not any(full.is_relative_to(prefix) for prefix in shared):
            raise ConfigError(
                f"{name} {path}: the cluster at {address} cannot see this machine's disk; write s3://BUCKET/FOLDER, "
                "or name a folder that is mounted there under the same path with --shared /FOLDER"
            )


def is_this_machine(address: str) -> bool:
    """Whether an address is one of this machine's own: where it is not, the cluster is certainly elsewhere."""
    import psutil

    host = urlsplit(address).hostname
    own = {item.address for items in psutil.net_if_addrs().values() for item in items}
    try:
        return bool({str(found[4][0]) for found in socket.getaddrinfo(host, None)} & own)
    except OSError:
        return False


def sees_this_machine(nodes: Sequence[Mapping[str, Any]]) -> bool:
    """Whether every node of the cluster is this machine: a loopback address may lead through a tunnel."""
    return bool(nodes) and all(node.get("hostname") == socket.gethostname() for node in nodes)


def tracking(config: Config, local_server: str | None, here: bool, address: str) -> str | None:
    """The tracking store that the job writes to, None where tracking is off.

    tracking.uri, then MLFLOW_TRACKING_URI, then the server of `peace cluster up`, then for a cluster of this machine
    mlflow.db in the current directory. Raises ConfigError for one that the cluster cannot reach.
    """
    if not config.tracking.enabled:
        return None
    uri = config.tracking.uri or os.environ.get("MLFLOW_TRACKING_URI") or local_server
    if uri is None:
        if here:
            return f"sqlite:///{Path.cwd() / 'mlflow.db'}"
        raise ConfigError(
            f"the cluster at {address} needs an MLflow server: set MLFLOW_TRACKING_URI or tracking.uri to its address "
            "as the cluster sees it, or tracking.enabled=false"
        )
    parts = urlsplit(uri)
    if parts.password:
        raise ConfigError(
            "the tracking address holds a password, which Ray shows in its dashboard: use an MLflow server"
        )
    if not here and (parts.scheme.startswith(("sqlite", "file")) or parts.hostname in LOOPBACK):
        raise ConfigError(f"the cluster at {address} cannot reach the tracking store {uri}: it is this machine's own")
    return uri


def environment(named: Sequence[str]) -> dict[str, str]:
    """Variables of the job, its tasks and actors; none of them a secret, since Ray shows them to whoever may look.

    Raises ConfigError for a NAME=VALUE that reads like one.
    """
    variables = {name: os.environ[name] for name in STORE_ENVIRONMENT if name in os.environ}
    variables |= ENVIRONMENT | {
        "PYTHONUNBUFFERED": "1",
        "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS),
        "RAY_TRAIN_ENABLE_STATE_TRACKING": "1",  # the dashboard answers for trainings too
    }
    if commit := git_commit():
        variables[COMMIT_VARIABLE] = commit
    for item in named:
        name, equals, value = item.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigError(f"--env {item}: write NAME=VALUE")
        if SECRET.search(name):
            raise ConfigError(
                f"--env {name}: a secret in a job's environment is shown in the dashboard; set it on the nodes instead"
            )
        variables[name] = value
    return variables


@contextmanager
def package(files: Mapping[str, Path]) -> Iterator[Path]:
    """A folder with the code and, under `submitted/`, the named files: what a job has as its working directory."""
    with TemporaryDirectory(prefix="peace-package-") as folder:
        root = Path(folder)
        for name in PACKAGES:
            source = Path(__file__).parents[2] / name
            if source.is_dir():
                shutil.copytree(source, root / name, ignore=shutil.ignore_patterns(*NOT_PACKED))
        for name, file in files.items():
            target = root / INPUTS / name
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(file, target)
        yield root
