"""The `peace` command: one verb a job. `python -m jobs.<verb>` is the same, and is what a Ray job submission runs."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

from jobs.runtime.console import guarded, in_utf8
from peace.core.errors import nearest

if TYPE_CHECKING:
    from jobs.runtime.harness import Verb

VERBS = {
    "synthesize": "write small synthetic cohorts in the three original on-disk formats",
    "fetch": "download a public cohort, or its first records, from PhysioNet or figshare",
    "index": "read a cohort's tree into manifest.parquet",
    "preprocess": "condition the records of a manifest into Parquet shards",
    "describe": "write and check the three-axis descriptors of each label",
    "pretrain": "train PEACE on an adult cohort",
    "adapt": "carry a checkpoint to another cohort: zero-shot, few-shot or full",
    "evaluate": "score a run's predictions, with intervals, figures and a report",
    "sweep": "a search space tried out trial by trial, on Ray Tune",
    "ablate": "methods and ablations against each other, over protocols and seeds",
    "predict": "label probabilities of WFDB records, from the ECG alone",
    "register": "put an adapted model into the MLflow registry",
    "promote": "make a registered model champion, if it passes a gate",
    "leaderboard": "registered versions and evaluated runs with their AUCs, best first",
    "rollback": "put the previous champion back",
    "track": "send MLflow what it missed while it was down, or start a server of it",
    "demo": "the whole path on synthetic cohorts",
    "submit": "run a verb on a Ray cluster as a job of its own, and follow it",
    "jobs": "the jobs on a cluster: list, logs, wait, stop",
    "cluster": "a Ray cluster of this machine with an MLflow server: up, status, down",
    "status": "the jobs that run now: stage, rate, time left",
    "plan": "what a run takes before it is started: time, memory, disk, price",
    "config": "print the configuration that a preset, a file and overrides amount to",
}


def verb_of(name: str) -> Verb:
    """The verb of a name, its module imported."""
    verb: Verb = importlib.import_module(f"jobs.{name}").VERB
    return verb


def usage() -> str:
    """The text of `peace --help`."""
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {name:<{width}}  {summary}" for name, summary in VERBS.items())
    return (
        "peace: cross-modal adult-to-pediatric ECG transfer on Ray\n\n"
        f"usage: peace VERB [--out DIR] [--preset debug|demo|paper] [--config FILE] [key=value ...]\n\n{verbs}\n\n"
        "`peace VERB --help` explains a verb. `make demo` runs them all."
    )


def main(argv: list[str] | None = None) -> int:
    """Find the verb and hand it the rest of the line."""
    if argv is None:
        in_utf8()
    return guarded("", lambda: _run(sys.argv[1:] if argv is None else argv))


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    name = words[0]
    if name not in VERBS:
        print(f"peace: unknown verb '{name}'{nearest(name, VERBS)}\n\n{usage()}", file=sys.stderr)
        return 2
    try:
        from jobs.runtime import harness

        return harness.main(verb_of(name), words[1:])
    except KeyboardInterrupt:  # before the job began
        return 130


if __name__ == "__main__":
    sys.exit(main())
