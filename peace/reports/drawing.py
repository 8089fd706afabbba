"""The look of our figures, and how they become PNG. Matplotlib's Agg canvas only: no display is needed."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from peace.core.files import replacing

BLUE, ORANGE, GREY, PALE = "#2a6f97", "#d1495b", "#6c757d", "#c9d6df"
DPI = 130


def png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG file."""
    FigureCanvasAgg(figure)
    stream = BytesIO()
    figure.savefig(stream, dpi=DPI, format="png", bbox_inches="tight", facecolor="white")
    return stream.getvalue()


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG; whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(png(figure))
    return path


def plain(axes: Axes) -> None:
    """Take away what a reader does not need."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
