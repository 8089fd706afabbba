"""`peace describe`: the three-axis descriptors of a label set, checked, in one file with their provenance.

peace describe --out runs/describe --review
peace describe --provider gemini --model gemini-2.5-pro --samples 3 --out runs/gemini
peace describe --provider file --file runs/gemini --decisions anna.json ben.json --out runs/reviewed
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.runtime.harness import Job, Table, Verb, main
from peace.core.errors import ConfigError
from peace.core.files import file_digest, write_json

if TYPE_CHECKING:
    from peace.descriptors import Descriptors, Finding
    from peace.descriptors.embedding import Embed

PROVIDERS = ("curated", "curated_by_age", "file", "gemini")
FAILED = 2  # exit code where labels have no descriptors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the texts come from, and what is made of them."""
    parser.add_argument(
        "--provider",
        choices=PROVIDERS,
        default="curated",
        help="curated, curated_by_age: the embedded texts; file: your own, from --file; gemini: asked for, "
        "with the key in GEMINI_API_KEY",
    )
    parser.add_argument("--file", type=Path, metavar="FILE", help="a descriptors.json or its directory")
    parser.add_argument("--model", metavar="NAME", help="gemini: the model to ask (descriptors.model)")
    parser.add_argument("--base-url", metavar="URL", help="gemini: another address (descriptors.base_url)")
    parser.add_argument("--samples", type=int, metavar="N", help="gemini: answers a label (descriptors.samples)")
    parser.add_argument("--batch", action="store_true", help="gemini: ask in one batch, cheaper and slower")
    parser.add_argument("--review", action="store_true", help="write review.html for a cardiologist, and separability")
    parser.add_argument("--decisions", type=Path, nargs="+", metavar="FILE", help="decision files of reviewers")


def overrides(args: argparse.Namespace) -> list[str]:
    """Arguments that are configuration."""
    names = ("model", "base_url", "samples")
    return [f"descriptors.{name}={getattr(args, name)}" for name in names if getattr(args, name) is not None]


def work(job: Job) -> dict[str, Any]:
    """Write descriptors.json in the order of the label set, and what the checks found."""
    from peace.descriptors import check_descriptors

    descriptors, values, findings = _texts(job)
    if job.args.decisions:
        descriptors, review = _decided(job, descriptors)
        values["review"] = review
    findings = [*check_descriptors(descriptors), *findings]
    descriptors = _with_findings(descriptors, findings)
    write_json(job.out / "descriptors.json", descriptors.as_file())
    job.run.artifact(job.out / "descriptors.json")
    for finding in findings:
        job.log.warning("%s %s %s: %s", finding.severity, finding.label, finding.axis, finding.message)
    for label, reason in values["failed"].items():
        job.log.error("%s failed: %s", label, reason)
        print(f"peace describe: {label} failed: {reason}", file=sys.stderr)
    if job.args.review and descriptors.labels:
        values["separability"] = _review(job, descriptors, findings)
    return {
        "provider": job.args.provider,
        **values,
        "findings": [asdict(finding) for finding in findings],
        "errors": sum(finding.severity == "error" for finding in findings),
        "labels": list(descriptors.labels),
        "words": {
            label: [len(text.split()) for text in texts]
            for label, texts in zip(descriptors.labels, descriptors.texts, strict=True)
        },
        "provenance": descriptors.provenance,
        "descriptor_digest": descriptors.digest,
    }


def tables(result: dict[str, Any]) -> list[Table]:
    """One row a label, the findings where there are any, and what failed."""
    findings, failed = result["findings"], result["failed"]
    count = {label: sum(found["label"] == label for found in findings) for label in result["labels"]}
    rows = [[label, *map(str, words), str(count[label])] for label, words in result["words"].items()]
    asked = f", {result['generated']} generated, {result['cached']} cached" if result["provider"] == "gemini" else ""
    title = f"descriptors {result['descriptor_digest']} ({result['provider']}{asked})"
    found = [Table(title, ["label", "rhythm, words", "morphology", "ST-T", "findings"], rows)]
    if findings:
        details = [[one["label"], one["axis"], one["severity"], one["message"]] for one in findings]
        found.append(Table("findings", ["label", "axis", "severity", "message"], details))
    if failed:
        title = "failed; what succeeded is kept, and the same command asks for the rest"
        found.append(Table(title, ["label", "reason"], [[label, reason] for label, reason in failed.items()]))
    if "review" in result:
        found.append(_review_table(result["review"]))
    return found


def identity(args: argparse.Namespace) -> Any:
    """The texts by their bytes: an edited file is another run. What Gemini is asked is configuration."""
    from peace.descriptors.texts import find_descriptors

    asked = {"provider": args.provider}
    if args.decisions:
        asked["decisions"] = [file_digest(path) if path.is_file() else str(path) for path in args.decisions]
    if args.provider != "gemini":
        asked["texts"] = file_digest(find_descriptors(_source(args)))
    return asked


def _source(args: argparse.Namespace) -> str:
    if (args.provider == "file") != (args.file is not None):
        raise ConfigError("--provider file and --file FILE belong together")
    return args.provider if args.file is None else str(args.file)


def _texts(job: Job) -> tuple[Descriptors, dict[str, Any], list[Finding]]:
    """The descriptors, the first values of the result, and what generation found."""
    from peace.data.labels import load_label_set
    from peace.descriptors import load_descriptors

    label_set = load_label_set(job.config.labels.set)
    source = _source(job.args)
    if source == "gemini":
        return _generated(job, label_set.full_names)
    descriptors = load_descriptors(source, label_set.labels)
    return descriptors, {"generated": 0, "cached": len(descriptors.labels), "failed": {}}, []


def _generated(job: Job, names: dict[str, str]) -> tuple[Descriptors, dict[str, Any], list[Finding]]:
    from tqdm import tqdm

    from peace.descriptors.assemble import assemble
    from peace.descriptors.cache import Cache, questions
    from peace.descriptors.generate import generate
    from peace.descriptors.prompt import load_prompt

    settings = job.config.descriptors
    prompt = load_prompt(settings.prompt)
    asked = questions(names, prompt, settings)
    cache = Cache(Path(settings.cache) if settings.cache else job.out / "cache")
    with tqdm(total=len(asked), unit="answer", desc=settings.model, disable=None) as bar:
        outcome = generate(asked, settings, cache, job.args.batch, lambda: _advance(bar))
    for trouble in outcome.troubles:
        job.log.warning(trouble)
    found = assemble(asked, outcome, prompt, settings, lambda texts: _embedder(job, texts))
    values = {
        "generated": len(found.generated),
        "cached": len(found.cached),
        "failed": found.failed,
        "requests": outcome.requests,
    }
    return found.descriptors, values, found.findings


def _advance(bar: Any) -> None:
    bar.update()


def _embedder(job: Job, vocabulary: list[str]) -> Embed:
    from peace.models.embedding import embedder

    return embedder(job.config.model.text, vocabulary)


def _decided(job: Job, descriptors: Descriptors) -> tuple[Descriptors, dict[str, Any]]:
    """The texts as reviewers decided, and how far they agree."""
    from peace.descriptors.decisions import agreement, decide, read_decisions

    files = read_decisions(job.args.decisions, descriptors)
    kappa = agreement(files)
    verdicts = {file.reviewer: {label: one.decision for label, one in file.labels.items()} for file in files}
    return decide(descriptors, files), {"verdicts": verdicts, "agreement": asdict(kappa) if kappa else None}


def _review(job: Job, descriptors: Descriptors, findings: list[Finding]) -> dict[str, Any]:
    """Write the page with its figure, and the template of a decision file."""
    from peace.descriptors.decisions import template
    from peace.descriptors.review import write_review
    from peace.descriptors.separability import reading, separability, vocabulary

    embed = _embedder(job, vocabulary(descriptors))
    found = separability(descriptors, embed, job.config.model.text.name)
    job.run.artifact(write_review(job.out / "review.html", descriptors, findings, found))
    write_json(job.out / "decisions.template.json", template(descriptors))
    write_json(job.out / "separability.json", found.as_dict())
    for sentence in reading(found):
        job.log.info(sentence)
    alarms = [[one.kind, one.label, one.nearest] for one in found.alarms]
    return {"encoder": found.encoder, "alarms": alarms, "reading": reading(found)}


def _with_findings(descriptors: Descriptors, findings: list[Finding]) -> Descriptors:
    """The same texts, each label's findings in its provenance."""
    from dataclasses import replace

    entries = []
    for label, entry in zip(descriptors.labels, descriptors.entries, strict=True):
        own = [f"{one.severity}, {one.axis}: {one.message}" for one in findings if one.label == label]
        entries.append(entry.model_copy(update={"provenance": {**entry.provenance, "findings": own}}))
    return replace(descriptors, entries=tuple(entries))


def _review_table(review: dict[str, Any]) -> Table:
    verdicts, kappa = review["verdicts"], review["agreement"]
    labels = list(dict.fromkeys(label for own in verdicts.values() for label in own))
    rows = [[label, *(own.get(label, "–") for own in verdicts.values())] for label in labels]
    shown = (
        ""
        if kappa is None
        else f", {kappa['kind']}'s kappa " + ("undefined" if kappa["kappa"] is None else f"{kappa['kappa']:.2f}")
    )
    return Table(f"review{shown}", ["label", *verdicts], rows)


VERB = Verb(
    name="describe",
    summary="Write the three-axis descriptors of each label to descriptors.json, and check them.",
    add_arguments=add_arguments,
    work=work,
    tables=tables,
    sections=("labels", "descriptors"),
    settings=("model.text",),
    identity=identity,
    overrides=overrides,
    final=False,  # what is there costs nothing, and what failed is asked for again
    exit_code=lambda result: FAILED if result["failed"] else 0,
)

if __name__ == "__main__":
    sys.exit(main(VERB))
