"""Which records go into which shard: the same plan for the same manifest, and finished shards stay what they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from peace.core.errors import DataError, StoreError
from peace.core.files import digest, read_json
from peace.data.shards.schema import SPLITS

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("record_id", "patient_id", "cohort", "path", "age_days", "sex", "labels", "split")
OF_REPORTS = ("doubtful", "masked_leads")  # lists of names, mostly empty; an older manifest lacks them
BYTES_PER_SAMPLE = 2 * 12
READERS = 8  # at once: on a network the wait is longer than the reading


@dataclass(frozen=True)
class Part:
    """One shard to be: its name, its split, and the positions of its records in the manifest."""

    name: str
    split: str
    rows: npt.NDArray[np.intp]


def row_keys(manifest: pd.DataFrame) -> npt.NDArray[np.uint64]:
    """64 bits a record over everything of the manifest that a shard stores, the same in any process."""
    import pandas as pd

    text = manifest["record_id"].astype(str)
    for name in COLUMNS[1:]:
        column = manifest[name]
        values = column.map("\x1e".join) if name == "labels" else column.astype("string").fillna("")
        text = text + "\x1f" + values.astype(str)
    for name in manifest.columns.intersection(OF_REPORTS):  # a record without any has the key of an older manifest
        text = text + manifest[name].map(lambda names, name=name: "\x1f".join(["", name, *names]) if len(names) else "")
    keys: npt.NDArray[np.uint64] = np.asarray(pd.util.hash_array(text.to_numpy(object), categorize=False))
    if len(np.unique(keys)) < len(keys):
        raise DataError("two records of the manifest are the same: each record_id must occur once")
    return keys


def rows_per_part(n_records: int, length: int, shard_mb: float, min_tasks: int) -> int:
    """Records a shard: as many as fill `shard_mb` before compression, fewer where tasks would be too few."""
    fitting = int(shard_mb * 1e6 / (length * BYTES_PER_SAMPLE))
    return max(1, min(fitting, -(-n_records // min_tasks)))


def plan_parts(
    manifest: pd.DataFrame, keys: npt.NDArray[np.uint64], rows: int, recipe: str, finished: Iterable[dict[str, Any]]
) -> list[Part]:
    """Finished shards whose records are all still in the manifest, then new shards of `rows` for the others.

    Records are mixed by a hash of their key, so that a shard holds neither one patient nor one period.
    """
    position = {int(key): index for index, key in enumerate(keys)}
    free = np.ones(len(keys), bool)
    parts: list[Part] = []
    for done in finished:
        found = [position.get(key) for key in done["keys"]]
        if done["recipe"] == recipe and all(index is not None and free[index] for index in found):
            indices = np.array(found, np.intp)
            free[indices] = False
            parts.append(Part(done["name"], done["split"], indices))
    splits = manifest["split"].to_numpy(object)
    for split in SPLITS:
        left = np.flatnonzero(free & (splits == split))
        left = left[np.argsort(keys[left], kind="stable")]
        parts += [_new_part(split, left[start : start + rows], keys, recipe) for start in range(0, len(left), rows)]
    return parts


def _new_part(split: str, rows: npt.NDArray[np.intp], keys: npt.NDArray[np.uint64], recipe: str) -> Part:
    name = digest({"recipe": recipe, "split": split, "keys": [int(key) for key in keys[rows]]})
    return Part(f"part-{name}", split, rows)


def finished_parts(place: Path) -> Iterator[dict[str, Any]]:
    """What the done files in a folder say, in the order of their names; a broken one counts as not done."""
    files = sorted(place.glob("part-*.json"))
    with ThreadPoolExecutor(READERS) as pool:
        for file, done in zip(files, pool.map(_read_done, files), strict=True):
            if done is None:
                file.unlink()
            else:
                yield done


def _read_done(file: Path) -> dict[str, Any] | None:
    try:
        done: dict[str, Any] = read_json(file)
    except StoreError:
        raise  # a store that does not answer has not lost the file
    except DataError:
        return None
    return done
