"""`peace promote`: a candidate takes the champion's place if it passes the gate.

peace promote peace12 --candidate 3 --to champion --shards runs/zzu-shards
peace promote peace12 --candidate candidate --predictions new/predictions.parquet old/predictions.parquet

Both models score the same test records: those of the shards' test split, or those of the two files, candidate first.
Exit code 0 where it was promoted, 3 where the gate or another promotion refused, 2 for a mistake.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.registry.champions import REFUSED
from jobs.runtime.harness import Job, Table, Verb, main
from peace.core.errors import ConfigError, DataError
from peace.core.files import file_digest, write_json
from peace.core.storage import to_path

if TYPE_CHECKING:
    from jobs.registry.champions import PromotionLog
    from peace.evaluation.gate import Decision
    from peace.evaluation.predictions import Predictions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument("name", help="of the registered model")
    parser.add_argument("--candidate", default="candidate", metavar="V", help="version or alias; default: candidate")
    parser.add_argument("--to", default="champion", metavar="ALIAS", help="the alias to give; default: champion")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--shards", type=to_path, metavar="DIR", help="score both models on the test split of these")
    source.add_argument(
        "--predictions",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="predictions.parquet of the candidate, then of the champion where there is one",
    )
    parser.add_argument("--force", metavar="REASON", help="promote whatever the gate says; the reason is recorded")


def identity(args: argparse.Namespace) -> dict[str, Any]:
    """What is asked, of which data."""
    from peace.data.shards import ShardSet

    data = (
        [file_digest(path) for path in args.predictions if path.is_file()]
        if args.predictions
        else ShardSet.open(args.shards).digest
    )
    return {"name": args.name, "candidate": args.candidate, "to": args.to, "data": data, "force": args.force}


def work(job: Job) -> dict[str, Any]:
    """Score, judge, record the decision, and only then change the alias."""
    from jobs.registry.champions import PromotionLog
    from jobs.registry.client import check_names, registry_client, resolve, write_description

    args = job.args
    if args.force is not None and not args.force.strip():
        raise ConfigError("--force wants the reason, in words")
    check_names(args.name, args.to)
    client = registry_client(job)
    champions = PromotionLog(client, args.name, args.to)
    candidate = resolve(client, args.name, args.candidate)
    champions.reconcile()
    after, champion = len(champions.changes()), champions.current()
    if champion == candidate:
        write_description(client, champions)
        return _unchanged(args, candidate)
    decision, notes = _judged(job, *_both(job, candidate, champion))
    _record(job, decision, notes, candidate, champion)
    outcome = {"promoted": False, "reasons": list(decision.reasons)}
    if decision.passed or args.force:
        outcome = _claim(job, champions, decision, candidate, champion, after)
    result = {
        "name": args.name,
        "alias": args.to,
        "candidate": {"version": int(candidate), **decision.candidate},
        "champion": None if champion is None else {"version": int(champion), **(decision.champion or {})},
        **outcome,
        "passed": decision.passed,
        "forced": args.force if outcome["promoted"] and not decision.passed else None,
        "difference": _difference(decision),
        "test": decision.test,
        "not_judged": list(decision.not_judged),
        "notes": notes,
        "checks": decision.as_json()["checks"],
    }
    _finish(job, result)
    job.run.flush()  # the page below names this run
    write_description(client, champions)
    return result


def _both(job: Job, candidate: str, champion: str | None) -> tuple[Predictions, Predictions | None]:
    """Test predictions of the candidate and of the champion."""
    from peace.evaluation.predictions import read_predictions

    if job.args.predictions:
        wanted = 1 if champion is None else 2
        if len(job.args.predictions) != wanted:
            there = "there is no champion yet" if champion is None else f"the champion is version {champion}"
            raise ConfigError(f"--predictions wants {wanted} file{'s' * (wanted - 1)}: {there}")
        files = list(job.args.predictions)
    else:
        files = _score(job, [version for version in (candidate, champion) if version is not None])
    for role, path in zip(("candidate", "champion"), files, strict=False):
        job.run.dataset(f"{role}-predictions", file_digest(path), str(path), context="test")
    read = [read_predictions(path).where("test") for path in files]
    return read[0], read[1] if len(read) > 1 else None


def _score(job: Job, versions: list[str]) -> list[Path]:
    """Predictions of registered versions on the shards' test split, one file each."""
    from jobs.registry.client import fetch_checkpoint
    from jobs.runtime.ray_session import ray_session
    from jobs.training.scoring import score_on_ray, write_predictions
    from peace.data.shards import ShardSet
    from peace.training.plan import check_fits

    shards = ShardSet.open(job.args.shards)
    if not shards.splits.get("test"):
        raise DataError(f"{job.args.shards} has no test split: there is nothing to judge by")
    job.run.dataset("test-shards", shards.digest, str(job.args.shards), context="test")
    files = []
    with tempfile.TemporaryDirectory(prefix="peace-models-") as folder, ray_session(job.config.ray):
        for version in versions:
            checkpoint = fetch_checkpoint(f"models:/{job.args.name}/{version}", job.config, Path(folder) / version)
            check_fits(checkpoint, shards)
            scores = score_on_ray(checkpoint, shards.path, ("test",), job.config.ray)
            files.append(job.out / f"version-{version}.parquet")
            write_predictions(files[-1], scores, shards.labels)
    return files


def _judged(job: Job, candidate: Predictions, champion: Predictions | None) -> tuple[Decision, list[str]]:
    from peace.evaluation.gate import judge

    gate, evaluation = job.config.promotion, job.config.evaluation
    if not evaluation.bootstrap:
        raise ConfigError("evaluation.bootstrap=0 leaves no interval to judge by")
    notes = [] if candidate.by_patient else ["no patients are named: intervals resample records and are too narrow"]
    try:
        return judge(candidate, champion, gate, evaluation), notes
    except DataError as error:
        if champion is None or not job.args.force:
            raise
        return judge(candidate, None, gate, evaluation), [*notes, f"not compared with the champion: {error}"]


def _record(job: Job, decision: Decision, notes: list[str], candidate: str, champion: str | None) -> None:
    """Put the decision, its page and figures into MLflow; raises DataError where they do not arrive there."""
    from peace.evaluation.gate_report import write_gate_report

    write_json(job.out / "promotion.json", {"notes": notes, **decision.as_json()})
    title = f"{job.args.name}: may version {candidate} be {job.args.to}?"
    report, figures = write_gate_report(job.out, title, decision, notes, champion, job.args.force)
    found = decision.difference
    job.run.metrics(
        {"candidate/macro_auc": decision.candidate["macro_auc"], "candidate/ece": decision.candidate["ece"]}
    )
    if decision.champion:
        job.run.metrics(
            {"champion/macro_auc": decision.champion["macro_auc"], "champion/ece": decision.champion["ece"]}
        )
    if found:
        job.run.metrics({"difference": found.difference, "difference_low": found.low, "difference_high": found.high})
    for path in (job.out / "promotion.json", report):
        job.run.artifact(path)
    for path in figures:
        job.run.artifact(path, "figures")
    if not job.run.flush():
        raise DataError("the decision could not be recorded in MLflow, so nothing was changed: run it again")


def _claim(
    job: Job, champions: PromotionLog, decision: Decision, candidate: str, champion: str | None, after: int
) -> dict[str, Any]:
    """Enter the change and carry it out, unless the champion is another one by now."""
    why = _why(decision) if decision.passed else f"forced: {job.args.force} ({len(decision.reasons)} checks failed)"
    change = None
    if champions.current() == champion:
        change = champions.enter(after, "promote", candidate, champion, why, str(job.run.run_id))
    champions.reconcile()
    if change is None:
        now = champions.current()
        late = (
            f"version {now} was made {job.args.to} while this one was judged against {_named(champion)}: judge it anew"
        )
        return {"promoted": False, "reasons": [late]}
    return {
        "promoted": True,
        "reasons": [f"forced: {job.args.force}"] if not decision.passed else list(decision.reasons),
    }


def _why(decision: Decision) -> str:
    test = f"on {decision.test['records']} test records"
    if decision.difference is None:
        macro = decision.candidate
        return f"first champion: macro AUC {macro['macro_auc']:.3f} {test}, all {len(decision.checks)} checks passed"
    found = decision.difference
    gain = f"macro AUC {found.difference:+.4f} ({found.low:+.4f} to {found.high:+.4f}) {test}"
    return f"{gain}, all {len(decision.checks)} checks passed"


def _finish(job: Job, result: dict[str, Any]) -> None:
    """The outcome, beside the decision; tags lead from the version to this run and back."""
    from jobs.registry.champions import LEDGER_TAG
    from jobs.registry.client import registry_client

    client = registry_client(job)
    version, name = str(result["candidate"]["version"]), result["name"]
    words = "promoted" if result["promoted"] else "refused"
    job.run.tags(
        {
            "mlflow.runName": f"promote {name} version {version}: {words}",
            "mlflow.parentRunId": client.get_registered_model(name).tags[LEDGER_TAG],
            "peace.model": name,
            "peace.candidate": version,
            "peace.promoted": result["promoted"],
            "peace.reasons": "; ".join(result["reasons"]),
            "peace.test_digest": result["test"]["digest"],
        }
    )
    write_json(job.out / "promotion.json", result)
    job.run.artifact(job.out / "promotion.json")
    client.set_model_version_tag(name, version, f"peace.{result['alias']}.judged", f"{words}, run {job.run.run_id}")
    client.set_model_version_tag(name, version, "peace.test_digest", result["test"]["digest"])


def _unchanged(args: argparse.Namespace, version: str) -> dict[str, Any]:
    return {
        "name": args.name,
        "alias": args.to,
        "candidate": {"version": int(version)},
        "champion": {"version": int(version)},
        "promoted": True,
        "reasons": [f"version {version} is {args.to} already: nothing was changed"],
        "difference": None,
        "checks": [],
    }


def _difference(decision: Decision) -> dict[str, float] | None:
    found = decision.difference
    return None if found is None else {"macro_auc": found.difference, "low": found.low, "high": found.high}


def _named(version: str | None) -> str:
    return "none" if version is None else f"version {version}"


def tables(result: dict[str, Any]) -> list[Table]:
    """What a person reads at the end."""
    verdict = f"{result['name']} version {result['candidate']['version']}"
    verdict += f": {'is' if result['promoted'] else 'is NOT made'} {result['alias']}"
    rows = [(check["words"], "passed" if check["passed"] else "FAILED") for check in result["checks"]]
    rows += [(text, "not judged") for text in result.get("not_judged", ())]
    found = [Table("The gate", ("check", ""), rows)] if rows else []
    return [*found, Table(verdict, ("because",), [(reason,) for reason in result["reasons"]])]


VERB = Verb(
    name="promote",
    summary="Make a registered version champion, if it passes a gate against the present one.",
    add_arguments=add_arguments,
    work=work,
    tables=tables,
    sections=("promotion", "evaluation"),
    settings=("ray",),
    identity=identity,
    final=False,
    keeps_run=False,
    exit_code=lambda result: 0 if result["promoted"] else REFUSED,
)

if __name__ == "__main__":
    sys.exit(main(VERB))
