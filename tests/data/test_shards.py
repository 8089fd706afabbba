"""The contract of the shards: what is in them, how they are read, and how they refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from cohort_manifests import manifest_row, write_cohort
from wfdb_files import heartbeats, write_record

from peace.config import LeadsConfig, QualityConfig, SignalConfig
from peace.core.errors import DataError
from peace.core.files import write_json
from peace.data.shards import FORMAT, Recipe, ShardSet, amplitude_factor, build_part
from peace.data.shards.partition import plan_parts, row_keys, rows_per_part
from peace.data.shards.statistics import LeadSums, fit_statistics, peak_to_peak_mv
from peace.data.signal import FLAGS, LEADS, QUALITY, REASONS, condition_file

RECIPE = Recipe(SignalConfig(rate=100), LeadsConfig(require=9), QualityConfig())
LABELS = ["NORM", "LVH", "STTC"]


def build(out: Path, rows: list[dict[str, object]]) -> ShardSet:
    """Shards of these rows without Ray: one part a split."""
    shards = []
    for split in ("train", "val", "test"):
        mine = [row for row in rows if row["split"] == split]
        done = build_part(f"part-{split}", split, mine, list(range(len(mine))), RECIPE, out)
        if done["kept"]:
            shards.append({"path": f"{split}/part-{split}.parquet", "rows": done["kept"], "sha256": done["sha256"]})
    write_json(
        out / "shards" / "_manifest.json",
        {
            "format": FORMAT, "labels": LABELS, "label_set": "three", "label_set_digest": "0" * 16,
            "recipe": RECIPE.as_json(), "shards": shards, "statistics": {}, "patients_checked": True,
            "splits": {name: sum(row["split"] == name for row in rows) for name in ("train", "val", "test")},
        },
    )  # fmt: skip
    return ShardSet.open(out)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    return write_cohort(tmp_path_factory.mktemp("cohort"), 20)


@pytest.fixture(scope="module")
def shards(cohort: list[dict[str, object]], tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    return build(tmp_path_factory.mktemp("out"), cohort)


def test_shards_hold_what_inference_computes(shards: ShardSet, cohort: list[dict[str, object]]) -> None:
    """One path from bytes to tensor: shard and single record are equal to the last bit."""
    records = shards.load("train")
    by_id = {row["record_id"]: row for row in cohort}
    assert len(records) == 16
    for index, name in enumerate(records.record_id):
        row = by_id[name]
        alone = condition_file(Path(str(row["path"])), "ptbxl", RECIPE.signal, RECIPE.leads, RECIPE.quality)
        np.testing.assert_array_equal(records.signal[index], alone.signal)
        np.testing.assert_array_equal(records.lead_mask[index], alone.lead_mask)
        assert records.target[index].tolist() == [label in row["labels"] for label in LABELS]
        assert records.patient_id[index] == row["patient_id"]
        age = row["age_days"]
        assert np.isnan(records.age_days[index]) if age is None else records.age_days[index] == age


def test_plain_pyarrow_reads_a_shard(shards: ShardSet) -> None:
    table = pq.read_table(shards.files("val")[0], columns=["record_id", "signal", "lead_mask", *QUALITY])
    steps = np.frombuffer(b"".join(table["signal"].to_pylist()), "<i2").reshape(len(table), 12, -1)
    signal = np.cumsum(steps, axis=2, dtype=np.int16)
    np.testing.assert_array_equal(signal, shards.load("val").signal)
    assert (signal.dtype, signal.shape) == (np.int16, (2, 12, 1000))
    assert signal.any(axis=2).all()
    assert table["lead_mask"].combine_chunks().to_numpy_ndarray().tolist() == [[1] * 12] * 2
    assert table["peak_mv"].to_pylist()[0] > 0.3


def test_plain_pyarrow_finds_flagged_records(tmp_path: Path) -> None:
    rows = write_cohort(tmp_path / "raw", 3)
    beats = heartbeats(2500, 500)
    beats[700, 8] += 20
    write_record(Path(str(rows[1]["path"])), millivolts=beats)
    build_part("part-x", "train", [{**row, "split": "train"} for row in rows], [0, 1, 2], RECIPE, tmp_path)
    table = pq.read_table(tmp_path / "shards" / "train" / "part-x.parquet", columns=["record_id", "flags"])
    assert table["flags"].to_pylist() == [[], ["spikes"], []]
    unflagged = table.filter(pc.equal(pc.list_value_length(table["flags"]), 0))
    assert unflagged["record_id"].to_pylist() == [
        "r0000",
        "r0002",
    ]


def test_a_single_column_costs_a_fraction_of_the_file(shards: ShardSet) -> None:
    file = pq.ParquetFile(shards.files("train")[0])
    columns = [file.metadata.row_group(0).column(index) for index in range(file.metadata.num_columns)]
    size = {column.path_in_schema.split(".")[0]: column.total_compressed_size for column in columns}
    assert size["signal"] > 0.8 * sum(size.values())
    assert size["signal"] < 0.6 * 16 * 12 * 1000 * 2  # well under plain int16


def test_named_records_come_in_the_order_asked_for(shards: ShardSet) -> None:
    everything = shards.load("train")
    wanted = [everything.record_id[index] for index in (7, 2, 11)]
    some = shards.load("train", wanted)
    assert some.record_id.tolist() == wanted
    np.testing.assert_array_equal(some.signal, everything.signal[[7, 2, 11]])
    with pytest.raises(DataError, match="r9999"):
        shards.load("train", ["r9999"])


def test_opening_by_either_folder_and_refusals(shards: ShardSet, tmp_path: Path) -> None:
    assert ShardSet.open(shards.path).digest == ShardSet.open(shards.path.parent).digest
    with pytest.raises(DataError, match="not there"):
        ShardSet.open(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"no finished shards"):
        ShardSet.open(tmp_path)
    with pytest.raises(DataError, match="no split 'tain'; did you mean 'train'"):
        shards.files("tain")
    (tmp_path / "_manifest.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(DataError, match="holds shards of format 99, and this release reads format 3"):
        ShardSet.open(tmp_path)


def test_missing_or_broken_shard_is_named(cohort: list[dict[str, object]], tmp_path: Path) -> None:
    opened = build(tmp_path, cohort)
    file = opened.files("test")[0]
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(DataError, match=file.name):
        opened.load("test")
    file.unlink()
    with pytest.raises(DataError, match="1 shards are gone"):
        opened.load("test")


def test_label_outside_the_label_set_is_refused(cohort: list[dict[str, object]], tmp_path: Path) -> None:
    opened = build(tmp_path, [{**row, "labels": ["WPW"]} for row in cohort])
    with pytest.raises(DataError, match="WPW"):
        opened.load("train")


def test_empty_split_is_empty_and_no_error(cohort: list[dict[str, object]], tmp_path: Path) -> None:
    opened = build(tmp_path, [row for row in cohort if row["split"] == "train"])
    empty = opened.load("val")
    assert empty.signal.shape == (0, 12, 1000)
    assert empty.target.shape == (0, 3)


def test_bad_records_are_rejects_and_the_rest_is_kept(tmp_path: Path) -> None:
    rows = write_cohort(tmp_path / "raw", 10)
    Path(str(rows[0]["path"]) + ".dat").unlink()
    Path(str(rows[1]["path"]) + ".hea").write_text("nonsense")
    rows[2]["path"] = "\0"
    done = build_part("part-x", "train", rows, list(range(10)), RECIPE, tmp_path)
    assert done["kept"] == 7
    assert [(reject["record_id"], reject["reason"]) for reject in done["rejects"]] == [
        ("r0000", "missing_signal"),
        ("r0001", "bad_header"),
        ("r0002", "missing_header"),
    ]


def test_a_fault_of_ours_is_a_reject_too(tmp_path: Path) -> None:
    rows = [*write_cohort(tmp_path / "raw", 2), manifest_row(tmp_path / "x", 5, path=3.5)]
    done = build_part("part-x", "train", rows, [0, 1, 2], RECIPE, tmp_path)
    assert done["kept"] == 2
    assert done["rejects"][0]["reason"] == "unexpected_error"
    assert done["rejects"][0]["detail"].startswith("TypeError")


def test_statistics_are_exact_and_leave_padding_and_absent_leads_out(tmp_path: Path) -> None:
    nine = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V3", "V5")
    rows = write_cohort(tmp_path / "raw", 3)
    rows.append(manifest_row(write_record(tmp_path / "raw" / "nine", 3, 250, nine), 4))
    done = build_part("part-x", "train", [{**row, "split": "train"} for row in rows], [0, 1, 2, 3], RECIPE, tmp_path)
    records = [
        condition_file(Path(str(row["path"])), "ptbxl", RECIPE.signal, RECIPE.leads, RECIPE.quality) for row in rows
    ]
    sums = LeadSums()
    sums.merge(done["sums"]["ptbxl"])
    fitted = fit_statistics({"ptbxl": sums}, [tmp_path / "shards" / "train" / "part-x.parquet"])["ptbxl"]
    assert fitted["records"] == 4
    for lead in range(12):
        there = [record for record in records if record.lead_mask[lead]]
        assert len(there) == (4 if LEADS[lead] in nine else 3)
        values = np.concatenate([record.signal[lead, : record.n_samples] for record in there]) / 1000
        assert fitted["mean_mv"][lead] == pytest.approx(values.mean(), abs=1e-12)
        assert fitted["std_mv"][lead] == pytest.approx(values.std(), rel=1e-12)
        heights = [peak_to_peak_mv(record)[lead] for record in there]
        assert fitted["peak_to_peak_mv"][lead] == pytest.approx(np.median(heights))


def heights(values: list[float], records: int = 10) -> dict[str, Any]:
    return {"peak_to_peak_mv": values, "records": records}


def test_amplitude_factor_is_robust_and_bounded() -> None:
    mimic = {"mimic": heights([1.0, 2.0, 1.5] + [2.0] * 9)}
    loud = [2.0, 4.0, 3.0] + [4.0] * 9
    assert amplitude_factor(mimic, {"zzu": heights(loud)}) == pytest.approx(0.5)
    assert amplitude_factor(mimic, mimic) == 1
    loud[4] = 53.2  # a lead at the rail moves nothing
    loud[5] = 0.0  # nor does one that no record has
    assert amplitude_factor(mimic, {"zzu": heights(loud)}) == pytest.approx(0.5)
    assert amplitude_factor(mimic, {"zzu": heights([0.0] * 12)}) == 1
    assert amplitude_factor(mimic, {"zzu": heights([1e-3] * 12)}) == 4
    assert amplitude_factor(mimic, {}) == 1
    # two cohorts in one set of shards count by their records
    both = {"a": heights([1.0] * 12, 30), "b": heights([5.0] * 12, 10)}
    assert amplitude_factor({"c": heights([2.0] * 12)}, both) == pytest.approx(1.0)


def test_plan_covers_each_record_once_and_is_the_same_again() -> None:
    rows = [manifest_row(Path(f"/x/r{n}"), n, "train" if n % 5 else "test") for n in range(103)]
    table = pd.DataFrame(rows)
    keys = row_keys(table)
    parts = plan_parts(table, keys, 10, "recipe", [])
    assert sorted(np.concatenate([part.rows for part in parts]).tolist()) == list(range(103))
    assert all((table["split"].iloc[part.rows] == part.split).all() for part in parts)
    shuffled = table.sample(frac=1, random_state=1).reset_index(drop=True)
    again = plan_parts(shuffled, row_keys(shuffled), 10, "recipe", [])
    assert {part.name for part in again} == {part.name for part in parts}


def test_finished_shards_stay_while_their_records_do() -> None:
    table = pd.DataFrame([manifest_row(Path(f"/x/r{n}"), n) for n in range(50)])
    keys = row_keys(table)
    parts = plan_parts(table, keys, 10, "recipe", [])
    finished = [
        {"name": part.name, "split": part.split, "recipe": "recipe", "keys": [int(key) for key in keys[part.rows]]}
        for part in parts
    ]
    more = pd.DataFrame([manifest_row(Path(f"/x/r{n}"), n) for n in range(55)])
    grown = plan_parts(more, row_keys(more), 10, "recipe", finished)
    assert [part.name for part in grown[:5]] == [part.name for part in parts]
    assert set(grown[5].rows.tolist()) == set(range(50, 55))
    table.at[3, "labels"] = ["LVH"]  # one changed record renews its shard alone
    changed = plan_parts(table, row_keys(table), 10, "recipe", finished)
    assert len({part.name for part in changed} & {part.name for part in parts}) == 4
    assert sorted(np.concatenate([part.rows for part in changed]).tolist()) == list(range(50))
    other = plan_parts(table, keys, 10, "another recipe", finished)
    assert not {part.name for part in other} & {part.name for part in parts}


@pytest.mark.parametrize(("records", "expected"), [(483_051, 1066), (500, 125), (3, 1)])
def test_size_of_a_shard(records: int, expected: int) -> None:
    assert rows_per_part(records, 5000, 128, 4) == expected


def test_every_reason_flag_and_column_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "preprocessing.md").read_text(encoding="utf-8")
    for reason, meaning in REASONS.items():
        assert f"| `{reason}` | {meaning} |" in page
    for flag, meaning in FLAGS.items():
        assert f"| `{flag}` | {meaning} |" in page
    for column, meaning in QUALITY.items():
        assert f"| `{column}` | float32: {meaning} |" in page


PEAK = """
import json, sys
from pathlib import Path
from peace.config import LeadsConfig, QualityConfig, SignalConfig
from peace.data.shards import Recipe, build_part
rows = json.loads(Path(sys.argv[1]).read_text()) * int(sys.argv[2])
recipe = Recipe(SignalConfig(), LeadsConfig(), QualityConfig())
done = build_part("part-x", "train", rows, list(range(len(rows))), recipe, Path(sys.argv[3]))
assert done["kept"] == len(rows)
# not ru_maxrss: a child starts with its parent's peak there
status = Path("/proc/self/status").read_text().split()
print(int(status[status.index("VmHWM:") + 1]) / 1024)
"""


@pytest.mark.heavy
def test_memory_does_not_grow_with_the_records_of_a_shard(cohort: list[dict[str, object]], tmp_path: Path) -> None:
    """600 and 1,800 records at 500 Hz, 72 and 216 MB: a worker holds 256 of them, whatever their number."""
    (tmp_path / "rows.json").write_text(json.dumps(cohort))
    peaks = []
    for times in (30, 90):
        command = [sys.executable, "-c", PEAK, str(tmp_path / "rows.json"), str(times), str(tmp_path / str(times))]
        peaks.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    assert peaks[1] < 1.15 * peaks[0]
    assert peaks[1] < 750
