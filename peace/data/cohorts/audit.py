"""The audit of labels: every code and report line met, and what it was taken for, in the order a reader checks them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pandas as pd

EXAMPLES = 5
LABELLED, SET_ASIDE, UNMAPPED, NO_RULE = "1 labelled", "2 set aside by a rule", "3 no label", "4 no rule"
# What a rule decided although the string may name a label, or what no code book knows: where mappings go wrong.
_ASIDE = (
    "doubtful (",
    "nothing: ",
    "cut: ",
    "unusable recording",
    "modified code, not",
    "unknown code",
    "column not read; would be",
)


class Entry(NamedTuple):
    """A string of a vocabulary (report, scp, aha, chn), its meaning, times met, labels, rule, records, open labels."""

    vocabulary: str
    text: str
    meaning: str
    times: int
    labels: Sequence[str]
    decided: str
    examples: Sequence[str]
    doubtful: Sequence[str] = ()


class CodeCounts:
    """The strings met, each with its count and its first records."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.examples: dict[str, list[str]] = {}

    def add(self, text: str, count: int, records: Iterable[str]) -> None:
        """Count a string, met in these records (the first few are kept)."""
        self.counts[text] = self.counts.get(text, 0) + count
        known = self.examples.setdefault(text, [])
        if len(known) < EXAMPLES:
            known += [record for record in records if record not in known][: EXAMPLES - len(known)]


def audit_frame(entries: Sequence[Entry], labels: Sequence[str]) -> pd.DataFrame:
    """The audit, one row a string: vocabulary, check, text, meaning, count, labels, doubtful, decided, share,
    no_rule_share, examples.

    Sorted as it is read: within a vocabulary first what got a label, label by label; then what a rule set aside; then
    what has no label; then what no rule met; each part with the most frequent first. `no_rule_share` is the share of
    the last part among all occurrences of the vocabulary, the same in each of its rows. `share` is how much of its
    part has been read so far, by occurrences: whoever stops at 0.99 has left a hundredth unread.
    """
    frame = pd.DataFrame(
        {
            "vocabulary": [entry.vocabulary for entry in entries],
            "check": [_check(entry) for entry in entries],
            "text": [entry.text for entry in entries],
            "meaning": [entry.meaning for entry in entries],
            "count": pd.Series([entry.times for entry in entries], dtype="int64"),
            "labels": [" ".join(entry.labels) for entry in entries],
            "doubtful": [" ".join(entry.doubtful) for entry in entries],
            "decided": [entry.decided for entry in entries],
            "examples": [" ".join(entry.examples) for entry in entries],
        }
    )
    places = {label: place for place, label in enumerate(labels)}
    frame["place"] = [
        (len(entry.labels), *(places[label] for label in entry.labels)) if _check(entry) == LABELLED else ()
        for entry in entries
    ]
    order = ["vocabulary", "check", "place", "count", "text"]
    frame = frame.sort_values(order, ascending=[True, True, True, False, True], ignore_index=True)
    parts = frame.groupby(["vocabulary", "check"], sort=False)["count"]
    frame.insert(8, "share", (parts.cumsum() / parts.transform("sum")).round(4))
    unmet = frame["count"].where(frame["check"] == NO_RULE, 0).groupby(frame["vocabulary"]).transform("sum")
    frame.insert(9, "no_rule_share", (unmet / frame.groupby("vocabulary")["count"].transform("sum")).round(6))
    return frame.drop(columns="place")


def _check(entry: Entry) -> str:
    if entry.decided.startswith(_ASIDE):
        return SET_ASIDE
    if entry.decided == "no rule":
        return NO_RULE
    return LABELLED if entry.labels else UNMAPPED
