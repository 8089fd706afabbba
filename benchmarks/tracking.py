"""How fast do several processes log at once, and is anything lost? On sqlite, through a server, and over PostgreSQL.

    python benchmarks/tracking.py                        8 writers, sqlite and a server over sqlite
    python benchmarks/tracking.py --postgres             a PostgreSQL of its own as well, from Debian's packages
    python benchmarks/tracking.py --writers 16 --json tracking.json

Each writer is a job of its own that logs STEPS times five numbers, as a training does, with no pause between. The
baseline is the same through MLflow's client alone, a call for each number, without journal and retries.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from mlflow_server import mlflow_server
from postgres_server import postgres_server

NUMBERS = 5
OURS = """
import sys, time
from pathlib import Path
from jobs.tracking.run import open_run
from peace.config import build_config
uri, out, steps, gate = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
out.mkdir(parents=True)
run = open_run(build_config({"tracking": {"uri": uri}}), out, "pretrain", None, True)
print("ready", flush=True)
while not gate.exists():
    time.sleep(0.01)
began = time.perf_counter()
for step in range(steps):
    run.metrics({f"loss_{n}": step / (n + 1) for n in range(5)}, step=step)
spent = time.perf_counter() - began
run.__exit__(None, None, None)
print(run.run_id, spent, time.perf_counter() - began)
"""
PLAIN = """
import sys, time
from pathlib import Path
from jobs.tracking.store import connect, experiment_id
uri, out, steps, gate = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
client = connect(uri)
run_id = client.create_run(experiment_id(client, "peace", uri)).info.run_id
print("ready", flush=True)
while not gate.exists():
    time.sleep(0.01)
began = time.perf_counter()
for step in range(steps):
    for n in range(5):
        try:
            client.log_metric(run_id, f"loss_{n}", step / (n + 1), step=step)
        except Exception:
            pass
spent = time.perf_counter() - began
print(run_id, spent, spent)
"""


def measure(script: str, uri: str, place: Path, writers: int, steps: int) -> dict[str, Any]:
    """Numbers a second of all writers together, seconds that a step waited, and how many numbers are missing."""
    from mlflow import MlflowClient

    gate = place / "go"
    commands = [
        [sys.executable, "-c", script, uri, str(place / f"job{number}"), str(steps), str(gate)]
        for number in range(writers)
    ]
    place.mkdir(parents=True)
    jobs = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for command in commands
    ]
    for job in jobs:
        assert job.stdout is not None
        job.stdout.readline()
    began = time.perf_counter()
    gate.touch()
    said = [job.communicate()[0].split() for job in jobs]
    seconds = time.perf_counter() - began
    client = MlflowClient(tracking_uri=uri)
    wrong = 0
    for run_id, _, _ in said:
        for number in range(NUMBERS):
            found = sorted(entry.step for entry in client.get_metric_history(run_id, f"loss_{number}"))
            wrong += len(set(range(steps)) ^ set(found)) + len(found) - len(set(found))
    return {
        "numbers_per_second": writers * steps * NUMBERS / seconds,
        "step_milliseconds": 1000 * max(float(spent) for _, spent, _ in said) / steps,
        "lost_or_twice": wrong,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--alone-steps", type=int, default=20, help="of the baseline; 0 leaves it out")
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    found: dict[str, Any] = {"writers": args.writers}
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="peace-tracking-")))
        stores = {"sqlite": f"sqlite:///{place / 'mlflow.db'}"}
        stores["server over sqlite"] = stack.enter_context(mlflow_server(place / "server", workers=2)).uri
        if args.postgres:
            store = stack.enter_context(postgres_server())
            server = stack.enter_context(mlflow_server(place / "server-postgres", store, workers=2))
            stores["server over PostgreSQL"] = server.uri
        for name, uri in stores.items():
            ours = measure(OURS, uri, place / f"ours-{name}", args.writers, args.steps)
            found[name] = {"ours": ours}
            _say(f"{name}, ours", ours)
            if args.alone_steps:
                alone = measure(PLAIN, uri, place / f"alone-{name}", args.writers, args.alone_steps)
                found[name] |= {"mlflow alone": alone}
                _say(f"{name}, MLflow's client alone", alone)
                ratio = ours["numbers_per_second"] / alone["numbers_per_second"]
                print(f"{name}: {ratio:.1f} times the numbers a second", flush=True)
    if args.json:
        args.json.write_text(json.dumps(found, indent=2))


def _say(what: str, values: dict[str, Any]) -> None:
    print(what, {key: round(value, 3) for key, value in values.items()}, flush=True)


if __name__ == "__main__":
    main()
