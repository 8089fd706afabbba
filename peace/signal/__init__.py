"""One path from bytes to millivolts: read, lead order, quality, filter, crop, whole microvolts."""

from peace.signal.condition import Conditioned, condition, condition_file, n_samples_of
from peace.signal.leads import LEADS, NINE, lead_index
from peace.signal.policy import FLAGS
from peace.signal.quality import QUALITY
from peace.signal.reader import Recording, read_header, read_record
from peace.signal.unreadable import REASONS, Unreadable

__all__ = [
    "FLAGS",
    "LEADS",
    "NINE",
    "QUALITY",
    "REASONS",
    "Conditioned",
    "Recording",
    "Unreadable",
    "condition",
    "condition_file",
    "lead_index",
    "n_samples_of",
    "read_header",
    "read_record",
]
