"""One shard, from manifest rows to a Parquet file and a done file: all that a worker does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from peace.config import LeadsConfig, QualityConfig, SignalConfig
from peace.core.errors import DataError
from peace.core.files import digest, file_digest, read_json, replacing, write_json
from peace.core.storage import is_remote
from peace.data.shards.schema import FORMAT
from peace.data.shards.staging import in_its_place, staged
from peace.data.shards.statistics import LeadSums
from peace.data.shards.writer import ShardWriter
from peace.data.signal import Conditioned, RecordRejected, condition_file, without_leads


@dataclass(frozen=True)
class Recipe:
    """All that decides what a record becomes in a shard."""

    signal: SignalConfig
    leads: LeadsConfig
    quality: QualityConfig

    def as_json(self) -> dict[str, Any]:
        """The three sections as plain values."""
        return {name: getattr(self, name).model_dump(mode="json") for name in ("signal", "leads", "quality")}

    @property
    def digest(self) -> str:
        """Digest of the sections and of the shard format."""
        return digest({"format": FORMAT, **self.as_json()})


@dataclass
class _Tally:
    """What became of the records of one shard."""

    sums: dict[str, LeadSums] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    rejects: list[dict[str, str]] = field(default_factory=list)
    kept: int = 0


def build_part(
    name: str, split: str, rows: Sequence[Mapping[str, Any]], keys: Sequence[int], recipe: Recipe, out: Path
) -> dict[str, Any]:
    """Condition the records of one shard and write it, or find that it is written already; returns its done file.

    Leaves out/shards/SPLIT/NAME.parquet (none where every record is a reject), then out/parts/NAME.json.
    Raises DataError where the disk is full or a store fails. A bad record is a reject, never an error.
    """
    done_file = out / "parts" / f"{name}.json"
    shard = out / "shards" / split / f"{name}.parquet"
    done = finished_part(name, split, out)
    if done is not None:
        return done
    tally = _Tally()
    written = _write_shard(shard, _conditioned(rows, recipe, tally))
    if tally.kept + len(tally.rejects) != len(rows):
        raise DataError(f"{name}: {len(rows)} records in, {tally.kept} kept, {len(tally.rejects)} rejected")
    done = {
        "name": name,
        "split": split,
        "recipe": recipe.digest,
        "kept": tally.kept,
        **written,
        "rejects": tally.rejects,
        "labels": tally.labels,
        "sums": {cohort: sums.as_json() for cohort, sums in tally.sums.items()},
        "keys": [int(key) for key in keys],
    }
    write_json(done_file, done)
    return done


def finished_part(name: str, split: str, out: Path) -> dict[str, Any] | None:
    """The done file of a shard that lies there as it was written; None where it is absent or damaged.

    By the digest of its bytes, or in an object store, which checks them itself, by their number.
    """
    done_file = out / "parts" / f"{name}.json"
    if not done_file.exists():
        return None
    done: dict[str, Any] = read_json(done_file)
    shard = out / "shards" / split / f"{name}.parquet"
    if not done["kept"]:
        return done
    if not shard.is_file():
        return None
    sound = shard.stat().st_size == done["bytes"] if is_remote(shard) else file_digest(shard) == done["sha256"]
    return done if sound else None


def _conditioned(
    rows: Sequence[Mapping[str, Any]], recipe: Recipe, tally: _Tally
) -> Iterator[tuple[Mapping[str, Any], Conditioned]]:
    for row, copy in staged(rows, recipe.signal.seconds + recipe.signal.margin_seconds):
        try:
            record = condition_file(
                copy or Path(row["path"]), row["cohort"], recipe.signal, recipe.leads, recipe.quality
            )
        except RecordRejected as refusal:
            tally.rejects.append(_reject(row, refusal.reason, in_its_place(refusal.detail, row, copy)))
            continue
        except Exception as error:
            detail = in_its_place(f"{type(error).__name__}: {error}", row, copy)
            tally.rejects.append(_reject(row, "unexpected_error", detail[:300]))
            continue
        record = without_leads(record, row.get("masked_leads", ()))
        tally.kept += 1
        tally.sums.setdefault(row["cohort"], LeadSums()).add(record)
        for label in row["labels"]:
            tally.labels[label] = tally.labels.get(label, 0) + 1
        yield row, record


def _reject(row: Mapping[str, Any], reason: str, detail: str) -> dict[str, str]:
    named = {name: row[name] for name in ("record_id", "patient_id", "cohort", "path", "split")}
    return {**named, "reason": reason, "detail": detail}


def _write_shard(path: Path, records: Iterator[tuple[Mapping[str, Any], Conditioned]]) -> dict[str, Any]:
    """Write records as they come; no file where none comes. Returns its digest and size for the done file."""
    first = next(records, None)
    if first is None:
        path.unlink(missing_ok=True)
        return {"sha256": None, "bytes": 0}
    with replacing(path) as temporary:
        with ShardWriter(temporary) as writer:
            for row, record in chain([first], records):
                writer.add(row, record)
        return {"sha256": file_digest(temporary), "bytes": temporary.stat().st_size}
