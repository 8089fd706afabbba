"""Age bands of the descriptors: where criteria of the ECG change with age (Rijnbeek 2001; Park's tables)."""

from __future__ import annotations

from typing import Literal, get_args

Band = Literal["neonate", "infant", "1-3 years", "3-8 years", "8-12 years", "12-16 years", "adult"]
BANDS: tuple[Band, ...] = get_args(Band)

DAYS_PER_YEAR = 365.25
STARTS_DAYS = (0.0, 28.0, *(years * DAYS_PER_YEAR for years in (1, 3, 8, 12, 16)))
"""Age in days at which each band begins; it ends where the next begins."""
