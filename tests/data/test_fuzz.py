"""Damage of every kind: kept, or left out with a reason; no crash, no hang, no file read outside the tree."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from wfdb_files import write_record

from peace.data.signal import RecordRejected, read_record

FUZZ = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"


def test_damage_ends_in_reasons(tmp_path: Path) -> None:
    command = [sys.executable, str(FUZZ), "--mutations", "150", "--seed", "7", "--json", str(tmp_path / "fuzz.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
    report = json.loads((tmp_path / "fuzz.json").read_text())
    outcomes = [outcome for by_outcome in report["tally"].values() for outcome in by_outcome]
    assert sum(sum(by_outcome.values()) for by_outcome in report["tally"].values()) == 150
    assert set(outcomes) == {"kept", "rejected", "refused"}
    assert report["tally"]["nothing: undamaged"] == {"kept": 3}
    assert len(report["reasons"]) > 10
    assert report["peak_mb"] < 256


def test_the_fuzz_sees_what_it_looks_for(tmp_path: Path) -> None:
    """A reader that follows any link is found out, so that silence means something."""
    careless = (
        "import os, runpy, sys\n"
        "import peace.data.signal.files as files\n"
        "files._open = lambda path: os.open(path, os.O_RDONLY | os.O_NONBLOCK)\n"
        f"sys.argv = [{str(FUZZ.with_name('fuzz_child.py'))!r}, {str(tmp_path)!r}]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    write_record(tmp_path / "records" / "ptbxl" / "r", seconds=6, rate=250)
    write_record(tmp_path / "outside" / "r", seconds=6, rate=250)
    inside = write_record(tmp_path / "root" / "rec" / "r", seconds=6, rate=250)
    inside.with_suffix(".dat").unlink()
    inside.with_suffix(".dat").symlink_to(tmp_path / "outside" / "r.dat")
    job = json.dumps({"record": "root/rec/r", "watched": True}) + "\n"
    done = subprocess.run([sys.executable, "-c", careless], input=job, capture_output=True, text=True, timeout=120)
    answer = json.loads(done.stdout.splitlines()[1])
    assert (answer["outcome"], answer["detail"]) == ("finding: outside", str(tmp_path / "outside" / "r.dat"))


def test_links_stay_in_the_folder_and_folders_may_be_links(tmp_path: Path) -> None:
    record = write_record(tmp_path / "far" / "r", seconds=3)
    whole = read_record(record).samples
    os.rename(tmp_path / "far" / "r.dat", tmp_path / "far" / "stored")
    (tmp_path / "far" / "r.dat").symlink_to("stored")
    (tmp_path / "tree").symlink_to(tmp_path / "far")
    for folder in ("far", "tree"):
        np.testing.assert_array_equal(read_record(tmp_path / folder / "r").samples, whole)
    (tmp_path / "near").mkdir()
    for ending in (".hea", ".dat"):
        (tmp_path / "near" / f"r{ending}").symlink_to(tmp_path / "far" / f"r{ending}")
    with pytest.raises(RecordRejected, match="outside_root"):
        read_record(tmp_path / "near" / "r")
