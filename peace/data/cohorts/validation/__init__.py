"""Whether a tree is what its reader expects: every departure, with its file and line. Nothing is written or changed."""

from peace.data.cohorts.validation.check import ValidationReport, check_tree
from peace.data.cohorts.validation.issues import KINDS, LISTED, Issue

__all__ = ["KINDS", "LISTED", "Issue", "ValidationReport", "check_tree"]
