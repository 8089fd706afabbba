"""The data reports: every number counted again by other means, and pages that open anywhere."""

from __future__ import annotations

import json
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from cohort_manifests import manifest_row, write_manifest
from cohort_tables import zzu_row, zzu_tree
from wfdb_files import heartbeats, write_record

from peace.config import load_config
from peace.data.cohorts import read_cohort
from peace.data.cohorts.manifest import manifest_table
from peace.data.labels import load_label_set
from peace.data.shards import Recipe, build_part, finish
from peace.data.signal import LEADS
from peace.reports.data import write_index_report, write_shard_report
from peace.reports.data.numbers import combinations as label_sets
from peace.reports.data.numbers import distribution, histogram, label_flags
from peace.reports.data.strips import telling_lead

PEACE12 = load_label_set("peace12")
CONFIG = load_config("debug")


def self_contained(page: Path) -> str:
    text = page.read_text(encoding="utf-8")
    assert "http" not in text.replace("http-equiv", ""), "a page fetches nothing"
    return text


def test_flags_and_sets_of_labels_count_what_the_lists_say() -> None:
    generator = np.random.default_rng(0)
    lists = [list(np.array(PEACE12.labels)[generator.random(12) < 0.2]) for _ in range(300)]
    column = pa.chunked_array([lists[:100], lists[100:]], pa.list_(pa.string()))
    flags = label_flags(column, PEACE12.labels)
    assert [PEACE12.names(row) for row in flags] == lists
    told = label_sets(flags, PEACE12.labels)
    counted = Counter(map(tuple, lists))
    assert told["different_combinations"] == len(counted)
    assert [item["records"] for item in told["combinations"]] == [n for _, n in counted.most_common(30)]
    assert all(counted[tuple(item["labels"])] == item["records"] for item in told["combinations"])


def test_a_distribution_says_what_is_missing_and_a_histogram_loses_nothing_known() -> None:
    values = np.array([np.nan, 1.0, 2.0, 3.0, 50.0])
    told = distribution(values)
    assert (told["known"], told["missing"], told["p50"], told["max"]) == (4, 1, 2.5, 50.0)
    assert histogram(values, np.array([0.0, 2.0, 4.0])) == [1, 3], "what lies beyond is in the last bin"
    assert distribution(np.full(3, np.nan)) == {"known": 0, "missing": 3}


def test_the_report_of_an_index(tmp_path: Path) -> None:
    rows = [zzu_row(f"P{n:05d}_E01", AHA_code="'A1'", Age=f"{365 * (n % 15)}d") for n in range(40)]
    rows += [zzu_row(f"P{n:05d}_E02", AHA_code="'L147';'K142'", Gender="'Female'") for n in range(10)]
    rows += [zzu_row("P00050_E01", AHA_code="'Prolonged <QTc> interval'"), zzu_row("P00051_E01", Age="12 parsecs")]
    index = read_cohort("zzu", zzu_tree(tmp_path, rows), PEACE12, CONFIG)
    split = pd.Series(np.where(index.frame.index % 5 == 0, "test", "train")).where(index.kept)
    table = manifest_table(index, PEACE12.labels, split)
    result = {
        "cohort": "zzu",
        "root": str(tmp_path),
        "indexed": 52,
        "kept": 50,
        "excluded": {"no_label": 1, "bad_age": 1},
        "published": None,
        "synthetic": False,
        "notes": {"sex_unknown": 0, "unknown_codes": 3},
    }
    page = write_index_report(tmp_path / "out", table, index.audit, PEACE12, result)
    told = json.loads((tmp_path / "out" / "report.json").read_text())
    assert told["labels"] == {**dict.fromkeys(PEACE12.labels, 0), "NORM": 40, "LVH": 10, "TAB_": 10}
    assert told["labels_by_split"]["LVH"] == {"train": 8, "val": 0, "test": 2}
    assert told["cooccurrence"]["LVH"]["TAB_"] == told["cooccurrence"]["TAB_"]["LVH"] == 10
    assert told["labels_per_record"] == {"1": 40, "2": 10}
    assert told["combinations"][1] == {"labels": ["LVH", "TAB_"], "records": 10}
    assert told["sex"]["all"] == {"male": 40, "female": 10, "unknown": 0}
    assert told["patients"]["all"] == 40
    assert told["records_per_patient"]["counts"]["2"] == 10
    assert told["age_years"]["all"]["known"] == 50
    assert sum(told["age_years"]["histogram"]["train"]) == 40
    unmapped = [item["text"] for item in told["audit"]["most_frequent_unmapped"]]
    assert unmapped == ["Prolonged <QTc> interval"], "the Chinese column is not read, so its codes are not missed"
    text = self_contained(page)
    assert "Prolonged &lt;QTc&gt; interval" in text
    assert text.count("data:image/png") == 3
    assert "synthetic" not in text


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Shards of two cohorts with three rejects, and their manifest with one record that index left out."""
    folder = tmp_path_factory.mktemp("report")
    rows = []
    for number in range(24):
        signal = heartbeats(750, 250, seed=number)
        if number in (3, 7):
            signal[100:200, 2] = np.nan
        record = write_record(folder / f"r{number:02d}", rate=250, millivolts=signal * (2 if number % 2 else 1))
        changes = {"cohort": "zzu" if number % 2 else "mimic", "split": "test" if number % 6 == 0 else "train"}
        rows.append(manifest_row(record, number, **changes))
    (folder / "r05.dat").unlink()
    out, kept = folder / "out", list(rows)
    rows.append(manifest_row(folder / "gone", 99, cohort="zzu", split=None, excluded="nine_leads"))
    manifest = write_manifest(folder / "manifest.parquet", rows)
    recipe = Recipe(CONFIG.signal, CONFIG.leads, CONFIG.quality)
    done = []
    for split in ("train", "test"):
        part = [row for row in kept if row["split"] == split]
        done.append(build_part(f"{split}-a", split, part, list(range(len(part))), recipe, out))
    finish(out, len(kept), done, recipe, PEACE12)
    return out, manifest


def report_of(finished: tuple[Path, Path], strips: int = 2) -> tuple[Path, dict[str, Any]]:
    out, manifest = finished
    frame = pd.read_parquet(manifest)
    page = write_shard_report(out, [manifest], frame[frame["excluded"].isna()], PEACE12, strips)
    return page, json.loads((out / "report.json").read_text())


def test_the_report_of_shards(finished: tuple[Path, Path]) -> None:
    page, told = report_of(finished)
    assert list(told["cohorts"]) == ["mimic", "zzu"]
    zzu = told["cohorts"]["zzu"]
    assert zzu["records"] == {
        "indexed": 13,
        "excluded": {"nine_leads": 1},
        "rejected": {"nan_samples": 2, "missing_signal": 1},
        "kept": 9,
    }
    frame = pd.read_parquet(finished[1]).query("cohort == 'zzu' and excluded.isna()")
    kept = frame[~frame["record_id"].isin(["r03", "r05", "r07"])]
    counted = Counter(label for labels in kept["labels"] for label in labels)
    assert {label: n for label, n in zzu["labels"].items() if n} == counted
    pairs = Counter(pair for labels in kept["labels"] for pair in combinations(sorted(labels), 2))
    assert zzu["cooccurrence"]["LVH"]["STTC"] == pairs["LVH", "STTC"]
    assert zzu["leads"] == {"present": dict.fromkeys(LEADS, 9), "patterns": [{"missing": [], "records": 9}]}
    assert zzu["seconds"]["shorter_than_window"] == 9, "three seconds of ten"
    assert zzu["headers"]["rates_hz"] == {"250": 9}
    assert zzu["headers"]["seconds"]["p50"] == 3.0
    factor = zzu["peak_to_peak_mv"]["II"]["p50"] / told["cohorts"]["mimic"]["peak_to_peak_mv"]["II"]["p50"]
    assert factor == pytest.approx(2, abs=0.1), "the children's records were made twice as high"
    assert zzu["quality"]["nan_share"]["max"] == 0
    assert sum(zzu["quality"]["peak_mv"]["histogram"]["counts"]) == 9
    shown = [(strip["cohort"], strip["shows"].split(":")[0]) for strip in told["strips"]]
    assert ("zzu", "nan_samples") in shown, "a reject is drawn with its reason"
    assert not any("missing_signal" in words for _, words in shown), "there is nothing to draw of it"
    assert self_contained(page).count("data:image/png") == 4 + len(shown)


def test_a_reject_is_drawn_with_the_lead_that_shows_why() -> None:
    signal = np.tile(np.sin(np.arange(500) / 20), (12, 1))
    signal[3, 100:200], signal[5], signal[8, 50] = np.nan, 0.0, 26.0
    mask = np.array([1] * 9 + [0] * 3, np.uint8)
    shown = {
        reason: LEADS[telling_lead(reason, signal, mask)]
        for reason in ("nan_samples", "flat_lead", "spikes", "mains_noise")
    }
    assert shown == {"nan_samples": "aVR", "flat_lead": "aVF", "spikes": "V3", "mains_noise": "II"}


def test_a_report_of_the_same_shards_is_not_made_again(finished: tuple[Path, Path]) -> None:
    page, _ = report_of(finished)
    before = page.stat().st_mtime_ns
    assert report_of(finished)[0].stat().st_mtime_ns == before
    report_of(finished, strips=0)
    assert page.stat().st_mtime_ns > before
    page.unlink()
    assert report_of(finished, strips=0)[0].exists()


def test_a_report_where_nothing_was_kept(tmp_path: Path) -> None:
    rows = [manifest_row(tmp_path / f"gone{n}", n) for n in range(3)]
    manifest = write_manifest(tmp_path / "manifest.parquet", rows)
    recipe = Recipe(CONFIG.signal, CONFIG.leads, CONFIG.quality)
    done = build_part("a", "train", rows, [1, 2, 3], recipe, tmp_path / "out")
    finish(tmp_path / "out", 3, [done], recipe, PEACE12)
    page, told = report_of((tmp_path / "out", manifest))
    assert told["cohorts"]["ptbxl"]["records"]["rejected"] == {"missing_header": 3}
    assert "missing_header" in self_contained(page)
