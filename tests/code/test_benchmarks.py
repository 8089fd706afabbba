"""The benchmarks: the training's shapes are the presets' and it needs little to run; sides take turns and agree."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from peace.config import load_config

PROJECT = Path(__file__).parents[2]
BENCHMARKS = PROJECT / "benchmarks"
ABSENT = ("ray", "mlflow", "pydantic", "pandas", "pyarrow", "sklearn", "scipy", "numba", "wfdb", "upath")


@pytest.mark.parametrize(("name", "preset"), [("PAPER", "paper"), ("DEMO", "demo")])
def test_the_shapes_are_those_of_the_presets(monkeypatch: pytest.MonkeyPatch, name: str, preset: str) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import training_shapes

    held = getattr(training_shapes, name)
    assert_within(held, load_config(preset).model_dump(), preset)


def assert_within(part: Any, whole: Any, where: str) -> None:
    if isinstance(part, dict):
        for key, value in part.items():
            assert_within(value, whole[key], f"{where}.{key}")
    else:
        assert part == whole, where


def test_all_ways_to_store_signals_return_what_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any int16 values, in two row groups; `measure` ends the script where a side returns others."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import shard_formats

    monkeypatch.setattr(shard_formats, "TURNS", 2)
    signals = np.random.default_rng(0).integers(-32768, 32768, (300, 12, 20)).astype(np.int16)
    found = shard_formats.measure(signals)
    assert set(found) == {"differences", "plain", "packed", "planes"}
    for side in found.values():
        for middle, low, high in (side["write"], side["read"]):
            assert 0 < low <= middle <= high
    flat = shard_formats.measure(np.zeros_like(signals))
    assert all(flat[side]["size"] < found[side]["size"] for side in found)


def test_preprocessing_is_timed_in_turns_of_other_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import preprocess

    monkeypatch.setattr(preprocess, "DISTINCT", 3)
    seen: list[list[str]] = []
    plain = preprocess.plain
    monkeypatch.setattr(preprocess, "plain", lambda paths, out: (seen.append(list(paths)), plain(paths, out)))
    manifest = preprocess.make_records(tmp_path, 6)
    turns = preprocess.in_turns(manifest, 2, 3, 2, tmp_path / "out")
    assert len(turns) == 2
    assert all(rate > 0 for turn in turns for side in ("plain", "single") for rate in turn[side])
    assert [len(paths) for paths in seen] == [10, 2, 2]  # the first, which imports and compiles, does not count
    assert not set(seen[1]) & set(seen[2])
    assert preprocess.spread([3.0, 1.0, 2.0]) == [2.0, 1.0, 3.0]


@pytest.mark.heavy
def test_the_step_is_timed_where_only_torch_and_transformers_are(tmp_path: Path) -> None:
    code = f"""
import sys
sys.modules.update(dict.fromkeys({ABSENT!r}))  # as if they were not installed
sys.path[:0] = [{str(BENCHMARKS)!r}, {str(PROJECT)!r}]
sys.argv = ["training.py", "--quick", "--shape", "demo", "--batch", "4", "--stages", "demo", "--json", "found.json"]
import training
training.main()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    for name in ("naive_sps", "step_sps", "limit_sps"):
        assert found[name] > 0
    assert found["step_sps"] > found["naive_sps"]
    assert "Ray is not installed" in done.stdout
