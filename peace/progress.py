"""The one progress bar: count, rate and time left on stderr, readable in a log file as well."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def progress(
    items: Iterable[Any] | None, label: str, total: int | None = None, unit: str = "record", scaled: bool = False
) -> tqdm[Any]:
    """Bar over `items`, or a bar moved by hand with `.update(n)` where `items` is None; `scaled` writes 1.2M bytes.

    A terminal sees it move; a log file gets a line every ten seconds at the most; what takes under a second shows none.
    """
    interval = 0.2 if sys.stderr.isatty() else 10.0
    return tqdm(
        items,
        desc=label,
        total=total,
        unit=f" {unit}s",
        unit_scale=scaled,
        mininterval=interval,
        delay=1.0,
        file=sys.stderr,
    )
