"""`peace preprocess`: condition the records of a manifest into Parquet shards, on Ray Data.

    peace preprocess --manifest runs/index/manifest.parquet --out runs/shards

A task of Ray Data makes a few shards: it reads their records, conditions them and writes the files where it stands, so
that no signal travels through the object store and memory does not grow with the shards. What is finished is kept by a
done file; the same command resumes from there after a crash, and takes in what was added to the manifest.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.runtime.harness import Job, Table, Verb, main
from peace.core.errors import ConfigError, DataError
from peace.core.files import read_json
from peace.core.storage import local_copy, to_path, translate_errors

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from tqdm import tqdm

    from peace.data.shards import Recipe
    from peace.data.shards.partition import Part

SHARDS_PER_TASK = 8
TASKS_PER_CORE = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument(
        "--manifest",
        type=to_path,
        action="append",
        required=True,
        metavar="FILE",
        help="manifest.parquet of `peace index`; may be given several times",
    )

    words = "fail where more than this share of a cohort's records is left out, by `peace index` and here"
    parser.add_argument("--max-excluded", type=float, metavar="SHARE", help=words)


def identity(args: argparse.Namespace) -> Any:
    """The manifests' places: their contents may grow, and finished shards of unchanged records stay."""
    return sorted(str(path.absolute()) for path in args.manifest)


def work(job: Job) -> dict[str, Any]:
    """Make every shard that is missing, then the tables over all of them."""
    from jobs.runtime.ray_session import ray_session
    from peace.data.labels import load_label_set
    from peace.data.shards import Recipe, finish
    from peace.data.shards.partition import finished_parts, plan_parts, row_keys, rows_per_part
    from peace.data.signal import n_samples_of
    from peace.data.signal.files import allow_links
    from peace.data.splits import check_patients
    from peace.reports.data import write_shard_report

    config = job.config
    allow_links(config.links.stores)  # the report reads records too
    label_set = load_label_set(config.labels.set)
    manifest = read_manifests(job.args.manifest, label_set.labels)
    check_patients(manifest)
    if manifest.empty:
        _judge(job, [])
    recipe = Recipe(config.signal, config.leads, config.quality)
    keys = row_keys(manifest)
    settings, length = config.preprocess, n_samples_of(config.signal)
    rows = rows_per_part(len(manifest), length, settings.shard_mb, settings.min_tasks)
    parts = plan_parts(manifest, keys, rows, recipe.digest, finished_parts(job.out / "parts"))
    _clear_the_rest(job.out, parts)
    reused = _whole_shards(job.out, parts)
    missing = [part for part in parts if part.name not in reused]
    job.log.info("%d records in %d shards, %d of them finished", len(manifest), len(parts), len(reused))

    done, speed = list(reused.values()), _earlier_speed(job.out)
    if missing:
        try:
            with ray_session(config.ray):
                started = time.perf_counter()
                done += _on_ray_data(manifest, keys, missing, recipe, job.out, config.links.stores)
                speed = _speed(sum(len(part.rows) for part in missing), time.perf_counter() - started)
        finally:
            _clear_the_rest(job.out, parts)  # what killed workers had half written
    warnings = _judge(job, [reject for item in done for reject in item["rejects"]])  # before any manifest is there
    result = {**finish(job.out, len(manifest), done, recipe, label_set), "warnings": warnings}
    report = write_shard_report(job.out, job.args.manifest, manifest, label_set, config.report.strips)
    job.run.artifact(report)
    job.run.artifact(report.with_suffix(".json"))
    return {**result, "reused": sum(item["kept"] + len(item["rejects"]) for item in reused.values()), **speed}


def read_manifests(paths: Sequence[Path], labels: Sequence[str]) -> pd.DataFrame:
    """The records that index kept. Raises DataError for a file that is no manifest, or of another label set."""
    import pandas as pd

    from peace.data.shards.partition import COLUMNS, OF_REPORTS

    tables = []
    for path in paths:
        try:
            with local_copy(path) as local:
                table = pd.read_parquet(local)
        except FileNotFoundError:
            raise DataError(f"{path} does not exist: give the manifest.parquet that `peace index` wrote") from None
        except (OSError, ValueError) as error:
            raise DataError(f"{path} is not a Parquet table ({error})") from None
        absent = [name for name in (*COLUMNS, "excluded") if name not in table.columns]
        if absent:
            raise DataError(f"{path} is not a manifest of `peace index`: no column {', '.join(absent)}")
        for name in OF_REPORTS:
            if name not in table.columns:
                table[name] = [[] for _ in range(len(table))]
        tables.append(table[table["excluded"].isna()][[*COLUMNS, *OF_REPORTS]])
    manifest = pd.concat(tables, ignore_index=True)
    twice = manifest["record_id"][manifest["record_id"].duplicated()]
    if len(twice):
        raise DataError(f"{len(twice)} record ids occur twice in the manifests, first {twice.iloc[0]}")
    _refuse_unknown(manifest, labels)
    return manifest


def _refuse_unknown(manifest: pd.DataFrame, labels: Sequence[str]) -> None:
    from peace.data.shards import SPLITS

    splits = sorted({str(split) for split in manifest["split"].unique()} - set(SPLITS))
    if splits:
        raise DataError(f"the manifest has records in split {', '.join(splits)}: only {', '.join(SPLITS)} are known")
    foreign = sorted({label for names in manifest["labels"] for label in names} - set(labels))
    if foreign:
        raise ConfigError(
            f"the manifest has labels that the label set does not ({', '.join(foreign[:5])}): "
            "set labels.set to the one it was indexed with"
        )


def _judge(job: Job, rejects: Sequence[dict[str, str]]) -> list[str]:
    """What to say of a cohort that loses far more than is usual. Raises DataError where nothing of one is kept."""
    from peace.data.cohorts.outcome import judge_signals

    (job.out / "result.json").unlink(missing_ok=True)  # an earlier run's: nobody continues with it where this one fails
    warnings = judge_signals(job.args.manifest, rejects, job.config.index.max_excluded, job.args.max_excluded)
    for warning in warnings:
        job.log.warning(warning)
        print(f"peace preprocess: WARNING: {warning}", file=sys.stderr)
    return warnings


def _clear_the_rest(out: Path, parts: Sequence[Part]) -> None:
    """Remove what a killed or earlier run left and this plan does not have; the manifest goes until all is whole."""
    (out / "shards" / "_manifest.json").unlink(missing_ok=True)
    planned = {part.name for part in parts}
    for file in [*(out / "parts").glob("*"), *(out / "shards").glob("*/*")]:
        if file.name.startswith(".") or file.stem not in planned:
            file.unlink(missing_ok=True)


def _whole_shards(out: Path, parts: Sequence[Part]) -> dict[str, dict[str, Any]]:
    """By name, the done files of the shards that need no work: their digests are checked, so damage is noticed."""
    from concurrent.futures import ThreadPoolExecutor

    from peace.core.progress import progress
    from peace.data.shards import finished_part

    noted = {file.stem for file in (out / "parts").glob("*.json")}
    candidates = [part for part in parts if part.name in noted]
    if not candidates:
        return {}
    with ThreadPoolExecutor(4) as pool:
        checked = pool.map(lambda part: finished_part(part.name, part.split, out), candidates)
        bar: tqdm[Any] = progress(checked, "check finished shards", total=len(candidates), unit="shard")
        return {done["name"]: done for done in bar if done is not None}


def _speed(n_records: int, seconds: float) -> dict[str, Any]:
    return {"work_seconds": round(seconds, 3), "records_per_second": round(n_records / seconds, 1)}


def _earlier_speed(out: Path) -> dict[str, Any]:
    """What the last run measured, for a run that finds nothing to do."""
    earlier = read_json(out / "result.json") if (out / "result.json").exists() else {}
    return {name: earlier.get(name) for name in ("work_seconds", "records_per_second")}


def _on_ray_data(
    manifest: pd.DataFrame, keys: Any, parts: Sequence[Part], recipe: Recipe, out: Path, stores: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """The done file of every shard, as they come. One Arrow block is one task, which makes a few shards."""
    import ray
    import ray.data

    from jobs.runtime.prometheus import export_shard
    from peace.core.progress import progress

    n_cores = int(ray.cluster_resources().get("CPU", 1))
    shares = share_out(parts, n_cores)
    for _ in range(min(n_cores, len(shares))):
        ray.remote(_load_kernels).options(scheduling_strategy="SPREAD").remote(recipe)
    worker: Any = make_shards
    shards = ray.data.from_arrow([_block(manifest, keys, share) for share in shares]).map_batches(
        worker, batch_size=None, batch_format="pyarrow", fn_kwargs={"recipe": recipe, "out": out, "stores": stores}
    )
    shards.context.target_max_block_size = 1  # a shard is told of when it is made, not when its task ends
    bar: tqdm[Any] = progress(None, "preprocess", total=sum(len(part.rows) for part in parts))
    with bar:
        for row in shards.iter_rows():
            if row["error"]:
                raise DataError(row["error"])
            bar.update(row["records"])
            done = read_json(out / "parts" / f"{row['name']}.json")
            export_shard(out, done)
            yield done


def share_out(parts: Sequence[Part], n_cores: int) -> list[list[Part]]:
    """The shards of each task: several where there are many, since a core waits 0.1 s between two tasks of Ray Data.

    Each core gets several tasks, so that all cores end together.
    """
    size = min(SHARDS_PER_TASK, max(1, len(parts) // (TASKS_PER_CORE * n_cores)))
    return [list(parts[start : start + size]) for start in range(0, len(parts), size)]


def _load_kernels(recipe: Recipe) -> None:
    """Runs in a worker, while Ray Data plans: import and load what the first record would have to wait for."""
    import numpy as np

    from peace.data.signal import LEADS
    from peace.data.signal.condition import condition
    from peace.data.signal.reader import Recording

    noise = np.random.default_rng(0).normal(size=(round(500 * recipe.signal.seconds), len(LEADS)))
    condition(Recording(LEADS, 500.0, noise, len(noise)), "mimic", recipe.signal, recipe.leads, recipe.quality)


def _block(manifest: pd.DataFrame, keys: Any, share: Sequence[Part]) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    rows = np.concatenate([part.rows for part in share])
    names = np.repeat([part.name for part in share], [len(part.rows) for part in share])
    table = pa.Table.from_pandas(manifest.iloc[rows], preserve_index=False)
    return table.append_column("key", pa.array(keys[rows], pa.uint64())).append_column("part", pa.array(names))


def make_shards(batch: Any, recipe: Recipe, out: Path, stores: Sequence[str] = ()) -> Iterator[Any]:
    """Runs in a worker: make the shards whose records are this Arrow table; returns a table of one row about each."""
    from itertools import groupby

    import pyarrow as pa

    from peace.data.shards import build_part
    from peace.data.signal.files import allow_links

    allow_links(stores)
    for (name, split), group in groupby(batch.to_pylist(), key=lambda row: (row["part"], row["split"])):
        rows, error = list(group), ""
        try:
            with translate_errors(out):
                build_part(name, split, rows, [row["key"] for row in rows], recipe, out)
        except DataError as mistake:  # such as a full disk: Ray would hand on the trace and lose the message
            error = str(mistake)
        yield pa.table({"name": [name], "records": [len(rows)], "error": [error]})


def tables(result: dict[str, Any]) -> list[Table]:
    """What is printed: kept by split, rejected by reason, labels."""
    rejected = sum(result["rejected"].values())
    rate = result["records_per_second"]
    title = f"preprocess: {result['kept']} kept, {rejected} rejected, {result['shards']} shards"
    title += "" if rate is None else f", {rate:.0f} records/s"
    rows = [(f"kept in {split}", str(count)) for split, count in result["splits"].items()]
    rows += [(f"rejected: {reason}", str(count)) for reason, count in result["rejected"].items()]
    labels = [(name, str(count)) for name, count in result["labels"].items()]
    return [Table(title, ("records", "number"), rows), Table("labels among the kept", ("label", "records"), labels)]


VERB = Verb(
    name="preprocess",
    summary="condition the records of a manifest into Parquet shards",
    add_arguments=add_arguments,
    work=work,
    tables=tables,
    sections=("labels", "signal", "leads", "links", "quality", "preprocess"),
    settings=("report", "ray", "index.max_excluded"),
    identity=identity,
    final=False,
    writes_anywhere=True,
)

if __name__ == "__main__":
    sys.exit(main(VERB))
