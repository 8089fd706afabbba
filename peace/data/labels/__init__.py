"""Label sets: a data file each, and the code book that reads it."""

from peace.data.labels.label_set import LabelSet, load_label_set, normalise
from peace.data.labels.lines import DOUBTFUL, Reading

__all__ = ["DOUBTFUL", "LabelSet", "Reading", "load_label_set", "normalise"]
