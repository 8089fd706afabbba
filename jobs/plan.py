"""`peace plan`: what a run takes before it is started: stages, shards, memory, disk, time and price.

    peace plan --records 483051 --workers 8 --gpu h100

Each number rests on rates that are labelled measured or assumed; a plan that does not fit is refused.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import Any

from jobs.runtime.harness import Job, Table, Verb, main

READ = (
    *("signal.rate", "signal.seconds", "split.ratios", "preprocess.shard_mb", "preprocess.min_tasks"),
    *("model", "pretrain", "ray.in_memory_mb"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument("--records", type=int, required=True, metavar="N", help="recordings that index keeps")
    parser.add_argument("--workers", type=int, default=1, metavar="W", help="training workers (nodes, or GPUs)")
    parser.add_argument("--gpu", default="cpu", metavar="KIND", help="h200, h100, a100, l40s, a10g, l4, t4 or cpu")
    parser.add_argument("--cores", type=int, default=8, metavar="N", help="cores a worker (default 8)")
    parser.add_argument("--memory-gb", type=float, default=64.0, metavar="GB", help="memory a worker (default 64)")
    parser.add_argument(
        "--object-store-gb", type=float, metavar="GB", help="Ray's object store a worker; default 30 %% of its memory"
    )
    parser.add_argument("--disk-gb", type=float, default=1000.0, metavar="GB", help="the shared disk (default 1000)")
    parser.add_argument(
        "--network-gbit", type=float, metavar="G", help="between workers; default 400 within a node of 8 GPUs, else 25"
    )
    parser.add_argument("--price", type=float, metavar="DOLLARS", help="an hour of the cluster; default: list prices")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")


def work(job: Job) -> dict[str, Any]:
    """Reckon. Raises DataError where the plan does not fit."""
    from peace.planning import Cluster, plan, usual_network

    args = job.args
    store = 0.3 * args.memory_gb if args.object_store_gb is None else args.object_store_gb
    gpu = args.gpu.lower()
    network = args.network_gbit or usual_network(gpu, args.workers)
    cluster = Cluster(args.workers, gpu, args.cores, args.memory_gb, store, args.disk_gb, network, args.price)
    made = plan(args.records, cluster, job.config)
    used = {rate: None for stage in made.stages for rate in stage.rests_on}
    return {
        "records": made.records,
        "cluster": {**asdict(cluster), "dollars_per_hour": cluster.price},
        "price_basis": "given" if args.price is not None else "assumed",
        "shards": made.shards,
        "bytes_per_record": round(made.record_bytes),
        "model": {"gflop_per_sample": round(made.model.gflop, 3), "trained_weights": round(made.model.weights)},
        "stages": [
            {"stage": stage.name, "seconds": round(stage.seconds, 1), "limit": stage.limit, "basis": stage.basis}
            for stage in made.stages
        ],
        "total_seconds": round(made.seconds, 1),
        "gigabytes": {name: round(value, 3) for name, value in made.needs.items()},
        "dollars": round(made.dollars, 2),
        "warnings": made.warnings,
        "rates": [asdict(rate) for rate in used],
    }


def tables(result: dict[str, Any]) -> list[Table]:
    """Stages, space, and what it all rests on."""
    cluster = result["cluster"]
    title = f"{result['records']:,} records on {cluster['workers']} workers ({cluster['gpu']})"
    title += f": {_time(result['total_seconds'])}, {result['dollars']:,.0f} dollars (price {result['price_basis']})"
    title += "".join(f"\nwarning: {text}" for text in result["warnings"])
    stages = [(item["stage"], _time(item["seconds"]), item["limit"], item["basis"]) for item in result["stages"]]
    space = [(name, f"{value:,.1f} GB") for name, value in result["gigabytes"].items()]
    space.insert(0, ("shards, number", f"{result['shards']:,}"))
    model = result["model"]
    counted = f"{model['gflop_per_sample']:,g} GFLOP a sample, {model['trained_weights'] / 1e6:,.1f} million weights"
    rests = [(counted, "counted", "on the model of this configuration: encoder and query network, both ways")]
    rests += [(f"{rate['value']:,g} {rate['unit']}", rate["basis"], rate["source"]) for rate in result["rates"]]
    return [
        Table(title, ("stage", "time", "limited by", "rates"), stages),
        Table("Space", ("", ""), space),
        Table("What it rests on", ("rate", "", "source"), rests),
    ]


def _time(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{seconds:.0f} s" if seconds < 120 else f"{minutes:.0f} min" if minutes < 120 else f"{hours:.1f} h"


VERB = Verb(
    name="plan",
    summary="What a run takes before it is started: stages, memory, disk, time, price. Refuses what does not fit.",
    add_arguments=add_arguments,
    work=work,
    tables=tables,
    sections=(),
    settings=READ,
    final=False,
    tracked=False,
    keeps_run=False,
    preset="paper",
)

if __name__ == "__main__":
    sys.exit(main(VERB))
