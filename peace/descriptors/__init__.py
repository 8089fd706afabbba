"""The three-axis texts of each label: rhythm, morphology, ST-T. Used in training only."""

from peace.descriptors.checks import Finding, check_descriptors
from peace.descriptors.loading import load_descriptors
from peace.descriptors.texts import AXES, CURATED, Descriptors, locate_descriptors

__all__ = ["AXES", "CURATED", "Descriptors", "Finding", "check_descriptors", "load_descriptors", "locate_descriptors"]
