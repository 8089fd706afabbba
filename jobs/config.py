"""`peace config`: the configuration that a preset, a file and overrides amount to, as YAML on stdout."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from jobs.runtime.harness import Job, Table, Verb, main
from peace.config import Config, dump_config


def work(job: Job) -> dict[str, Any]:
    """Print the configuration."""
    print(dump_config(job.config), end="")
    return {}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def tables(result: dict[str, Any]) -> list[Table]:
    """Nothing beside the YAML."""
    return []


VERB = Verb(
    name="config",
    summary="Print the configuration that a preset, a file and overrides amount to, as YAML.",
    add_arguments=add_arguments,
    work=work,
    tables=tables,
    sections=tuple(Config.model_fields),
    tracked=False,
    keeps_run=False,
)

if __name__ == "__main__":
    sys.exit(main(VERB))
