"""The page of `peace index`: report.json in words, tables and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from peace.data.cohorts.manifest import EXCLUSIONS
from peace.data.splits import SPLITS
from peace.reports.data import figures
from peace.reports.data.text import (
    SYNTHETIC,
    age_table,
    combination_section,
    count,
    label_table,
    people_table,
    percent,
    visits,
)
from peace.reports.page import ReportTable, Section, write_report


def write_page(path: Path, numbers: Mapping[str, Any]) -> Path:
    """Write report.html from the content of report.json."""
    sections = [_opening(numbers), _left_out(numbers)]
    if numbers["records"]["kept"]:
        sections += [*_labels(numbers), combination_section(numbers), *_people(numbers)]
    sections += [*_audit(numbers), *_notes(numbers)]
    return write_report(path, f"{numbers['title']}: what was indexed", sections)


def _opening(numbers: Mapping[str, Any]) -> Section:
    records, published = numbers["records"], numbers["published"]
    names = numbers["label_set"]
    facts = [
        ("tree", numbers["root"]),
        ("label set", f"{names['name']} ({len(names['labels'])} labels, digest {names['digest']})"),
    ]
    if published["comparable"]:
        difference = records["kept"] - published["kept"]
        told = f"{count(published['kept'])} kept by the paper, {count(records['kept'])} here ({difference:+,})"
    else:
        told = f"a part of the published {count(published['records'])} records, or another label set: not compared"
        if records["indexed"] >= 0.99 * published["records"]:
            told = "another label set than the paper's: not compared"
    return Section(
        "",
        headline=[
            (count(records["indexed"]), "records indexed"),
            (count(sum(records["excluded"].values())), "excluded"),
            (count(records["kept"]), "kept"),
            (count(numbers["patients"]["all"]), "patients"),
        ],
        facts=[*facts, ("paper (arXiv 2605.00647)", told)],
        notes=[SYNTHETIC] if numbers["synthetic"] else [],
    )


def _left_out(numbers: Mapping[str, Any]) -> Section:
    records = numbers["records"]
    whole = records["indexed"]
    rows = [["indexed", "rows of the cohort's table", count(whole), percent(whole, whole)]]
    rows += [
        [f"– {reason}", EXCLUSIONS.get(reason, ""), count(value), percent(value, whole)]
        for reason, value in records["excluded"].items()
    ]
    rows.append(["kept", "has a label and can be placed", count(records["kept"]), percent(records["kept"], whole)])
    return Section(
        "Records in and out",
        ["Every record is counted once, under the first reason that applies."],
        table=ReportTable(["", "", "records", "share"], rows, text_columns=2),
    )


def _labels(numbers: Mapping[str, Any]) -> list[Section]:
    published = numbers["published"]
    reference = published["reference"] if published["comparable"] else {}
    paragraphs = ["A record may have several labels: shares add up to more than 100 %."]
    if reference:
        paragraphs.append(f"Reference: {published['reference_source']}. The paper gives no counts by label.")
    table = label_table(numbers, numbers["label_set"]["labels"], reference)
    return [
        Section("Labels", paragraphs, table=table),
        Section(
            "",
            figures=[
                (
                    figures.labels_by_split(numbers["labels_by_split"], numbers["splits"]),
                    "Balance of the splits: the share of each label among the records of each split.",
                ),
                (
                    figures.cooccurrence(numbers["cooccurrence"]),
                    "Labels that come together: of the records with the row's label, the percentage that also has the "
                    "column's. On the diagonal, in bold, the number of records.",
                ),
            ],
        ),
    ]


def _people(numbers: Mapping[str, Any]) -> list[Section]:
    ages = numbers["age_years"]
    sections = [Section("Patients", [visits(numbers), "A patient is in one split only."], table=people_table(numbers))]
    if not ages["all"]["known"]:
        return [*sections, Section("Ages", ["The cohort's tables hold no age."])]
    figure = figures.ages(ages, SPLITS, figures.SPLIT_COLOURS)
    caption = "Ages by split, each scaled to its own number of records."
    return [*sections, Section("Ages", table=age_table(ages, ("all", *SPLITS)), figures=[(figure, caption)])]


def _audit(numbers: Mapping[str, Any]) -> list[Section]:
    audit = numbers["audit"]
    facts = [
        (
            f"{vocabulary}: {check[2:]}",
            f"strings: {count(values['strings'])}, met: {count(values['occurrences'])} times",
        )
        for vocabulary, parts in audit["strings"].items()
        for check, values in parts.items()
    ]
    facts += [
        (f"{vocabulary}: share that no rule met", f"{100 * share:.2f} % of all that was met")
        for vocabulary, share in audit["no_rule_share"].items()
        if vocabulary == "report"
    ]
    return [
        Section(
            "How labels were read",
            [
                "From label_audit.csv, which has every string with its count, its rule and records to look up. "
                "Is a frequent string without a label one of the labels? Does a string under a label not mean it?"
            ],
            facts,
        ),
        *_top(
            "Most frequent lines that no rule met",
            "Each may say one of the labels: give it a rule in the label set.",
            audit["most_frequent_no_rule"],
            False,
        ),
        *_top("Most frequent strings without a label", "", audit["most_frequent_unmapped"], False),
        *_top(
            "Most frequent strings set aside by a rule",
            "Negated, doubtful, benign, a cause rather than a finding, a modified or an unknown code.",
            audit["most_frequent_set_aside"],
            False,
        ),
        *_top("Most frequent strings with a label", "", audit["most_frequent_labelled"], True),
    ]


def _top(title: str, words: str, rows: Sequence[Mapping[str, Any]], labels: bool) -> list[Section]:
    return [Section(title, [words] if words else [], table=_strings(rows, labels))] if rows else []


def _strings(rows: Sequence[Mapping[str, Any]], labels: bool) -> ReportTable:
    meaning = any(row["meaning"] for row in rows)
    header = [
        "string",
        *(["meaning"] if meaning else []),
        *(["labels"] if labels else []),
        "decided by",
        "for example",
        "count",
    ]
    body = [
        [
            row["text"],
            *([row["meaning"]] if meaning else []),
            *([row["labels"]] if labels else []),
            row["decided"],
            " ".join(row["examples"][:2]),
            count(row["count"]),
        ]
        for row in rows
    ]
    return ReportTable(header, body, text_columns=len(header) - 1)


def _notes(numbers: Mapping[str, Any]) -> list[Section]:
    odd = [(name.replace("_", " "), count(value)) for name, value in numbers["notes"].items() if value]
    return [Section("Odd, and not a reason to exclude", facts=odd)] if odd else []
