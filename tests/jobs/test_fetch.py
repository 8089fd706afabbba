"""`peace fetch` against a server on the loopback that drops, lies, hangs and forgets."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from http_server import Server, article, project, serving
from split_archive import folder_members, split_archive

from jobs import fetch, index
from jobs.runtime.harness import main
from peace.config import load_config
from peace.data.download.partial import Partial
from peace.synthetic import synthesize

QUICK = ["fetch.backoff_seconds=0.01", "fetch.timeout_seconds=20", "fetch.retries=3", "tracking.enabled=false"]
RECORDS = 6


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small trees of the three cohorts in their published layouts."""
    place = tmp_path_factory.mktemp("published")
    sizes = [f"synthetic.{name}_records={RECORDS}" for name in ("mimic", "zzu", "ptbxl")]
    synthesize(place, load_config("debug", None, sizes).synthetic, 1)
    low = place / "ptbxl" / "records100" / "00000"
    low.mkdir(parents=True)
    (low / "00001_lr.hea").write_text("not wanted")
    return place


def run(source: str, out: Path, url: str, *more: str) -> int:
    return main(fetch.VERB, [source, "--out", str(out), "--base-url", url, *QUICK, *more])


def result_of(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "result.json").read_text()))


def content(tree: Path) -> dict[str, bytes]:
    """What users see of a tree: the list of checksums and our notes aside."""
    files = {str(path.relative_to(tree)): path for path in tree.rglob("*") if path.is_file()}
    return {
        name: path.read_bytes()
        for name, path in files.items()
        if not name.startswith((".fetch", "records100")) and name != "SHA256SUMS.txt" and "Child_ecg.z" not in name
    }


def indexed(cohort: str, root: Path, out: Path) -> dict[str, Any]:
    words = ["--cohort", cohort, "--root", str(root), "--out", str(out), "--preset", "debug", "tracking.enabled=false"]
    words.append("split.ratios=[1,0,0]")  # of people too few for three splits
    assert main(index.VERB, words) == 0
    return result_of(out)


@pytest.mark.parametrize("source", ["ptbxl", "mimic", "mimic-demo"])
def test_whole_project_and_again(source: str, published: Path, tmp_path: Path) -> None:
    cohort = source.removesuffix("-demo")
    with serving(project(published / cohort)) as server:
        assert run(source, tmp_path / "data", f"{server.url}/project/") == 0
        first = result_of(tmp_path / "data")
        asked = sum(server.asked.values())
        (tmp_path / "data" / source / "SHA256SUMS.txt").touch()
        some = next((tmp_path / "data" / source).rglob("*.dat"))
        some.write_bytes(b"damaged")
        assert run(source, tmp_path / "data", f"{server.url}/project") == 0
        assert sum(server.asked.values()) == asked + 2  # the list, unchanged, and the damaged file
    assert content(tmp_path / "data" / source) == content(published / cohort)
    assert (first["records"], first["skipped"], first["missing"]) == (RECORDS, 0, 0)
    again = result_of(tmp_path / "data")
    assert (again["files"], again["skipped"], again["bytes"]) == (1, first["files"] - 1, some.stat().st_size)
    assert indexed(cohort, tmp_path / "data" / source, tmp_path / "index")["indexed"] == RECORDS


MISDEEDS = ["drop", "wrong", "busy", "no_ranges", "new_version", "short", "hang", "odd_range"]


@pytest.mark.parametrize("deed", MISDEEDS)
def test_what_lines_and_servers_do(deed: str, published: Path, tmp_path: Path) -> None:
    with serving(project(published / "ptbxl"), misdeeds={"2_hr.dat": deed, "statements.csv": deed}) as server:
        patience = ["fetch.timeout_seconds=0.5"] if deed == "hang" else []
        assert run("ptbxl", tmp_path, f"{server.url}/project", *patience) == 0
        assert content(tmp_path / "ptbxl") == content(published / "ptbxl")
        tries = [(asked, status) for path, asked, status in server.log if path.endswith("2_hr.dat")]
        half = (published / "ptbxl/records500/00000/00002_hr.dat").stat().st_size // 2 + 1
    assert len(tries) > 1
    assert tries[0] == ("", 503 if deed == "busy" else 200)
    if deed == "drop":
        assert tries[1:] == [(f"bytes={half}-", 206)]
    if deed == "hang":  # what the silent connection held back is asked for again
        assert 0 < int(tries[1][0][6:-1]) <= half
    if deed in ("no_ranges", "new_version"):
        assert tries[1:] == [(f"bytes={half}-", 200)]


def test_a_line_that_breaks_every_time_still_gets_to_the_end(published: Path, tmp_path: Path) -> None:
    with serving(project(published / "ptbxl"), misdeeds={"3_hr.dat": "cut"}) as server:
        assert run("ptbxl", tmp_path, f"{server.url}/project") == 0
        assert server.asked["/project/records500/00000/00003_hr.dat"] > 10  # more than are allowed without progress
    assert content(tmp_path / "ptbxl") == content(published / "ptbxl")


def test_what_cannot_be_fetched_is_named_and_the_rest_is_there(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    misdeeds = {"00003_hr.dat": "wrong_always", "00005_hr.hea": "busy_always"}
    with serving(project(published / "ptbxl"), misdeeds=misdeeds) as server:
        assert run("ptbxl", tmp_path, f"{server.url}/project") == 2
        said = capsys.readouterr().err.splitlines()[-1]
        assert "2 files could not be fetched" in said
        assert "00003_hr.dat: the bytes from" in said
        assert "do not have the published sha256, 3 times" in said
        assert "00005_hr.hea: answered 503 (4 tries)" in said
        assert "00003_hr.dat" not in content(tmp_path / "ptbxl")
        server.misdeeds.clear()
        assert run("ptbxl", tmp_path, f"{server.url}/project") == 0
        assert result_of(tmp_path)["files"] == 2
    assert content(tmp_path / "ptbxl") == content(published / "ptbxl")
    assert run("ptbxl", tmp_path / "other", f"{server.url}/project") == 2  # the server is gone
    assert "no connection" in capsys.readouterr().err


def test_killed_before_the_last_byte_had_its_name(published: Path, tmp_path: Path) -> None:
    name, table = "scp_statements.csv", published / "ptbxl" / "scp_statements.csv"
    unfinished = Partial(tmp_path / "ptbxl", name)
    unfinished.begin(f'"{hashlib.md5(table.read_bytes()).hexdigest()}"')
    unfinished.path.write_bytes(table.read_bytes())
    with serving(project(published / "ptbxl")) as server:
        assert run("ptbxl", tmp_path, f"{server.url}/project") == 0
        assert [status for path, _, status in server.log if path.endswith(name)] == [416]
    assert content(tmp_path / "ptbxl") == content(published / "ptbxl")


def test_mistakes_end_in_one_line(published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    files = project(published / "ptbxl")
    files["/project/ptbxl_database.csv/x"] = b"hello"
    files["/project/SHA256SUMS.txt"] += f"{hashlib.sha256(b'hello').hexdigest()} ptbxl_database.csv/x\n".encode()
    files["/page/SHA256SUMS.txt"] = b"<html>"
    with serving(files) as server:
        for url in ("nonsense", "file:///etc", f"{server.url}/nothing", f"{server.url}/page", f"{server.url}/project"):
            assert run("ptbxl", tmp_path / "out", url) == 2
            said.append(capsys.readouterr().err.splitlines()[-1])  # a slow machine shows a bar before
        assert run("ptbxl", tmp_path / "out", server.url, "--records", "0") == 2
    assert all(line.startswith("peace fetch: ") for line in said), said
    assert "no address to fetch from" in said[0]
    assert "no address to fetch from" in said[1]
    assert "answered 404 Not Found: check the address" in said[2]
    assert "line 1 is no checksum and file name: '<html>'" in said[3]
    assert "cannot write" in said[4]


@pytest.mark.parametrize("evil", ["../evil", "/etc/evil", "a/../../evil", ".fetch/evil", "a\\..\\evil", "~root/evil"])
def test_no_name_leads_out_of_the_tree(
    evil: str, published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(project(published / "ptbxl", f"{'0' * 64} {evil}")) as server:
        assert run("ptbxl", tmp_path / "out", f"{server.url}/project") == 2
        assert list(server.asked) == ["/project/SHA256SUMS.txt"]
    said = capsys.readouterr().err
    assert "no path inside the tree" in said
    assert "line 16 names" in said


@pytest.mark.parametrize(("source", "table"), [("ptbxl", "ptbxl_database.csv"), ("mimic", "record_list.csv")])
def test_a_subset_is_a_tree_of_its_own_and_grows(source: str, table: str, published: Path, tmp_path: Path) -> None:
    with serving(project(published / source)) as server:
        for number in (2, 4):
            assert run(source, tmp_path, f"{server.url}/project", "--records", str(number)) == 0
            assert result_of(tmp_path)["records"] == number
            assert len(list((tmp_path / source).rglob("*.dat"))) == number
            assert indexed(source, tmp_path / source, tmp_path / f"index{number}")["indexed"] == number
        assert all(count == 1 for path, count in server.asked.items() if path.endswith((".dat", ".hea")))
        whole = (published / source / table).read_bytes()
        assert whole.startswith((tmp_path / source / table).read_bytes())
        assert run(source, tmp_path, f"{server.url}/project") == 0
    assert content(tmp_path / source) == content(published / source)


@pytest.fixture(params=[False, True], ids=["zip", "zip64"])
def zzu(request: pytest.FixtureRequest, published: Path) -> Any:
    """A server with the ZZU article; a member lies across the two parts."""
    members = folder_members(published / "zzu" / "Child_ecg")
    first, last = split_archive(members, 150_000, zip64=request.param)
    tables = {path.name: path.read_bytes() for path in (published / "zzu").glob("*.csv")}
    with serving({}) as server:
        article(tables, {"Child_ecg.z01": first, "Child_ecg.zip": last}, server)
        yield server


def test_split_archive_whole(zzu: Server, published: Path, tmp_path: Path) -> None:
    assert run("zzu", tmp_path, f"{zzu.url}/article") == 0
    assert content(tmp_path / "zzu") == content(published / "zzu")
    assert result_of(tmp_path)["records"] == RECORDS
    lost = next((tmp_path / "zzu").rglob("*.hea"))
    lost.unlink()
    assert run("zzu", tmp_path, f"{zzu.url}/article") == 0
    assert (result_of(tmp_path)["files"], lost.exists()) == (1, True)
    assert indexed("zzu", tmp_path / "zzu", tmp_path / "index")["indexed"] == RECORDS


def test_split_archive_in_part_asks_for_what_it_needs(zzu: Server, published: Path, tmp_path: Path) -> None:
    assert run("zzu", tmp_path, f"{zzu.url}/article", "--records", "3") == 0
    wanted = content(tmp_path / "zzu")
    assert {name: body for name, body in content(published / "zzu").items() if name in wanted and "." not in name} == {}
    for name, body in wanted.items():
        if not name.endswith("Dictionary.csv"):
            assert body == (published / "zzu" / name).read_bytes()
    assert sum(name.endswith(".dat") for name in wanted) == 3
    archive = sum(len(zzu.files[path]) for path in ("/download/3", "/download/4"))
    sent = sum(count for path, count in zzu.sent.items() if path in ("/download/3", "/download/4"))
    assert sent < 0.8 * archive
    assert indexed("zzu", tmp_path / "zzu", tmp_path / "index")["indexed"] == 3


def test_split_archive_refusals(zzu: Server, published: Path, tmp_path: Path, capsys: Any) -> None:
    zzu.misdeeds["/download/4"] = "no_ranges"
    assert run("zzu", tmp_path / "a", f"{zzu.url}/article", "--records", "3") == 2
    assert "without --records" in capsys.readouterr().err
    zzu.misdeeds.clear()
    noise = random.Random(1).randbytes(3000)
    first, last = split_archive({"Child_ecg/a.hea": noise, "../evil.hea": b"y"}, 100)
    article({"AttributesDictionary.csv": b"Filename\na\n"}, {"c.z01": first, "c.zip": last}, zzu)
    assert run("zzu", tmp_path / "b", f"{zzu.url}/article") == 2
    assert "no path inside the tree" in capsys.readouterr().err
    assert not list(tmp_path.rglob("evil*"))
    damaged = bytearray(split_archive({"Child_ecg/a.hea": noise}, 100)[1])
    damaged[1500] ^= 1
    article({"AttributesDictionary.csv": b"Filename\na\n"}, {"c.z01": first, "c.zip": bytes(damaged)}, zzu)
    assert run("zzu", tmp_path / "c", f"{zzu.url}/article", "--records", "1") == 2
    assert "CRC" in capsys.readouterr().err


def test_what_the_zip_program_splits(zzu: Server, published: Path, tmp_path: Path) -> None:
    if shutil.which("zip") is None:
        pytest.skip("no zip program")
    made = tmp_path / "made"
    made.mkdir()
    words = ["zip", "-q", "-r", "-s", "128k", str(made / "Child_ecg.zip"), "Child_ecg"]
    subprocess.run(words, cwd=published / "zzu", check=True)
    parts = {path.name: path.read_bytes() for path in sorted(made.iterdir())}
    assert len(parts) > 2
    article({path.name: path.read_bytes() for path in (published / "zzu").glob("*.csv")}, parts, zzu)
    assert run("zzu", tmp_path / "out", f"{zzu.url}/article") == 0
    assert content(tmp_path / "out" / "zzu") == content(published / "zzu")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_killed_and_interrupted_goes_on(number: signal.Signals, published: Path, tmp_path: Path) -> None:
    files = project(published / "ptbxl")
    with serving(files, delay=0.15) as server:
        words = [sys.executable, "-m", "jobs.cli", "fetch", "ptbxl", "--out", str(tmp_path)]
        words += ["--base-url", f"{server.url}/project", "fetch.parallel=1"]
        job = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        deadline = time.time() + 60
        while len(list((tmp_path / "ptbxl").rglob("*.hea"))) < 2:
            assert job.poll() is None
            assert time.time() < deadline
            time.sleep(0.01)
        os.kill(job.pid, number)
        said = job.communicate(timeout=20)[1]
        assert job.returncode == (-9 if number == signal.SIGKILL else 128 + number), said
        before = sum(server.sent.values())
        server.delay = 0
        assert run("ptbxl", tmp_path, f"{server.url}/project") == 0
        assert result_of(tmp_path)["skipped"] >= 3
        assert sum(server.sent.values()) - before < sum(map(len, files.values())) * 0.9
    assert content(tmp_path / "ptbxl") == content(published / "ptbxl")


def test_full_disk_ends_in_one_line(published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("mounting a small disk needs more rights")
    try:
        with serving(project(published / "ptbxl")) as server:
            assert run("ptbxl", place, f"{server.url}/project") == 2
            assert capsys.readouterr().err.count("no space left") == 1
            subprocess.run(["mount", "-o", "remount,size=4m", str(place)], check=True)
            assert run("ptbxl", place, f"{server.url}/project") == 0
        assert content(place / "ptbxl") == content(published / "ptbxl")
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
