"""Pages name files that exist, and the index of the pages names every page."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
DOCS = PROJECT / "docs"
PAGES = [
    PROJECT / "README.md",
    PROJECT / "CONTRIBUTING.md",
    PROJECT / "examples" / "README.md",
    DOCS / "README.md",
    DOCS / "tour.md",
    *sorted((DOCS / "design").glob("*.md")),
]
PATH = re.compile(r"`((?:peace|jobs|benchmarks|tests|cluster|tune_spaces|examples|docs)/[\w./-]*)`")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def missing(page: Path) -> list[str]:
    text = page.read_text()
    named = [name for name in PATH.findall(text) if not (PROJECT / name).exists()]
    return named + [link for link in LINK.findall(text) if not (page.parent / link).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_every_path_and_link_named_exists(page: Path) -> None:
    assert missing(page) == []


def test_a_path_that_is_gone_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("`peace/inference.py`, `peace/nothing.py`, [one](page.md), [other](gone.md#part)")
    assert missing(page) == ["peace/nothing.py", "gone.md"]


def test_the_tour_walks_from_a_record_to_a_run() -> None:
    named = PATH.findall((DOCS / "tour.md").read_text())
    for room in ("peace/data/signal", "peace/data/shards", "peace/training", "peace/inference.py", "jobs/tracking"):
        assert any(name.startswith(room) for name in named), room


def test_the_index_names_every_page_once() -> None:
    links = LINK.findall((DOCS / "README.md").read_text())
    pages = sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md") if path != DOCS / "README.md")
    assert sorted(link for link in links if link.endswith(".md") and not link.startswith("..")) == pages


def test_the_version_is_that_of_pyproject_and_costs_nothing_until_asked() -> None:
    code = "import peace, sys; print('importlib.metadata' in sys.modules, peace.__version__, hasattr(peace, 'other'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    assert done.stdout.split()[1:] == [declared, "False"]
