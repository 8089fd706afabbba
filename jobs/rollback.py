"""`peace rollback`: put the previous champion back, at once and without a gate.

peace rollback peace12 --reason "too many false alarms for LQTS on the ward's new recorder"
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from jobs.registry.champions import REFUSED
from jobs.runtime.harness import Job, Table, Verb, main
from peace.core.errors import DataError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument("name", help="of the registered model")
    parser.add_argument("--to", default="champion", metavar="ALIAS", help="the alias in question; default: champion")
    parser.add_argument("--reason", default="no reason given", help="why, for the record")


def work(job: Job) -> dict[str, Any]:
    """Enter the change in the ledger and move the alias."""
    from jobs.registry.champions import LEDGER_TAG, PromotionLog
    from jobs.registry.client import check_names, registry_client, write_description

    args = job.args
    check_names(args.name, args.to)
    client = registry_client(job)
    champions = PromotionLog(client, args.name, args.to)
    champions.reconcile()
    after, current, target = len(champions.changes()), champions.current(), champions.previous()
    if current is None or target is None:
        raise DataError(f"'{args.name}' has no earlier {args.to} to go back to")
    why = f"rolled back from version {current}: {args.reason}"
    change = champions.enter(after, "rollback", target, current, why, str(job.run.run_id))
    champions.reconcile()
    outcome = why if change else f"version {champions.current()} was made {args.to} at the same moment: look first"
    job.run.tags(
        {
            "mlflow.runName": f"rollback {args.name} to version {target}" + ("" if change else ": too late"),
            "mlflow.parentRunId": client.get_registered_model(args.name).tags[LEDGER_TAG],
            "peace.model": args.name,
            "peace.reasons": outcome,
        }
    )
    job.run.flush()  # the page below names this run
    write_description(client, champions)
    return {
        "name": args.name,
        "alias": args.to,
        "rolled_back": change is not None,
        "version": int(champions.current() or 0),
        "from_version": int(current),
        "reasons": [outcome],
    }


def tables(result: dict[str, Any]) -> list[Table]:
    """What a person reads at the end."""
    title = f"{result['name']}: version {result['version']} is {result['alias']}"
    return [Table(title, ("because",), [(reason,) for reason in result["reasons"]])]


VERB = Verb(
    name="rollback",
    summary="Put the previous champion of a registered model back.",
    add_arguments=add_arguments,
    work=work,
    tables=tables,
    sections=(),
    identity=lambda args: {"name": args.name, "to": args.to, "reason": args.reason},
    final=False,
    keeps_run=False,
    exit_code=lambda result: 0 if result["rolled_back"] else REFUSED,
)

if __name__ == "__main__":
    sys.exit(main(VERB))
