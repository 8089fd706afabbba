"""Amplitude of one cohort relative to another, from statistics fitted on their training splits (method, section 3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

# Devices and cohorts differ by less than this; a larger ratio means broken statistics, not another gain.
BOUNDS = (0.25, 4.0)


def amplitude_factor(reference: Mapping[str, Any], own: Mapping[str, Any]) -> float:
    """By what the millivolts of a cohort are multiplied to have the amplitudes of a reference cohort.

    Both are entries of ShardSet.statistics. The median over the leads of the ratio of median peak-to-peak values:
    robust, since 11.8 % of ZZU-pECG records touch the rail. One factor for all leads, so that I + III = II still holds.
    1 where the statistics allow none.
    """
    theirs = np.asarray(reference["peak_to_peak_mv"], np.float64)
    mine = np.asarray(own["peak_to_peak_mv"], np.float64)
    usable = (theirs > 0) & (mine > 0)
    if not usable.any():
        return 1.0
    return float(np.clip(np.median(theirs[usable] / mine[usable]), *BOUNDS))
