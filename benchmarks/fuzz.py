"""Fuzz: damaged recordings and tables through the code that reads them, in a child process with bounds.

    python benchmarks/fuzz.py --mutations 2000 --seed 1 --json fuzz.json

Each mutation goes through `index_tree` and `build_part`, as in `peace index` and `peace preprocess`. It must end kept,
rejected with a reason, or (a table) in one line of DataError; without a crash, with every row accounted for, never as
a success that keeps nothing, within SECONDS and MEGABYTES (see fuzz_child.py), and without a file opened outside the
tree. What does not is a finding, printed with its number (--only NUMBER makes it again). Now and then an undamaged
record goes through, and must come out bit for bit. Some mutations are writings that mean something (fuzz_writings.py):
what vendors, editors and spreadsheets make of sound files. Exit
code 1 where there are findings.
"""

from __future__ import annotations

import argparse
import json
import random
import select
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from fuzz_records import RECORDS
from fuzz_tables import TABLES
from fuzz_templates import write_templates, write_trees
from fuzz_writings import RECORD_WRITINGS, TABLE_WRITINGS

RECORDS, TABLES = {**RECORDS, **RECORD_WRITINGS}, {**TABLES, **TABLE_WRITINGS}
SECONDS = 10.0
CONTROL_EVERY = 50
TABLE_SHARE = 0.25
COHORT_TABLES = {
    "ptbxl": ("ptbxl_database.csv", "scp_statements.csv"),
    "mimic": ("record_list.csv", "machine_measurements.csv"),
    "zzu": ("AttributesDictionary.csv", "ECGCode.csv"),
}


class Fuzz:
    """The mutations of a seed, one after the other, in a folder of their own."""

    def __init__(self, place: Path, seed: int) -> None:
        self.path, self.seed = place, seed
        self.templates = write_templates(place / "records", seed=0)
        write_templates(place / "canaries", seed=1)
        write_trees(place / "trees")
        (place / "templates").mkdir()  # what `swapped` takes: other records' files under the name r
        for name in self.templates:
            for ending in (".hea", ".dat"):
                shutil.copy(place / "records" / name / f"r{ending}", place / "templates" / f"{name}{ending}")
        (place / "outside").mkdir()
        self.child: Child | None = None
        self.sound: dict[str, str] = {}
        self.canaries: dict[str, str] = {}

    def mutation(self, number: int) -> dict[str, Any]:
        """Kind, what it was done to, and what became of it."""
        chance = random.Random(f"{self.seed} {number}")
        shutil.rmtree(self.path / "root", ignore_errors=True)
        if number % CONTROL_EVERY == 0:
            return self._control(chance)
        if chance.random() < TABLE_SHARE:
            cohort = chance.choice(sorted(COHORT_TABLES))
            table = chance.choice(COHORT_TABLES[cohort])
            kind = chance.choice(sorted(TABLES))
            self._outside("ptbxl")
            shutil.copytree(self.path / "trees" / cohort, self.path / "root" / "tree")
            TABLES[kind](chance, self.path / "root" / "tree" / table)
            return {"kind": kind, "of": f"{cohort} {table}", **self._ask({"cohort": cohort})}
        template = chance.choice(self.templates)
        kind = chance.choice(sorted(RECORDS))
        self._record(template)
        RECORDS[kind](chance, self.path / "root" / "rec")
        answer = self._ask({"record": "root/rec/r"})
        if "signal" in answer and answer["signal"] == self._canary(template):
            answer = {"outcome": "finding: outside", "detail": "the samples are those of a file outside the tree"}
        return {"kind": kind, "of": template, **answer}

    def close(self) -> None:
        """End the child."""
        if self.child is not None:
            self.child.kill()

    def _control(self, chance: random.Random) -> dict[str, Any]:
        template = chance.choice(self.templates)
        self._record(template)
        answer = self._ask({"record": "root/rec/r"})
        if answer["outcome"] != "kept" or self.sound.setdefault(template, answer["signal"]) != answer["signal"]:
            answer = {**answer, "outcome": "finding: undamaged record differs", "detail": str(answer)}
        return {"kind": "nothing: undamaged", "of": template, **answer}

    def _record(self, template: str) -> None:
        shutil.copytree(self.path / "records" / template, self.path / "root" / "rec")
        self._outside(template)

    def _outside(self, template: str) -> None:
        """A readable record outside the tree, of the same shape and with other noise in its samples."""
        for path in (self.path / "canaries" / template).iterdir():
            (self.path / "outside" / f"canary{path.name[1:]}").write_bytes(path.read_bytes())

    def _canary(self, template: str) -> str:
        if template not in self.canaries:
            self.canaries[template] = self._ask({"record": f"canaries/{template}/r"}, watched=False)["signal"]
        return self.canaries[template]

    def _ask(self, job: dict[str, Any], watched: bool = True) -> dict[str, Any]:
        if self.child is None:
            self.child = Child(self.path)
        answer = self.child.ask({**job, "watched": watched})
        if answer["outcome"] in ("finding: crash", "finding: hang"):
            self.child.kill()
            self.child = None
        return answer


class Child:
    """The process that reads what is damaged."""

    def __init__(self, place: Path) -> None:
        command = [sys.executable, str(Path(__file__).with_name("fuzz_child.py")), str(place)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        if self._answer(120) is None:
            raise SystemExit("the child does not start: run benchmarks/fuzz_child.py by hand")

    def ask(self, job: dict[str, Any]) -> dict[str, Any]:
        """Send a job and wait for its answer, no longer than SECONDS."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(job).encode() + b"\n")
        self.process.stdin.flush()
        answer = self._answer(SECONDS)
        if answer is not None:
            return answer
        if self.process.poll() is None:
            return {"outcome": "finding: hang", "detail": f"no end after {SECONDS:g} s"}
        return {"outcome": "finding: crash", "detail": f"exit code {self.process.returncode}"}

    def _answer(self, seconds: float) -> dict[str, Any] | None:
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            return None
        line = self.process.stdout.readline()
        if not line:
            self.process.wait(5)
            return None
        return dict(json.loads(line))

    def kill(self) -> None:
        """End it, whatever it is at."""
        self.process.kill()
        self.process.wait()


def show(tally: Counter[tuple[str, str]]) -> None:
    """The table of mutation kind by outcome."""
    kinds = sorted({kind for kind, _ in tally})
    width = max(map(len, kinds))
    print(f"\n{'mutation':<{width}}  {'n':>5} {'kept':>6} {'left out':>9} {'refused':>8} {'finding':>8}")
    for kind in [*kinds, "all"]:
        total: Counter[str] = Counter()
        for (of, outcome), n in tally.items():
            if kind in (of, "all"):
                total[outcome.partition(":")[0]] += n
        cells = (sum(total.values()), total["kept"], total["rejected"], total["refused"], total["finding"])
        print(f"{kind:<{width}}  {cells[0]:>5} {cells[1]:>6} {cells[2]:>9} {cells[3]:>8} {cells[4]:>8}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Damaged recordings and tables through the reading code")
    parser.add_argument("--mutations", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="this mutation alone, and keep its folder")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="peace-fuzz-"))
    fuzz = Fuzz(place, args.seed)
    tally: Counter[tuple[str, str]] = Counter()
    reasons: Counter[str] = Counter()
    findings, peak_mb, slowest = [], 0.0, 0.0
    try:
        for number in range(args.mutations) if args.only is None else [args.only]:
            done = fuzz.mutation(number)
            tally[done["kind"], done["outcome"]] += 1
            reasons.update(done.get("reasons", {}))
            peak_mb, slowest = max(peak_mb, done.get("mb", 0.0)), max(slowest, done.get("seconds", 0.0))
            if done["outcome"].startswith("finding") or args.only is not None:
                print(f"#{number} {json.dumps(done, ensure_ascii=False)[:600]}")
                findings += [{"number": number, **done}] if done["outcome"].startswith("finding") else []
    finally:
        fuzz.close()
        if args.only is None:
            shutil.rmtree(place, ignore_errors=True)
    show(tally)
    print("\nleft out:", ", ".join(f"{reason} {n}" for reason, n in reasons.most_common()))
    print(f"slowest {slowest:.2f} s, most memory above a sound record's {peak_mb:.0f} MB, {len(findings)} findings")
    if args.json:
        counts: dict[str, Any] = {}
        for (kind, outcome), n in sorted(tally.items()):
            counts.setdefault(kind, {})[outcome] = n
        report = {"mutations": args.mutations, "seed": args.seed, "tally": counts, "reasons": dict(reasons),
                  "slowest_seconds": slowest, "peak_mb": peak_mb, "findings": findings}  # fmt: skip
        args.json.write_text(json.dumps(report, indent=2, ensure_ascii=False))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
