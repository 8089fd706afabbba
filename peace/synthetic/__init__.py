"""Synthetic cohorts: a cardiac dipole seen through each subject's own leads, written in the three original layouts.

What a model learns or scores on them says nothing about patients: docs/synthetic.md.
"""

from peace.synthetic.compose import synthesize
from peace.synthetic.conditions import LABELS
from peace.synthetic.simulate import Simulated, Variety, generate, simulate

__all__ = ["LABELS", "Simulated", "Variety", "generate", "simulate", "synthesize"]
