"""A descriptor taken apart: clauses, leads, and which findings of an ECG they state, deny or call possible."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from peace.descriptors.wording import load_wording

_LEAD = re.compile(r"\b(III|II|I|aV[RLF]|V[1-6])\b")
_RANGE = re.compile(r"\bV([1-6])\s*(?:to|-|–|through)\s*V?([1-6])\b")
_NAMED_LEADS = {
    re.compile(r"right (?:precordial|chest)|septal leads", re.I): ("V1", "V2"),
    re.compile(r"left (?:precordial|chest)", re.I): ("V5", "V6"),
    re.compile(r"\b(?:lateral leads|lateral precordial|laterally)", re.I): ("V5", "V6"),
    re.compile(r"\binferior(?: limb)? leads|\binferiorly", re.I): ("II", "III", "aVF"),
}
_SENTENCE = re.compile(r"[;:]\s|\.\s|\.$")
_COMMA = re.compile(
    r",\s(?!(?:and |or )?(?:I{1,3}|aV[RLF]|V[1-6])\b)|\s(?:and|while|whereas|but|with)\s(?=[^,]*\b[PRSTQr])"
)
_NEGATED = re.compile(
    r"\b(no|not|without|neither|nor|never|absent|absence of|lack of|free of|excludes?|rather than|instead of|unlike|"
    r"except|unless|isn't|aren't|fails? to)\b[^,;]{0,45}$",
    re.I,
)
_DENIED_AFTER = re.compile(
    r"^\W*(?:\w+\W+){0,3}?(?:is|are|be)?\s*(?:absent|excluded|not (?:present|seen|expected))\b", re.I
)
_POSSIBLE = re.compile(
    r"\b(may|might|can|could|possibl[ey]|sometimes|occasionally|rarely|often|where|unless|if|except|allow\w*|secondary)\b",
    re.I,
)
# two adjectives of one wave are no enumeration
_PAIR = re.compile(
    r"\b(tall|high|small|low|broad|wide|narrow|deep|shallow|abnormal|normal|peaked|flat|notched|upright), "
    r"(\w+) (?=(?:terminal |initial )?(?:P|Q|R|S|T|PR|QRS|negative|positive)\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Statement:
    """A finding that a clause speaks of, and how sure it is of it."""

    concept: str
    words: str
    clause: str
    denied: bool
    possible: bool


def clauses(text: str) -> list[tuple[str, bool]]:
    """Clauses of a text, and whether an enumeration that began with a negation continues into it."""
    found: list[tuple[str, bool]] = []
    for sentence in _SENTENCE.split(_PAIR.sub(r"\1 \2 ", text)):
        parts = [part.strip() for part in _COMMA.split(sentence) if part and part.strip()]
        listed = [_ends_a_list(part) for part in parts]
        first = next((at for at, part in enumerate(parts) if re.search(r"\b(no|without|neither)\b", part, re.I)), None)
        last = max((at for at, is_last in enumerate(listed) if is_last), default=-1)
        for at, part in enumerate(parts):
            found.append((part, first is not None and first < at <= last))
    return found


def _ends_a_list(part: str) -> bool:
    return bool(re.match(r"(or|nor)\b", part)) or (" or " in part and len(part.split()) <= 5)


def statements(text: str) -> Iterator[Statement]:
    """What a text says of an ECG, clause by clause."""
    for clause, carried in clauses(text):
        for concept, pattern in load_wording().findings.items():
            match = pattern.search(clause)
            if match is None:
                continue
            before, after = clause[: match.start()], clause[match.end() :]
            denied = carried or bool(_NEGATED.search(before)) or bool(_DENIED_AFTER.search(after))
            if concept == "no P" and not carried:
                denied = False  # the negation is the finding
            yield Statement(concept, match[0], clause, denied, bool(_POSSIBLE.search(clause)))


def leads_in(text: str) -> frozenset[str]:
    """Leads that a text names, ranges such as 'V1 to V3' and groups such as 'right precordial' in full."""
    ranges = [range(int(first), int(last) + 1) for first, last in _RANGE.findall(text)]
    found = frozenset(_LEAD.findall(text)) | {f"V{number}" for span in ranges for number in span}
    for pattern, leads in _NAMED_LEADS.items():
        if pattern.search(text):
            found |= frozenset(leads)
    return found
