"""How fast records become training data, and how much memory it takes: three ways over the same MIMIC-format records.

    python benchmarks/preprocess.py               (20,000 records; about 3 GB of disk under --work)
    python benchmarks/preprocess.py --quick       (under two minutes)

plain:   the script a user would write: wfdb.rdrecord, three filtfilt, np.save.
single:  one process of ours: read, check, condition, and write compressed shards.
ray:     `peace preprocess` on Ray Data with every core, at two sizes; memory is that of the job and all it starts.

plain and single take turns in one process of one thread, half of them before ray and half after it. Their ratio is the
median of the turns' ratios, of processor time, so that what else the machine does weighs little; the lowest and the
highest turn are printed beside it. The records of ray are counted by the clock from a running Ray to the last shard:
the start of the workers and of Ray Data's own actors is in it, and taken out again in the marginal rate, which is what
more records cost. It is held against the clock of single.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
DISTINCT = 200
"""Simulated recordings; the files of all records are copies of them, each at its own place on disk."""
PRESET = ["--preset", "paper", "tracking.enabled=false"]  # 500 Hz, 10 s


def make_records(place: Path, n_records: int) -> Path:
    """Records in files of MIMIC's format and folders, every one readable, and the manifest that lists them."""
    import pandas as pd

    from peace.config import SyntheticConfig
    from peace.synthetic import synthesize

    base = place / "base"
    synthesize(base, SyntheticConfig(mimic_records=DISTINCT, zzu_records=0, ptbxl_records=0), 1)
    sources = sorted((base / "mimic").rglob("*.hea"))
    rows = []
    for number in range(n_records):
        source = sources[number % len(sources)]
        name = str(50_000_000 + number)
        folder = place / "files" / f"p{number // 1000}" / f"p{number}" / f"s{name}"
        folder.mkdir(parents=True)
        header = source.read_text(encoding="utf-8").replace(source.stem, name)
        (folder / f"{name}.hea").write_text(header, encoding="utf-8")
        shutil.copyfile(source.with_suffix(".dat"), folder / f"{name}.dat")
        rows.append(
            {
                "record_id": name, "patient_id": str(number // 3), "cohort": "mimic", "path": str(folder / name),
                "age_days": 20_000, "sex": "female", "labels": ["LVH"] if number % 5 == 0 else ["NORM"],
                "split": ("train", "val", "test")[(number // 3 % 10 == 8) + 2 * (number // 3 % 10 == 9)],
                "excluded": None,
            }
        )  # fmt: skip
    manifest = place / "manifest.parquet"
    pd.DataFrame(rows).to_parquet(manifest)
    return manifest


def plain(paths: Sequence[str], out: Path) -> None:
    """The usual script."""
    import numpy as np
    import wfdb
    from scipy.signal import butter, filtfilt, iirnotch

    high = butter(2, 0.5, "highpass", fs=500)
    low = butter(4, 100, "lowpass", fs=500)
    notch = iirnotch(60, 30, fs=500)
    out.mkdir(parents=True)
    for number, path in enumerate(paths):
        signal = np.nan_to_num(wfdb.rdrecord(path).p_signal)
        for b, a in (high, low, notch):
            signal = filtfilt(b, a, signal, axis=0)
        np.save(out / f"{number}.npy", signal[:5000].T.astype(np.float32))


def single(rows: Sequence[dict[str, Any]], out: Path) -> None:
    """What one of our workers does with a shard."""
    from peace.config import load_config
    from peace.data.shards import Recipe, build_part

    config = load_config("paper")
    recipe = Recipe(config.signal, config.leads, config.quality)
    build_part("part", "train", rows, range(len(rows)), recipe, out)


def in_turns(manifest: Path, n_plain: int, n_single: int, rounds: int, out: Path) -> list[dict[str, list[float]]]:
    """Of each turn and side: records a second of processor time, and by the clock. Each turn takes other records."""
    import pandas as pd

    table = pd.read_parquet(manifest)
    rows = [{**row, "labels": list(row["labels"])} for row in table.to_dict("records")]

    def rates(records: Sequence[dict[str, Any]], run: Callable[[], None]) -> list[float]:
        shutil.rmtree(out, ignore_errors=True)
        cpu, wall = time.process_time(), time.perf_counter()
        run()
        return [len(records) / (time.process_time() - cpu), len(records) / (time.perf_counter() - wall)]

    found = []
    for turn in range(rounds + 1):
        few, many = (_cut(rows, turn * count, count) for count in ((n_plain, n_single) if turn else (10, 20)))
        ours = rates(many, lambda many=many: single(many, out))  # type: ignore[misc]
        theirs = rates(few, lambda few=few: plain([row["path"] for row in few], out))  # type: ignore[misc]
        if turn:  # the first imports and compiles
            found.append({"plain": theirs, "single": ours})
    return found


def _cut(rows: Sequence[dict[str, Any]], start: int, count: int) -> list[dict[str, Any]]:
    """So many rows from `start`, and on from the first row after the last."""
    return [rows[index % len(rows)] for index in range(start, start + count)]


def in_a_process(*words: Any) -> list[dict[str, list[float]]]:
    """`in_turns` in a process of one thread."""
    command = [sys.executable, __file__, "--turns", *map(str, words)]
    done = subprocess.run(command, env={**os.environ, **ONE_THREAD}, check=True, stdout=subprocess.PIPE, text=True)
    found: list[dict[str, list[float]]] = json.loads(done.stdout.splitlines()[-1])
    for turn in found:
        print(", ".join(f"{side} {cpu:.0f}/s" for side, (cpu, _) in turn.items()), flush=True)
    return found


def on_ray(manifest: Path, n_records: int, out: Path) -> dict[str, float]:
    """`peace preprocess` of the first records: records a second, and the peak of memory of all its processes in MB."""
    import pandas as pd

    part = out.with_suffix(".parquet")
    pd.read_parquet(manifest)[:n_records].to_parquet(part)
    command = [sys.executable, "-m", "jobs.preprocess", "--manifest", str(part), "--out", str(out), *PRESET]
    started = time.perf_counter()
    job = subprocess.Popen(command, env={**os.environ, **ONE_THREAD}, stdout=subprocess.DEVNULL)
    peaks = [0.0]
    watch = threading.Thread(target=_watch, args=(job, peaks))
    watch.start()
    if job.wait() != 0:
        raise SystemExit(f"{' '.join(command)} ended with {job.returncode}")
    wall = time.perf_counter() - started
    watch.join()
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    if result["kept"] + sum(result["rejected"].values()) != n_records:
        raise SystemExit("some records are not accounted for")
    size = sum(file.stat().st_size for file in out.rglob("*.parquet")) / max(result["kept"], 1)
    shutil.rmtree(out)
    return {"rps": result["records_per_second"], "wall_rps": n_records / wall, "peak_mb": peaks[0], "bytes": size}


def _watch(job: subprocess.Popen[bytes], peaks: list[float]) -> None:
    """Keep the highest sum of the memory of a process and all below it (shared pages counted once, by share)."""
    while job.poll() is None:
        peaks[0] = max(peaks[0], sum(_memory_mb(pid) for pid in _family(job.pid)))
        time.sleep(0.5)


def _family(root: int) -> list[int]:
    parents: dict[int, int] = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(place.name)] = int((place / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    family = {root}
    while grown := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= grown
    return list(family)


def _memory_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def measure(work: Path, quick: bool) -> dict[str, Any]:
    """Everything, in one go."""
    n_plain, n_single, half, small, large = (60, 400, 4, 1000, 4000) if quick else (100, 800, 8, 5000, 20000)
    print(f"writing {large} records under {work}", flush=True)
    manifest = make_records(work, large)
    turns = in_a_process(manifest, n_plain, n_single, half, work / "turns")
    few, many = on_ray(manifest, small, work / "small"), on_ray(manifest, large, work / "large")
    turns += in_a_process(manifest, n_plain, n_single, half, work / "turns")
    return {
        "baseline_rps": spread([turn["plain"][0] for turn in turns]),
        "single_rps": spread([turn["single"][0] for turn in turns]),
        "ratio": spread([turn["single"][0] / turn["plain"][0] for turn in turns]),
        "single_clock_rps": spread([turn["single"][1] for turn in turns]),
        "ray_rps": many["rps"],
        "ray_marginal_rps": (large - small) / (large / many["rps"] - small / few["rps"]),
        "ray_wall_rps": many["wall_rps"],
        "cores": len(os.sched_getaffinity(0)),
        "peak_mb_small": few["peak_mb"],
        "peak_mb_large": many["peak_mb"],
        "records_small": small,
        "records_large": large,
        "bytes_per_record": many["bytes"],
        "turns": turns,
    }


def spread(values: Sequence[float]) -> list[float]:
    """Median, lowest and highest."""
    return [statistics.median(values), min(values), max(values)]


def show(found: dict[str, Any]) -> None:
    """The figures and their ratios beside the targets."""
    cores, single_rps = found["cores"], found["single_clock_rps"][0]
    turns = f"{len(found['turns'])} turns"
    for name, key in (("plain script", "baseline_rps"), ("one process of ours", "single_rps")):
        print("{:28s} {:.0f}/s ({:.0f} to {:.0f} in {})".format(name, *found[key], turns))
    print("{:28s} {:.1f} x ({:.1f} to {:.1f})   target 12 x".format("ours against plain", *found["ratio"]))
    print("{:28s} {:.0f}/s ({:.0f} to {:.0f})".format("ours by the clock", *found["single_clock_rps"]))
    rows = [
        (
            f"Ray Data, {cores} cores", f"{found['ray_rps']:.0f}/s",
            f"{found['ray_rps'] / (cores * single_rps):.2f} x {cores} x one process", "0.75",
        ),
        (
            f"memory at {found['records_large']}", f"{found['peak_mb_large']:.0f} MB",
            f"{found['peak_mb_large'] / found['peak_mb_small']:.2f} x that at {found['records_small']}", "1.10",
        ),
    ]  # fmt: skip
    for name, value, ratio, target in rows:
        print(f"{name:28s} {value}   {ratio}   target {target}")
    marginal = found["ray_marginal_rps"]
    share = marginal / (cores * single_rps)
    print(f"Ray Data once it runs, from the two sizes: {marginal:.0f}/s, {share:.2f} x {cores} x one process")
    print(f"the whole command, with Ray's start, the report and Ray's end: {found['ray_wall_rps']:.0f}/s")
    print(f"{found['bytes_per_record'] / 1000:.1f} kB a record on disk; 120 kB as int16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="4,000 records instead of 20,000")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    parser.add_argument("--work", type=Path, metavar="DIR", help="folder for the records; default a temporary one")
    parser.add_argument("--turns", nargs=5, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.turns:
        manifest, n_plain, n_single, rounds, out = args.turns
        print(json.dumps(in_turns(Path(manifest), int(n_plain), int(n_single), int(rounds), Path(out))))
        return
    with tempfile.TemporaryDirectory(prefix="peace-benchmark-", dir=args.work) as work:
        found = measure(Path(work), args.quick)
    show(found)
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
