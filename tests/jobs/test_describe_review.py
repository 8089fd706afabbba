"""Reviews of descriptors: the page, decision files that come back as provenance, agreement of the reviewers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.describe import VERB
from jobs.runtime.harness import main
from peace.core.errors import DataError
from peace.descriptors import load_descriptors
from peace.descriptors.decisions import fleiss_kappa

LABELS = ("NORM", "LAFB", "IRBBB", "CRBBB", "LVOLT", "LAE", "RAE", "LVH", "RVH", "STTC", "TAB_", "LQTS")


def decisions(tmp_path: Path, name: str, digest: str, verdicts: Sequence[str], **own: Any) -> str:
    labels: dict[str, Any] = {label: {"decision": verdict} for label, verdict in zip(LABELS, verdicts, strict=True)}
    path = tmp_path / f"{name}.json"
    values = {"reviewer": name, "reviewed_on": "2026-11-20", "descriptor_digest": digest, "labels": labels | own}
    path.write_text(json.dumps(values))
    return str(path)


def test_a_review_comes_back_as_provenance_and_stops_what_was_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def describe(out: str, *words: str) -> tuple[int, Path]:
        return main(
            VERB, ["--out", str(tmp_path / out), "--preset", "debug", "tracking.enabled=false", *words]
        ), tmp_path / out

    code, out = describe("page", "--review")
    page = (out / "review.html").read_text()
    result = json.loads((out / "result.json").read_text())
    assert code == 0
    assert all(f'data-label="{label}"' in page for label in LABELS)
    assert "http" not in page.replace("http-equiv", "")
    found = json.loads((out / "separability.json").read_text())
    assert (len(found["all_axes"]), len(found["neighbours"]), len(found["mirrors"])) == (36, 48, 4)
    assert result["separability"]["reading"]

    digest = result["descriptor_digest"]
    text = "Left axis deviation, -45 to -90 degrees; qR in I and aVL; rS in II, III and aVF; QRS below 120 ms."
    edit = {"LAFB": {"decision": "edited", "axes": {"morphology": text}}}
    anna = decisions(tmp_path, "Anna", digest, ["accepted"] * 11 + ["rejected"], **edit)
    ben = decisions(tmp_path, "Ben", digest, ["accepted"] * 10 + ["rejected"] * 2)
    code, out = describe("decided", "--decisions", anna, ben)
    result = json.loads((out / "result.json").read_text())
    assert code == 0
    assert result["review"]["agreement"]["kind"] == "Cohen"
    assert 0.3 < result["review"]["agreement"]["kappa"] < 0.8
    entry = json.loads((out / "descriptors.json").read_text())["labels"]["LAFB"]
    assert entry["axes"]["morphology"] == text
    assert [one["by"] for one in entry["provenance"]["review"]] == ["Anna", "Ben"]
    assert "qR in aVL" in entry["provenance"]["before_review"]["morphology"]
    with pytest.raises(DataError, match="rejected by"):
        load_descriptors(out, LABELS, ())
    assert load_descriptors(out, LABELS, ("TAB_/review", "LQTS/review")).provenance["review"]["status"] == "reviewed"

    other = decisions(tmp_path, "Cleo", "0" * 16, ["accepted"] * 12)
    assert describe("wrong", "--decisions", other)[0] == 2
    assert "about other texts" in capsys.readouterr().err


def test_fleiss_kappa_equals_the_published_example() -> None:
    # Fleiss 1971, the table of ten subjects, five categories and fourteen raters of the usual textbook example
    counts = [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
    assert fleiss_kappa(np.array(counts)) == pytest.approx(0.210, abs=5e-4)
