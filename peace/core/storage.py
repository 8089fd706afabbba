"""Places where files lie: local or mounted folders, and objects in an S3 store, both with pathlib's vocabulary.

A local place is a plain pathlib.Path and costs nothing more. An s3:// place is a UPath over s3fs: whole objects are
put and got, so a reader never meets half of one. How the store is reached stands in the environment, as for every
AWS tool (docs/storage.md); attempts that fail for the moment are repeated by botocore and s3fs.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, cast

from peace.core.errors import ConfigError, StoreError
from peace.core.masking import masked

SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+)://")
ADDRESS = re.compile(r"^(s3a?|gs|gcs|az|abfss?|hdfs|https?|file):/")
# What a worker on another machine must know to reach the same store; its credentials are its own.
STORE_ENVIRONMENT = (
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_NO_SIGN_REQUEST",
)
ATTEMPTS = 5  # of botocore, with doubling pauses; s3fs repeats what a server calls too fast on top of it
CONNECT_SECONDS = 10
READ_SECONDS = 60
CONNECTIONS = 64
PREFIX = "peace-files-"
LEFT_BEHIND_SECONDS = 3600.0
ADVICE = {
    "NoCredentialsError": "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile; "
    "for a public bucket AWS_NO_SIGN_REQUEST=YES",
    "PartialCredentialsError": "only half of the AWS credentials is set",
    "ProfileNotFound": "the AWS profile does not exist: check AWS_PROFILE",
    "NoSuchBucket": "the bucket does not exist",
    "AccessDenied": "access denied: check the AWS credentials and the bucket's policy",
    "403": "access denied: check the AWS credentials and the bucket's policy",
    "InvalidAccessKeyId": "the store does not know this access key: check AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL",
    "SignatureDoesNotMatch": "the store refuses the signature: check AWS_SECRET_ACCESS_KEY",
    "ExpiredToken": "the AWS credentials have expired: renew them and run the same command again",
}
ABSENT = ("NoSuchKey", "404")
EMPTY = ("InvalidRange", "416")  # what a store answers to a range of an object without bytes


def to_path(given: str | Path) -> Path:
    """A place as given on a command line or in a manifest: pathlib.Path, or a UPath for s3://.

    A UPath is declared as a Path, whose vocabulary it has. Raises ConfigError for any other kind of address.
    """
    if not isinstance(given, str):
        return given
    scheme = SCHEME.match(given)
    if scheme is None:
        return Path(given)
    if scheme[1] != "s3":
        raise ConfigError(f"{masked(given)}: only local paths and s3://BUCKET/FOLDER can be read and written")
    if "@" in given.removeprefix("s3://").partition("/")[0]:
        raise ConfigError(f"{masked(given)}: keys in an address are not read, set AWS_ACCESS_KEY_ID and its like")
    from upath import UPath

    return cast(Path, UPath(given.rstrip("/"), **_options()))


def is_remote(path: Path) -> bool:
    """Whether a place is an object store's."""
    return not isinstance(path, Path)


def looks_remote(path: Path) -> bool:
    """Whether a local path was an address before pathlib took one of its slashes."""
    return ADDRESS.match(str(path)) is not None


def _options() -> dict[str, Any]:
    """How s3fs reaches the store. They travel with a place that is sent to a worker."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    public = os.environ.get("AWS_NO_SIGN_REQUEST", "").lower() in ("1", "yes", "true")
    config = {
        "retries": {"mode": "standard", "max_attempts": ATTEMPTS},
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": READ_SECONDS,
        "max_pool_connections": CONNECTIONS,
    }
    return {
        "use_listings_cache": False,  # workers write what the driver lists
        "default_cache_type": "none",
        "config_kwargs": config,
        **({"endpoint_url": endpoint} if endpoint else {}),
        **({"anon": True} if public else {}),
    }


@contextmanager
def translate_errors(path: Path | str) -> Iterator[None]:
    """Turn what a store or the network raises inside into a StoreError that names the place.

    An absent object stays a FileNotFoundError.
    """
    try:
        yield
    except Exception as error:
        fault = fault_of(error)
        if fault is None:
            raise
        raise StoreError(f"{path}: {fault}") from error


def fault_of(error: BaseException) -> str | None:
    """What a person is told of a failure of a store; None for an absent object and for everything else."""
    seen: BaseException | None = error
    while seen is not None:
        name = type(seen).__name__
        code = _code(seen)
        if code is not None:
            return None if code in ABSENT else ADVICE.get(code, f"the store answers {seen}")
        if type(seen).__module__.partition(".")[0] in ("botocore", "aiobotocore", "aiohttp"):
            return ADVICE.get(name, f"{seen} (tried {ATTEMPTS} times; the same command resumes from what is finished)")
        seen = seen.__cause__ or (seen.__context__ if isinstance(seen, OSError) else None)
    return None


def is_empty(error: BaseException) -> bool:
    """Whether a store refused to read from the start of an object, which is so for an empty one."""
    return error.__cause__ is not None and _code(error.__cause__) in EMPTY


def _code(error: BaseException) -> str | None:
    """The code of an answer of S3, None for any other error."""
    response = getattr(error, "response", None)
    return str(response["Error"].get("Code", "")) if isinstance(response, dict) and "Error" in response else None


@contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder of this machine, removed at the end; those of killed processes are swept."""
    _sweep(tempfile.gettempdir())
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-") as folder:
        yield Path(folder)


@cache
def _sweep(folder: str) -> None:
    """Once a process; the age keeps folders of another container, whose processes cannot be seen from here."""
    for left in Path(folder).glob(f"{PREFIX}*-*"):
        pid = left.name.removeprefix(PREFIX).partition("-")[0]
        try:
            old = time.time() - left.stat().st_mtime > LEFT_BEHIND_SECONDS
        except OSError:
            continue
        if old and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def local_copy(path: Path) -> Iterator[Path]:
    """The file on this machine: itself where it is local, else a copy for the length of the block.

    Raises FileNotFoundError where it is absent, StoreError where the store fails.
    """
    if not is_remote(path):
        yield path
        return
    with scratch() as folder:
        copy = folder / path.name
        remote = cast(Any, path)
        with translate_errors(path):
            # one stream, since s3fs resumes where it broke off only there
            remote.fs.get_file(remote.path, str(copy), max_concurrency=1)
        yield copy


@contextmanager
def uploading(path: Path) -> Iterator[Path]:
    """A temporary local path whose file becomes the object at the end; after a failure nothing is put."""
    with scratch() as folder:
        copy = folder / path.name
        yield copy
        remote = cast(Any, path)
        with translate_errors(path):
            remote.fs.put_file(str(copy), remote.path)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """What pyarrow reads a Parquet file from: the path, or for a remote one a file of which it reads only parts."""
    if not is_remote(path):
        yield path
        return
    with translate_errors(path), path.open("rb") as stream:
        yield stream
