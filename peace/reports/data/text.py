"""How both pages put numbers into words and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from peace.data.splits import SPLITS
from peace.reports.page import ReportTable, Section

SHOWN_COMBINATIONS = 15
SYNTHETIC = "These recordings are synthetic (docs/synthetic.md): what stands here says nothing about patients."


def count(value: float) -> str:
    """A whole number with thousands set apart."""
    return f"{int(value):,}"


def percent(part: float, whole: float) -> str:
    """A share; a dash where there is nothing to share."""
    return f"{100 * part / whole:.1f} %" if whole else "–"


def decimal(value: float | None) -> str:
    """Three significant digits without an exponent where that can be read."""
    if value is None:
        return "–"
    if value and not 1e-4 <= abs(value) < 1e6:
        return f"{value:.2e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def label_table(numbers: Mapping[str, Any], full_names: Mapping[str, str], reference: Mapping[str, int]) -> ReportTable:
    """Label, records, share, by split, and a reference count beside ours where there is one."""
    kept = sum(numbers["splits"].values())
    header = ["label", "", "records", "share", *SPLITS, *(["reference"] if reference else [])]
    rows = []
    for label, total in numbers["labels"].items():
        row = [label, full_names.get(label, ""), count(total), percent(total, kept)]
        row += [count(numbers["labels_by_split"][label][name]) for name in SPLITS]
        rows.append([*row, *([count(reference.get(label, 0))] if reference else [])])
    last = ["all records", "", count(kept), "", *(count(numbers["splits"][name]) for name in SPLITS)]
    rows.append([*last, *([""] if reference else [])])
    return ReportTable(header, rows, text_columns=2)


def grouped(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Rows in which the first cell is blank where it repeats the one above."""
    firsts = ["", *(row[0] for row in rows)]
    return [["" if row[0] == above else row[0], *row[1:]] for row, above in zip(rows, firsts, strict=False)]


def combination_section(numbers: Mapping[str, Any]) -> Section:
    """Which labels come together, in numbers."""
    kept = sum(numbers["splits"].values())
    shown = numbers["combinations"][:SHOWN_COMBINATIONS]
    rows = [[" + ".join(item["labels"]), count(item["records"]), percent(item["records"], kept)] for item in shown]
    several = ", ".join(f"{name}: {count(value)}" for name, value in numbers["labels_per_record"].items())
    words = (
        f"{count(numbers['different_combinations'])} different sets of labels. Records by number of labels: {several}."
    )
    return Section("Label combinations", [words], table=ReportTable(["labels", "records", "share"], rows))


def age_table(ages: Mapping[str, Any], parts: Sequence[str]) -> ReportTable:
    """Ages in years of each part."""
    points = ("min", "p5", "p25", "p50", "p75", "p95", "max")
    header = ["age in years", "known", "unknown", *("median" if name == "p50" else name for name in points)]
    rows = [
        [part, count(ages[part]["known"]), count(ages[part]["missing"]), *(_years(ages[part].get(at)) for at in points)]
        for part in parts
    ]
    return ReportTable(header, rows)


def _years(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def people_table(numbers: Mapping[str, Any]) -> ReportTable:
    """Patients, records and, where the cohort tells them, sexes by split."""
    whole = sum(numbers["splits"].values())
    told = numbers["sex"]["all"]["unknown"] < whole
    rows = []
    for name in ("all", *SPLITS):
        records = whole if name == "all" else numbers["splits"][name]
        row = [name, count(numbers["patients"][name]), count(records), percent(records, whole)]
        sexes = numbers["sex"][name].values() if told else ()
        rows.append([*row, *(f"{count(value)} ({percent(value, records)})" for value in sexes)])
    header = ["split", "patients", "records", "share", *(["male", "female", "sex unknown"] if told else [])]
    return ReportTable(header, rows)


def visits(numbers: Mapping[str, Any]) -> str:
    """Records a patient, in one sentence."""
    counts = numbers["records_per_patient"]["counts"]
    told = "; ".join(f"{name}: {count(value)}" for name, value in counts.items() if value)
    most = count(numbers["records_per_patient"]["most"])
    return f"Patients by number of kept records: {told}. The most of one patient: {most}."
