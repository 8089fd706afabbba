"""Reading shards: what the manifest says, and a split as numpy arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from peace.core.errors import DataError, nearest
from peace.core.files import digest, read_json
from peace.core.storage import is_remote, local_copy, opened, to_path, translate_errors
from peace.data.labels import DOUBTFUL
from peace.data.shards.codec import decode_into
from peace.data.shards.schema import FORMAT
from peace.data.signal import LEADS

PLAIN = ("record_id", "patient_id", "age_days", "labels", "doubtful")
NEEDED = (*PLAIN, "signal", "lead_mask")


@dataclass(frozen=True)
class Records:
    """A split in memory; row i of every array is the same recording."""

    record_id: npt.NDArray[np.str_]
    patient_id: npt.NDArray[np.str_]
    signal: npt.NDArray[np.int16]
    """(N, 12, T) in microvolts."""
    lead_mask: npt.NDArray[np.uint8]
    """(N, 12), 1 where the lead is there."""
    target: npt.NDArray[np.uint8]
    """(N, K), 1 where the label holds, DOUBTFUL where that is left open, in the order of the label set."""
    age_days: npt.NDArray[np.float64]
    """(N,), NaN where unknown."""

    def __len__(self) -> int:
        return len(self.record_id)

    def select(self, rows: npt.NDArray[Any]) -> Records:
        """These rows alone; `rows` are indices, or a mask (N,)."""
        return Records(**{name: getattr(self, name)[rows] for name in Records.__dataclass_fields__})


@dataclass(frozen=True)
class ShardSet:
    """A folder of shards, opened by its _manifest.json."""

    path: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, where: Path | str) -> ShardSet:
        """Open the --out directory of `peace preprocess`, or its shards/ folder. Raises DataError."""
        given = to_path(where)
        with translate_errors(given):
            candidates = [folder for folder in (given, given / "shards") if (folder / "_manifest.json").is_file()]
            there = bool(candidates) or given.is_dir()
        if not there:
            raise DataError(f"{given} is not there: give the --out directory of `peace preprocess`")
        if not candidates:
            raise DataError(f"{given} holds no finished shards (no _manifest.json): run `peace preprocess` to its end")
        manifest = read_json(candidates[0] / "_manifest.json")
        written = manifest.get("format") if isinstance(manifest, dict) else None
        if written != FORMAT:
            raise DataError(
                f"{candidates[0]} holds shards of format {written}, and this release reads format {FORMAT}: make them "
                f"again with `peace preprocess --fresh --manifest MANIFEST --out {candidates[0].parent}`"
            )
        return cls(candidates[0], manifest)

    @property
    def labels(self) -> tuple[str, ...]:
        """Label names, in the order of every target."""
        return tuple(self.manifest["labels"])

    @property
    def label_set(self) -> str:
        """Name of the label set the records were labelled with."""
        return str(self.manifest["label_set"])

    @property
    def label_set_digest(self) -> str:
        """Digest of the label set the records were labelled with."""
        return str(self.manifest["label_set_digest"])

    @property
    def recipe(self) -> dict[str, Any]:
        """The sections signal, leads and quality of the configuration that made the shards."""
        return dict(self.manifest["recipe"])

    @property
    def splits(self) -> dict[str, int]:
        """Records of each split."""
        return dict(self.manifest["splits"])

    @property
    def statistics(self) -> dict[str, dict[str, Any]]:
        """By cohort, fitted on the training split: mean_mv, std_mv, peak_to_peak_mv of each lead, records."""
        return dict(self.manifest["statistics"])

    @property
    def length(self) -> int:
        """Samples of every signal."""
        rate, seconds = float(self.recipe["signal"]["rate"]), float(self.recipe["signal"]["seconds"])
        return round(rate * seconds)

    @property
    def digest(self) -> str:
        """Digest of what the shards hold."""
        shards = sorted((item["path"], item["sha256"]) for item in self.manifest["shards"])
        return digest({"labels": self.manifest["labels"], "recipe": self.recipe, "shards": shards})

    def files(self, split: str) -> list[Path]:
        """Parquet files of a split, in a fixed order. Raises DataError for an unknown split or an absent file."""
        if split not in self.splits:
            raise DataError(f"{self.path} has no split '{split}'{nearest(split, self.splits)}")
        found = [self.path / item["path"] for item in self.manifest["shards"] if item["path"].startswith(f"{split}/")]
        with translate_errors(self.path):
            there = {file.name for file in self.path.glob(f"{split}/*.parquet")}
        absent = [file for file in found if file.name not in there]
        if absent:
            raise DataError(f"{len(absent)} shards are gone, first {absent[0]}: run `peace preprocess` again")
        return found

    def load(self, split: str, record_ids: Sequence[str] | None = None) -> Records:
        """Read a split, or the records named, in the order they are named. Raises DataError."""
        records = self._assemble({file: _rows(file, record_ids) for file in self.files(split)})
        if record_ids is None:
            return records
        place = {name: index for index, name in enumerate(records.record_id.tolist())}
        absent = [name for name in record_ids if name not in place]
        if absent:
            raise DataError(f"{len(absent)} records are not in split {split} of {self.path}, first {absent[0]}")
        order = np.array([place[name] for name in record_ids], np.intp)
        return records.select(order)

    def read(self, files: Sequence[Path]) -> Records:
        """Read shard files, in the order given. Raises DataError."""
        return self._assemble({file: _rows(file, None) for file in files})

    def labelled(self, split: str) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.uint8]]:
        """Record ids (N,) and targets (N, K) of a split, without signals; what is doubtful counts as absent."""
        import pyarrow.parquet as pq

        tables = []
        for file in self.files(split):
            with opened(file) as source:
                tables.append(pq.read_table(source, columns=["record_id", "labels"], partitioning=None))
        names = [name for table in tables for name in table["record_id"].to_pylist()]
        labels = [found for table in tables for found in table["labels"].to_pylist()]
        return np.array(names, np.str_), self.targets(labels)

    def targets(self, labels: Sequence[Sequence[str]], doubtful: Sequence[Sequence[str]] = ()) -> npt.NDArray[np.uint8]:
        """(N, K) rows for lists of label names, in the order of the label set: 1, 0, or DOUBTFUL. Raises DataError."""
        position = {name: index for index, name in enumerate(self.labels)}
        target = np.zeros((len(labels), len(position)), np.uint8)
        for value, column in ((DOUBTFUL, doubtful), (1, labels)):
            for row, names in enumerate(column):
                for name in names:
                    if name not in position:
                        raise DataError(f"shards in {self.path} hold label {name!r}, which their label set does not")
                    target[row, position[name]] = value
        return target

    def _assemble(self, tables: Mapping[Path, Any]) -> Records:
        n_rows = sum(len(table) for table in tables.values())
        signal = np.empty((n_rows, len(LEADS), self.length), np.int16)
        lead_mask = np.empty((n_rows, len(LEADS)), np.uint8)
        start = 0
        for file, table in tables.items():
            for batch in table.to_batches():
                rows = np.arange(start, start + len(batch))
                try:
                    decode_into(signal, rows, batch["signal"])
                except ValueError as error:
                    raise _unreadable(file, error) from None
                lead_mask[rows] = batch["lead_mask"].to_numpy_ndarray()
                start += len(batch)
        plain = {name: [value for table in tables.values() for value in table[name].to_pylist()] for name in PLAIN}
        ages = [float("nan") if age is None else float(age) for age in plain["age_days"]]
        return Records(
            record_id=np.array(plain["record_id"], np.str_),
            patient_id=np.array(plain["patient_id"], np.str_),
            signal=signal,
            lead_mask=lead_mask,
            target=self.targets(plain["labels"], plain["doubtful"]),
            age_days=np.array(ages, np.float64),
        )


def _rows(file: Path, record_ids: Sequence[str] | None) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        if record_ids is None:
            with local_copy(file) as local:  # most columns are wanted: one stream is faster than many ranges
                return pq.ParquetFile(local).read(columns=list(NEEDED))
        wanted = pa.array(list(record_ids), pa.string())
        groups = []
        with opened(file) as source, pq.ParquetFile(source, pre_buffer=is_remote(file)) as parquet:
            for index in range(parquet.num_row_groups):
                names = parquet.read_row_group(index, columns=["record_id"])["record_id"]
                chosen = pc.is_in(names, wanted)
                if pc.any(chosen).as_py():
                    groups.append(parquet.read_row_group(index, columns=list(NEEDED)).filter(chosen))
            empty = parquet.schema_arrow.empty_table()
        return pa.concat_tables(groups) if groups else empty
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise _unreadable(file, error) from None


def _unreadable(file: Path, error: Exception) -> DataError:
    return DataError(f"cannot read shard {file} ({error}): run `peace preprocess` again to renew it")
