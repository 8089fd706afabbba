"""Errors a person can act on: what was wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PeaceError(Exception):
    """A user's mistake or a broken input. Verbs print it on one line, without a trace, and exit with 2."""


class ConfigError(PeaceError):
    """The configuration names an unknown key or holds a value of the wrong kind."""


class DataError(PeaceError):
    """A tree, table, shard or checkpoint is missing, broken or of another kind than expected."""


class StoreError(DataError):
    """An object store refuses, or does not answer after all attempts: nothing is said of what it holds."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Suffix such as `; did you mean 'epochs'?` for the closest known name, or an empty string."""
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{match[0]}'?" if match else ""
