"""A report as one HTML file that opens anywhere: style and figures are inside it, and it fetches nothing."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from peace.core.files import write_text

NOT_A_DEVICE = "Research software. It is not a medical device and must not be used to decide about a patient."
SYNTHETIC = (
    "The recordings were synthetic. These figures show that the path works; they say nothing about patients, "
    "and must not be compared with published results."
)


@dataclass(frozen=True)
class ReportTable:
    """Rows of text under a header; the first `text_columns` are set to the left and may wrap, numbers follow."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int = 1


@dataclass(frozen=True)
class Section:
    """A part of a report: what it says, in this order.

    `headline` holds large numbers with their captions, `facts` names and values; `notes` stand out as cautions. A
    figure is a PNG, as a file or as its bytes, and its caption.
    """

    title: str
    paragraphs: Sequence[str] = ()
    facts: Sequence[tuple[str, str]] = ()
    table: ReportTable | None = None
    figures: Sequence[tuple[Path | bytes, str]] = ()
    notes: Sequence[str] = ()
    headline: Sequence[tuple[str, str]] = ()


def write_report(path: Path, title: str, sections: Sequence[Section]) -> Path:
    """Write a self-contained page: `title`, then the sections."""
    from jinja2 import Environment, StrictUndefined

    text = files("peace.reports").joinpath("page.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    write_text(path, environment.from_string(text).render(title=title, sections=sections, image=_data_uri))
    return path


def number(value: float | None, digits: int = 3) -> str:
    """A number for a table; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def with_interval(value: float | None, low: float | None, high: float | None) -> str:
    """A value with its interval in brackets, where it has one."""
    if value is None or low is None or high is None:
        return number(value)
    return f"{number(value)} ({number(low)}–{number(high)})"


def _data_uri(image: Path | bytes) -> str:
    content = image if isinstance(image, bytes) else image.read_bytes()
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")
