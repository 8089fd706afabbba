"""Which lead a name means. The names lie in lead_names.yaml."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

import yaml

LEADS: tuple[str, ...] = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
FILE = Path(__file__).with_name("lead_names.yaml")
# "ECG-I" is lead I, "ECG -aVR" and "ECG--aVR" are aVR upside down.
BETWEEN = r"(?:\s*[:.]\s*|\s+-\s+|-|\s+)?"


class Meant(NamedTuple):
    """One of the twelve leads, by its position in LEADS, and whether it is stored upside down."""

    lead: int
    turned: bool


class _Vocabulary(NamedTuple):
    names: dict[str, int]
    before: re.Pattern[str]
    after: re.Pattern[str]
    turned: re.Pattern[str]


@lru_cache(maxsize=4096)
def read_name(name: str) -> Meant | None:
    """The lead that a name means, None for any name that is none of the twelve."""
    known = _vocabulary()
    rest = " ".join(_folded(name).split())
    turned = False
    while True:
        if rest in known.names:
            return Meant(known.names[rest], turned)
        shorter = known.after.sub("", known.before.sub("", rest, count=1))
        if shorter == rest and not turned:
            shorter = known.turned.sub("", rest)
            turned = shorter != rest
        if shorter == rest:
            return None
        rest = shorter


def lead_index(name: str) -> int | None:
    """Position in LEADS of a lead named in any spelling we know, None for any other name (-aVR among them)."""
    meant = read_name(name)
    return None if meant is None or meant.turned else meant.lead


def _folded(text: str) -> str:
    # NFKC: full-width letters and the single character for a Roman number, in East Asian exports
    return unicodedata.normalize("NFKC", text).casefold().replace("_", " ").strip()


@cache
def _vocabulary() -> _Vocabulary:
    raw = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    names = {_folded(name): index for index, name in enumerate(LEADS)}
    names |= {_folded(other): LEADS.index(lead) for lead, others in raw["leads"].items() for other in others}
    after, turned = _either(raw["after"]), _either(raw["turned"])
    return _Vocabulary(
        names,
        re.compile(rf"^(?:{_either(raw['before'])}){BETWEEN}"),
        re.compile(rf"(?:\s*[(\[]\s*(?:{after})\s*[)\]]|(?:\s|\s*[/,]\s*)(?:{after}))$"),
        re.compile(rf"^(?:{turned})\s*|\s*[(\[](?:{turned})[)\]]$"),
    )


def _either(words: Sequence[str]) -> str:
    return "|".join(sorted((re.escape(_folded(word)) for word in words), key=len, reverse=True))
