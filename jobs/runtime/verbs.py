"""The verbs of `peace`: their names, what each is for, and how its module is found."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

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
