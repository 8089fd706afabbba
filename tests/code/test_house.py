"""Rules of the house that a machine can check: who imports whom, how long files are, that commands shown exist."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.runtime.harness import parser_of
from jobs.runtime.overrides import refuse_unread, split_overrides
from jobs.runtime.verbs import VERBS, verb_of
from peace.config import load_config

PROJECT = Path(__file__).parents[2]
PACKAGES = ("peace", "jobs", "tune_spaces", "cluster")
SOURCES = sorted(path for package in PACKAGES for path in (PROJECT / package).rglob("*.py"))
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def test_the_science_knows_no_cluster() -> None:
    for path in SOURCES:
        if path.is_relative_to(PROJECT / "peace"):
            assert not imported(path) & {"ray", "mlflow", "jobs", "tune_spaces", "cluster"}, path


def test_every_module_can_be_imported() -> None:
    for path in SOURCES:
        name = ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__")
        importlib.import_module(name)


def test_files_stay_under_three_hundred_lines() -> None:
    long = {str(path): len(path.read_text().splitlines()) for path in SOURCES}
    assert {path: lines for path, lines in long.items() if lines > 300} == {}


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from jobs.cli import main; main(['--help'])"
    code += "; print(sorted({'torch', 'ray', 'mlflow', 'pandas', 'numpy', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    code = "import sys; from jobs.cli import verb_of; [verb_of(name) for name in sys.argv[1:]]"
    code += "; print(sorted({'torch', 'ray', 'mlflow', 'pandas', 'pyarrow'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code, *VERBS], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", sorted(VERBS))
def test_every_verb_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parser_of(verb_of(name)).parse_args(["--help"])
    assert ended.value.code == 0
    assert "--preset" in capsys.readouterr().out


def commands(page: Path) -> list[str]:
    blocks = re.findall(r"```(?:bash|sh|console)?\n(.*?)```", page.read_text(), flags=re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.split("  #")[0].strip() for line in lines if re.match(r"\s*peace [a-z]", line)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_shown_are_commands_we_have(page: Path) -> None:
    for command in commands(page):
        words = shlex.split(re.sub(r"([^\s|]+)\|\S+", r"\1", command))[1:]
        verb = verb_of(words[0])
        arguments, overrides = split_overrides(words[1:])
        try:
            args = parser_of(verb).parse_args(arguments)
        except SystemExit:
            pytest.fail(f"{page.name} shows a command that is refused: {command}")
        load_config(args.preset, None, [*overrides, *verb.overrides(args)])
        refuse_unread(verb.name, overrides, verb.reads)


def test_no_secret_is_committed() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True)
    if tracked.returncode != 0:
        pytest.skip("not a git checkout")
    for name in tracked.stdout.split():
        if (PROJECT / name).suffix in (".py", ".md", ".toml", ".txt", ".yaml", ".yml", ""):
            text = (PROJECT / name).read_text(encoding="utf-8", errors="ignore")
            assert not re.search(r"(AIza[0-9A-Za-z_-]{30}|sk-[0-9A-Za-z]{32})", text), f"{name} holds a key"


def test_every_verb_is_a_module_to_run() -> None:
    code = "import runpy, sys\nfor name in sys.argv[1:]:\n    sys.argv = [name, '--help']\n"
    code += "    try:\n        runpy.run_module(f'jobs.{name}', run_name='__main__')\n"
    code += "    except SystemExit as ended:\n        assert ended.code == 0, name\n"
    done = subprocess.run([sys.executable, "-c", code, *VERBS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("usage: peace ") == len(VERBS)
