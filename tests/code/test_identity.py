"""What makes a run another run: every key that changes its outcome, and none of those that do not."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence

import pytest

from jobs import adapt, pretrain
from jobs.runtime.harness import Verb, run_identity
from peace.config import load_config


def identity(verb: Verb, overrides: Sequence[str]) -> str:
    """Of a call of the verb on the same data."""
    same_data = dataclasses.replace(verb, identity=lambda args: None)
    return run_identity(same_data, argparse.Namespace(), load_config("debug", overrides=list(overrides)))[0]


MATTERS = ["seed=1", "objective.gate.gamma=2", "objective.method=ecg_only", "objective.contrastive_weight=0"]
OF_PRETRAINING = [
    "pretrain.epochs=3",
    "pretrain.batch_size=8",
    "pretrain.learning_rate=2e-3",
    "pretrain.precision=bf16",
]
OF_PRETRAINING += ["pretrain.augment.gain=0.1", "model.width=64", "model.encoder.norm=group", "model.query.dropout=0"]
OF_ADAPTATION = ["adapt.epochs=3", "adapt.shots=7", "adapt.protocol=few-shot", "adapt.calibrate_amplitude=false"]
OF_NO_TRAINING = ["ray.workers=2", "ray.max_failures=9", "ray.storage=/elsewhere", "ray.keep_last=9", "ray.keep_best=3"]
OF_NO_TRAINING += ["ray.checkpoint_minutes=1", "ray.grace_seconds=1", "ray.address=there:1", "tracking.enabled=false"]
OF_NO_TRAINING += ["tracking.experiment=other", "evaluation.bootstrap=10", "report.strips=9", "fetch.parallel=2"]


@pytest.mark.parametrize(
    ("verb", "matters", "does_not"),
    [
        (pretrain.VERB, [*MATTERS, *OF_PRETRAINING], [*OF_NO_TRAINING, *OF_ADAPTATION]),
        # the network of an adaptation is that of its start weights, which are among its inputs
        (adapt.VERB, [*MATTERS, *OF_ADAPTATION], [*OF_NO_TRAINING, *OF_PRETRAINING]),
    ],
)
def test_a_changed_key_that_matters_makes_another_run(verb: Verb, matters: list[str], does_not: list[str]) -> None:
    plain = identity(verb, [])
    assert plain == identity(verb, [])
    found = [identity(verb, [key]) for key in matters]
    assert len({plain, *found}) == 1 + len(matters)
    assert [key for key in does_not if identity(verb, [key]) != plain] == []
