"""`peace describe` against a service that misbehaves: failures are named, successes kept, and no key gets out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gemini_server import KEY, Gemini, gemini

from jobs.describe import VERB
from jobs.runtime.harness import main
from peace.core.errors import DataError
from peace.descriptors import load_descriptors
from peace.descriptors.prompt import FOLDER

LABELS = ("NORM", "LAFB", "IRBBB", "CRBBB", "LVOLT", "LAE", "RAE", "LVH", "RVH", "STTC", "TAB_", "LQTS")
PROJECT = Path(__file__).parents[2]
QUICK = ("descriptors.backoff_seconds=0.02", "tracking.enabled=false")

Ask = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Run the verb in this process; returns exit code and result.json."""
    monkeypatch.setenv("GEMINI_API_KEY", KEY)

    def run(server: Gemini, *words: str, out: str = "out") -> tuple[int, dict[str, Any]]:
        call = ["--provider", "gemini", "--model", "loop", "--base-url", server.url, "--preset", "debug", *QUICK]
        code = main(VERB, [*call, *words, "--out", str(tmp_path / out)])
        return code, json.loads((tmp_path / out / "result.json").read_text())

    return run


def texts_of(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "descriptors.json").read_text())["labels"])


def test_each_misdeed_is_met_and_what_succeeds_is_kept(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deeds = {
        "NORM": ["busy", "ok"],
        "LAFB": ["down", "broken", "ok"],
        "IRBBB": ["hang", "drop", "listed"],
        "CRBBB": ["blocked", "unsafe", "cut", "ok"],
        "LVOLT": ["no_json", "half_json", "ok"],
        "LAE": ["german"],
        "RAE": ["empty_axis"],
        "LVH": ["bad_request"],
        "RVH": ["fenced"],
        "STTC": ["nested"],
        "TAB_": ["no_candidates", "no_parts", "not_json_body", "ok"],
        "LQTS": ["no_axis", "blocked"],
    }
    out = tmp_path / "out"
    with gemini(**deeds) as server:
        code, result = ask(server, "descriptors.timeout_seconds=1")
        assert (code, result["generated"], result["cached"]) == (2, 8, 0)
        assert set(result["failed"]) == {"LAE", "RAE", "LVH", "LQTS"}
        for label, reason in {"LAE": "English", "RAE": "empty", "LVH": "HTTP 400", "LQTS": "blocked"}.items():
            assert reason in result["failed"][label]
        assert server.asked == {label: min(len(planned), 4) for label, planned in deeds.items()} | {
            **dict.fromkeys(("LAE", "RAE", "LQTS"), 4)
        }
        assert result["requests"] == server.asked.total()
        limits = [body["generationConfig"]["maxOutputTokens"] for body in server.bodies if "CRBBB" in str(body)]
        assert limits == [4096, 4096, 4096, 8192]
        with pytest.raises(DataError, match=r"no descriptors of label 'LAE': its generation failed .*English"):
            load_descriptors(out, LABELS, ())

        server.deeds = {}
        server.asked.clear()
        code, result = ask(server, "descriptors.timeout_seconds=1")
        assert (code, result["generated"], result["cached"], result["failed"]) == (0, 4, 8, {})
        assert server.asked == dict.fromkeys(("LAE", "RAE", "LVH", "LQTS"), 1)

        server.asked.clear()
        monkeypatch.delenv("GEMINI_API_KEY")
        code, result = ask(server, "descriptors.timeout_seconds=1")
        assert (code, result["generated"], result["cached"], result["requests"]) == (0, 0, 12, 0)
        assert not server.asked
        assert server.keys == {KEY}
        assert server.most_at_once <= 4
    curated = load_descriptors("curated", LABELS)
    assert load_descriptors(out, LABELS, ()).texts == curated.texts
    own = texts_of(out)["CRBBB"]
    assert own["criteria"] == ["QRS 120 ms or more"]
    assert own["references"] == ["AHA/ACCF/HRS 2009"]
    assert {name: own["provenance"][name] for name in ("model", "written_by", "tokens", "findings")} == {
        "model": "loop",
        "written_by": "loopback-1",
        "tokens": 321,
        "findings": [],
    }


@pytest.mark.parametrize(
    ("deed", "told"),
    [
        ("bad_key", "key was refused"),
        ("forbidden", "key was refused"),
        ("unknown", "know the model"),
        ("quota", "asks to wait 43200 s"),
    ],
)
def test_what_no_retry_helps_stops_at_once(
    ask: Ask, tmp_path: Path, capfd: pytest.CaptureFixture[str], deed: str, told: str
) -> None:
    with gemini(every=[deed]) as server:
        code, result = ask(server)
    assert code == 2
    assert set(result["failed"]) == set(LABELS)
    assert all(told in reason for reason in result["failed"].values())
    assert server.asked.total() <= 4
    printed = capfd.readouterr()
    assert told in printed.err
    left = [path for path in tmp_path.rglob("*") if path.is_file() and KEY in path.read_text(errors="ignore")]
    assert (left, KEY in printed.out + printed.err) == ([], False)


def test_no_key_no_request(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.delenv("GEMINI_API_KEY")
    with gemini() as server, pytest.raises(FileNotFoundError):
        ask(server)
    assert "GEMINI_API_KEY" in capsys.readouterr().err
    assert not server.paths
    words = ["--provider", "gemini", "--out", str(tmp_path / "x"), *QUICK]
    assert main(VERB, [*words, "--base-url", f"http://user:{KEY}@127.0.0.1"]) == 2
    assert main(VERB, [*words, "--base-url", f"http://127.0.0.1?key={KEY}"]) == 2
    printed = capsys.readouterr()
    assert "no key" in printed.err
    assert KEY not in printed.err + printed.out


def test_budgets_end_a_call(ask: Ask) -> None:
    with gemini(every=["down"]) as server:
        code, result = ask(server, "descriptors.budget_calls=6")
        assert (code, server.asked.total()) == (2, 6)
        assert sum("budget of 6 requests" in reason for reason in result["failed"].values()) >= 10
    with gemini(every=["hang"]) as server:
        code, result = ask(server, "descriptors.timeout_seconds=0.2", "descriptors.budget_seconds=0.5", out="slow")
        assert code == 2
        assert any("budget of 0.5 s" in reason for reason in result["failed"].values())
        assert server.asked.total() < 24


def test_a_change_regenerates_only_what_it_touches(ask: Ask, tmp_path: Path) -> None:
    prompt = tmp_path / "mine.txt"
    text = (FOLDER / "three_axes-1.txt").read_text()
    prompt.write_text(text)
    changed = f"descriptors.prompt={prompt}"

    def asked(*words: str) -> list[str]:
        server.asked.clear()
        code, result = ask(server, changed, *words)
        assert code == 0
        assert result["generated"] == len(server.asked)
        return sorted(server.asked)

    with gemini() as server:
        assert asked() == sorted(LABELS)
        assert asked() == []
        prompt.write_text(text.replace("@LAFB ", "@LAFB Look at the frontal plane. "))
        assert asked() == ["LAFB"]
        prompt.write_text(text)
        assert asked() == []
        assert asked("descriptors.temperature=0.5") == sorted(LABELS)
        assert asked("descriptors.concurrency=2") == []
        damaged, *edited = sorted((tmp_path / "out" / "cache").glob("*.json"))
        damaged.write_text(damaged.read_text()[:50])
        by_hand = next(path for path in edited if path.name.startswith("RVH"))
        by_hand.write_text(by_hand.read_text().replace("right axis deviation", "Right axis deviation"))
        found = asked()
        assert len(found) <= 1
    prompt.write_text("Describe $nothing")
    with gemini() as server:
        assert main(VERB, ["--provider", "gemini", changed, "--out", str(tmp_path / "y"), *QUICK]) == 2


def test_samples_are_compared_and_the_middle_one_is_taken(ask: Ask, tmp_path: Path) -> None:
    deeds = {"LAFB": ["other", "ok"], "LVH": ["ok", "down"]}
    with gemini(**deeds) as server:
        code, result = ask(server, "--samples", "3", "descriptors.agreement=0.98", "descriptors.concurrency=1")
    assert (code, result["generated"], server.asked["NORM"]) == (0, 12, 3)
    seeds = [body["generationConfig"]["seed"] for body in server.bodies if "(NORM)" in str(body)]
    assert sorted(seeds) == [42, 43, 44]
    own = texts_of(tmp_path / "out")
    assert own["LAFB"]["provenance"]["samples"]["chosen"] == 2
    assert own["NORM"]["provenance"]["samples"]["similarity"] == {"rhythm": 1.0, "morphology": 1.0, "st_t": 1.0}
    found = {(one["label"], one["axis"], one["check"], one["severity"]) for one in result["findings"]}
    assert ("LAFB", "rhythm", "agreement", "warning") in found
    assert ("LVH", "all", "samples", "warning") in found
    assert {label for label, _, _, _ in found} == {"LAFB", "LVH"}


def test_a_batch_is_gone_on_with_and_repeated_for_what_failed(ask: Ask, tmp_path: Path) -> None:
    batch = ("--batch", "descriptors.poll_seconds=0.05")
    with gemini(NORM=["german", "ok"], LVH=["down", "ok"], RVH=["blocked"]) as server:
        server.looks = 10**6
        code, result = ask(server, *batch, "descriptors.budget_seconds=1.5")
        assert (code, result["generated"]) == (2, 0)
        assert all("still runs" in reason for reason in result["failed"].values())
        server.looks = 1
        code, result = ask(server, *batch)
        assert (code, result["generated"], set(result["failed"])) == (2, 11, {"RVH"})
        assert server.asked["LAFB"] == 1
        assert server.asked["NORM"] == server.asked["LVH"] == 2
        assert server.asked["RVH"] == 4
        assert all(path.endswith(":batchGenerateContent") for path in server.paths)
    assert load_descriptors(tmp_path / "out").labels == tuple(label for label in LABELS if label != "RVH")


@pytest.mark.heavy
def test_the_key_is_in_nothing_that_a_run_leaves(tmp_path: Path) -> None:
    with gemini(LVH=["bad_key"], NORM=["hang"]) as server:
        command = [sys.executable, "-m", "jobs.cli", "describe", "--provider", "gemini", "--model", "loop"]
        command += ["--base-url", server.url, "--out", "out", "--preset", "debug", "descriptors.timeout_seconds=0.5"]
        environment = {**os.environ, "GEMINI_API_KEY": KEY, "PYTHONPATH": str(PROJECT)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 2, done.stderr
    assert server.keys == {KEY}
    assert "***" in done.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "mlflow.db" for path in files)
    assert any(path.name == "log.txt" for path in files)
    holding = [path for path in files if KEY.encode() in path.read_bytes()]
    assert holding == []
    assert KEY not in done.stdout + done.stderr
