"""Decisions of reviewers: read, compared, and written into the provenance of the texts they were made on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from peace.core.errors import DataError, nearest
from peace.core.files import read_json
from peace.descriptors.texts import AXES, AgeTexts, AxisTexts, Descriptors, DescriptorsFile, LabelTexts, arrange

Verdict = Literal["accepted", "edited", "rejected"]
VERDICTS: tuple[Verdict, ...] = ("accepted", "edited", "rejected")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Decision(_Strict):
    """What a reviewer says of one label; `axes` holds the new texts of an edited one."""

    decision: Verdict
    axes: AgeTexts = AgeTexts()
    fused: str | None = None
    comment: str = ""


class DecisionFile(_Strict):
    """One reviewer's decisions on the descriptors of one digest."""

    reviewer: str
    reviewed_on: str = ""
    descriptor_digest: str
    labels: dict[str, Decision]


@dataclass(frozen=True)
class Agreement:
    """Kappa of the verdicts on the labels that all reviewers decided; None where it is not defined."""

    kind: Literal["Cohen", "Fleiss"]
    kappa: float | None
    labels: int
    alike: float


def read_decisions(paths: Sequence[Path], descriptors: Descriptors) -> list[DecisionFile]:
    """Decision files on these descriptors. Raises DataError naming file and mistake."""
    found = []
    for path in paths:
        try:
            file = DecisionFile.model_validate(read_json(path))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise DataError(f"{path} is not a decision file: '{place}': {first['msg'].lower()}") from None
        _check(path, file, descriptors)
        found.append(file)
    names = [file.reviewer for file in found]
    if len(set(names)) < len(names):
        raise DataError(f"two decision files are by the same reviewer ({', '.join(sorted(names))})")
    return found


def decide(descriptors: Descriptors, files: Sequence[DecisionFile]) -> Descriptors:
    """The texts as decided, with who decided what. Edits are taken over; a label rejected by anybody stays rejected.

    Raises DataError where two reviewers edit the same text differently: that is theirs to settle.
    """
    entries = {}
    for label, entry in zip(descriptors.labels, descriptors.entries, strict=True):
        made = [(file, file.labels[label]) for file in files if label in file.labels]
        entries[label] = _decided(label, entry, made)
    decided = [label for label in entries if any(label in file.labels for file in files)]
    review = {
        "status": "reviewed" if len(decided) == len(entries) else f"reviewed: {len(decided)} of {len(entries)} labels",
        "by": ", ".join(file.reviewer for file in files),
        "of": descriptors.digest,
    }
    kappa = agreement(files)
    if kappa is not None:
        review["agreement"] = f"{kappa.kind}'s kappa {_shown(kappa.kappa)} over {kappa.labels} labels"
    held = DescriptorsFile(schema_version=1, provenance={**descriptors.provenance, "review": review}, labels=entries)
    return arrange(held, descriptors.labels)


def agreement(files: Sequence[DecisionFile]) -> Agreement | None:
    """Cohen's kappa of two reviewers, Fleiss' of more, over the labels that all of them decided; None for one."""
    if len(files) < 2:
        return None
    common = [label for label in files[0].labels if all(label in file.labels for file in files)]
    verdicts = [[file.labels[label].decision for label in common] for file in files]
    rows = list(zip(*verdicts, strict=True))
    alike = float(np.mean([len(set(row)) == 1 for row in rows])) if rows else 0.0
    kind: Literal["Cohen", "Fleiss"] = "Cohen" if len(files) == 2 else "Fleiss"
    if not rows or len({verdict for row in rows for verdict in row}) < 2:
        return Agreement(kind, None, len(rows), alike)
    if len(files) == 2:
        from sklearn.metrics import cohen_kappa_score

        return Agreement(kind, float(cohen_kappa_score(*verdicts)), len(rows), alike)
    counts = np.array([[Counter(row)[verdict] for verdict in VERDICTS] for row in rows])
    return Agreement(kind, fleiss_kappa(counts), len(rows), alike)


def fleiss_kappa(counts_nk: np.ndarray) -> float:
    """Fleiss' kappa (Psychol Bull 1971; 76:378) of n subjects, each put into one of k categories by as many raters."""
    raters = counts_nk.sum(axis=1)[0]
    observed = ((counts_nk**2).sum(axis=1) - raters) / (raters * (raters - 1))
    expected = ((counts_nk.sum(axis=0) / counts_nk.sum()) ** 2).sum()
    return float((observed.mean() - expected) / (1 - expected))


def template(descriptors: Descriptors) -> dict[str, Any]:
    """A decision file to fill in by hand; strictness makes a forgotten field an error."""
    labels = {label: {"decision": "accepted | edited | rejected", "comment": ""} for label in descriptors.labels}
    return {"reviewer": "", "reviewed_on": "", "descriptor_digest": descriptors.digest, "labels": labels}


def _check(path: Path, file: DecisionFile, descriptors: Descriptors) -> None:
    if not file.reviewer.strip():
        raise DataError(f"{path}: who reviewed? 'reviewer' is empty")
    if file.descriptor_digest != descriptors.digest:
        raise DataError(
            f"{path} is about other texts: it decides on {file.descriptor_digest}, these are {descriptors.digest}"
        )
    for label, decision in file.labels.items():
        if label not in descriptors.labels:
            raise DataError(f"{path} decides on an unknown label '{label}'{nearest(label, descriptors.labels)}")
        texts = decision.fused, *(getattr(decision.axes, axis) for axis in AXES)
        if (decision.decision == "edited") != any(text and text.strip() for text in texts):
            raise DataError(f"{path}: {label} is {decision.decision}: an edited label has a new text, and no other has")


def _decided(label: str, entry: LabelTexts, made: Sequence[tuple[DecisionFile, Decision]]) -> LabelTexts:
    if not made:
        return entry
    changed: dict[str, str] = {}
    for axis in (*AXES, "fused"):
        texts = {_edit(decision, axis) for _, decision in made} - {None}
        if len(texts) > 1:
            raise DataError(f"{label} {axis}: the reviewers wrote {len(texts)} different texts; agree on one first")
        if texts:
            changed[axis] = str(texts.pop())
    review = [
        {"by": file.reviewer, "on": file.reviewed_on, "decision": decision.decision, "comment": decision.comment}
        for file, decision in made
    ]
    provenance = {**entry.provenance, "review": [*entry.reviews, *review]}
    axes = {axis: changed.get(axis, getattr(entry.axes, axis)) for axis in AXES}
    before = {axis: getattr(entry.axes, axis) if axis in AXES else entry.fused for axis in changed}
    if changed:
        provenance["before_review"] = before
    update = {"axes": AxisTexts(**axes), "fused": changed.get("fused", entry.fused), "provenance": provenance}
    return entry.model_copy(update=update)


def _edit(decision: Decision, axis: str) -> str | None:
    text = decision.fused if axis == "fused" else getattr(decision.axes, axis)
    return " ".join(text.split()) if text and text.strip() else None


def _shown(kappa: float | None) -> str:
    return "undefined" if kappa is None else f"{kappa:.2f}"
