"""`peace preprocess` from a manifest to shards: every record accounted for, whatever happens on the way."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cohort_manifests import manifest_row, write_cohort, write_manifest
from preprocess_runs import SETTINGS, content

from jobs import preprocess
from jobs.preprocess import share_out
from jobs.runtime.harness import main
from jobs.runtime.ray_session import ray_session
from peace.config import LeadsConfig, QualityConfig, RayConfig, SignalConfig
from peace.data.shards import ShardSet
from peace.data.shards.partition import Part
from peace.data.signal import condition_file


@pytest.fixture(scope="module", autouse=True)
def one_ray() -> Iterator[None]:
    with ray_session(RayConfig()):
        yield


def run(manifest: Path, out: Path, *settings: str) -> int:
    return main(preprocess.VERB, ["--manifest", str(manifest), "--out", str(out), *SETTINGS, *settings])


def result_of(out: Path) -> dict:
    return json.loads((out / "result.json").read_text())


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 records, seven of them bad in seven ways, and two that index left out."""
    folder = tmp_path_factory.mktemp("raw")
    rows = write_cohort(folder, 40)
    (folder / "r0001.dat").unlink()
    (folder / "r0002.dat").write_bytes(b"12345")
    (folder / "r0003.hea").unlink()
    (folder / "r0004.hea").write_text((folder / "r0004.hea").read_text().replace(" V6", " V9"))
    (folder / "r0005.hea").write_text((folder / "r0005.hea").read_text().replace(" V6", " V5"))
    (folder / "r0006.dat").write_bytes(bytes(len((folder / "r0006.dat").read_bytes())))
    stored = np.fromfile(folder / "r0018.dat", "<i2").reshape(-1, 12)
    stored[100, 7] = -32768
    stored.tofile(folder / "r0018.dat")
    rows += [manifest_row(folder / f"out{n}", 90 + n, None, excluded="no_label", labels=[]) for n in range(2)]
    write_manifest(folder / "manifest.parquet", rows)
    return folder


@pytest.fixture(scope="module")
def done(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("done") / "run"
    assert run(raw / "manifest.parquet", out) == 0
    return out


def test_kept_and_rejected_are_all_that_index_kept(done: Path) -> None:
    result = result_of(done)
    assert result["rejected"] == {
        "missing_signal": 1, "truncated_signal": 1, "missing_header": 1, "missing_lead": 1, "duplicate_lead": 1,
        "flat_lead": 1, "nan_samples": 1,
    }  # fmt: skip
    assert result["kept"] == 33
    assert result["kept"] == sum(result["splits"].values()) == len(content(done))
    assert result["labels"]["NORM"] + result["labels"]["LVH"] == 33
    assert result["records_per_second"] > 0
    rejects = pd.read_parquet(done / "rejects.parquet")
    assert dict(zip(rejects["record_id"], rejects["reason"], strict=True))["r0018"] == "nan_samples"
    assert rejects["split"].tolist() == ["train"] * 6 + ["val"]
    assert rejects["detail"].str.len().min() >= 2


def test_shards_equal_single_record_inference(done: Path, raw: Path) -> None:
    records = ShardSet.open(done).load("train")
    assert len(records) == 26
    settings = ShardSet.open(done).recipe
    for index, name in enumerate(records.record_id):
        alone = condition_file(
            raw / str(name), "ptbxl", SignalConfig(**settings["signal"]), LeadsConfig(), QualityConfig()
        )
        np.testing.assert_array_equal(records.signal[index], alone.signal)


def test_ray_data_reads_the_shards(done: Path) -> None:
    import ray.data

    files = [str(file) for file in ShardSet.open(done).files("train")]
    batches = list(ray.data.read_parquet(files).iter_batches(batch_size=None))
    stored = b"".join(value for batch in batches for value in batch["signal"])
    signal = np.cumsum(np.frombuffer(stored, "<i2").reshape(-1, 12, 1000), axis=2, dtype=np.int16)
    assert (signal.dtype, signal.shape) == (np.int16, (26, 12, 1000))
    ids = [name for batch in batches for name in batch["record_id"]]
    expected = ShardSet.open(done).load("train")
    order = [expected.record_id.tolist().index(name) for name in ids]
    np.testing.assert_array_equal(signal, expected.signal[order])


def test_statistics_come_from_the_training_split_alone(done: Path, raw: Path, tmp_path: Path) -> None:
    fitted = ShardSet.open(done).statistics["ptbxl"]
    assert fitted["records"] == 26
    train = ShardSet.open(done).load("train")
    heights = np.ptp(train.signal[:, :, :300].astype(float), axis=2) / 1000
    np.testing.assert_allclose(fitted["peak_to_peak_mv"], np.median(heights, axis=0), atol=1e-6)
    # louder test records change nothing
    table = pd.read_parquet(raw / "manifest.parquet")
    table = table[table["split"] != "test"]
    table.to_parquet(tmp_path / "manifest.parquet")
    assert run(tmp_path / "manifest.parquet", tmp_path / "out") == 0
    assert ShardSet.open(tmp_path / "out").statistics["ptbxl"] == fitted


def test_second_run_has_nothing_to_do_and_damage_is_mended(done: Path, raw: Path) -> None:
    before, digest = content(done), ShardSet.open(done).digest
    files = {file: file.stat().st_mtime_ns for file in (done / "shards").glob("*/*.parquet")}
    assert run(raw / "manifest.parquet", done) == 0
    assert result_of(done)["reused"] == 40
    assert {file: file.stat().st_mtime_ns for file in files} == files
    hurt, lost = sorted(files)[:2]
    damaged = bytearray(hurt.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    hurt.write_bytes(damaged)
    (done / "parts" / f"{lost.stem}.json").unlink()
    assert run(raw / "manifest.parquet", done) == 0
    assert 0 < result_of(done)["reused"] < 40
    untouched = set(files) - {hurt, lost}
    assert {file: file.stat().st_mtime_ns for file in untouched} == {file: files[file] for file in untouched}
    assert content(done) == before
    assert ShardSet.open(done).digest == digest


def test_added_records_are_taken_in_and_only_they_are_read(tmp_path: Path) -> None:
    rows = write_cohort(tmp_path / "raw", 20)
    manifest = write_manifest(tmp_path / "manifest.parquet", rows)
    assert run(manifest, tmp_path / "out") == 0
    first = {file.name for file in (tmp_path / "out" / "shards").glob("*/*.parquet")}
    write_manifest(manifest, rows + write_cohort(tmp_path / "raw", 5, first=20))
    assert run(manifest, tmp_path / "out") == 0
    assert result_of(tmp_path / "out")["reused"] == 20
    assert first < {file.name for file in (tmp_path / "out" / "shards").glob("*/*.parquet")}
    assert run(manifest, tmp_path / "fresh") == 0
    assert content(tmp_path / "out") == content(tmp_path / "fresh")
    write_manifest(manifest, rows[:15])  # and records that left the tree leave the shards
    assert run(manifest, tmp_path / "out") == 0
    assert {row[0] for row in content(tmp_path / "out")} == {row["record_id"] for row in rows[:15]}


def test_a_recording_changed_in_between_is_not_noticed_until_fresh(tmp_path: Path) -> None:
    """As docs/preprocessing.md says: finished shards go by the manifest, which knows paths and not bytes."""
    manifest = write_manifest(tmp_path / "manifest.parquet", write_cohort(tmp_path / "raw", 12))
    assert run(manifest, tmp_path / "out") == 0
    before = content(tmp_path / "out")
    (np.fromfile(tmp_path / "raw" / "r0003.dat", "<i2") * 2).tofile(tmp_path / "raw" / "r0003.dat")
    assert run(manifest, tmp_path / "out") == 0
    assert result_of(tmp_path / "out")["reused"] == 12
    assert content(tmp_path / "out") == before
    assert run(manifest, tmp_path / "out", "--fresh") == 0
    changed = [row[0] for row, other in zip(content(tmp_path / "out"), before, strict=True) if row != other]
    assert changed == ["r0003"]


def test_another_recipe_starts_over(raw: Path, tmp_path: Path) -> None:
    assert run(raw / "manifest.parquet", tmp_path / "out") == 0
    assert run(raw / "manifest.parquet", tmp_path / "out", "signal.seconds=2") == 0
    assert result_of(tmp_path / "out")["reused"] == 0
    assert ShardSet.open(tmp_path / "out").load("val").signal.shape[2] == 200


def test_nothing_kept_is_no_success(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither where all are rejected, nor where index left all out, nor over an earlier run that kept something."""
    table, manifest, out = pd.read_parquet(raw / "manifest.parquet"), tmp_path / "manifest.parquet", tmp_path / "out"
    table[:3].to_parquet(manifest)
    assert run(manifest, out) == 0
    assert ShardSet.open(out).load("train").signal.shape[0] == result_of(out)["kept"]
    table[table["record_id"].isin(["r0001", "r0002"])].to_parquet(manifest)
    said = refusal(capsys, manifest, out)
    assert re.search(r"none of the 2 ptbxl records is kept\. Main reason: \w+ \(.+\): 1, such as r000[12]: ", said)
    assert not (out / "result.json").exists()
    assert not (out / "shards" / "_manifest.json").exists()
    table[table["excluded"].notna()].to_parquet(manifest)
    assert "Main reason: no_label (none of the labels): 2, such as out0" in refusal(
        capsys, manifest, tmp_path / "empty"
    )
    assert list((tmp_path / "empty").glob("shards/*")) == []


def test_more_left_out_than_asked_for_is_an_error(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refusal(capsys, raw / "manifest.parquet", tmp_path, "--max-excluded", "0.1")
    assert "records (21%) are left out, where the paper leaves out 25%" in said
    assert not (tmp_path / "result.json").exists()
    assert run(raw / "manifest.parquet", tmp_path, "--max-excluded", "0.3") == 0
    assert result_of(tmp_path)["warnings"] == []
    assert run(raw / "manifest.parquet", tmp_path, "index.max_excluded.ptbxl=0.1") == 0
    assert "WARNING: " in capsys.readouterr().err
    assert len(result_of(tmp_path)["warnings"]) == 1


def test_two_manifests_at_once(tmp_path: Path) -> None:
    one = write_manifest(tmp_path / "one.parquet", write_cohort(tmp_path / "a", 10))
    rows = [{**row, "cohort": "zzu"} for row in write_cohort(tmp_path / "b", 10, first=10)]
    two = write_manifest(tmp_path / "two.parquet", rows)
    assert run(one, tmp_path / "out", "--manifest", str(two)) == 0
    assert sorted(ShardSet.open(tmp_path / "out").statistics) == ["ptbxl", "zzu"]
    assert result_of(tmp_path / "out")["kept"] == 20


def refusal(capsys: pytest.CaptureFixture[str], manifest: Path, out: Path, *settings: str) -> str:
    assert run(manifest, out, *settings) == 2
    return capsys.readouterr().err


def test_mistakes_end_in_one_line(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert "does not exist" in refusal(capsys, tmp_path / "no.parquet", out)
    (tmp_path / "text.parquet").write_text("hello")
    assert "not a Parquet table" in refusal(capsys, tmp_path / "text.parquet", out)
    table = pd.read_parquet(raw / "manifest.parquet")
    table.drop(columns="path").to_parquet(tmp_path / "m.parquet")
    assert "no column path" in refusal(capsys, tmp_path / "m.parquet", out)
    pd.concat([table, table[:1]]).to_parquet(tmp_path / "m.parquet")
    assert "r0000" in refusal(capsys, tmp_path / "m.parquet", out)
    assert "signal.rte" in refusal(capsys, raw / "manifest.parquet", out, "signal.rte=3")
    foreign = table.copy()
    foreign.at[0, "labels"] = ["WPW"]
    foreign.to_parquet(tmp_path / "m.parquet")
    assert "WPW" in refusal(capsys, tmp_path / "m.parquet", out)


@pytest.mark.parametrize(
    ("n_parts", "n_cores", "largest"), [(1, 2, 1), (7, 2, 1), (20, 2, 2), (453, 2, 8), (453, 512, 1)]
)
def test_every_shard_is_some_tasks_and_cores_end_together(n_parts: int, n_cores: int, largest: int) -> None:
    parts = [Part(f"part-{number}", "train", np.arange(3)) for number in range(n_parts)]
    shares = share_out(parts, n_cores)
    assert [part.name for share in shares for part in share] == [part.name for part in parts]
    assert max(map(len, shares)) == largest


def test_a_patient_in_two_splits_stops_the_job(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.read_parquet(raw / "manifest.parquet")
    table.loc[9, "patient_id"] = table.loc[0, "patient_id"]
    table.to_parquet(tmp_path / "m.parquet")
    assert str(table.loc[0, "patient_id"]) in refusal(capsys, tmp_path / "m.parquet", tmp_path / "out")
    assert not (tmp_path / "out" / "shards").exists()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte; skips where none can be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small disk needs more rights")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_full_disk_ends_in_one_line_and_goes_on(
    tiny_disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = write_manifest(tmp_path / "manifest.parquet", write_cohort(tmp_path / "raw", 200, seconds=10))
    told = refusal(capsys, manifest, tiny_disk / "out", "preprocess.shard_mb=0.5")
    assert "no space left" in told
    assert "Traceback" not in told
    subprocess.run(["mount", "-o", "remount,size=20m", str(tiny_disk)], check=True)
    assert run(manifest, tiny_disk / "out", "preprocess.shard_mb=0.5") == 0
    assert result_of(tiny_disk / "out")["kept"] == 200
    assert result_of(tiny_disk / "out")["reused"] > 0
