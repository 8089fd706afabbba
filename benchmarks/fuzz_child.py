"""The bounded process of benchmarks/fuzz.py: reads what it is told to, and says what became of it."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from peace.config import load_config
from peace.core.errors import DataError
from peace.data.cohorts.manifest import manifest_table
from peace.data.cohorts.outcome import index_tree
from peace.data.labels import load_label_set
from peace.data.shards import Recipe, build_part
from peace.data.shards.codec import decode_signals
from peace.data.signal import REASONS, wfdb_fallback

MEGABYTES = 256  # that a damaged file may cost above what a sound one takes
MOST_RECORDS = 20

PLACE = Path(sys.argv[1]).resolve()
CODE = tuple({os.path.realpath(path) for path in (sys.prefix, sys.base_prefix, str(Path(__file__).parents[1]))})
HEADERS = os.path.join(os.path.realpath(tempfile.gettempdir()), wfdb_fallback.PREFIX)  # links in there are resolved
CONFIG = load_config("paper", None, ["leads.require=9"])
LABELS = load_label_set("peace12")
RECIPE = Recipe(CONFIG.signal, CONFIG.leads, CONFIG.quality)

watching = False
outside: list[str] = []


def watch(event: str, args: tuple[Any, ...]) -> None:
    """Note each file that Python opens out of the tree, the run's output and the code."""
    if event != "open" or not watching or not isinstance(args[0], (str, bytes)):
        return
    name, flags = os.fsdecode(args[0]), args[2] if isinstance(args[2], int) else 0
    path = os.path.realpath(name)
    if flags & os.O_NOFOLLOW:  # a link would not have been opened
        path = os.path.join(os.path.realpath(os.path.dirname(name)), os.path.basename(name))
    if not path.startswith((f"{PLACE}/root/", f"{PLACE}/out/", HEADERS, *(f"{code}/" for code in CODE))):
        outside.append(path)


def build(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows through build_part: outcome, reasons, and the digest of a single record's samples."""
    done = build_part("part", "train", rows, list(range(len(rows))), RECIPE, PLACE / "out")
    reasons = Counter(reject["reason"] for reject in done["rejects"])
    if done["kept"] + len(done["rejects"]) != len(rows):
        return {
            "outcome": "finding: records are lost",
            "detail": f"{done['kept']} kept of {len(rows)}",
            "reasons": reasons,
        }
    odd = [reject for reject in done["rejects"] if reject["reason"] not in REASONS or not reject["detail"]]
    if odd or reasons["unexpected_error"]:
        wrong = odd or [reject for reject in done["rejects"] if reject["reason"] == "unexpected_error"]
        return {"outcome": "finding: unexpected error", "detail": str(wrong[0]), "reasons": reasons}
    answer: dict[str, Any] = {"outcome": "kept" if done["kept"] else "rejected", "reasons": reasons}
    if len(rows) == 1 and done["kept"]:
        table = pq.read_table(PLACE / "out" / "shards" / "train" / "part.parquet")
        signal = decode_signals(table["signal"].combine_chunks(), (12, 5000))
        if signal.shape != (1, 12, 5000) or signal.dtype != np.int16:
            return {"outcome": "finding: shape", "detail": f"{signal.shape} {signal.dtype}"}
        answer["signal"] = hashlib.sha256(signal.tobytes()).hexdigest()
    return answer


def record(path: Path) -> dict[str, Any]:
    row = {"record_id": "r", "patient_id": "p", "cohort": "ptbxl", "path": str(path), "age_days": 4000, "sex": None,
           "n_leads": 12, "labels": ["NORM"], "split": "train"}  # fmt: skip
    return build([row])


def tree(cohort: str) -> dict[str, Any]:
    """A tree through the index, and what the index keeps through build_part."""
    root = PLACE / "root" / "tree"
    try:
        outcome = index_tree(cohort, root, LABELS, CONFIG)
    except DataError as error:
        lines = str(error).splitlines()
        sound = len(lines) == 1 and str(root) in lines[0]
        return {"outcome": "refused" if sound else "finding: message", "detail": str(error)[:300]}
    rows = manifest_table(outcome.index, LABELS.labels, outcome.split).to_pylist()
    left_out = Counter(str(row["excluded"]) for row in rows if row["excluded"])
    account = outcome.account
    if account.kept + sum(account.left_out.values()) != account.whole or len(rows) != account.whole:
        return {"outcome": "finding: rows are lost", "detail": str(account)[:300]}
    chosen = [{**row, "split": "train"} for row in rows if not row["excluded"]][:MOST_RECORDS]
    if not chosen:
        refused = outcome.refusal is not None and len(outcome.refusal.splitlines()) == 1
        return {"outcome": "rejected" if refused else "finding: nothing kept, and no refusal", "reasons": left_out}
    answer = build(chosen)
    return {**answer, "reasons": answer["reasons"] + left_out}


def answer_to(job: dict[str, Any]) -> dict[str, Any]:
    """Do a job under watch; anything that comes out other than as it should is a finding."""
    global watching
    shutil.rmtree(PLACE / "out", ignore_errors=True)
    outside.clear()
    Path("/proc/self/clear_refs").write_text("5")  # the peak of memory starts anew
    before, started = peak_mb(), time.perf_counter()
    watching = job["watched"]
    try:
        answer = record(PLACE / job["record"]) if "record" in job else tree(job["cohort"])
    except BaseException as error:
        answer = {"outcome": "finding: raised", "detail": f"{type(error).__name__}: {error}"[:300]}
    finally:
        watching = False
    answer |= {"seconds": round(time.perf_counter() - started, 3), "mb": round(peak_mb() - before, 1)}
    if outside:
        answer |= {"outcome": "finding: outside", "detail": ", ".join(outside[:3])}
    elif answer["mb"] > MEGABYTES:
        answer |= {"outcome": "finding: memory", "detail": f"{answer['mb']} MB"}
    return answer


def peak_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # nothing but answers on stdout
    sys.addaudithook(watch)
    for name in sorted(path.name for path in (PLACE / "records").iterdir()):
        record(PLACE / "records" / name / "r")  # compiled and imported, before memory is bounded
        shutil.rmtree(PLACE / "out")
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (MEGABYTES + 512) * 2**20,) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**30, 2**30))
    print("{}", file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer_to(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
