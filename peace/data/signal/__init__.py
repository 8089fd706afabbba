"""One path from bytes to millivolts: read, lead order, quality, filter, crop, whole microvolts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peace.core.lazy import lazily

if TYPE_CHECKING:
    from peace.data.signal.condition import Conditioned, condition_file, n_samples_of, without_leads
    from peace.data.signal.lead_names import LEADS, lead_index
    from peace.data.signal.leads import NINE
    from peace.data.signal.quality import QUALITY
    from peace.data.signal.quality_policy import FLAGS
    from peace.data.signal.reader import Recording, read_header, read_record
    from peace.data.signal.texts import flag_text, flag_texts
    from peace.data.signal.unreadable import REASONS, RecordRejected

__all__ = [
    "FLAGS",
    "LEADS",
    "NINE",
    "QUALITY",
    "REASONS",
    "Conditioned",
    "RecordRejected",
    "Recording",
    "condition_file",
    "flag_text",
    "flag_texts",
    "lead_index",
    "n_samples_of",
    "read_header",
    "read_record",
    "without_leads",
]

__getattr__ = lazily(
    __name__,
    {
        "Conditioned": "condition",
        "FLAGS": "quality_policy",
        "LEADS": "lead_names",
        "NINE": "leads",
        "QUALITY": "quality",
        "REASONS": "unreadable",
        "Recording": "reader",
        "RecordRejected": "unreadable",
        "condition_file": "condition",
        "flag_text": "texts",
        "flag_texts": "texts",
        "lead_index": "lead_names",
        "n_samples_of": "condition",
        "read_header": "reader",
        "read_record": "reader",
        "without_leads": "condition",
    },
)
