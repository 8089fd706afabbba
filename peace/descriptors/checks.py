"""Automatic checks of descriptors: length, own side, leads that fit the block, no advice on treatment.

They catch slips, not bad cardiology: a text that passes still wants a cardiologist. Criteria behind the rules:
AHA/ACCF/HRS 2009, part III (intraventricular conduction).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from peace.descriptors.texts import AXES, Descriptors
from peace.errors import DataError

WORDS = (8, 25)
WORDS_FUSED = (10, 60)

TREATMENT = re.compile(
    r"\b(treat\w*|therap\w*|medicat\w*|prescri\w*|administ\w*|dos(e|es|age)|implant\w*|ablat\w*|surg\w*|refer(ral)?|"
    r"consult|should receive|beta.?blockers?)\b",
    re.IGNORECASE,
)

# what a text on one side must not say of the other
FORBIDDEN: dict[str, tuple[str, ...]] = {
    "LAFB": ("right axis", "right bundle", "left posterior", "right anterior"),
    "IRBBB": ("left bundle", "left ventricular activation", "fascic"),
    "CRBBB": ("left bundle", "left ventricular activation", "fascic"),
    "LAE": ("right atri",),
    "RAE": ("left atri",),
    "LVH": ("right ventric", "right axis", "rightward axis"),
    "RVH": ("left ventric", "left axis", "leftward axis"),
}

RIGHT, LATERAL = frozenset({"V1", "V2", "V3"}), frozenset({"I", "aVL", "V5", "V6"})
INFERIOR = frozenset({"II", "III", "aVF"})


@dataclass(frozen=True)
class LeadRule:
    """A deflection and the leads in which the label shows it."""

    deflection: re.Pattern[str]
    leads: frozenset[str]


_RSR = LeadRule(re.compile(r"\brsr\b|\brsr['′]", re.IGNORECASE), RIGHT)
_TERMINAL_S = LeadRule(re.compile(r"\b(terminal|broad|wide|slurred) (slurred )?S\b"), LATERAL)

LEAD_RULES: dict[str, tuple[LeadRule, ...]] = {
    "IRBBB": (_RSR, _TERMINAL_S),
    "CRBBB": (_RSR, _TERMINAL_S),
    "LAFB": (LeadRule(re.compile(r"\bqR\b"), frozenset({"I", "aVL"})), LeadRule(re.compile(r"\brS\b"), INFERIOR)),
}

_CLAUSE = re.compile(r"[;.:]\s|,\s(?!(?:and |or )?(?:I{1,3}|aV[RLF]|V[1-6])\b)")
_LEAD = re.compile(r"\b(I{1,3}|aV[RLF]|V[1-6])\b")
_RANGE = re.compile(r"\bV([1-6])\s*(?:to|-|–|through)\s*V([1-6])\b")


@dataclass(frozen=True)
class Finding:
    """Something wrong with a text. An error makes it unfit for use, a warning wants a look."""

    label: str
    axis: str
    check: str
    severity: Literal["error", "warning"]
    message: str


def check_descriptors(descriptors: Descriptors) -> list[Finding]:
    """All findings, in label and axis order; none for the curated descriptors. Expects three axes a label."""
    findings: list[Finding] = []
    for label, texts, fused in zip(descriptors.labels, descriptors.texts, descriptors.fused, strict=True):
        for axis, text, words in [*zip(AXES, texts, [WORDS] * len(AXES), strict=True), ("fused", fused, WORDS_FUSED)]:
            findings += _check_text(label, axis, text, words)
        if len({text.strip().lower() for text in texts}) < len(texts):
            findings.append(Finding(label, "all", "repeated", "error", "two axes hold the same text"))
    return findings


def leads_in(text: str) -> frozenset[str]:
    """Leads that a text names, a range such as 'V1 to V3' in full."""
    ranges = [range(int(first), int(last) + 1) for first, last in _RANGE.findall(text)]
    return frozenset(_LEAD.findall(text)) | {f"V{number}" for span in ranges for number in span}


def _check_text(label: str, axis: str, text: str, words: tuple[int, int]) -> Iterator[Finding]:
    count = len(text.split())
    if count == 0:
        yield Finding(label, axis, "empty", "error", "there is no text")
        return
    if not words[0] <= count <= words[1]:
        yield Finding(label, axis, "length", "warning", f"{count} words, expected {words[0]} to {words[1]}")
    advice = TREATMENT.search(text)
    if advice:
        yield Finding(label, axis, "treatment", "error", f"speaks of treatment: '{advice[0]}'")
    for phrase in FORBIDDEN.get(label, ()):
        if phrase in text.lower():
            yield Finding(label, axis, "laterality", "error", f"'{phrase}' contradicts {label}")
    yield from _check_leads(label, axis, text)


def _check_leads(label: str, axis: str, text: str) -> Iterator[Finding]:
    for clause in _CLAUSE.split(text):
        for rule in LEAD_RULES.get(label, ()):
            found = rule.deflection.search(clause)
            wrong = leads_in(clause) - rule.leads
            if found and wrong and not _other_rule(label, rule, clause):
                leads = ", ".join(sorted(wrong))
                yield Finding(label, axis, "leads", "error", f"'{found[0]}' in {leads} contradicts {label}")


def _other_rule(label: str, rule: LeadRule, clause: str) -> bool:
    """Whether a clause speaks of two deflections at once, so that its leads cannot be told apart."""
    return any(other is not rule and other.deflection.search(clause) for other in LEAD_RULES[label])


def refuse_errors(descriptors: Descriptors, place: Path, allowed: Sequence[str]) -> None:
    """Raise DataError where a check finds an error that is not among `allowed` (LABEL/check)."""
    errors = [found for found in check_descriptors(descriptors) if found.severity == "error"]
    left = [found for found in errors if f"{found.label}/{found.check}" not in allowed]
    if left:
        names = sorted({f"{found.label}/{found.check}" for found in left})
        raise DataError(
            f"{place}: {len(left)} errors in the descriptors, first {left[0].label} {left[0].axis}: {left[0].message}; "
            f"correct them, or allow them by name: objective.allow_findings=[{','.join(names)}]"
        )
