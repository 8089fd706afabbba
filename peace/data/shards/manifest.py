"""The end of a preprocessing run: every record accounted for, rejects.parquet and _manifest.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peace.core.files import replacing, write_json
from peace.data.labels import LabelSet
from peace.data.shards.build import Recipe
from peace.data.shards.schema import FORMAT, SPLITS
from peace.data.shards.statistics import LeadSums, fit_statistics

REJECT_COLUMNS = ("record_id", "patient_id", "cohort", "path", "split", "reason", "detail")


def finish(
    out: Path, n_records: int, done: Sequence[dict[str, Any]], recipe: Recipe, label_set: LabelSet
) -> dict[str, Any]:
    """Write out/rejects.parquet and, last of all, out/shards/_manifest.json; returns the counts of result.json.

    `done` are the done files of all shards. Raises RuntimeError where a record is neither kept nor rejected.
    """
    done = sorted(done, key=lambda item: (SPLITS.index(item["split"]), item["name"]))
    rejects = sorted((reject for item in done for reject in item["rejects"]), key=lambda reject: reject["record_id"])
    kept = sum(item["kept"] for item in done)
    if kept + len(rejects) != n_records:
        raise RuntimeError(f"{n_records} records in, {kept} kept, {len(rejects)} rejected: some are lost")
    _write_rejects(out / "rejects.parquet", rejects)
    written = [item for item in done if item["kept"]]
    splits = {split: sum(item["kept"] for item in done if item["split"] == split) for split in SPLITS}
    manifest = {
        "format": FORMAT,
        "labels": list(label_set.labels),
        "label_set": label_set.name,
        "label_set_digest": label_set.digest,
        "recipe": recipe.as_json(),
        "splits": splits,
        "shards": [
            {"path": f"{item['split']}/{item['name']}.parquet", "rows": item["kept"], "sha256": item["sha256"]}
            for item in written
        ],
        "statistics": _training_statistics(out, written),
        "patients_checked": True,
    }
    write_json(out / "shards" / "_manifest.json", manifest)
    return {
        "kept": kept,
        "rejected": dict(Counter(reject["reason"] for reject in rejects).most_common()),
        "splits": splits,
        "labels": {name: sum(item["labels"].get(name, 0) for item in done) for name in label_set.labels},
        "shards": len(written),
    }


def _training_statistics(out: Path, written: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    sums: dict[str, LeadSums] = {}
    train = [item for item in written if item["split"] == "train"]
    for item in train:
        for cohort, values in item["sums"].items():
            sums.setdefault(cohort, LeadSums()).merge(values)
    return fit_statistics(sums, [out / "shards" / "train" / f"{item['name']}.parquet" for item in train])


def _write_rejects(path: Path, rejects: Sequence[dict[str, str]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kind = pa.schema([(name, pa.string()) for name in REJECT_COLUMNS])
    with replacing(path) as temporary:
        pq.write_table(pa.Table.from_pylist(list(rejects), schema=kind), temporary)
