"""Downloads that survive what networks do: dropped connections, silence, busy servers, wrong bytes.

Range requests and their validators follow RFC 9110, sections 13.1.5 (If-Range) and 14.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import requests
import urllib3.exceptions

from peace.config import FetchConfig
from peace.core.errors import DataError
from peace.data.download.partial import Partial

CHUNK = 1 << 14  # what a line that breaks off may lose
LONGEST_PAUSE = 60.0
WRONG_BYTES_TRIES = 3
BUSY = frozenset({408, 425, 429})
NETWORK = (requests.RequestException, urllib3.exceptions.HTTPError)
LARGEST_ANSWER = 16 * 2**20  # bytes of an answer that is held in memory

T = TypeVar("T")


@dataclass(frozen=True)
class Checksum:
    """What a file's bytes must hash to."""

    algorithm: str
    value: str

    def matches(self, path: Path) -> bool:
        """Whether a file on disk has this checksum; False where there is no such file."""
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, self.algorithm).hexdigest() == self.value


class Again(Exception):
    """An answer after which another try makes sense, `pause` seconds later where the server asked for that."""

    def __init__(self, why: str, pause: float | None = None) -> None:
        super().__init__(why)
        self.pause = pause


class Stopped(Exception):
    """The job ends: leave what was received where it is."""


class Client:
    """HTTP for several threads. `received` is told of every piece of a body; `stop` ends all transfers in order."""

    def __init__(self, config: FetchConfig, received: Callable[[int], None], stop: threading.Event) -> None:
        self.config = config
        self.received = received
        self.stop = stop
        self._local = threading.local()

    def download(self, url: str, place: Path, partial: Partial, checksum: Checksum | None) -> bool:
        """Bring a URL's body to `place`, going on from what an earlier try left; False where it has not changed.

        Without a checksum, a file that is there is only fetched again where the server has another version.
        Raises DataError where the server refuses, keeps failing, or sends wrong bytes three times.
        """
        for _ in range(WRONG_BYTES_TRIES):
            progress = _Progress(partial)
            if not self._persist(url, lambda: self._transfer(url, partial, place, checksum is None), progress):
                return False
            if checksum is None or checksum.matches(partial.path):
                place.parent.mkdir(parents=True, exist_ok=True)
                os.replace(partial.path, place)
                if checksum is not None:
                    partial.forget()
                return True
            partial.forget()
        assert checksum is not None
        raise DataError(
            f"{place.name}: the bytes from {url} do not have the published {checksum.algorithm}, "
            f"{WRONG_BYTES_TRIES} times over"
        )

    def json(self, url: str) -> Any:
        """A small JSON document. Raises DataError as download does, or where it is no JSON."""
        body = self._persist(url, lambda: self._small(url, {}, None)[1])
        try:
            return json.loads(body)
        except ValueError:
            raise DataError(f"{url} did not answer with JSON") from None

    def part(self, url: str, start: int, stop: int, size: int) -> bytes:
        """Bytes [start, stop) of a URL whose whole is `size` long. Raises DataError where ranges are not served."""
        headers = {"Range": f"bytes={start}-{stop - 1}"}

        def attempt() -> bytes:
            response, body = self._small(url, headers, stop - start)
            if response.status_code != 206:
                raise DataError(f"{url} does not serve parts of a file: fetch it whole, without --records")
            if response.headers.get("Content-Range", "").replace(" ", "") != f"bytes{start}-{stop - 1}/{size}":
                raise DataError(f"{url} is not the file of {size} bytes that was announced: run the same command again")
            return body

        return self._persist(url, attempt)

    def _persist(self, url: str, attempt: Callable[[], T], progress: _Progress | None = None) -> T:
        """Try until it works; a try that brought bytes does not count, so that a poor line still gets to the end."""
        failures = 0
        while True:
            if self.stop.is_set():
                raise Stopped
            try:
                return attempt()
            except (Again, *NETWORK) as error:
                if isinstance(error, ValueError):  # requests' word for an address that is none
                    raise DataError(f"{url} is no address to fetch from: {error}") from None
                failures = 1 if progress is not None and progress.made() else failures + 1
                if failures > self.config.retries:
                    raise DataError(f"{url}: {_why(error)} ({failures} tries)") from None
                pause = min(LONGEST_PAUSE, self.config.backoff_seconds * 2 ** (failures - 1))
                if isinstance(error, Again) and error.pause is not None:
                    pause = min(LONGEST_PAUSE, error.pause)
                self.stop.wait(pause)

    def _transfer(self, url: str, partial: Partial, place: Path, may_be_unchanged: bool) -> bool:
        start = partial.size()
        headers = {}
        if start and partial.validator:
            headers = {"Range": f"bytes={start}-", "If-Range": partial.validator}
        elif may_be_unchanged and place.is_file() and (partial.validator or "").startswith('"'):
            headers = {"If-None-Match": str(partial.validator)}
        with self._get(url, headers) as response:
            if response.status_code == 304:
                return False
            if response.status_code == 416 and _length_of_whole(response) == start:
                return True  # killed between the last byte and the new name
            if response.status_code == 416 or (response.status_code == 206 and _first_byte(response) != start):
                partial.forget()
                raise Again("would not resume from where we are")
            self._write(response, partial, start if response.status_code == 206 else 0)
        return True

    def _write(self, response: requests.Response, partial: Partial, start: int) -> None:
        if not start:
            partial.begin(_validator(response))
        with partial.path.open("r+b") as stream:
            stream.seek(start)
            for piece in response.raw.stream(CHUNK, decode_content=False):
                if self.stop.is_set():
                    raise Stopped
                stream.write(piece)
                self.received(len(piece))

    def _small(self, url: str, headers: dict[str, str], expected: int | None) -> tuple[requests.Response, bytes]:
        """An answer held in memory, bounded."""
        limit = LARGEST_ANSWER if expected is None else expected
        with self._get(url, headers) as response:
            if expected is not None and response.status_code == 200:
                return response, b""
            body = b""
            for piece in response.raw.stream(CHUNK, decode_content=False):
                body += piece
                if len(body) > limit:
                    raise DataError(f"{url} answers with more than {limit} bytes")
        if expected is not None and len(body) != expected:
            raise Again(f"sent {len(body)} of {expected} bytes")
        self.received(len(body))
        return response, body

    def _get(self, url: str, headers: dict[str, str]) -> requests.Response:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
        wait = self.config.timeout_seconds
        session: requests.Session = self._local.session
        response = session.get(
            url, headers={"Accept-Encoding": "identity", **headers}, stream=True, timeout=(wait, wait)
        )
        status = response.status_code
        if status in (200, 206, 304, 416):
            return response
        with response:
            if status in BUSY or status >= 500:
                raise Again(f"answered {status}", _retry_after(response))
            raise DataError(f"{url} answered {status} {response.reason}: check the address (--base-url)")


class _Progress:
    """Whether a partial file has grown since the last look."""

    def __init__(self, partial: Partial) -> None:
        self.partial = partial
        self.seen = partial.size()

    def made(self) -> bool:
        size = self.partial.size()
        grown, self.seen = size > self.seen, size
        return grown


def _first_byte(response: requests.Response) -> int | None:
    match = re.match(r"bytes\s+(\d{1,18})-", response.headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _length_of_whole(response: requests.Response) -> int | None:
    match = re.match(r"bytes\s+\*/(\d{1,18})$", response.headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _validator(response: requests.Response) -> str | None:
    """What identifies this version: a strong ETag, or the date of the last change."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified")


def _retry_after(response: requests.Response) -> float | None:
    text = response.headers.get("Retry-After", "").strip()
    return float(text) if text.isdecimal() and len(text) < 9 else None


def _why(error: Exception) -> str:
    if isinstance(error, Again):
        return str(error)
    if isinstance(error, requests.exceptions.SSLError):
        return f"no secure connection ({error})"[:300]
    if isinstance(error, (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError)):
        return "no answer in time"
    if isinstance(error, requests.exceptions.ConnectionError):
        return "no connection"
    if isinstance(error, urllib3.exceptions.HTTPError):
        return "the connection broke off"
    return f"{type(error).__name__}: {error}"[:300]
