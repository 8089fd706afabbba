"""Numbers of a descriptor: which quantity, in which unit, on which side of the limit, for adults or children."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from peace.descriptors.clauses import clauses

Side = Literal["above", "below"]

_NUMBER = re.compile(
    r"(?P<low>[-−–]?\d+(?:[.,]\d+)?)(?:\s*(?:to|-|–|—|and)\s*(?P<high>[-−]?\d+(?:\.\d+)?))?\s*"
    r"(?P<unit>ms\b|msec\w*|milliseconds?|seconds?\b|sec\b|s\b|mV\b|millivolts?|mm\b|µV\b|uV\b|°|degrees?|"
    r"bpm\b|beats? (?:per|a) minute|beats?/min|/min\b|per minute)",
    re.IGNORECASE,
)
# (kind of unit, factor to ms, mV, degrees or beats per minute)
_UNITS: tuple[tuple[str, str, float], ...] = (
    (r"ms|milli\s*sec", "time", 1.0),
    (r"s", "time", 1000.0),
    (r"mm", "voltage", 0.1),
    (r"mv|milliv", "voltage", 1.0),
    (r"[µu]v", "voltage", 0.001),
    (r"°|deg", "angle", 1.0),
    (r"bpm|beat|/min|per min", "rate", 1.0),
)
# the quantity that stands nearest before the number, else nearest after it; the first pattern that fits wins a tie
_QUANTITIES: dict[str, tuple[tuple[str, str], ...]] = {
    "time": (
        ("peak time", r"\b(?:peak time|R peak|late R|intrinsicoid\w*|activation time)"),
        ("pr", r"\bPR\b"),
        ("qt", r"\bQTc?\b"),
        ("p duration", r"\bP\b(?![- ]?R)"),
        ("terminal", r"\b(?:terminal|S wave|r'|R')"),
        ("qrs", r"\bQRS\b|\bcomplex"),
    ),
    "voltage": (
        ("limb amplitude", r"\blimb\b"),
        ("chest amplitude", r"\b(?:precordial|chest)\b"),
        ("st shift", r"\bST\b"),
        ("t amplitude", r"\bT\b"),
        ("p amplitude", r"\bP\b"),
        ("r or s amplitude", r"\b[RS]V?\d?\b|\bqR\b|\bsum\b"),
        ("qrs amplitude", r"\b(?:QRS|amplitudes?|voltages?)\b"),
    ),
    "angle": (("axis", r"axis|deviation|degrees|°"),),
    "rate": (("rate", r"rate|rhythm|tachy|brady|beats|min"),),
}
_ABOVE_BEFORE = (
    r"(?:>|≥|>=|\b(?:above|over|exceed\w*|at least|more than|greater than|longer than|beyond|from|reaching))"
)
_BELOW_BEFORE = r"(?:<|≤|<=|\b(?:below|under|less than|up to|within|at most|shorter than|smaller than|not exceed\w*))"
_BEFORE = re.compile(rf"(?P<above>{_ABOVE_BEFORE})|(?P<below>{_BELOW_BEFORE})", re.IGNORECASE)
_AFTER = re.compile(
    r"^,?\s*(?:(?:or|and) )?(?:(?P<above>(?:more|longer|above|greater|wider|over|higher|taller)\b)|"
    r"(?P<below>(?:less|below|shorter|narrower|under|lower|smaller)\b))",
    re.IGNORECASE,
)
_ADULT = re.compile(r"\badults?\b", re.IGNORECASE)
_CHILD = re.compile(
    r"\b(child\w*|infants?|neonat\w*|newborns?|p(?:a)?ediatric|toddlers?|under \d+ years)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Quantity:
    """A number of a text: `low` and `high` are one and the same where it is not a range."""

    name: str
    low: float
    high: float
    side: Side | None
    people: Literal["adult", "child"] | None
    words: str


def quantities(text: str) -> Iterator[Quantity]:
    """All numbers with a unit; those whose quantity is not named are called after the kind of their unit."""
    subject = ""
    for clause, _ in clauses(text):
        for match in _NUMBER.finditer(clause):
            kind, factor = _unit(match["unit"])
            low = _value(match["low"]) * factor
            high = _value(match["high"]) * factor if match["high"] else low
            before, after = clause[: match.start()], clause[match.end() :]
            name = (
                _where(kind, after)
                or _quantity(kind, before)
                or _quantity(kind, after[:40], nearest_last=False)
                or _quantity(kind, subject)
            )
            people = _people(clause)
            yield Quantity(name or kind, min(low, high), max(low, high), _side(before, after), people, match[0].strip())
        subject = f"{subject} {clause}"


def _where(kind: str, after: str) -> str | None:
    """The group of leads that a voltage is said of, as in 'below 0.5 mV in all limb leads'."""
    found = re.match(r"\W*in (?:(?:all|every|any|the|of)\W+)*(limb|precordial|chest)", after)
    if kind != "voltage" or found is None:
        return None
    return "limb amplitude" if found[1] == "limb" else "chest amplitude"


def _unit(unit: str) -> tuple[str, float]:
    for pattern, kind, factor in _UNITS:
        if re.match(pattern, unit, re.IGNORECASE):
            return kind, factor
    raise ValueError(f"unknown unit {unit}")


def _value(text: str) -> float:
    return float(text.replace("−", "-").replace("–", "-").replace(",", "."))


def _quantity(kind: str, text: str, nearest_last: bool = True) -> str | None:
    best: tuple[int, str] | None = None
    for name, pattern in _QUANTITIES[kind]:
        for match in re.finditer(pattern, text):
            place = match.start() if nearest_last else -match.start()
            if best is None or place > best[0]:
                best = (place, name)
    return best[1] if best else None


def _side(before: str, after: str) -> Side | None:
    found = _AFTER.match(after)
    if found is None:
        near = list(_BEFORE.finditer(before[-28:]))
        found = near[-1] if near else None
    if found is None:
        return None
    return "above" if found["above"] else "below"


def _people(clause: str) -> Literal["adult", "child"] | None:
    adult, child = bool(_ADULT.search(clause)), bool(_CHILD.search(clause))
    if adult == child:
        return None
    return "adult" if adult else "child"
