"""history.jsonl: one line an epoch, appended by the driver while a training runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from peace.core.files import write_text


def read_history(path: Path) -> list[dict[str, Any]]:
    """The epochs of a training; none where it left no history. A line cut short by a kill is passed over."""
    epochs: list[dict[str, Any]] = []
    if not path.exists():
        return epochs
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            epochs.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return epochs


def append_history(path: Path, metrics: dict[str, Any]) -> None:
    """Add an epoch in its place. A line cut short by a kill goes, so that no two epochs share a line."""
    epochs = sorted([*read_history(path), metrics], key=lambda epoch: epoch["epoch"])
    write_text(path, "".join(json.dumps(epoch) + "\n" for epoch in epochs))
