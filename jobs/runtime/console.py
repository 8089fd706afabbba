"""The command line's own streams, in any shell: an encoding without dashes, a reader that has gone, a full device."""

from __future__ import annotations

import codecs
import json
import os
import sys
from collections.abc import Callable
from typing import Any

BROKEN_PIPE = 141  # as a shell reports it: 128 + SIGPIPE
PLAIN = str.maketrans({"–": "-", "—": "-", "−": "-", "·": "*", "…": "...", "µ": "u", "±": "+-", "’": "'", "≥": ">="})


def _plain(error: UnicodeError) -> tuple[str, int]:
    """What stands for characters that an encoding lacks: a plain likeness, or an escape that JSON knows too."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(PLAIN)
    return "".join(char if char.isascii() else json.dumps(char)[1:-1] for char in text), error.end


codecs.register_error("peace", _plain)


def prepare_streams() -> None:
    """Make stdout and stderr take any text, and stand in for those that are closed."""
    for number, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        stream: Any = getattr(sys, name)
        if stream is None:
            # a free number would go to the next file that is opened, and a child's words into that file
            _to_null(number)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", errors="peace", closefd=False))
        elif number and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="peace")


def guarded(name: str, command: Callable[[], int]) -> int:
    """Run a command line and return its exit code, with all that it printed delivered.

    A reader that has gone ends it without a word, as `head` ends any program; a stream that takes nothing ends it in
    one line.
    """
    prepare_streams()
    try:
        try:
            code = command()
        except SystemExit:
            _flush()
            raise
        _flush()
        return code
    except OSError as error:
        at_fault = _broken_streams()
        if not at_fault:
            raise
        for number in at_fault:
            _to_null(number)
        if isinstance(error, BrokenPipeError):
            return BROKEN_PIPE
        print(f"{f'peace {name}'.strip()}: cannot write what it prints: {error.strerror}", file=sys.stderr)
        return 2


def in_utf8() -> None:
    """Start this process anew in Python's UTF-8 mode where the locale has no name for most files' names."""
    if sys.platform != "win32" and codecs.lookup(sys.getfilesystemencoding()).name != "utf-8":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def stream_fault(error: OSError) -> bool:
    """Whether it is stdout or stderr that failed."""
    return error.filename is None and bool(_broken_streams())


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()


def _broken_streams() -> list[int]:
    """The numbers of the streams that do not take what is left to write."""
    broken = []
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError):
            broken.append(number)
    return broken


def _to_null(number: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, number)  # what children inherit, also where it is the same number
    if null != number:
        os.close(null)
