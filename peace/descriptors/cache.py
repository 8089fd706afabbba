"""Answers kept by what was asked: one readable JSON file each, so that asking again costs nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peace.config import DescriptorsConfig
from peace.core.files import digest, write_json
from peace.descriptors.answer import SCHEMA_VERSION, Answer, Unfit, read_answer
from peace.descriptors.prompt import Prompt


@dataclass(frozen=True)
class Question:
    """One sample of one label: what is asked, and by whom it is answered."""

    label: str
    name: str
    sample: int
    prompt: str
    asked: dict[str, Any]

    @property
    def key(self) -> str:
        """Digest of the model, the prompt as this label gets it, the label, the schema and the sampling."""
        return digest({name: value for name, value in self.asked.items() if name != "template_digest"})

    @property
    def title(self) -> str:
        """The question in words."""
        return self.label if self.sample == 1 else f"{self.label}, sample {self.sample}"


@dataclass(frozen=True)
class Kept:
    """An answer and where it came from."""

    question: Question
    answer: Answer
    provenance: dict[str, Any]


def questions(names: dict[str, str], prompt: Prompt, settings: DescriptorsConfig) -> list[Question]:
    """All questions: every sample of every label, labels by name in words."""
    found = []
    for label, name in names.items():
        text = prompt.render(label, name)
        for sample in range(1, settings.samples + 1):
            sampling = {"temperature": settings.temperature, "seed": settings.seed + sample - 1}
            asked = {
                "model": settings.model,
                "prompt": prompt.source,
                "template_digest": prompt.digest,
                "prompt_digest": digest(text),
                "label": label,
                "schema_version": SCHEMA_VERSION,
                "sampling": sampling | {"max_tokens": settings.max_tokens},
            }
            found.append(Question(label, name, sample, text, asked))
    return found


class Cache:
    """A folder of answers, `LABEL-SAMPLE-KEY.json`. A file may be corrected by hand: then its provenance says so."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, question: Question) -> Path:
        """Where the answer to a question is kept."""
        label = "".join(letter if letter.isalnum() or letter in "_-" else "_" for letter in question.label)
        return self.folder / f"{label}-{question.sample}-{question.key}.json"

    def read(self, question: Question) -> Kept | None:
        """The answer, or None where there is none, or what is there cannot be read as one."""
        try:
            values = json.loads(self.path(question).read_text(encoding="utf-8"))
            answer = read_answer(json.dumps(values["answer"]))
            provenance = dict(values["provenance"])
            if digest(answer.model_dump()) != provenance["answer_digest"]:
                provenance["edited"] = "by hand, in the cache"
            return Kept(question, answer, provenance)
        except (OSError, ValueError, TypeError, KeyError, Unfit):
            return None

    def write(self, question: Question, answer: Answer, provenance: dict[str, Any]) -> Kept:
        """Keep an answer."""
        values = answer.model_dump()
        provenance = provenance | {"answer_digest": digest(values)}
        held = {"key": question.key, "asked": question.asked, "answer": values, "provenance": provenance}
        write_json(self.path(question), held | {"prompt": question.prompt.splitlines()})
        return Kept(question, answer, provenance)
