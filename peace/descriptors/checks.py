"""Automatic checks of descriptors: form, language, own axis, side, leads, numbers, contradictions, no advice.

They catch slips, not bad cardiology: a text that passes still wants a cardiologist. What a label is held to stands in
criteria.yaml, with its sources.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from peace.core.errors import DataError
from peace.descriptors.answer import is_english
from peace.descriptors.bands import BANDS, Band
from peace.descriptors.clauses import Statement, leads_in, statements
from peace.descriptors.criteria import LabelRules, load_criteria
from peace.descriptors.numbers import Quantity, quantities
from peace.descriptors.texts import AXES, Descriptors
from peace.descriptors.wording import load_wording

Severity = Literal["error", "warning"]

WORDS = (8, 25)
WORDS_FUSED = (10, 60)


@dataclass(frozen=True)
class Finding:
    """Something wrong with a text. An error makes it unfit for use, a warning wants a look."""

    label: str
    axis: str
    check: str
    severity: Severity
    message: str


def check_descriptors(descriptors: Descriptors) -> list[Finding]:
    """All findings, in label and axis order; none for the embedded descriptors. Expects three axes a label."""
    findings: list[Finding] = []
    for place, label in enumerate(descriptors.labels):
        findings += _check_label(label, descriptors.texts[place], descriptors.fused[place])
        general = descriptors.texts[place]
        for band, group in zip(BANDS, descriptors.by_age, strict=False):
            changed = [text if text != general[at] else None for at, text in enumerate(group[place])]
            for axis, text in zip(AXES, changed, strict=True):
                if text is not None:
                    findings += _named(label, f"{axis} ({band})", _check_text(label, axis, text, WORDS, band))
    return findings + _twins(descriptors) + _rejections(descriptors)


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


def _named(label: str, axis: str, found: Iterator[tuple[str, Severity, str]]) -> list[Finding]:
    unique = dict.fromkeys(found)
    return [Finding(label, axis, check, severity, message) for check, severity, message in unique]


def _check_label(label: str, texts: Sequence[str], fused: str) -> list[Finding]:
    findings: list[Finding] = []
    for axis, text in zip(AXES, texts, strict=True):
        findings += _named(label, axis, _check_text(label, axis, text, WORDS, None))
    findings += _named(label, "fused", _check_text(label, "fused", fused, WORDS_FUSED, None))
    if len({text.strip().lower() for text in texts}) < len(texts):
        findings.append(Finding(label, "all", "repeated", "error", "two axes hold the same text"))
    findings += _named(label, "all", _contradictions(texts))
    return findings


def _check_text(
    label: str, axis: str, text: str, words: tuple[int, int], band: Band | None
) -> Iterator[tuple[str, Severity, str]]:
    count = len(text.split())
    if count == 0:
        yield "empty", "error", "there is no text"
        return
    if not words[0] <= count <= words[1]:
        yield "length", "warning", f"{count} words, expected {words[0]} to {words[1]}"
    if not is_english(text):
        yield "language", "error", "the text is not in English"
    advice = load_wording().treatment.search(text)
    if advice:
        yield "treatment", "error", f"speaks of treatment: '{advice[0]}'"
    if axis in AXES:
        yield from _own_axis(axis, text)
    rules = load_criteria().labels.get(label)
    if rules is not None:
        said = list(statements(text))
        yield from _side_of(label, axis, rules, said, band)
        yield from _lead_rules(label, rules, said)
    for quantity in quantities(text):
        yield from _number(label, rules, quantity, band)


def _own_axis(axis: str, text: str) -> Iterator[tuple[str, Severity, str]]:
    wording = load_wording()
    own, foreign = wording.own_words[axis].findall(text), wording.foreign_words[axis].findall(text)
    if not own:
        yield "axis", "error", f"says nothing of the {axis.replace('_', '-')}"
    elif len(foreign) > len(own):
        yield "axis", "warning", f"speaks more of another axis than of the {axis.replace('_', '-')}"


def _side_of(
    label: str, axis: str, rules: LabelRules, said: Sequence[Statement], band: Band | None
) -> Iterator[tuple[str, Severity, str]]:
    for one in said:
        if one.denied:
            continue
        if one.concept in rules.contradicts or (one.concept in rules.asserts_not and not one.possible):
            yield _kind(one.concept), "error", f"'{one.words}' contradicts {label}"
    stated = {one.concept for one in said if not one.denied}
    denied = {one.concept for one in said if one.denied}
    needed = rules.needs.get(axis, ()) if axis in AXES and band is None else ()  # type: ignore[call-overload]
    if needed and not stated & set(needed):
        if denied & set(needed):
            yield "denied", "error", f"denies what makes {label}: {' or '.join(sorted(denied & set(needed)))}"
        else:
            yield "missing", "warning", f"does not name {' or '.join(needed)}"


def _kind(concept: str) -> str:
    sides = ("left", "right", "fascic")
    return "laterality" if any(word in concept for word in sides) else "contradiction"


def _lead_rules(label: str, rules: LabelRules, said: Sequence[Statement]) -> Iterator[tuple[str, Severity, str]]:
    for one in said:
        if one.denied or one.concept not in rules.leads or _several(rules, one, said):
            continue
        wrong = leads_in(one.clause) - set(rules.leads[one.concept])
        if wrong:
            leads = ", ".join(sorted(wrong))
            yield "leads", "error", f"'{one.words}' in {leads} contradicts {label}"


def _several(rules: LabelRules, one: Statement, said: Sequence[Statement]) -> bool:
    """Whether the clause speaks of two findings of different leads, so that its leads cannot be told apart."""
    own = set(rules.leads[one.concept])
    others = {other.concept for other in said if other.clause == one.clause and other.concept != one.concept}
    return any(other in rules.leads and set(rules.leads[other]) != own for other in others)


def _number(
    label: str, rules: LabelRules | None, quantity: Quantity, band: Band | None
) -> Iterator[tuple[str, Severity, str]]:
    rule = rules.numbers.get(quantity.name) if rules else None
    if rule is None:
        limits = load_criteria().plausible.get(quantity.name)
        if limits and not (limits[0] <= quantity.low and quantity.high <= limits[1]):
            yield "number", "error", f"{quantity.name} of {quantity.words}: expected {limits[0]:g} to {limits[1]:g}"
        return
    people = ("adult" if band == "adult" else "child") if band else quantity.people
    ranges = [rule.adult, rule.child] if people is None else [rule.adult if people == "adult" else rule.child]
    low, high = min(one[0] for one in ranges), max(one[1] for one in ranges)
    if not (low <= quantity.low and quantity.high <= high):
        yield "number", "error", f"{quantity.name} of {quantity.words}: expected {low:g} to {high:g} in {label}"
    elif rule.side and quantity.side and quantity.side != rule.side and quantity.low == quantity.high:
        yield "number", "error", f"{quantity.name} {quantity.side} {quantity.words}: {label} is {rule.side} its limit"


def _contradictions(texts: Sequence[str]) -> Iterator[tuple[str, Severity, str]]:
    """Findings that one axis states and another denies, or of which both cannot be."""
    stated: dict[str, int] = {}
    denied: dict[str, int] = {}
    for at, text in enumerate(texts):
        for one in statements(text):
            if not one.possible:
                (denied if one.denied else stated).setdefault(one.concept, at)
    for concept in stated.keys() & denied.keys():
        if stated[concept] != denied[concept]:
            yield "contradiction", "error", f"one axis states '{concept}', another denies it"
    for first, second in load_wording().opposites:
        if first in stated and second in stated:
            yield "contradiction", "error", f"'{first}' and '{second}' exclude each other"


def _twins(descriptors: Descriptors) -> list[Finding]:
    """Labels whose morphology or fused text is another label's: nothing would tell them apart."""
    findings = []
    for axis, texts in (("morphology", [axes[1] for axes in descriptors.texts]), ("fused", list(descriptors.fused))):
        first: dict[str, str] = {}
        for label, text in zip(descriptors.labels, texts, strict=True):
            key = " ".join(text.lower().split())
            if key and first.setdefault(key, label) != label:
                findings.append(Finding(label, axis, "twin", "error", f"the same text as {first[key]}"))
    return findings


def _rejections(descriptors: Descriptors) -> list[Finding]:
    """Labels that a reviewer rejected."""
    return [
        Finding(
            label, "all", "review", "error", f"rejected by {review.get('by')}: {review.get('comment') or 'no comment'}"
        )
        for label, entry in zip(descriptors.labels, descriptors.entries, strict=False)
        for review in entry.reviews
        if review.get("decision") == "rejected"
    ]
