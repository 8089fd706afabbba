"""How a command of ours reaches a Ray dashboard: which address, with which token, and what is said when it fails."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from jobs.local_cluster.state import LocalCluster, cluster_folder, read_state
from peace.core.errors import ConfigError, DataError, PeaceError

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
PATIENCE_SECONDS = 600.0  # how long a lost connection is tried again
SERVER_FAULT = re.compile(r"status code 5\d\d")
LOOPBACK = ("localhost", "127.0.0.1", "::1")

Answer = TypeVar("Answer")


def find_address(given: str | None) -> str:
    """The dashboard's address: as given, else RAY_API_SERVER_ADDRESS, RAY_ADDRESS, else that of `peace cluster up`.

    Raises ConfigError where there is none, or where it is one of Ray's other ports.
    """
    address = given or os.environ.get("RAY_API_SERVER_ADDRESS")
    from_ray = os.environ.get("RAY_ADDRESS", "")
    if not address and from_ray.startswith(("http://", "https://")):
        address = from_ray
    if not address:
        local = read_state(cluster_folder())
        if local is None:
            raise ConfigError(
                "no cluster is named: give --address http://HEAD:8265, or start one here with `peace cluster up`"
            )
        address = local.address
    if "://" not in address:
        address = f"http://{address}"
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"{address} is not a dashboard's address: write http://HEAD:8265")
    return address.rstrip("/")


def local_cluster(address: str) -> LocalCluster | None:
    """The cluster of `peace cluster up`, where the address is its."""
    local = read_state(cluster_folder())
    return local if local is not None and _port(local.address) == _port(address) and _loops(address) else None


def find_token(address: str) -> str | None:
    """The token for an address: that of our own cluster there, else as Ray looks for one.

    RAY_AUTH_TOKEN, then the file RAY_AUTH_TOKEN_PATH, then ~/.ray/auth_token. Raises ConfigError for a file that is
    named and cannot be read.
    """
    local = local_cluster(address)
    if local is not None:
        return _token_in(Path(local.token_file))
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token.strip()
    if named := os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return _token_in(Path(named))
    default = Path.home() / ".ray" / "auth_token"
    return _token_in(default) if default.exists() else None


def connect(address: str) -> JobSubmissionClient:
    """A client that neither waits for ever nor talks. Raises PeaceError where nobody answers or the token is wrong."""
    # Ray's client puts these variables above the address that it is given
    os.environ["RAY_API_SERVER_ADDRESS"] = address
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    from ray.job_submission import JobSubmissionClient

    logging.getLogger("ray").setLevel(logging.WARNING)
    for name in ("ray.dashboard.modules.job.sdk", "ray.dashboard.modules.dashboard_sdk"):
        logging.getLogger(name).setLevel(logging.ERROR)

    class Client(JobSubmissionClient):
        """Ray's, with time limits."""

        def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
            return super()._do_request(method, endpoint, timeout=(CONNECT_SECONDS, READ_SECONDS), **options)

    token = find_token(address)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return asked(address, lambda: Client(address, headers=headers))


def asked(address: str, question: Callable[[], Answer]) -> Answer:
    """The answer of a client's method; what may go wrong on the way comes out as a PeaceError."""
    import requests
    from ray.exceptions import AuthenticationError

    try:
        return question()
    except PeaceError:
        raise
    except AuthenticationError as error:
        given = (
            "the token that was sent" if "403" in str(error) or "failed" in str(error) else "a request without token"
        )
        raise ConfigError(
            f"the cluster at {address} refuses {given}: set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH to its file"
        ) from None
    except (requests.exceptions.RequestException, ConnectionError) as error:
        raise Unreachable(f"no Ray dashboard answers at {address} ({type(error).__name__})") from None
    except RuntimeError as error:
        raise DataError(f"{address}: {str(error).splitlines()[0][:300]}") from None


class Unreachable(DataError):
    """The connection failed: nothing is said of the job."""


def patiently(question: Callable[[], Answer], say: Callable[[str], None]) -> Answer:
    """Ask again while the connection is lost, for PATIENCE_SECONDS; then the last Unreachable comes out."""
    deadline, pause, told = time.monotonic() + PATIENCE_SECONDS, 1.0, False
    while True:
        try:
            return question()
        except Unreachable as error:
            if time.monotonic() > deadline:
                raise
            if not told:
                say(f"{error}; trying again")
            told = True
            time.sleep(pause)
            pause = min(2 * pause, 15.0)


def job_details(client: JobSubmissionClient, address: str, job: str) -> JobDetails:
    """What the cluster knows of a job. Raises DataError where it knows none of this name."""
    try:
        return asked(address, lambda: client.get_job_info(job))
    except Unreachable:
        raise
    except DataError as error:
        if SERVER_FAULT.search(str(error)):  # a head that is just coming back
            raise Unreachable(str(error)) from None
        raise DataError(f"the cluster at {address} has no job {job}; `peace jobs list` shows what it has") from None


def exit_code_of(details: JobDetails) -> int:
    """The exit code of a job that has ended: its driver's; 130 where it was stopped, 1 where its driver never ran."""
    if details.status == "SUCCEEDED":
        return 0
    if details.status == "STOPPED":
        return 130
    return int(details.driver_exit_code or 1)


def _token_in(file: Path) -> str:
    try:
        return file.expanduser().read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"cannot read the token in {file}: check RAY_AUTH_TOKEN_PATH") from None


def _port(address: str) -> int | None:
    parts = urlsplit(address)
    return parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _loops(address: str) -> bool:
    return urlsplit(address).hostname in LOOPBACK
