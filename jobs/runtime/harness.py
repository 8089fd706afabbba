"""What every verb shares: arguments, configuration, one directory, one MLflow run, one result.json, clear errors.

A verb is a `Verb` in `jobs/<name>.py`. Those modules import only light things at the top (this one, the
configuration); torch, ray and mlflow are imported inside functions, so that `peace --help` stays fast.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.runtime.console import Undelivered, guarded, in_utf8
from jobs.runtime.mistakes import user_mistake
from jobs.runtime.overrides import refuse_unread, split_overrides
from jobs.runtime.progress_file import telling_progress
from jobs.runtime.run_directory import earlier_result, only_writer, prepared, run_log
from peace.config import Config, dump_config, load_config
from peace.core.errors import ConfigError
from peace.core.files import digest, file_digest, json_text, write_json, write_text
from peace.core.masking import masked
from peace.core.storage import is_remote, looks_remote, to_path

if TYPE_CHECKING:
    from jobs.tracking.run import Run

# of the tracking section, what every tracked verb reads
TRACKING = ("tracking.enabled", "tracking.uri", "tracking.experiment", "tracking.system_metrics_seconds")


class Terminated(KeyboardInterrupt):
    """A SIGTERM: it ends a job the way Ctrl-C does, with an exit code of its own."""


@dataclass(frozen=True)
class Table:
    """What a verb prints for people."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Job:
    """One call of a verb: what was asked, where it writes, and where it is tracked."""

    args: argparse.Namespace
    config: Config
    out: Path
    log: logging.Logger
    run: Run
    identity: str
    label: str


@dataclass(frozen=True)
class Verb:
    """A job of the command line.

    `work` returns the values of result.json; `tables` turns them into what is printed. `identity` names what besides
    the configuration makes two calls the same run (inputs, with digests). A finished run is returned as it is where
    `final` is true; otherwise the verb runs again and finds for itself what is left to do.
    `sections` are the parts of the configuration that make its result: a change elsewhere leaves its runs valid.
    `settings` are dotted keys that it reads besides, such as where it runs; overrides of all else are refused.
    `writes_anywhere` says that --out may be in an object store.
    `tracked_in` names the run directory whose MLflow run this verb logs into, where that is another's.
    `exit_code` is that of a result, 0 unless said otherwise; `variant` gives the verb that the arguments ask for.
    A verb that answers a question rather than makes something has `keeps_run` false: without --out it leaves nothing.
    """

    name: str
    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    work: Callable[[Job], dict[str, Any]]
    tables: Callable[[dict[str, Any]], list[Table]]
    sections: tuple[str, ...]
    settings: tuple[str, ...] = ()
    identity: Callable[[argparse.Namespace], Any] = field(default=lambda args: None)
    overrides: Callable[[argparse.Namespace], list[str]] = field(default=lambda args: [])
    tracked_in: Callable[[argparse.Namespace], Path | None] = field(default=lambda args: None)
    default_out: Callable[[argparse.Namespace], Path | None] = field(default=lambda args: None)
    final: bool = True
    tracked: bool = True
    keeps_run: bool = True
    writes_anywhere: bool = False
    preset: str = "demo"
    exit_code: Callable[[dict[str, Any]], int] = field(default=lambda result: 0)
    variant: Callable[[argparse.Namespace], Verb | None] = field(default=lambda args: None)

    @property
    def reads(self) -> tuple[str, ...]:
        """The parts of the configuration that this verb reads, as dotted keys."""
        # a verb without a run of MLflow may still be told to make none
        tracking = TRACKING if self.tracked else TRACKING[:1]
        return (*self.sections, *self.settings, *(tracking if "tracking" not in self.sections else ()))


def main(verb: Verb, argv: Sequence[str] | None = None) -> int:
    """Run a verb from the command line and give its exit code.

    0, 1 (a fault of ours), 2 (of the call), 130 after a SIGINT and 143 after a SIGTERM.
    """
    if argv is None:
        in_utf8()
    return guarded(verb.name, lambda: _run(verb, sys.argv[1:] if argv is None else argv))


def _run(verb: Verb, argv: Sequence[str]) -> int:
    try:
        arguments, overrides = split_overrides(argv)
        args = parser_of(verb).parse_args(arguments)
        args.overrides = overrides
        verb = verb.variant(args) or verb
        refuse_unread(verb.name, overrides, verb.reads)
        with _terminated_as_interrupt():
            result = execute(verb, args, overrides)
    except KeyboardInterrupt as stop:
        print(f"\npeace {verb.name}: interrupted; the same command resumes from what is finished", file=sys.stderr)
        return 143 if isinstance(stop, Terminated) else 130
    except Undelivered:
        raise
    except Exception as error:
        mistake = user_mistake(error)
        if mistake is None:
            traceback.print_exc()
            return 1
        print(f"peace {verb.name}: {mistake}", file=sys.stderr)
        return 2
    if getattr(args, "json", False) and not result.get("printed"):
        print(json_text(result), end="")
    else:
        show(verb.tables(result))
    return verb.exit_code(result)


def parser_of(verb: Verb) -> argparse.ArgumentParser:
    """The verb's arguments and the ones that all share."""
    parser = argparse.ArgumentParser(
        prog=f"peace {verb.name}",
        description=verb.summary,
        allow_abbrev=False,
        epilog="Any key=value sets the configuration, such as pretrain.epochs=3; `peace config` shows the keys.",
    )
    verb.add_arguments(parser)
    parser.add_argument(
        "--out", type=to_path, metavar="DIR", help="directory of this run: configuration, result, artefacts"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML laid over the preset")
    parser.add_argument("--preset", default=verb.preset, help=f"debug, demo or paper; default {verb.preset}")
    parser.add_argument("--fresh", action="store_true", help="set an earlier run in this directory aside, start over")
    parser.set_defaults(parent_run=None)
    return parser


def execute(verb: Verb, args: argparse.Namespace, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Run a verb in this process and give what result.json holds. Raises PeaceError for a user's mistake."""
    _refuse_addresses(verb, args)
    config = load_config(args.preset, args.config, [*overrides, *verb.overrides(args)])
    out = args.out or verb.default_out(args)
    if out is None and not verb.keeps_run:
        with tempfile.TemporaryDirectory(prefix="peace-") as folder:
            args.out = Path(folder)
            return execute(verb, args, overrides)
    if out is None:
        raise ConfigError("--out DIR is missing: the directory that this run may write")
    out = prepared(out)
    identity, read = run_identity(verb, args, config)
    with ExitStack() as stack:
        stack.enter_context(only_writer(out))
        finished = earlier_result(out, verb.name, verb.final, identity, read, args.fresh)
        if finished is not None:
            print(f"{out} is finished already: nothing to do (--fresh starts over)", file=sys.stderr)
            return finished
        write_json(out / "run.json", {"verb": verb.name, "identity": identity, "config": read})
        write_text(out / "config.yaml", dump_config(config))
        log = stack.enter_context(run_log(out / "log.txt", verb.name))
        stack.enter_context(telling_progress(out, verb.name))
        run = stack.enter_context(_tracked_run(verb, args, config, out))
        if verb.tracked_in(args) is None:
            stack.enter_context(_system_metrics(run, config))
        started = time.perf_counter()
        try:
            result = verb.work(Job(args, config, out, log, run, identity, verb.name))
        except BaseException as error:
            log.error("%s: %s", type(error).__name__, error)
            raise
        result = {
            "verb": verb.name,
            "status": "finished",
            **result,
            "seconds": round(time.perf_counter() - started, 3),
            "identity": identity,
            "mlflow_run_id": run.run_id,
        }
        write_json(out / "result.json", result)
        run.artifact(out / "config.yaml")
        run.artifact(out / "result.json")
        return result


def run_identity(verb: Verb, args: argparse.Namespace, config: Config) -> tuple[str, dict[str, Any]]:
    """A digest of what makes two calls the same run, and the part of the configuration that the verb reads."""
    values = config.model_dump(mode="json")
    read = {name: values[name] for name in verb.sections}
    return digest({"verb": verb.name, "config": read, "inputs": _inputs(verb, args, config)}), read


def _inputs(verb: Verb, args: argparse.Namespace, config: Config) -> Any:
    """What makes two calls the same run besides the configuration; descriptors of one's own count by their bytes."""
    given = verb.identity(args)
    if "objective" not in verb.sections:
        return given
    from peace.descriptors.texts import EMBEDDED, find_descriptors

    source = config.objective.descriptors
    return given if source in EMBEDDED else {"given": given, "descriptors": file_digest(find_descriptors(source))}


def show(tables: Sequence[Table]) -> None:
    """Print tables on stdout."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table as RichTable

    console = Console(width=None if sys.stdout.isatty() else 120)
    for table in tables:
        rich = RichTable()
        for position, name in enumerate(table.header):
            rich.add_column(escape(name), justify="left" if position == 0 else "right", overflow="fold")
        for row in table.rows:
            rich.add_row(*(escape(masked(cell)) for cell in row))  # before it is folded
        console.print(f"\n[bold]{escape(table.title)}[/bold]" if table.title else "")
        console.print(rich)


def _refuse_addresses(verb: Verb, args: argparse.Namespace) -> None:
    """Raise ConfigError for an address where the verb takes only a local path."""
    for name, value in vars(args).items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Path) and looks_remote(item):
                option, address = name.replace("_", "-"), str(item).replace(":/", "://", 1)
                raise ConfigError(f"{option} {address}: `peace {verb.name}` takes a local or mounted path here")
    if args.out is not None and is_remote(args.out) and not verb.writes_anywhere:
        raise ConfigError(f"--out {args.out}: `peace {verb.name}` writes to a local or mounted directory")


def _tracked_run(verb: Verb, args: argparse.Namespace, config: Config, out: Path) -> Run:
    from jobs.tracking.run import open_run

    host, enabled = verb.tracked_in(args), verb.tracked and config.tracking.enabled
    return open_run(config, host or out, verb.name, args.parent_run, enabled, guest=host is not None)


def _system_metrics(run: Run, config: Config) -> AbstractContextManager[None]:
    from jobs.tracking.system_metrics import system_metrics

    return system_metrics(run, config.tracking.system_metrics_seconds)


@contextmanager
def _terminated_as_interrupt() -> Iterator[None]:
    """A SIGTERM ends a job the way Ctrl-C does: files whole, locks released."""

    def interrupt(number: int, frame: Any) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
