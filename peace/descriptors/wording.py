"""How texts say what an ECG shows: wording.yaml, compiled."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Wording:
    """Patterns of findings, advice and axes, findings that exclude each other, and small words of languages."""

    findings: dict[str, re.Pattern[str]]
    treatment: re.Pattern[str]
    own_words: dict[str, re.Pattern[str]]
    foreign_words: dict[str, re.Pattern[str]]
    opposites: tuple[tuple[str, str], ...]
    english: frozenset[str]
    other_languages: frozenset[str]


@functools.cache
def load_wording() -> Wording:
    """The embedded patterns."""
    values = yaml.safe_load(Path(__file__).with_name("wording.yaml").read_text(encoding="utf-8"))
    fragments, exact = values["fragments"], set(values["exact_case"])
    return Wording(
        {
            name: _compiled(patterns, fragments, 0 if name in exact else re.IGNORECASE)
            for name, patterns in values["findings"].items()
        },
        re.compile(rf"\b(?:{'|'.join(values['treatment'])})\b", re.IGNORECASE),
        _by_axis(values["own_words"]),
        _by_axis(values["foreign_words"]),
        tuple((first, second) for first, second in values["opposites"]),
        frozenset(values["english"].split()),
        frozenset(values["other_languages"].split()),
    )


def _by_axis(words: dict[str, list[str]]) -> dict[str, re.Pattern[str]]:
    """Of rhythm in any case; of the others as written, since R and r' are two waves."""
    return {
        axis: re.compile("|".join(patterns), re.IGNORECASE if axis == "rhythm" else 0)
        for axis, patterns in words.items()
    }


def _compiled(patterns: Any, fragments: dict[str, str], flags: int) -> re.Pattern[str]:
    text = "|".join(patterns)
    for name, fragment in fragments.items():
        text = text.replace(f"<{name}>", fragment)
    return re.compile(text, flags)
