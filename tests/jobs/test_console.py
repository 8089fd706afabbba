"""The command line in any shell: a reader that goes, streams that are closed or full, encodings without dashes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_model import write_record, write_run

from jobs.cli import main
from jobs.runtime import console

PROJECT = Path(__file__).parents[2]


def shell(line: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of bash in which `peace` is ours."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    environment |= {"PYTHONPATH": str(PROJECT), **variables}
    script = f'set -o pipefail; peace() {{ "{sys.executable}" -m jobs.cli "$@"; }}; {line}'
    return subprocess.run(["bash", "-c", script], cwd=cwd, env=environment, capture_output=True, timeout=120)


@pytest.mark.parametrize(
    ("verb", "extra"),
    [
        ("--help", {}),
        ("plan --help", {}),
        pytest.param("plan --records 9", {}, marks=pytest.mark.heavy),
        ("plan --records 9 --json", {"PYTHONUNBUFFERED": "1"}),
    ],
)
def test_a_stream_that_fails_is_a_line_or_nothing(verb: str, extra: dict[str, str], tmp_path: Path) -> None:
    gone = shell(f"peace {verb} | exec <&-", tmp_path, **extra)
    assert (gone.returncode, gone.stderr) == (141, b"")
    full = shell(f"peace {verb} > /dev/full", tmp_path, **extra)
    assert full.returncode == 2
    assert full.stderr.endswith(b": cannot write what it prints: No space left on device\n")
    assert len(full.stderr.splitlines()) == 1
    closed = shell(f"peace {verb} >&-", tmp_path, **extra)
    assert (closed.returncode, closed.stderr) == (0, b"")


def test_all_streams_closed_and_nothing_lands_in_a_file_of_the_run(tmp_path: Path) -> None:
    done = shell("peace plan --records 9 --out kept <&- >&- 2>&-; echo $?", tmp_path)
    assert done.stdout == b"0\n"
    assert json.loads((tmp_path / "kept" / "result.json").read_text())["records"] == 9
    assert "records" not in (tmp_path / "kept" / "log.txt").read_text()


@pytest.mark.parametrize(
    "variables",
    [{"PYTHONIOENCODING": "latin-1"}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
)
def test_any_locale_writes_any_path_and_any_dash(variables: dict[str, str], tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    write_record(tmp_path / "grün" / "good")
    plain = shell("peace predict grün --model run --cohort mimic --out 'ü–'", tmp_path, **variables)
    assert (plain.returncode, plain.stderr) == (0, b"")
    kept = json.loads((tmp_path / "ü–" / "result.json").read_text(encoding="utf-8"))
    assert kept["records"][0]["record"] == "grün/good.hea"


def test_dashes_have_a_plain_likeness_and_other_text_an_escape() -> None:
    assert console.BROKEN_PIPE == 141
    assert "0.9 (0.8–0.95) ± grün 😀".encode("ascii", "peace") == rb"0.9 (0.8-0.95) +- gr\u00fcn \ud83d\ude00"
    assert json.loads('"ü 😀"'.encode("ascii", "peace")) == "ü 😀"


@pytest.mark.parametrize("out", ["file", "file/below", "x" * 300, os.fsdecode(b"b\xffd")])
def test_a_folder_that_cannot_be_is_one_line(out: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["plan", "--records", "9", "--config", str(tmp_path / out), "--out", str(tmp_path / out)]) == 2
    assert main(["synthesize", "--preset", "debug", "--out", str(tmp_path / out)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2
