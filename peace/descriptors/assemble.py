"""From answers to a descriptors file: the medoid of each label, its provenance, and what failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from peace.config import DescriptorsConfig
from peace.descriptors.cache import Kept, Question
from peace.descriptors.checks import Finding
from peace.descriptors.embedding import Embed
from peace.descriptors.generate import Outcome
from peace.descriptors.prompt import Prompt
from peace.descriptors.samples import choose
from peace.descriptors.texts import AXES, AxisTexts, Descriptors, DescriptorsFile, LabelTexts, arrange


@dataclass(frozen=True)
class Assembled:
    """The descriptors of the labels that were answered, why others failed, and what the samples say."""

    descriptors: Descriptors
    generated: list[str]
    cached: list[str]
    failed: dict[str, str]
    findings: list[Finding]


def assemble(
    questions: Sequence[Question],
    outcome: Outcome,
    prompt: Prompt,
    settings: DescriptorsConfig,
    embed: Callable[[list[str]], Embed],
) -> Assembled:
    """Descriptors of every label with an answer. `embed` is made of their texts where samples are compared."""
    by_label: dict[str, list[Question]] = {}
    for question in questions:
        by_label.setdefault(question.label, []).append(question)
    entries: dict[str, LabelTexts] = {}
    failed: dict[str, str] = {}
    findings: list[Finding] = []
    fresh = {question.label for question in questions if question.key in outcome.fresh}
    compare = None
    if settings.samples > 1 and outcome.kept:
        compare = embed([getattr(kept.answer, axis) for kept in outcome.kept.values() for axis in AXES])
    for label, asked in by_label.items():
        samples = [outcome.kept[question.key] for question in asked if question.key in outcome.kept]
        missing = [question for question in asked if question.key not in outcome.kept]
        if not samples:
            failed[label] = outcome.failed[missing[0].key]
            continue
        if missing:
            reason = f"{len(missing)} of {len(asked)} samples failed: {outcome.failed[missing[0].key]}"
            findings.append(Finding(label, "all", "samples", "warning", reason))
        kept, provenance = samples[0], None
        if compare is not None and len(samples) > 1:
            choice = choose(samples, compare)
            kept, provenance = choice.kept, choice.as_provenance(samples)
            findings += _disagreements(label, choice.similarity, choice.criteria_overlap, settings.agreement)
        entries[label] = _entry(kept, provenance)
    held = DescriptorsFile(schema_version=1, provenance=_provenance(prompt, settings, failed, entries), labels=entries)
    return Assembled(
        arrange(held, list(entries)),
        [label for label in entries if label in fresh],
        [label for label in entries if label not in fresh],
        failed,
        findings,
    )


def _entry(kept: Kept, samples: dict[str, Any] | None) -> LabelTexts:
    answer, question = kept.answer, kept.question
    axes = {axis: getattr(answer, axis) for axis in AXES}
    name = question.name
    return LabelTexts(
        name=name,
        axes=AxisTexts(**axes),
        fused=answer.summary or _in_one(name, list(axes.values())),
        leads=tuple(answer.leads),
        criteria=tuple(answer.criteria),
        age_note=answer.age_note,
        references=tuple(answer.references),
        provenance={
            "key": question.key,
            **{name: question.asked[name] for name in ("model", "prompt", "prompt_digest", "sampling")},
            **kept.provenance,
            **({"samples": samples} if samples else {}),
        },
    )


def _in_one(name: str, axes: list[str]) -> str:
    """All axes after the name; without the rhythm, which tells labels apart least, where that would be too long."""
    whole = " ".join(axes)
    return f"{name[:1].upper()}{name[1:]}: {whole if len(whole.split()) < 55 else ' '.join(axes[1:])}"


def _provenance(
    prompt: Prompt, settings: DescriptorsConfig, failed: dict[str, str], entries: dict[str, LabelTexts]
) -> dict[str, Any]:
    written = sorted(entry.provenance["written_on"] for entry in entries.values())
    return {
        "source": "gemini",
        "written_by": f"{settings.model}, through google-genai",
        "written_on": written[-1] if written else None,
        "model": settings.model,
        "prompt": prompt.source,
        "prompt_digest": prompt.digest,
        "prompt_text": prompt.text,
        "review": {"status": "not reviewed", "by": None, "note": "written by a language model, read by nobody yet"},
        **({"failed": failed} if failed else {}),
    }


def _disagreements(label: str, similarity: dict[str, float], overlap: float, least: float) -> list[Finding]:
    found = [
        Finding(label, axis, "agreement", "warning", f"the samples differ: mean cosine {value:.2f}, below {least:g}")
        for axis, value in similarity.items()
        if value < least
    ]
    if overlap < 0.5:
        message = f"the samples share {overlap:.0%} of findings, leads and numbers"
        found.append(Finding(label, "all", "agreement", "warning", message))
    return found
