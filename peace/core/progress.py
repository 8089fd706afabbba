"""The one progress bar: count, rate and time left on stderr, readable in a log file as well."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any
from weakref import ref

from tqdm import tqdm

_bars: list[ref[tqdm[Any]]] = []  # in the order in which they were begun


def progress(
    items: Iterable[Any] | None, label: str, total: int | None = None, unit: str = "record", scaled: bool = False
) -> tqdm[Any]:
    """Bar over `items`, or a bar moved by hand with `.update(n)` where `items` is None; `scaled` writes 1.2M bytes.

    A terminal sees it move; a log file gets a line every ten seconds at most; what takes under a second shows none.
    """
    interval = 0.2 if sys.stderr.isatty() else 10.0
    bar = tqdm(
        items,
        desc=label,
        total=total,
        unit=f" {unit}s",
        unit_scale=scaled,
        mininterval=interval,
        delay=1.0,
        file=sys.stderr,
    )
    _bars[:] = [known for known in _bars if known() is not None] + [ref(bar)]
    return bar


def newest_bar() -> tqdm[Any] | None:
    """The bar of this process that was begun last and is not at its end, for whoever reports on a job."""
    for known in reversed(_bars.copy()):
        bar: tqdm[Any] | None = known()
        if bar is not None and not bar.disable:
            return bar
    return None
