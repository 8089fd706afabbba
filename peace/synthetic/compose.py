"""Three cohorts as trees on disk: who is in them, in chunks that any number of workers may write in any order."""

from __future__ import annotations

import csv
import errno
import json
import multiprocessing
import shutil
import signal
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from peace.config import SyntheticConfig
from peace.core.errors import DataError
from peace.core.files import digest, read_json, replacing
from peace.core.progress import progress
from peace.synthetic import mimic_tree, ptbxl_tree, zzu_tree
from peace.synthetic.conditions import LABELS
from peace.synthetic.draws import stream_key
from peace.synthetic.simulate import Simulated, Variety, simulate

CHUNK = 64
PUBLISHED = Path(__file__).parent / "published"
TREES = {"mimic": mimic_tree, "zzu": zzu_tree, "ptbxl": ptbxl_tree}
# records a patient. ZZU-pECG has 14,190 of 11,643, PTB-XL 21,799 of 18,869; MIMIC-IV-ECG has five, here two, so that
# a cohort of some thousand records still holds many hearts
RECORDS_A_PATIENT = {"mimic": 2.0, "zzu": 14190 / 11643, "ptbxl": 21799 / 18869}
TABLES: dict[str, dict[str, tuple[str, ...]]] = {
    "mimic": {"record_list.csv": mimic_tree.RECORDS, "machine_measurements.csv": mimic_tree.MEASUREMENTS},
    "zzu": {"AttributesDictionary.csv": zzu_tree.ATTRIBUTES},
    "ptbxl": {"ptbxl_database.csv": ptbxl_tree.DATABASE},
}
BOOKS: dict[str, dict[str, str]] = {
    "mimic": {},
    "zzu": {"ECGCode.csv": "zzu_ecg_code.txt", "DiseaseCode.csv": "zzu_disease_code.txt"},
    "ptbxl": {"scp_statements.csv": "ptbxl_scp_statements.txt"},
}


@dataclass(frozen=True)
class Chunk:
    """Some records of a cohort: patient, number within the patient, and place in the cohort."""

    cohort: str
    seed: int
    patients: list[int]
    numbers: list[int]
    index: list[int]
    root: Path
    part: Path
    variety: Variety


def synthesize(out: Path, config: SyntheticConfig, workers: int) -> dict[str, Any]:
    """Write out/mimic, out/zzu, out/ptbxl and out/truth.parquet; give counts a cohort.

    Equal configurations give equal files whatever the number of workers. An interrupted call resumes at the chunks that
    are not finished. Raises DataError where the place cannot be written or the disk is full.
    """
    parts = out / f"parts-{digest(config.model_dump(mode='json'))}"
    try:
        parts.mkdir(parents=True, exist_ok=True)
        chunks = [chunk for cohort in TREES for chunk in _chunks(cohort, config, out, parts)]
        waiting = [chunk for chunk in chunks if not chunk.part.exists()]
        _run(waiting, len(chunks) - len(waiting), sum(len(chunk.index) for chunk in waiting), workers)
        return _finish(out, chunks, parts)
    except OSError as error:
        raise explained(error, out) from error


def explained(error: OSError, out: Path) -> DataError:
    """A clear error for a disk that cannot take the trees."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DataError(f"no space left under {out}: free some and run the same command again")
    return DataError(f"cannot write under {out}: {error.strerror or error}")


def _chunks(cohort: str, config: SyntheticConfig, out: Path, parts: Path) -> Iterable[Chunk]:
    total = {"mimic": config.mimic_records, "zzu": config.zzu_records, "ptbxl": config.ptbxl_records}[cohort]
    patients, numbers = records_of(cohort, config.seed, total)
    variety = Variety(config.prior == "flat", config.leadfield_spread, config.noise)
    for start in range(0, total, CHUNK):
        stop = min(start + CHUNK, total)
        yield Chunk(
            cohort, config.seed, patients[start:stop].tolist(), numbers[start:stop].tolist(), list(range(start, stop)),
            out / cohort, parts / f"{cohort}-{start // CHUNK:06d}.json", variety,
        )  # fmt: skip


def records_of(cohort: str, seed: int, total: int) -> tuple[np.ndarray, np.ndarray]:
    """Patient and number within the patient of each of `total` records; a longer cohort starts with a shorter one."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(list(stream_key(seed, cohort, 0)))))
    counts = np.minimum(rng.geometric(1 / RECORDS_A_PATIENT[cohort], size=max(total, 1)), 19)
    patients = np.repeat(np.arange(len(counts)), counts)[:total]
    first = np.searchsorted(patients, patients)
    return patients, np.arange(total) - first


def _run(chunks: list[Chunk], finished: int, records: int, workers: int) -> None:
    with progress(None, "synthesize", total=records) as bar:
        if finished:
            bar.write(f"{finished} finished chunks are kept")
        if workers <= 1:
            for chunk in chunks:
                bar.update(_write_chunk(chunk))
            return
        context = multiprocessing.get_context("spawn")
        # Ctrl-C reaches every process of the terminal: only this one is to answer it
        quiet = (signal.SIGINT, signal.SIG_IGN)
        with ProcessPoolExecutor(workers, context, signal.signal, quiet) as pool:
            try:
                for future in as_completed([pool.submit(_write_chunk, chunk) for chunk in chunks]):
                    bar.update(future.result())
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise


def _write_chunk(chunk: Chunk) -> int:
    """Simulate and write one chunk; its part file, written last, says that it is finished."""
    seconds: Any = 10.0
    if chunk.cohort == "zzu":
        key = stream_key(chunk.seed, "zzu", 3, chunk.index[0])
        seconds = zzu_tree.draw_seconds(
            chunk.numbers, np.random.Generator(np.random.PCG64(np.random.SeedSequence(list(key))))
        )
    batch = simulate(chunk.cohort, chunk.seed, chunk.patients, chunk.numbers, seconds, variety=chunk.variety)
    rows = TREES[chunk.cohort].write_batch(chunk.root, batch, chunk.patients, chunk.numbers, chunk.index)
    for row, truth in zip(rows, _truth(chunk.cohort, batch), strict=True):
        row["truth"] = truth
    with replacing(chunk.part) as temporary:
        temporary.write_text(json.dumps(rows), encoding="utf-8")
    return len(rows)


def _truth(cohort: str, batch: Simulated) -> list[dict[str, Any]]:
    """What is true of each record, and the labels that the cohort's reader can find in its codes."""
    meta = batch.meta
    found = []
    for row in range(len(batch.signals)):
        present = [name for name, given in zip(LABELS, batch.labels[row], strict=True) if given]
        read = [ptbxl_tree.READ_AS.get(name, name) for name in present] if cohort == "ptbxl" else present
        named = [name for name in LABELS if name in read]
        columns = {name: values[row].item() for name, values in meta.items()}
        found.append({"cohort": cohort, "labels": named, "conditions": present, **columns})
    return found


def _finish(out: Path, chunks: list[Chunk], parts: Path) -> dict[str, Any]:
    """Write the tables from the parts, in order, then remove the parts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = {
        cohort: [row for chunk in chunks if chunk.cohort == cohort for row in read_json(chunk.part)] for cohort in TREES
    }
    truth = []
    counts: dict[str, Any] = {}
    for cohort, found in rows.items():
        root = out / cohort
        root.mkdir(exist_ok=True)
        for name, header in TABLES[cohort].items():
            with replacing(root / name) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
                writer = csv.writer(stream, lineterminator="\n")
                writer.writerow(header)
                writer.writerows(row["tables"][name] for row in found)
        for name, source in BOOKS[cohort].items():
            with replacing(root / name) as temporary:
                shutil.copyfile(PUBLISHED / source, temporary)
        labels = Counter(label for row in found for label in row["truth"]["labels"])
        counts[cohort] = {
            "records": len(found),
            "patients": len({row["patient_id"] for row in found}),
            "labelled": sum(bool(row["truth"]["labels"]) for row in found),
            "labels": {name: labels[name] for name in LABELS if labels[name]},
        }
        truth += [{"record_id": row["record_id"], "patient_id": row["patient_id"], **row["truth"]} for row in found]
    names = sorted({name for row in truth for name in row}, key=lambda name: (name.startswith("severity"), name))
    columns = {name: [row.get(name, 0.0 if name.startswith("severity") else None) for row in truth] for name in names}
    with replacing(out / "truth.parquet") as temporary:
        pq.write_table(pa.table(columns), temporary)
    shutil.rmtree(parts)
    return {"cohorts": counts, "records": len(truth)}
