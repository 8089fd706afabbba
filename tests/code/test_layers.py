"""The layers: who may import whom. Imports inside functions count like those at the top."""

from __future__ import annotations

import ast
from pathlib import Path

from jobs.runtime.verbs import VERBS

PROJECT = Path(__file__).parents[2]
MODULES = {
    ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in ("peace", "jobs")
    for path in (PROJECT / package).rglob("*.py")
}
# from the bottom up; a room imports from itself and from rooms above it in this list
LAYERS = (
    "peace.core",
    "peace.config",
    "peace.reports",
    "peace.data",
    "peace.data.download",
    "peace.data.signal",
    "peace.data.labels",
    "peace.data.cohorts",
    "peace.data.shards",
    "peace.reports.data",
    "peace.synthetic",
    "peace.objectives",
    "peace.descriptors",
    "peace.models",
    "peace.planning",
    "peace.checkpoint",
    "peace.inference",
    "peace.training",
    "peace.evaluation",
    "peace.experiments.ablation",
    "peace.experiments.sweeps",
    "jobs.tracking",
    "jobs.runtime",
    "jobs.local_cluster",
    "jobs.submission",
    "jobs.registry",
    "jobs.indexing",
    "jobs.pipeline",
    "jobs.training",
    "jobs.tuning",
    "jobs.ablation",
    "verbs",
)
VERB_MODULES = {f"jobs.{name}" for name in VERBS} | {"jobs.cli"}


def room_of(module: str) -> str:
    """The longest layer that holds the module; top-level packages hold nothing of their own."""
    if module in VERB_MODULES:
        return "verbs"
    rooms = [layer for layer in LAYERS if module == layer or module.startswith(f"{layer}.")]
    assert rooms or module in ("peace", "jobs", "peace.experiments"), f"{module} is in no layer: add its room to LAYERS"
    return max(rooms, key=len, default="peace.core")


def imports_of(path: Path) -> set[str]:
    """The project's modules that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{name.name}" for name in node.names}
            found |= {name if name in MODULES else node.module for name in whole}
    return {name for name in found if name in MODULES}


IMPORTS = {name: imports_of(path) - {name} for name, path in MODULES.items()}


def test_no_import_runs_upwards() -> None:
    order = {room: level for level, room in enumerate(LAYERS)}
    upward = [
        f"{name} ({room_of(name)}) imports {used} ({room_of(used)})"
        for name, uses in IMPORTS.items()
        for used in uses
        if room_of(name) != room_of(used) and order[room_of(name)] < order[room_of(used)]
    ]
    assert upward == []


def test_no_verb_imports_another() -> None:
    crossing = [(name, used) for name in VERB_MODULES for used in IMPORTS[name] & VERB_MODULES]
    assert crossing == []


def test_no_circle() -> None:
    state: dict[str, str] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        if state.get(name) == "done":
            return
        assert name not in path, " imports ".join((*path[path.index(name) :], name))
        for used in sorted(IMPORTS[name]):
            visit(used, (*path, name))
        state[name] = "done"

    for name in sorted(IMPORTS):
        visit(name, ())


def test_one_file_a_verb() -> None:
    """jobs/ itself holds the verbs and the command; what they share has rooms."""
    files = {path.stem for path in (PROJECT / "jobs").glob("*.py")} - {"__init__"}
    assert files == {*VERBS, "cli"}
