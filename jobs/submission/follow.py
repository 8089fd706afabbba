"""Following a submitted job: its output as it comes, the bar included, through lost connections, to its end."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, TextIO

from jobs.submission.client import PATIENCE_SECONDS, Unreachable, find_token, job_details, patiently
from jobs.submission.job_list import ENDED, POLL_SECONDS

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

HEARTBEAT_SECONDS = 15.0  # a line that went dead without a word is noticed within twice that
BAR = re.compile(r"\d+%\|.*\|.*\[.*\]\s*$|\d+ \w+ \[\d\d:\d\d.*\]\s*$")  # as tqdm writes


def follow(client: JobSubmissionClient, address: str, job: str, to: TextIO) -> JobDetails:
    """Print the job's output until it ends; returns how it ended. Raises Unreachable after ten minutes of silence."""
    printer = Printer(to)
    lost: float | None = None
    while True:
        before = printer.seen
        try:
            asyncio.run(_tail(address, job, printer))
        except OSError as error:
            reason = type(error).__name__
        else:
            reason = "the line was closed"
        details = patiently(lambda: job_details(client, address, job), _say)
        if details.status in ENDED:
            _print_the_rest(client, job, printer)
            printer.finish()
            return details
        lost = None if printer.seen > before else lost or time.monotonic()
        if lost and time.monotonic() - lost > PATIENCE_SECONDS:
            raise Unreachable(f"no output of {job} is available from {address} ({reason})")
        time.sleep(POLL_SECONDS)


def wait_for(client: JobSubmissionClient, address: str, job: str) -> JobDetails:
    """Return when the job has ended."""
    while True:
        details = patiently(lambda: job_details(client, address, job), _say)
        if details.status in ENDED:
            return details
        time.sleep(POLL_SECONDS)


class Printer:
    """Prints a stream that may be sent again from its start; on a terminal a bar stays on one line."""

    def __init__(self, to: TextIO) -> None:
        self.seen = 0
        self._to = to
        self._terminal = to.isatty()
        self._open_bar = False

    def print(self, text: str) -> None:
        """Print what is new."""
        self.seen += len(text)
        if not self._terminal:
            print(text, end="", file=self._to, flush=True)
            return
        for line in text.splitlines(keepends=True):
            bar = BAR.search(line) is not None
            start = "\r\x1b[K" if bar else "\n" if self._open_bar else ""
            print(start + (line.rstrip("\n") if bar else line), end="", file=self._to, flush=True)
            self._open_bar = bar

    def finish(self) -> None:
        """End an open line."""
        if self._open_bar:
            print(file=self._to)


async def _tail(address: str, job: str, printer: Printer) -> None:
    """Print from where the printer stands until the line is closed. Raises OSError where it breaks."""
    skip = printer.seen
    async for text in _received(address, job):
        if skip >= len(text):
            skip -= len(text)
            continue
        printer.print(text[skip:])
        skip = 0


async def _received(address: str, job: str) -> AsyncIterator[str]:
    import aiohttp

    token = find_token(address)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    limits = aiohttp.ClientTimeout(total=None, sock_connect=10.0)
    try:
        async with (
            aiohttp.ClientSession(headers=headers, timeout=limits) as session,
            session.ws_connect(f"{address}/api/jobs/{job}/logs/tail", heartbeat=HEARTBEAT_SECONDS) as socket,
        ):
            async for message in socket:
                if message.type != aiohttp.WSMsgType.TEXT:
                    break
                yield message.data
            if socket.close_code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE:
                raise ConnectionResetError("the line broke")
    except aiohttp.ClientError as error:
        raise ConnectionError(str(error)) from error


def _print_the_rest(client: JobSubmissionClient, job: str, printer: Printer) -> None:
    """Print what an ended job wrote and the line, closed too early, did not bring."""
    try:
        text = str(client.get_job_logs(job))
    except (OSError, RuntimeError):  # the node that ran it is gone, and its output with it
        return
    plain = re.sub("\r\n?", "\n", text)  # as the line brings it
    if len(plain) > printer.seen:
        printer.print(plain[printer.seen :])


def _say(message: str) -> None:
    print(f"peace: {message}", file=sys.stderr)
