"""The public cohorts, from where they are published to a tree that `peace index` reads. No Ray, no MLflow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peace.config import FetchConfig
from peace.data.download.figshare import fetch_article
from peace.data.download.physionet import fetch_project
from peace.data.download.pool import Pool


@dataclass(frozen=True)
class Source:
    """A published cohort: the key of its address in fetch.base_url, and the table and column that list its records."""

    key: str
    list_table: str
    column: str
    figshare: bool = False


SOURCES = {
    "ptbxl": Source("ptbxl", "ptbxl_database.csv", "filename_hr"),
    "mimic-demo": Source("mimic_demo", "record_list.csv", "path"),
    "mimic": Source("mimic", "record_list.csv", "path"),
    "zzu": Source("zzu", "AttributesDictionary.csv", "Filename", figshare=True),
}


def fetch(name: str, root: Path, config: FetchConfig, n_records: int | None = None) -> dict[str, Any]:
    """Fetch a source of SOURCES into the folder `root`; what is there already and whole stays.

    `n_records` takes the tables and the first records of the cohort's own list, which is cut to them. Gives
    {records, missing, files, skipped, bytes}. Raises DataError.
    """
    source = SOURCES[name]
    base = getattr(config.base_url, source.key)
    pool = Pool(config)
    if source.figshare:
        found = fetch_article(pool, base, root, source.list_table, source.column, n_records)
    else:
        skip = "records100" if name == "ptbxl" and not config.records100 else None
        found = fetch_project(pool, base, root, source.list_table, source.column, n_records, skip)
    tally = pool.tally
    return {**found, "files": tally.files, "skipped": tally.skipped, "bytes": tally.bytes}


__all__ = ["SOURCES", "Source", "fetch"]
