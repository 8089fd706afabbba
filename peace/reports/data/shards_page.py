"""The page of `peace preprocess`: report.json in words, tables, figures and strips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from peace.data.cohorts.manifest import EXCLUSIONS
from peace.data.signal import LEADS, REASONS
from peace.reports.data import figures
from peace.reports.data.strips import Strip
from peace.reports.data.text import (
    SYNTHETIC,
    age_table,
    count,
    decimal,
    grouped,
    label_table,
    people_table,
    percent,
    visits,
)
from peace.reports.page import ReportTable, Section, write_report

Cohorts = Mapping[str, Mapping[str, Any]]
SHOWN_PATTERNS = 6  # of leads


def write_page(path: Path, numbers: Mapping[str, Any], strips: Sequence[Strip]) -> Path:
    """Write report.html from the content of report.json, and the strips."""
    cohorts: Cohorts = numbers["cohorts"]
    titles = {cohort: values["title"] for cohort, values in cohorts.items()}
    sections = [_opening(numbers), _chain(cohorts)]
    if any(values["records"]["kept"] for values in cohorts.values()):
        sections += [
            _figure_two(cohorts, titles),
            *_labels(cohorts, numbers["label_set"]["labels"]),
            _people(cohorts),
            *_ages(cohorts, titles),
            _recorded(cohorts),
            *_quality(cohorts, titles),
            _amplitude(cohorts, titles),
        ]
    sections += _strips(strips, titles)
    return write_report(path, f"{', '.join(titles.values())}: what is in the shards", sections)


def _opening(numbers: Mapping[str, Any]) -> Section:
    records = [values["records"] for values in numbers["cohorts"].values()]
    signal = numbers["recipe"]["signal"]
    names = numbers["label_set"]
    return Section(
        "",
        headline=[
            (count(sum(item["indexed"] for item in records)), "records indexed"),
            (count(sum(sum(item["excluded"].values()) for item in records)), "excluded by the tables"),
            (count(sum(sum(item["rejected"].values()) for item in records)), "rejected by the signal"),
            (count(sum(item["kept"] for item in records)), "in shards"),
        ],
        facts=[
            ("signals", f"{signal['seconds']:g} s at {signal['rate']} Hz; the whole recipe stands in report.json"),
            ("label set", f"{names['name']} ({len(names['labels'])} labels, digest {names['digest']})"),
            ("shards", f"{count(numbers['shards']['files'])} files, digest {numbers['shards']['digest']}"),
        ],
        notes=[SYNTHETIC] if numbers["synthetic"] else [],
    )


def _chain(cohorts: Cohorts) -> Section:
    """From the cohort's table to the shards, every record once."""
    rows = []
    for step in ("indexed", "excluded", "rejected", "kept"):
        values = {cohort: numbers["records"][step] for cohort, numbers in cohorts.items()}
        if step in ("indexed", "kept"):
            meaning = "rows of the cohort's table" if step == "indexed" else "in shards"
            rows.append([step, meaning, *map(count, values.values())])
            continue
        meanings = EXCLUSIONS if step == "excluded" else REASONS
        for reason in dict.fromkeys(reason for counts in values.values() for reason in counts):
            row = [f"– {step}: {reason}", meanings.get(reason, "")]
            rows.append([*row, *(count(counts[reason]) if reason in counts else "" for counts in values.values())])
    header = ["", "", *(numbers["title"] for numbers in cohorts.values())]
    return Section(
        "Records in and out",
        ["Every record is counted once, under the first reason that applies: indexed = excluded + rejected + kept."],
        table=ReportTable(header, rows, text_columns=2),
    )


def _figure_two(cohorts: Cohorts, titles: Mapping[str, str]) -> Section:
    counts = {cohort: numbers["labels"] for cohort, numbers in cohorts.items()}
    kept = {cohort: numbers["records"]["kept"] for cohort, numbers in cohorts.items()}
    caption = "Label distribution of the cohorts, after rejects: records of each label and their share of the cohort."
    if len(cohorts) > 1:
        caption += " The paper shows the same in its Figure 2."
    return Section("Label distribution", figures=[(figures.label_distribution(counts, kept, titles), caption)])


def _labels(cohorts: Cohorts, full_names: Mapping[str, str]) -> list[Section]:
    return [
        Section(f"{numbers['title']}: labels by split", table=label_table(numbers, full_names, {}))
        for numbers in cohorts.values()
    ]


def _people(cohorts: Cohorts) -> Section:
    rows: list[Sequence[str]] = []
    header: Sequence[str] = ()
    several = len(cohorts) > 1
    wide = max((people_table(numbers) for numbers in cohorts.values()), key=lambda table: len(table.header))
    header = ["cohort", *wide.header]
    for numbers in cohorts.values():
        for row in people_table(numbers).rows:
            rows.append([numbers["title"], *row, *[""] * (len(wide.header) - len(row))])
    words = [f"{numbers['title'] + ': ' if several else ''}{visits(numbers)}" for numbers in cohorts.values()]
    return Section("Patients", words, table=ReportTable(header, grouped(rows), text_columns=2))


def _ages(cohorts: Cohorts, titles: Mapping[str, str]) -> list[Section]:
    told = {cohort: numbers["age_years"] for cohort, numbers in cohorts.items() if numbers["age_years"]["all"]["known"]}
    silent = [titles[cohort] for cohort in cohorts if cohort not in told]
    words = [f"The tables of {', '.join(silent)} hold no age."] if silent else []
    if not told:
        return [Section("Ages", words)]
    table = age_table(
        {titles[cohort]: ages["all"] for cohort, ages in told.items()}, [titles[cohort] for cohort in told]
    )
    return [
        Section(
            "Ages", words, table=table, figures=[(figures.ages_of_cohorts(told, titles), "Ages of the kept records.")]
        )
    ]


def _recorded(cohorts: Cohorts) -> Section:
    """Leads and durations: of all kept records, and as recorded of a sample of headers."""
    rows = [[numbers["title"], *row] for numbers in cohorts.values() for row in _recorded_rows(numbers)]
    table = ReportTable(["cohort", "", "records"], grouped(rows), text_columns=2)
    return Section("Leads, rates and durations", table=table)


def _recorded_rows(numbers: Mapping[str, Any]) -> list[list[str]]:
    headers, seconds, patterns = numbers["headers"], numbers["seconds"], numbers["leads"]["patterns"]
    rows = []
    for pattern in patterns[:SHOWN_PATTERNS]:
        missing = " ".join(pattern["missing"])
        rows.append([f"leads: all but {missing}" if missing else "leads: all twelve", count(pattern["records"])])
    if len(patterns) > SHOWN_PATTERNS:
        rows.append(["leads: other combinations", count(sum(item["records"] for item in patterns[SHOWN_PATTERNS:]))])
    rows.append([f"shorter than the {seconds['window']:g} s kept", count(seconds["shorter_than_window"])])
    sample = f"of {count(headers['sampled'])} headers"
    rows += [[f"recorded at {rate} Hz, {sample}", count(records)] for rate, records in headers["rates_hz"].items()]
    length = headers["seconds"]
    if length["known"]:
        told = f"{length['min']:g}"
        if length["min"] != length["max"]:
            told += f" to {length['max']:g}, median {length['p50']:g}"
        rows.append([f"seconds recorded, {sample}", told])
    return rows


def _quality(cohorts: Cohorts, titles: Mapping[str, str]) -> list[Section]:
    meanings = {name: entry["meaning"] for name, entry in next(iter(cohorts.values()))["quality"].items()}
    varied = [name for name in meanings if any("histogram" in item["quality"][name] for item in cohorts.values())]
    even = [name for name in meanings if name not in varied]
    words = ["Of the kept records, measured on the raw millivolts before any filter."]
    if even:
        words.append(f"The same in every record, or known of none: {', '.join(even)}.")
    rows = [[name, *_quality_row(numbers, name)] for name in varied for numbers in cohorts.values()]
    header = ["column", "cohort", "median", "p95", "p99", "max", "unknown", "limit", "over it"]
    table = ReportTable(header, grouped(rows), text_columns=2) if rows else None
    caption = (
        "Share of the kept records in each bin; what lies beyond the axis is in the last bin. Dashed: the limit, where "
        "it lies within."
    )
    picture = [(figures.quality(cohorts, varied, titles), caption)] if varied else []
    flags = [
        [numbers["title"], flag, count(records), percent(records, numbers["records"]["kept"])]
        for numbers in cohorts.values()
        for flag, records in numbers["flags"].items()
    ]
    flagged = ReportTable(["cohort", "flag", "records", "share"], grouped(flags), text_columns=2)
    return [
        Section("Signal quality", words, table=table),
        Section("", facts=list(meanings.items()), figures=picture),
        *([Section("Kept with a flag", table=flagged)] if flags else []),
    ]


def _quality_row(numbers: Mapping[str, Any], name: str) -> list[str]:
    entry = numbers["quality"][name]
    limit = "" if entry["limit"] is None else f"{decimal(entry['limit'])}, {entry['action']}"
    over = "" if entry["over_limit"] is None else count(entry["over_limit"])
    values = (decimal(entry.get(at)) for at in ("p50", "p95", "p99", "max"))
    return [numbers["title"], *values, count(entry["missing"]), limit, over]


def _amplitude(cohorts: Cohorts, titles: Mapping[str, str]) -> Section:
    header = ["median peak to peak in mV", *LEADS]
    rows = [
        [numbers["title"], *(decimal(numbers["peak_to_peak_mv"][lead].get("p50")) for lead in LEADS)]
        for numbers in cohorts.values()
    ]
    caption = (
        "Peak to peak of each lead after filtering: the box holds the middle half of the records, the line 5 to 95 % "
        "(cut where it leaves the drawing), the white tick is the median."
    )
    return Section(
        "Amplitude",
        table=ReportTable(header, rows),
        figures=[(figures.amplitude(cohorts, LEADS, titles), caption)],
    )


def _strips(strips: Sequence[Strip], titles: Mapping[str, str]) -> list[Section]:
    sections = []
    for rejected in (False, True):
        for cohort, title in titles.items():
            chosen = [
                (strip.image, strip.title) for strip in strips if strip.cohort == cohort and strip.rejected == rejected
            ]
            if not chosen:
                continue
            words = (
                "Rejected records as they lie on disk, unfiltered, the median of each lead taken off. Values beyond "
                "3 mV are cut off in the drawing. Below, from end to end, a lead that shows the reason."
                if rejected
                else "Kept records as models see them, drawn by lot: one of each of the most frequent labels."
            )
            sections.append(Section(f"{title}: {'rejected' if rejected else 'kept'} records", [words], figures=chosen))
    return sections
