"""One ECG drawn the way a cardiologist reads it: three rows of four leads and a rhythm strip on millimetre paper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from peace.reports.drawing import save

ROWS = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))
ORDER = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
ROW_MV = 3.0  # distance between rows
SECONDS = 10.0


def ecg_strip(
    signal_mv: NDArray[np.floating], rate: int, lead_mask: NDArray[np.integer], title: str, path: Path
) -> Path:
    """Draw a recording (see strip_figure) and write it as PNG."""
    return save(strip_figure(signal_mv, rate, lead_mask, title), path)


def strip_figure(
    signal_mv: NDArray[np.floating], rate: float, lead_mask: NDArray[np.integer], title: str, whole: str = "II"
) -> Figure:
    """A (12, T) recording in mV, leads in standard order; a lead with mask 0 is named as absent.

    The lowest row shows the lead `whole` from end to end.
    25 mm/s and 10 mm/mV as on paper: a large square is 0.2 s by 0.5 mV.
    """
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    axes = figure.add_subplot()
    height = ROW_MV * (len(ROWS) + 1)
    _paper(axes, height)
    quarter = SECONDS / len(ROWS[0])
    for row, leads in enumerate(ROWS):
        level = height - ROW_MV * (row + 0.5)
        for column, lead in enumerate(leads):
            _trace(axes, signal_mv, rate, lead_mask, lead, column * quarter, (column + 1) * quarter, level)
    _trace(axes, signal_mv, rate, lead_mask, whole, 0.0, SECONDS, ROW_MV / 2)
    axes.set_title(title, fontsize=11, loc="left")
    return figure


def _trace(
    axes: Axes,
    signal_mv: NDArray[np.floating],
    rate: float,
    lead_mask: NDArray[np.integer],
    lead: str,
    start: float,
    end: float,
    level: float,
) -> None:
    k = ORDER.index(lead)
    axes.text(start + 0.06, level + 0.95, lead, fontsize=9, weight="bold")
    if not lead_mask[k]:
        axes.text(start + 0.4, level, "not recorded", fontsize=9, color="#777777")
        return
    first, last = round(start * rate), min(round(end * rate), signal_mv.shape[1])
    at = np.arange(first, last) / rate
    # a spike must not paint over the rows above and below
    values = np.clip(signal_mv[k, first:last], -ROW_MV, ROW_MV)
    axes.plot(at, values + level, color="#111111", linewidth=0.8)


def _paper(axes: Axes, height: float) -> None:
    axes.set_xlim(0, SECONDS)
    axes.set_ylim(0, height)
    axes.set_aspect(0.4)  # 0.2 s and 0.5 mV are the same length
    axes.set_xticks(np.arange(0, SECONDS + 0.01, 0.2))
    axes.set_yticks(np.arange(0, height + 0.01, 0.5))
    axes.grid(color="#f3b8b8", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelbottom=False, labelleft=False)
    for spine in axes.spines.values():
        spine.set_color("#f3b8b8")
    axes.set_xlabel("25 mm/s, 10 mm/mV: a square is 0.2 s by 0.5 mV", fontsize=9, color="#555555")
