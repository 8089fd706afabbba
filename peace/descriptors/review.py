"""The review page: one HTML file with texts, checks, samples and similarities of every label, and a form."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from peace.core.files import write_text
from peace.descriptors.checks import Finding
from peace.descriptors.separability import KINDS, TITLES, Separability, draw, reading
from peace.descriptors.texts import AXES, Descriptors, LabelTexts


def write_review(path: Path, descriptors: Descriptors, findings: Sequence[Finding], found: Separability) -> Path:
    """Write the page. It fetches nothing; its button saves a decision file for `peace describe --decisions`."""
    from jinja2 import Environment, StrictUndefined

    text = files("peace.descriptors").joinpath("review.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    provenance = {
        "written_on": None,
        "written_by": "unknown",
        "source": "unknown",
        "prompt": None,
        "prompt_digest": None,
    }
    page = environment.from_string(text).render(
        labels=[
            _card(label, entry, [one for one in findings if one.label == label], found)
            for label, entry in zip(descriptors.labels, descriptors.entries, strict=True)
        ],
        digest=descriptors.digest,
        provenance={**provenance, **descriptors.provenance},
        errors=sum(one.severity == "error" for one in findings),
        warnings=sum(one.severity == "warning" for one in findings),
        reading=reading(found),
        figure="data:image/png;base64," + base64.b64encode(draw(found)).decode("ascii"),
    )
    write_text(path, page)
    return path


def _card(label: str, entry: LabelTexts, findings: Sequence[Finding], found: Separability) -> dict[str, Any]:
    samples = entry.provenance.get("samples") or {}
    likeness = samples.get("similarity", {})
    return {
        "label": label,
        "name": entry.name,
        "axes": [
            *((axis, TITLES[axis], getattr(entry.axes, axis)) for axis in AXES),
            ("fused", "all in one", entry.fused),
        ],
        "findings": findings,
        "leads": entry.leads,
        "criteria": entry.criteria,
        "age_note": entry.age_note,
        "references": entry.references,
        "by_age": [
            (band, TITLES[axis], text)
            for band, own in entry.by_age.items()
            for axis in AXES
            if (text := getattr(own, axis))
        ],
        "others": samples.get("others", []),
        "agreement": ", ".join(f"{TITLES[axis]} {value:.2f}" for axis, value in likeness.items()),
        "reviews": [{"by": "", "on": "", "decision": "", "comment": "", **one} for one in entry.reviews],
        "neighbours": _neighbours(label, found),
    }


def _neighbours(label: str, found: Separability) -> str:
    own = {one.kind: one for one in found.neighbours if one.label == label}
    return ", ".join(
        f"{TITLES[kind]}: {own[kind].nearest} {own[kind].similarity:.2f}{' (alarm)' if own[kind].alarm else ''}"
        for kind in KINDS
        if kind in own
    )
