"""The data reports over empty and one-row tables: whatever is missing, a page comes of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from peace.config import load_config
from peace.data.cohorts.audit import Entry, audit_frame
from peace.data.cohorts.manifest import EXCLUSIONS, SCHEMA
from peace.data.labels import load_label_set
from peace.data.shards import Recipe, ShardSet, schema
from peace.data.signal import LEADS, QUALITY
from peace.data.splits import SPLITS
from peace.reports.data import write_index_report
from peace.reports.data.shard_numbers import Rows, cohort_numbers
from peace.reports.data.shards_page import write_page
from peace.reports.data.strips import header_numbers

PEACE12 = load_label_set("peace12")
CONFIG = load_config("debug")
COHORT = st.sampled_from(("mimic", "zzu", "ptbxl", "another"))
LABELS = st.lists(st.sampled_from(PEACE12.labels), unique=True, max_size=12)
PERSON = {
    "record_id": st.just("1"),
    "patient_id": st.sampled_from(("", "7")),
    "age_days": st.sampled_from((None, 0, 4000, 45_656)),
    "sex": st.sampled_from((None, "male", "female")),
    "labels": LABELS,
    "split": st.sampled_from(SPLITS),
}
ROW = st.fixed_dictionaries(
    {**PERSON, "path": st.just("/a"), "n_leads": st.sampled_from((9, 12)), "excluded": st.none() | st.just("bad_age")}
)
ENTRY = st.builds(
    Entry, st.sampled_from(("scp", "report")), st.text(max_size=5), st.just(""), st.integers(1, 3), LABELS,
    st.sampled_from(("no rule", "nothing: negated", "column not read")), st.just(["1"]),
)  # fmt: skip
NUMBER = st.none() | st.sampled_from((0.0, 1.0, 0.25, 1e-9, 40_000.0))


@given(
    rows=st.lists(ROW, max_size=1),
    entries=st.lists(ENTRY, max_size=1),
    cohort=COHORT.filter(lambda name: name != "another"),
)
@settings(max_examples=8, deadline=None, derandomize=True)
def test_the_page_of_an_index(
    rows: list[dict[str, Any]], entries: list[Entry], cohort: str, tmp_path_factory: Any
) -> None:
    rows = [{**row, "cohort": cohort, "split": None if row["excluded"] else row["split"]} for row in rows]
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    excluded = dict(Counter(row["excluded"] for row in rows if row["excluded"]))
    kept = len(rows) - sum(excluded.values())
    result = {"cohort": cohort, "root": "/a", "indexed": len(rows), "kept": kept, "excluded": excluded}
    result |= {"published": None, "synthetic": False, "notes": {}}
    page = write_index_report(
        tmp_path_factory.mktemp("index"), table, audit_frame(entries, PEACE12.labels), PEACE12, result
    )
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/png") == (0 if not kept else 3 if rows[0]["age_days"] is not None else 2)
    assert (EXCLUSIONS["bad_age"] in text) == bool(excluded)
    listed = any(f"Most frequent {what}" in text for what in ("strings", "lines that no rule met"))
    assert listed == any(entry.decided != "column not read" for entry in entries)


SHARD_ROW = st.fixed_dictionaries(
    {
        **PERSON,
        "cohort": COHORT,
        "n_samples": st.sampled_from((1, 1000)),
        "flags": st.lists(st.sampled_from(("spikes", "einthoven_mismatch")), max_size=2, unique=True),
        **dict.fromkeys(QUALITY, NUMBER),
    }
)


@given(
    rows=st.lists(SHARD_ROW, max_size=1),
    excluded=st.dictionaries(
        COHORT, st.dictionaries(st.sampled_from(tuple(EXCLUSIONS)), st.integers(1, 3), max_size=1)
    ),
    rejected=st.dictionaries(COHORT, st.dictionaries(st.just("flat_lead"), st.integers(1, 3), max_size=1)),
    mask=st.sampled_from((0, 1)),
    height=st.sampled_from((0.0, 1.5)),
)
@settings(max_examples=8, deadline=None, derandomize=True)
def test_the_page_of_shards(
    rows: list[dict[str, Any]],
    excluded: dict[str, dict[str, int]],
    rejected: dict[str, dict[str, int]],
    mask: int,
    height: float,
    tmp_path_factory: Any,
) -> None:
    out: Path = tmp_path_factory.mktemp("shards")
    names = [field for field in schema() if field.name not in ("signal", "lead_mask", "peak_to_peak_mv")]
    table = pa.Table.from_pylist(rows, schema=pa.schema(names))
    masks = np.full((len(rows), len(LEADS)), mask, np.uint8)
    given_rows = Rows(table, masks, np.full(masks.shape, height, np.float32), ())
    shards = ShardSet(
        out, {"labels": list(PEACE12.labels), "recipe": Recipe(CONFIG.signal, CONFIG.leads, CONFIG.quality).as_json()}
    )
    cohorts = {**{name: {} for name in rejected}, **{row["cohort"]: {} for row in rows}, **excluded}
    cohorts = cohorts or {"zzu": {}}
    numbers = cohort_numbers(given_rows, cohorts, rejected, shards)
    for cohort, values in numbers.items():
        values["title"] = cohort
        values["headers"] = header_numbers(table.take(pa.array(given_rows.of(cohort))), {})
    label_set = {"name": PEACE12.name, "digest": PEACE12.digest, "labels": PEACE12.full_names}
    page = {"recipe": shards.recipe, "synthetic": [], "label_set": label_set, "cohorts": numbers}
    text = write_page(out / "report.html", {**page, "shards": {"files": 0, "digest": ""}}, []).read_text("utf-8")
    assert ("data:image/png" in text) == bool(rows)
    assert sum(values["records"]["kept"] for values in numbers.values()) == len(rows)
    assert pd.Series([values["records"]["indexed"] for values in numbers.values()]).sum() == len(rows) + sum(
        sum(reasons.values()) for counts in (excluded, rejected) for reasons in counts.values()
    )
