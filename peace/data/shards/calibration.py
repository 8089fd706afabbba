"""Amplitude of one cohort relative to another, from statistics fitted on their training splits (method, section 3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

# Devices and cohorts differ by less than this; a larger ratio means broken statistics, not another gain.
BOUNDS = (0.25, 4.0)


def amplitude_factor(reference: Mapping[str, Any], own: Mapping[str, Any]) -> float:
    """By what the millivolts of shards are multiplied to have the amplitudes of reference shards.

    Both are ShardSet.statistics. The median over the leads of the ratio of median peak-to-peak values: robust, since
    11.8 % of ZZU-pECG records touch the rail. One factor for all leads, so that I + III = II still holds. 1 where the
    statistics allow none.
    """
    theirs, mine = _peak_to_peak(reference), _peak_to_peak(own)
    usable = (theirs > 0) & (mine > 0)
    if not usable.any():
        return 1.0
    return float(np.clip(np.median(theirs[usable] / mine[usable]), *BOUNDS))


def _peak_to_peak(statistics: Mapping[str, Mapping[str, Any]]) -> npt.NDArray[np.float64]:
    """Median peak to peak (12,) in mV; several cohorts count by their records."""
    values = [np.asarray(cohort["peak_to_peak_mv"], np.float64) * cohort["records"] for cohort in statistics.values()]
    records = sum(cohort["records"] for cohort in statistics.values())
    return np.sum(values, axis=0) / records if records else np.zeros(12)
