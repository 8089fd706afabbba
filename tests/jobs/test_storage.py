"""An object store on either end, over real HTTP: the same output as on a disk, whatever the store's moods."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from cohort_manifests import manifest_row, write_cohort, write_manifest
from conftest import peace
from s3_server import S3Server, s3_server, upload
from wfdb_files import write_record

from jobs import evaluate, index, predict, preprocess, pretrain
from jobs.runtime.harness import Verb, main
from jobs.runtime.ray_session import ray_session
from peace.config import Config, RayConfig
from peace.core import storage
from peace.core.files import file_digest
from peace.core.storage import to_path
from peace.data.shards import Recipe, ShardSet, build_part
from peace.training.streaming import StreamSource

SETTINGS = ["--preset", "debug", "tracking.enabled=false"]
SMALL = "preprocess.shard_mb=0.1"  # four records of ten seconds a shard
RECIPE = Recipe(Config().signal, Config().leads, Config().quality)


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    """A store with the buckets raw and runs, and a Ray of its own whose workers know of it."""
    with s3_server() as found, ray_session(RayConfig()):
        for bucket in ("raw", "runs"):
            store: Any = to_path(f"s3://{bucket}/x")
            store.fs.mkdir(bucket)
        yield found


def run(verb: Verb, *words: str | Path) -> int:
    return main(verb, [*map(str, words), *SETTINGS])


def result_at(out: str) -> dict[str, Any]:
    return dict(json.loads((to_path(out) / "result.json").read_text()))


def in_bucket(rows: list[dict[str, object]], bucket: str) -> list[dict[str, object]]:
    return [{**row, "path": f"{bucket}/{Path(str(row['path'])).name}"} for row in rows]


def content(shards: str | Path) -> dict[str, tuple[bytes, ...]]:
    """All that a training reads, by record."""
    opened = ShardSet.open(shards)
    found = {}
    for split in opened.splits:
        records = opened.load(split)
        for row, name in enumerate(records.record_id.tolist()):
            values = (records.signal[row], records.lead_mask[row], records.target[row], records.age_days[row])
            found[name] = (split.encode(), *(np.asarray(value).tobytes() for value in values))
    return found


def test_a_tree_in_a_bucket_ends_where_a_local_one_does(server: S3Server, small_cohorts: Path) -> None:
    upload(small_cohorts / "data" / "zzu", "s3://raw/zzu")
    assert run(index.VERB, "--cohort", "zzu", "--root", "s3://raw/zzu/", "--out", "s3://runs/index") == 0
    with (to_path("s3://runs/index") / "manifest.parquet").open("rb") as stream:
        remote = pq.read_table(stream).to_pandas()
    local = pd.read_parquet(small_cohorts / "index-zzu" / "manifest.parquet")
    root = f"{small_cohorts}/data/zzu/"
    local["path"] = local["path"].str.replace(root, "s3://raw/zzu/", regex=False)
    pd.testing.assert_frame_equal(remote, local)
    out = "s3://runs/shards"
    assert run(preprocess.VERB, "--manifest", "s3://runs/index/manifest.parquet", "--out", out) == 0
    assert content(out) == content(small_cohorts / "shards-zzu")
    names = {path.name for path in to_path(out).iterdir()}
    assert {"run.json", "config.yaml", "result.json", "log.txt", "rejects.parquet", "parts", "shards"} <= names
    assert ".lock" not in names
    assert "finished" in (to_path(out) / "log.txt").read_text()
    labels = [ShardSet.open(where).labelled("train") for where in (out, small_cohorts / "shards-zzu")]
    assert sorted(labels[0][0]) == sorted(labels[1][0])
    some = labels[0][0][:3].tolist()
    assert ShardSet.open(out).load("train", some).record_id.tolist() == some
    streamed = StreamSource(ShardSet.open(out), batch_size=4, seed=1)
    names = [name for batch in streamed.epoch(0) for name in batch.record_id.tolist()]
    assert sorted(names) == sorted(labels[0][0])


def odd_records(folder: Path) -> list[dict[str, object]]:
    """Records whole and broken in the ways in which bringing them could differ from reading them in place."""
    rows = write_cohort(folder, 20)
    (folder / "r0000.dat").unlink()
    (folder / "r0001.hea").unlink()
    (folder / "r0002.dat").write_bytes(b"")
    (folder / "r0003.hea").write_bytes(b"")
    (folder / "r0004.dat").write_bytes(b"12345")
    for name, before, after in (
        ("r0005", "r0005.dat", "../r0006.dat"),
        ("r0006", " 750", ""),  # the length of the file counts
        ("r0007", " 750", " 700"),  # and here it is longer than announced
        ("r0008", " 750", " 999999"),
        ("r0011", ".dat 16 ", ".dat 16+999999999999 "),
        ("r0012", "r0012.dat", "r0012.hea"),
    ):
        header = folder / f"{name}.hea"
        header.write_text(header.read_text().replace(before, after, 1 if before == " 750" else 20))
    with (folder / "r0009.hea").open("a") as stream:
        stream.write("#" * 1_100_000)
    header = (folder / "r0010.hea").read_text().replace(" 750", "", 1)
    (folder / "r0010.hea").write_text(header)
    with (folder / "r0010.dat").open("ab") as stream:
        stream.truncate(500_000_000)  # a hole: long, and the header does not say how long
    for number in (1, 2):
        write_record(folder / f"part{number}", seconds=3, rate=250, seed=number)
    (folder / "whole.hea").write_text("whole/2 12 250 1500\npart1 750\npart2 750\n")
    (folder / "half.hea").write_text("half/2 12 250 1500\npart1 750\nnowhere 750\n")
    rows += [manifest_row(folder / name, 50 + index) for index, name in enumerate(("whole", "half"))]
    return [{**row, "split": "train"} for row in rows]


def test_every_record_is_judged_as_in_its_own_place(server: S3Server, tmp_path: Path) -> None:
    rows = odd_records(tmp_path / "raw")
    sparse = tmp_path / "raw" / "r0010.dat"
    size = sparse.stat().st_size
    os.truncate(sparse, 90_000_000)  # what a store must hold for a long record
    upload(tmp_path / "raw", "s3://raw/odd")
    local = build_part("part-x", "train", rows, range(len(rows)), RECIPE, tmp_path / "out")
    before = server.requests
    remote = build_part("part-x", "train", in_bucket(rows, "s3://raw/odd"), range(len(rows)), RECIPE, tmp_path / "far")
    assert size > 90_000_000
    assert server.requests - before < 4 * len(rows)
    assert [reject["reason"] for reject in remote["rejects"]] == [reject["reason"] for reject in local["rejects"]]
    for ours, theirs in zip(local["rejects"], remote["rejects"], strict=True):
        assert ours["detail"].replace(str(tmp_path / "raw"), "s3://raw/odd") == theirs["detail"]
    assert (remote["sha256"], remote["kept"]) == (local["sha256"], local["kept"])
    assert "whole" in pq.read_table(tmp_path / "far" / "shards" / "train" / "part-x.parquet")["record_id"].to_pylist()


@pytest.fixture
def moody(server: S3Server) -> Iterator[S3Server]:
    """The store, failing every fifth request: slow down, unheard, done but unanswered, answers cut in the middle."""
    server.fail(0.2)
    yield server
    server.fail(0.0)


def test_a_part_from_and_to_a_moody_store_is_the_same(server: S3Server, tmp_path: Path, request: Any) -> None:
    rows = [{**row, "split": "train"} for row in write_cohort(tmp_path / "raw", 20)]
    (tmp_path / "raw" / "r0003.dat").unlink()
    upload(tmp_path / "raw", "s3://raw/part")
    far = in_bucket(rows, "s3://raw/part")
    calm = build_part("part-x", "train", far, range(20), RECIPE, tmp_path / "calm")
    moody: S3Server = request.getfixturevalue("moody")
    out = to_path("s3://runs/part")
    assert build_part("part-x", "train", far, range(20), RECIPE, out) == calm
    assert file_digest(out / "shards" / "train" / "part-x.parquet") == calm["sha256"]
    assert moody.failed > 2


@pytest.mark.heavy
def test_a_store_that_fails_now_and_then_changes_nothing(server: S3Server, tmp_path: Path, request: Any) -> None:
    rows = write_cohort(tmp_path / "raw", 40)
    (tmp_path / "raw" / "r0003.dat").unlink()
    upload(tmp_path / "raw", "s3://raw/moody")
    manifest = write_manifest(tmp_path / "manifest.parquet", in_bucket(rows, "s3://raw/moody"))
    assert run(preprocess.VERB, "--manifest", manifest, "--out", tmp_path / "calm") == 0
    moody: S3Server = request.getfixturevalue("moody")
    assert run(preprocess.VERB, "--manifest", manifest, "--out", "s3://runs/moody") == 0
    assert moody.failed > 20
    moody.fail(0.0)
    assert ShardSet.open("s3://runs/moody").digest == ShardSet.open(tmp_path / "calm").digest
    assert result_at("s3://runs/moody")["rejected"] == {"missing_signal": 1}


def test_rerun_mends_and_another_recipe_sets_aside(server: S3Server, tmp_path: Path) -> None:
    out = "s3://runs/grown"
    rows = write_cohort(tmp_path / "raw", 24)
    manifest = write_manifest(tmp_path / "manifest.parquet", rows[:16])
    assert run(preprocess.VERB, "--manifest", manifest, "--out", out) == 0
    shards = sorted(to_path(out).glob("shards/*/*.parquet"))
    shards[0].unlink()
    shards[1].write_bytes(b"half of an object")
    write_manifest(manifest, rows)
    assert run(preprocess.VERB, "--manifest", manifest, "--out", out) == 0
    assert 0 < result_at(out)["reused"] < 16
    assert result_at(out)["kept"] == 24
    assert run(preprocess.VERB, "--manifest", manifest, "--out", tmp_path / "local") == 0
    assert content(out) == content(tmp_path / "local")
    assert run(preprocess.VERB, "--manifest", manifest, "--out", out, "signal.seconds=2") == 0
    assert ShardSet.open(out).load("val").signal.shape[2] == 200
    (aside,) = (to_path(out) / "previous").iterdir()
    assert content(str(aside)) == content(tmp_path / "local")


def refusal(capsys: pytest.CaptureFixture[str], verb: Verb, *words: str | Path) -> str:
    capsys.readouterr()
    assert run(verb, *words) == 2
    told = capsys.readouterr().err.strip()
    assert len(told.splitlines()) == 1
    return told


def test_mistakes_end_in_one_line(
    server: S3Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = write_manifest(tmp_path / "manifest.parquet", write_cohort(tmp_path / "raw", 4))
    words = ["--manifest", manifest, "--out"]
    tree = ["--cohort", "ptbxl", "--out", tmp_path / "i", "--root"]
    assert "the bucket does not exist" in refusal(capsys, preprocess.VERB, *words, "s3://nobody/x")
    assert "s3://runs/none does not exist" in refusal(capsys, index.VERB, *tree, "s3://runs/none")
    assert "only local paths and s3://" in refusal(capsys, index.VERB, *tree, "gs://runs/none")
    assert "local or mounted" in refusal(capsys, evaluate.VERB, "--run", tmp_path, "--out", "s3://runs/evaluation")
    assert "records s3://raw/x.hea: " in refusal(capsys, predict.VERB, "s3://raw/x.hea", "--model", tmp_path)
    assert "s3://runs/none is not there" in refusal(
        capsys, pretrain.VERB, "--shards", "s3://runs/none", "--out", tmp_path / "p"
    )
    write_manifest(tmp_path / "far.parquet", in_bucket(write_cohort(tmp_path / "raw", 4), "s3://nobody/x"))
    far = ["--manifest", tmp_path / "far.parquet", "--out", tmp_path / "far"]
    assert "the bucket does not exist" in refusal(capsys, preprocess.VERB, *far)
    monkeypatch.setattr(storage, "ATTEMPTS", 2)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert "127.0.0.1:9" in refusal(capsys, index.VERB, *tree, "s3://runs/none")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint.replace("127.0.0.1", "localhost"))  # another client
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert "AWS_ACCESS_KEY_ID" in refusal(capsys, preprocess.VERB, *words, "s3://runs/locked-out")


@pytest.mark.heavy
@pytest.mark.timeout(500)
def test_killed_and_started_again_ends_where_uninterrupted_ends(server: S3Server, tmp_path: Path) -> None:
    rows = write_cohort(tmp_path / "raw", 160, seconds=20)
    upload(tmp_path / "raw", "s3://raw/killed")
    manifest = write_manifest(tmp_path / "manifest.parquet", in_bucket(rows, "s3://raw/killed"))
    assert run(preprocess.VERB, "--manifest", manifest, "--out", tmp_path / "whole", SMALL) == 0
    out = "s3://runs/killed"
    command = [sys.executable, "-m", "jobs.preprocess", "--manifest", str(manifest), "--out", out, *SETTINGS, SMALL]
    kills = 0
    for shards in (3, 12):
        job = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
        deadline = time.time() + 120
        while len(list((to_path(out) / "parts").glob("*.json"))) < shards:
            assert job.poll() is None
            assert time.time() < deadline
            time.sleep(0.05)
        os.killpg(job.pid, signal.SIGKILL)
        job.wait()
        kills += 1
        assert not (to_path(out) / "result.json").exists()
        for file in to_path(out).glob("shards/*/*.parquet"):
            with file.open("rb") as stream:
                assert pq.read_table(stream).num_rows > 0
    assert run(preprocess.VERB, "--manifest", manifest, "--out", out, SMALL) == 0
    assert (kills, result_at(out)["kept"]) == (2, 160)
    assert 12 <= result_at(out)["reused"] < 160
    assert ShardSet.open(out).digest == ShardSet.open(tmp_path / "whole").digest


@pytest.mark.heavy
@pytest.mark.timeout(500)
def test_trainings_read_and_write_in_a_bucket(server: S3Server, small_cohorts: Path, tmp_path: Path) -> None:
    for cohort in ("mimic", "zzu"):
        upload(small_cohorts / f"shards-{cohort}", f"s3://runs/train/{cohort}")
    shards = ["--shards", "s3://runs/train/mimic", *SETTINGS]
    adults = ["pretrain", *shards]
    children = ["adapt", "--checkpoint", "s3://runs/train/adults", "--shards", "s3://runs/train/zzu", *SETTINGS]
    for words in (
        [*adults, "--out", "s3://runs/train/adults"],
        [*adults, "--out", "streamed", "ray.in_memory_mb=0"],
        ["pretrain", "--shards", small_cohorts / "shards-mimic", "--out", "local", *SETTINGS],
        [*children, "--out", "few", "--protocol", "few-shot", "--shots", "2"],
        ["evaluate", "--run", "few", *SETTINGS],
    ):
        done = peace(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    outs = [to_path("s3://runs/train/adults"), tmp_path / "local", tmp_path / "streamed"]
    tables = [pd.read_parquet(io.BytesIO((out / "predictions.parquet").read_bytes())) for out in outs]
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert set(tables[2]["record_id"]) == set(tables[0]["record_id"])
