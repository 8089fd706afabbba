"""What a language model answers for a label: the schema that is asked of it, and a patient reader.

A model may wrap its JSON in prose or a code fence, nest it, or spell an axis its own way. That is read; an axis that
is missing, empty or not in English is not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, Field

from peace.descriptors.wording import load_wording

SCHEMA_VERSION = 1


class Unfit(Exception):
    """An answer that cannot be used, with the reason."""


class Answer(BaseModel):
    """How one diagnosis looks on an ECG, on three axes."""

    rhythm: str = Field(description="rhythm, rate, PR interval; 8 to 25 English words")
    morphology: str = Field(description="P waves and QRS: axis, duration, voltage, shape, leads; 8 to 25 English words")
    st_t: str = Field(description="ST segment, T wave, QT interval, leads; 8 to 25 English words")
    summary: str = Field(description="all of it in one text of 20 to 50 English words, beginning with the name")
    leads: list[str] = Field(description="the leads that matter most, such as V1")
    criteria: list[str] = Field(description="numeric criteria, each with its unit")
    age_note: str = Field(description="how the criteria differ in children, one sentence")
    references: list[str] = Field(description="where the criteria come from")


_SPELLINGS = {
    "rhythm": ("rhythm",),
    "morphology": ("morphology", "qrs", "pqrs", "qrsmorphology", "pandqrsmorphology", "pandqrs"),
    "st_t": ("stt", "sttwave", "stsegment", "repolarization", "repolarisation", "sttrepolarization"),
    "summary": ("summary", "fused", "merged"),
    "leads": ("leads", "keyleads"),
    "criteria": ("criteria", "numericcriteria"),
    "age_note": ("agenote", "age", "pediatric", "children"),
    "references": ("references", "reference", "sources"),
}
_NOTHING = {"", "na", "none", "null", "string", "text", "unknown", "notapplicable", "tbd"}


def read_answer(text: str) -> Answer:
    """The answer that a text holds. Raises Unfit with the reason."""
    values = _fields(_json(text))
    axes = {name: _sentence(values.get(name)) for name in ("rhythm", "morphology", "st_t", "summary", "age_note")}
    for axis in ("rhythm", "morphology", "st_t"):
        if not re.search(r"[^\W\d_]", axes[axis]):
            raise Unfit(f"the {axis} axis is {'missing' if axis not in values else 'empty'}")
        if not is_english(axes[axis]):
            raise Unfit(f"the {axis} axis is not in English: '{axes[axis][:60]}'")
    lists = {name: _list(values.get(name)) for name in ("leads", "criteria", "references")}
    return Answer(**axes, **lists)


def is_english(text: str) -> bool:
    """Whether a text reads as English: its letters are Latin, its small words are not those of another language."""
    letters = [letter for letter in text if letter.isalpha()]
    if sum(ord(letter) > 0x24F and not 0x370 <= ord(letter) <= 0x3FF for letter in letters) > 0.1 * len(letters):
        return False
    words = re.findall(r"[^\W\d_]+", text.lower())
    known_words = load_wording().english, load_wording().other_languages
    english, foreign = (sum(word in known for word in words) for known in known_words)
    accented = sum(any(letter > "\x7f" for letter in word) for word in words)
    other = foreign + accented
    return not ((other >= 2 and other > english) or (other >= 1 and english == 0 and len(words) >= 6))


def _json(text: str) -> Any:
    """The outermost JSON object of a text."""
    start, end = text.find("{"), text.rfind("}")
    if start < 0:
        raise Unfit("no JSON in the answer" if text.strip() else "the answer is empty")
    if end < start:
        raise Unfit("invalid JSON: it ends early")
    try:
        return json.loads(text[start : end + 1], strict=False)
    except json.JSONDecodeError as error:
        raise Unfit(f"invalid JSON: {error.msg} at character {error.pos}") from None


def _fields(value: Any) -> dict[str, Any]:
    """The fields of the schema, wherever in the value they stand; the outermost counts."""
    pairs = [(re.sub(r"[^a-z]", "", key.lower()), held) for key, held in _pairs(value)]
    found = {}
    for name, spellings in _SPELLINGS.items():
        for key, held in pairs:
            if key in spellings or key.removesuffix("axis") in spellings:
                found[name] = held
                break
    return found


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:
    """Keys and values, level by level."""
    level = [value]
    while level:
        deeper: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                yield from item.items()
                named = next((str(item[key]) for key in ("axis", "name") if key in item), None)
                text = next((item[key] for key in ("text", "description", "value") if key in item), None)
                if named is not None and text is not None:  # axes as a list of {axis, text}
                    yield named, text
                deeper += item.values()
            elif isinstance(item, list):
                deeper += item
        level = deeper


def _sentence(value: Any) -> str:
    if isinstance(value, dict):
        value = next((value[key] for key in ("text", "description", "value") if key in value), list(value.values()))
    text = " ".join(map(_sentence, value)) if isinstance(value, list) else str(value if value is not None else "")
    text = " ".join(text.split())
    return "" if re.sub(r"[^a-z]", "", text.lower()) in _NOTHING and not re.search(r"[^\x00-\x7f]", text) else text


def _list(value: Any) -> list[str]:
    if isinstance(value, dict):
        value = [f"{name}: {held}" for name, held in value.items()]
    if isinstance(value, str):
        value = re.split(r"[;\n]", value)
    items = value if isinstance(value, list) else [] if value is None else [value]
    return [text for text in map(_sentence, items) if text]
