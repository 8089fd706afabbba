"""The command line's own streams, in any shell: an encoding without dashes, a reader that has gone, a full device."""

from __future__ import annotations

import codecs
import errno
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from peace.core.masking import masked

BROKEN_PIPE = 141  # as a shell reports it: 128 + SIGPIPE
PLAIN = str.maketrans({"–": "-", "—": "-", "−": "-", "·": "*", "…": "...", "µ": "u", "±": "+-", "’": "'", "≥": ">="})


class Undelivered(OSError):
    """Stdout or stderr does not take what is printed."""


class _Watched:
    """A stream whose failures can be told from those of all other files."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, with user information in addresses masked, or raise Undelivered."""
        self._do(self._stream.write, masked(text))
        return len(text)

    def flush(self) -> None:
        """Flush, or raise Undelivered."""
        self._do(self._stream.flush)

    def _do(self, action: Callable[..., Any], *values: str) -> Any:
        try:
            return action(*values)
        except OSError as error:
            self.error = error
            raise Undelivered(error.errno, error.strerror) from error


def guarded(name: str, command: Callable[[], int]) -> int:
    """Run a command line and return its exit code, with all that it printed delivered.

    A reader that has gone ends it without a word, as `head` ends any program; a stream that takes nothing ends it in
    one line.
    """
    with _any_text(), _watched() as streams:
        try:
            try:
                code = command()
            finally:
                for stream in streams:
                    stream.flush()
        except (Undelivered, SystemExit):  # argparse ends with SystemExit whether its help was printed or not
            error = next((stream.error for stream in streams if stream.error), None)
            if error is None:
                raise
            for number, stream in enumerate(streams, start=1):
                if stream.error:
                    _to_null(number)
            if error.errno == errno.EPIPE:
                return BROKEN_PIPE
            print(f"{f'peace {name}'.strip()}: cannot write what it prints: {error.strerror}", file=sys.stderr)
            return 2
    return code


def in_utf8() -> None:
    """Start this process anew in Python's UTF-8 mode where the locale cannot name most files."""
    if codecs.lookup(sys.getfilesystemencoding()).name != "utf-8":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


@contextmanager
def _watched() -> Iterator[tuple[_Watched, _Watched]]:
    before = sys.stdout, sys.stderr
    watched: Any = _Watched(sys.stdout), _Watched(sys.stderr)
    sys.stdout, sys.stderr = watched
    try:
        yield watched
    finally:
        sys.stdout, sys.stderr = before


@contextmanager
def _any_text() -> Iterator[None]:
    """Have stdout and stderr take any text, and stand in for those that are closed."""
    before = {}
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream: Any = getattr(sys, name)
        if stream is None:
            # a free number would go to the next file that is opened, and a child's words into that file
            _to_null(number)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", errors="peace", closefd=False))
        elif number and hasattr(stream, "reconfigure"):
            before[stream] = stream.errors
            stream.reconfigure(errors="peace")
    try:
        yield
    finally:
        for stream, errors in before.items():
            with suppress(OSError):
                stream.reconfigure(errors=errors)


def _plain(error: UnicodeError) -> tuple[str, int]:
    """What stands for characters that an encoding lacks: a plain likeness, or an escape that JSON knows too."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(PLAIN)
    return "".join(char if char.isascii() else json.dumps(char)[1:-1] for char in text), error.end


codecs.register_error("peace", _plain)


def _to_null(number: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, number)  # what children inherit, also where it is the same number
    if null != number:
        os.close(null)


def hours_minutes_seconds(seconds: float) -> str:
    """A duration as tables print it, `h:mm:ss`; it does not turn over to days."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
