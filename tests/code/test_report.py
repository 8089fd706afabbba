"""Reports open anywhere and show what they were given; figures draw what there is."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from predictions_table import LABELS, predictions_frame

from peace.config import EvaluationConfig
from peace.evaluation import figures
from peace.evaluation.comparison import compare_auc
from peace.evaluation.metrics import evaluate
from peace.evaluation.predictions import from_frame
from peace.reports.page import ReportTable, Section, number, with_interval, write_report
from peace.reports.strip import ecg_strip


def drawn(path: Path | None) -> float:
    """Share of a figure that is not paper."""
    assert path is not None
    image = imread(path)[..., :3]
    return float((image.min(axis=2) < 0.9).mean())


def test_text_is_escaped_and_figures_are_inside(tmp_path: Path) -> None:
    ecg_strip(np.zeros((12, 1000)), 100, np.ones(12), "flat", tmp_path / "a.png")
    sections = [
        Section("A & B", paragraphs=["<script>alert(1)</script>"], facts=[("cohort", "zzu")], notes=["careful"]),
        Section("C", table=ReportTable(("x", "y"), [("1", "2 < 3")]), figures=[(tmp_path / "a.png", "a strip")]),
    ]
    text = write_report(tmp_path / "report.html", "Runs", sections).read_text()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "<td>2 &lt; 3</td>" in text
    assert text.count("data:image/png;base64,") == 1
    assert text.index("A &amp; B") < text.index("careful") < text.index("a strip")


def test_numbers_for_tables() -> None:
    assert number(0.98765) == "0.988"
    assert number(None) == "–"
    assert with_interval(0.5, None, None) == "0.500"
    assert with_interval(0.5, 0.4, 0.6) == "0.500 (0.400–0.600)"


def test_figures_without_intervals_and_with_a_label_left_out(tmp_path: Path) -> None:
    frame = predictions_frame()
    frame.loc[frame["label"] == "RVH", "target"] = 0
    predictions = from_frame(frame, "here")
    metrics = evaluate(predictions, EvaluationConfig(bootstrap=0))
    assert drawn(figures.auc_by_label(metrics, tmp_path / "auc.png")) > 0.005
    assert drawn(figures.roc_curves(predictions, metrics, tmp_path / "roc.png")) > 0.005
    assert drawn(figures.label_counts(predictions, tmp_path / "n.png", dict.fromkeys(LABELS, 7))) > 0.05
    runs = {
        "one": metrics,
        "other": evaluate(from_frame(predictions_frame(seed=4), "x"), EvaluationConfig(bootstrap=9)),
    }
    assert drawn(compare_auc(runs, tmp_path / "both.png")) > drawn(compare_auc({"one": metrics}, tmp_path / "one.png"))


def test_history_of_epochs_with_gaps_or_none(tmp_path: Path) -> None:
    epochs = [{"epoch": 1, "loss": 1.0, "val_auc": None}, {"epoch": 2, "loss": 0.5, "val_auc": 0.7, "gate": 0.1}]
    assert drawn(figures.training_history(epochs, tmp_path / "history.png")) > 0.005
    assert figures.training_history([], tmp_path / "none.png") is None
    assert figures.training_history([{"epoch": 1}], tmp_path / "none.png") is None
    assert not (tmp_path / "none.png").exists()


@pytest.mark.parametrize("rate", [100, 500])
def test_strip_shows_spikes_within_their_row_and_names_absent_leads(tmp_path: Path, rate: int) -> None:
    signal_mv = np.zeros((12, 4 * rate))
    mask = np.ones(12)
    flat = drawn(ecg_strip(signal_mv, rate, mask, "flat", tmp_path / "flat.png"))
    signal_mv[0, rate] = 26.0
    spike = imread(ecg_strip(signal_mv, rate, mask, "flat", tmp_path / "spike.png"))
    assert drawn(tmp_path / "spike.png") > flat
    # the page keeps its size whatever the voltage
    assert spike.shape == imread(tmp_path / "flat.png").shape
    mask[7] = 0
    assert drawn(ecg_strip(signal_mv, rate, mask, "flat", tmp_path / "absent.png")) > 0
