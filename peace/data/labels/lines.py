"""How one line of a machine report is read: the labels that it states, and those that it leaves doubtful."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from peace.data.labels.schema import FindingRule, LineRule, ReportRules
from peace.data.signal.leads import LEADS, lead_index

DOUBTFUL = 2  # in arrays of targets: neither positive (1) nor negative (0)
PLAIN = str.maketrans({"‘": "'", "’": "'", "`": "'", "´": "'", "′": "'", "“": '"', "”": '"', "‐": "-", "‑": "-"})
DASHES = re.compile(r"\s*[–—―−]\s*")
MARKS = " -*#>•.,;:!_=\"'"
INITIALS = re.compile(r"\b(?:[a-z]\.)+[a-z]\b\.?")  # i.v., l.v.h.
SENTENCES = re.compile(r"(?<!\bvs)\.\s+|\s*;\s*|,?\s+\b(?:but|though|although|however)\b,?\s+|\n")
PARTS = re.compile(r",\s+|\s+-\s+|\s*:\s+")
LISTED_OR = re.compile(r",\s+or\b")
LEAD_RANGE = re.compile(r"\bv([1-6])\s*(?:-|to|through)\s*v?([1-6])\b")
LEAD_NAME = re.compile(r"\b(?:av[rlf]|v[1-6]|i{1,3})\b")


@dataclass(frozen=True)
class Reading:
    """What a code or a report line means: labels stated, the rule that decided, labels left doubtful."""

    labels: tuple[str, ...]
    decided: str
    doubtful: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Segment:
    """Text of a sentence, and what leaves its findings doubtful ('' where they are stated)."""

    text: str
    doubt: str = ""


def plain(line: str) -> str:
    """A line as the rules see it: lower case, plain quotes and dashes, single spaces, no marks around it."""
    text = unicodedata.normalize("NFKC", DASHES.sub(" - ", line).translate(PLAIN)).lower()
    text = INITIALS.sub(lambda found: found[0].replace(".", ""), " ".join(text.split()))
    return text.strip(MARKS)


def read_line(rules: ReportRules, line: str) -> Reading:
    """Meaning of one report line, sentence by sentence. The labels are in the order in which they were found."""
    text = plain(line)
    for spelling in rules.spelling:
        text = re.sub(spelling.when, spelling.put, text)
    labels: list[str] = []
    doubtful: list[str] = []
    decided: list[str] = []
    for sentence in filter(None, (part.strip(MARKS) for part in SENTENCES.split(text))):
        for stated, open_, rule in _sentence(rules, sentence):
            labels += stated
            doubtful += open_
            decided.append(rule)
    met = list(dict.fromkeys(rule for rule in decided if rule))
    met = [rule for rule in met if not rule.startswith("none: ")] or met[:1]
    met.sort(key=lambda rule: rule.startswith(("doubtful", "nothing: ", "cut: ")))  # what was found stands first
    left = [label for label in doubtful if label not in labels]
    return Reading(tuple(dict.fromkeys(labels)), ", ".join(met) or "no rule", tuple(dict.fromkeys(left)))


def unreadable_leads(rules: ReportRules, line: str) -> tuple[str, ...]:
    """Names of the leads that a line says could not be read, in the order of LEADS; none for any other line."""
    text = plain(line)
    for rule in rules.leads:
        found = re.search(rule.when, text)
        if found:
            named = LEAD_RANGE.sub(_whole_range, found["leads"])
            places = {lead_index(name) for name in LEAD_NAME.findall(named)}
            return tuple(lead for place, lead in enumerate(LEADS) if place in places)
    return ()


def first(rules: Sequence[LineRule], text: str) -> str | None:
    """Name of the first rule that matches."""
    return next((rule.name for rule in rules if re.search(rule.when, text)), None)


def _whole_range(found: re.Match[str]) -> str:
    return " ".join(f"v{number}" for number in range(int(found[1]), int(found[2]) + 1))


def _sentence(rules: ReportRules, text: str) -> Iterator[tuple[list[str], list[str], str]]:
    """(labels stated, labels doubtful, name of the rule) of what a sentence says."""
    negated = first(rules.nothing, text)
    if negated:
        yield [], [], f"nothing: {negated}"
        return
    segments, cuts = _segments(rules, text)
    hits = [(segment, rule) for segment in segments for rule in _found(rules, segment.text)]
    for segment, rule in hits:
        if segment.doubt:
            yield [], list(rule.labels), f"doubtful ({segment.doubt}): {rule.name}"
        else:
            yield list(rule.labels), [], rule.name
    for name in cuts:
        yield [], [], f"cut: {name}"
    if not hits and not cuts:
        about = first(rules.none, text)
        yield [], [], f"none: {about}" if about else ""


def _segments(rules: ReportRules, text: str) -> tuple[list[_Segment], list[str]]:
    """The sentence in parts, each stated or doubtful, and the names of what was cut off."""
    hedge = first([rule for rule in rules.doubt if rule.reach == "sentence"], text)
    if hedge:
        return [_Segment(text, hedge)], []
    segments: list[_Segment] = []
    cuts = []
    for rule in rules.cut:
        found = re.search(rule.when, text)
        if found:
            text, rest = text[: found.start()].strip(MARKS), text[found.end() :]
            cuts.append(rule.name)
            if rule.rest == "doubtful":
                segments.append(_Segment(rest, rule.name))
    return [*_parts(rules, text), *segments], cuts


def _parts(rules: ReportRules, text: str) -> list[_Segment]:
    """A text without what was cut off: the parts between its commas that a hedge or an alternative leaves doubtful."""
    hedge = first(rules.doubt, text)
    splits = re.search(rules.alternative, text) if rules.alternative else None
    if not hedge and not splits:
        return [_Segment(text)]
    if splits and LISTED_OR.search(text):  # "RVH, posterior infarct, or lead placement"
        return [_Segment(text, hedge or "alternatives")]
    stated, segments = [], []
    for part in PARTS.split(text):
        name = first(rules.doubt, part)
        if name and not _names_something(rules, part):
            return [_Segment(text, name)]  # "T abnormalities, borderline": it is about what stands before
        if not name and rules.alternative and re.search(rules.alternative, part):
            name = "alternatives"
        if name:
            segments.append(_Segment(part, name))
        else:
            stated.append(part)
    return [_Segment(", ".join(stated)), *segments]


def _names_something(rules: ReportRules, part: str) -> bool:
    """Whether a part says what it doubts: a finding, or something outside the label set."""
    for rule in rules.doubt:
        part = re.sub(rule.when, "", part).strip(MARKS)
    return bool(part) and bool(_found(rules, part) or first(rules.none, part))


def _found(rules: ReportRules, text: str) -> list[FindingRule]:
    return [
        rule
        for rule in rules.findings
        if re.search(rule.when, text) and not (rule.unless and re.search(rule.unless, text))
    ]
