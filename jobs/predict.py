"""`peace predict`: label probabilities of WFDB records, from the ECG alone.

    peace predict P00001_E01.hea --model runs/zzu-full
    peace predict records/ 'more/*.hea' --list RECORDS --model models:/peace12@candidate --json

It starts no cluster and, with a directory as model, touches no tracking store. --cohort names the filter of the model's
recipe: zzu (default) and ptbxl take 50 Hz mains out, mimic 60 Hz, other none. What cannot be read is refused with the
reason and the rest is answered; where nothing is answered the exit code is 2. Records whose files are links into a
store (git-annex, DataLad, a hub's cache) want links.stores=[FOLDER].
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.runtime.harness import Job, Table, Verb, main
from jobs.runtime.record_paths import record_paths
from peace.config import Config
from peace.core.errors import ConfigError, DataError
from peace.core.files import json_text

if TYPE_CHECKING:
    from peace.inference import Predictor

REGISTRY = "models:/"
SHOWN = 3  # refusals spelt out in an error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument(
        "records",
        type=Path,
        nargs="*",
        metavar="RECORD.hea|DIR|PATTERN",
        help="WFDB records; .hea may be left out; of a folder all below it",
    )
    parser.add_argument(
        "--list", type=Path, action="append", default=[], metavar="FILE", help="a list of the same, one on each line"
    )
    parser.add_argument(
        "--model", required=True, metavar="DIR|models:/NAME@ALIAS", help="run, checkpoint, or registered"
    )
    parser.add_argument("--cohort", default="zzu", help="whose filter: zzu (default), ptbxl, mimic or other")
    parser.add_argument("--figures", action="store_true", help="with --out: draw each record as the model sees it")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")


def identity(args: argparse.Namespace) -> dict[str, Any]:
    """The model and the records, by name."""
    given = {name: [str(path) for path in paths] for name, paths in (("records", args.records), ("list", args.list))}
    return {"model": str(args.model), "cohort": args.cohort, **given}


def work(job: Job) -> dict[str, Any]:
    """Answer for each record in the order given. Raises DataError where none could be read."""
    from peace.data.signal.files import allow_links

    args = job.args
    allow_links(job.config.links.stores)
    records = record_paths(args.records, args.list)
    if not records:
        raise ConfigError("no record is named: give files, folders or patterns, or a --list that is not empty")
    with _checkpoint(args.model, job.config) as place:
        from peace.inference import Predictor

        predictor = Predictor.load(place)
    answers = [_as_values(answer) for answer in predictor.predict_files(records, args.cohort)]
    if args.figures:
        draw(predictor, records, args.cohort, job.out / "figures")
    reasons = dict(Counter(item["refused"] for item in answers if "refused" in item).most_common())
    answered = len(answers) - sum(reasons.values())
    result = {"model": str(args.model), "records": answers, "answered": answered, "refused": reasons}
    if args.json:
        print(json_text(result), end="")
    if answered:
        return {**result, "full_names": predictor.full_names(), "printed": args.json}
    refused = [f"{item['record']} ({item['refused']}: {item['detail']})" for item in answers]
    counts = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    more = f" and {len(refused) - SHOWN} more ({counts} in all)" if len(refused) > SHOWN else ""
    raise DataError(f"no record could be read: {'; '.join(refused[:SHOWN])}{more}")


def draw(predictor: Predictor, records: Sequence[Path], cohort: str, place: Path) -> None:
    """Draw each record that can be read as the model sees it: filtered, in standard lead order, ten seconds."""
    from peace.core.progress import progress
    from peace.data.signal.units import to_mv
    from peace.inference import RejectedRecord
    from peace.reports.strip import ecg_strip

    for number, path in enumerate(progress(records, "draw"), start=1):
        record = predictor.read(path, cohort)
        if not isinstance(record, RejectedRecord):
            file = place / f"{number:03d}-{path.name.removesuffix('.hea')}.png"
            ecg_strip(to_mv(record.signal), predictor.signal.rate, record.lead_mask, path.name, file)


def tables(result: dict[str, Any]) -> list[Table]:
    """One table a record, for people; none where JSON was asked for."""
    if result["printed"]:
        return []
    shown = [
        _refusal_table(item) if "refused" in item else _answer_table(item, result["full_names"])
        for item in result["records"]
    ]
    if len(shown) == 1:
        return shown
    counts = [("answered", str(result["answered"]))]
    counts += [(f"refused: {reason}", str(count)) for reason, count in result["refused"].items()]
    return [*shown, Table(f"{len(shown)} records", ("", "records"), counts)]


@contextmanager
def _checkpoint(model: str, config: Config) -> Iterator[Path]:
    """The checkpoint folder of a run directory or of a registered model, which is fetched for the while."""
    if not model.startswith(REGISTRY):
        yield Path(model)
        return
    from jobs.registry.client import fetch_checkpoint

    with tempfile.TemporaryDirectory(prefix="peace-model-") as place:
        yield fetch_checkpoint(model, config, Path(place))


def _as_values(answer: Any) -> dict[str, Any]:
    from peace.inference import RejectedRecord

    # a file's name may hold bytes that are not UTF-8, a document may not
    record = os.fsencode(answer.record).decode("utf-8", "backslashreplace")
    if isinstance(answer, RejectedRecord):
        empty = Path(answer.record).is_dir()
        detail = "the folder holds no .hea file" if empty else answer.detail
        return {"record": record, "refused": answer.reason, "detail": detail}
    return {
        "record": record,
        "leads_present": answer.leads_present,
        "leads_missing": answer.leads_missing,
        "seconds": answer.seconds,
        "probabilities": answer.probabilities,
        "thresholds": answer.thresholds,
        "positive": answer.positive,
        "warnings": answer.warnings,
    }


def _answer_table(item: dict[str, Any], full_names: dict[str, str]) -> Table:
    limits = item["thresholds"] or {}
    rows = [
        [
            f"{label:<6} {full_names[label]}",
            f"{value:.3f}",
            f"{limits[label]:.3f}" if label in limits else "-",
            "yes" if label in (item["positive"] or ()) else "",
        ]
        for label, value in item["probabilities"].items()
    ]
    title = f"{item['record']}\n{len(item['leads_present'])} leads: {' '.join(item['leads_present'])}"
    title += "".join(f"\nwarning: {text}" for text in item["warnings"])
    return Table(title, ("label", "probability", "threshold", "positive"), rows)


def _refusal_table(item: dict[str, Any]) -> Table:
    return Table(item["record"], ("refused", "detail"), [[item["refused"], item["detail"]]])


VERB = Verb(
    name="predict",
    summary="Label probabilities of WFDB records, from the ECG alone. Research software, not a medical device.",
    add_arguments=add_arguments,
    work=work,
    tables=tables,
    sections=("links",),
    settings=("tracking.uri",),
    identity=identity,
    final=False,
    tracked=False,
    keeps_run=False,
)

if __name__ == "__main__":
    sys.exit(main(VERB))
