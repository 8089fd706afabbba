"""The training benchmark: its shapes are the presets', and it needs little to run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

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
