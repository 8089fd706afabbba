"""A descriptors file: what it must hold, and the texts in the order of a label set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from peace.core.errors import DataError
from peace.core.files import digest, read_json
from peace.descriptors.bands import BANDS, Band

AXES = ("rhythm", "morphology", "st_t")
CURATED = Path(__file__).parent / "curated.json"
EMBEDDED = {"curated": CURATED, "curated_by_age": CURATED.with_name("curated_by_age.json")}

Variant = Literal["three_axes", "single", "permuted"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AxisTexts(_Strict):
    """What a label looks like on each axis, 8 to 25 words."""

    rhythm: str
    morphology: str
    st_t: str


class AgeTexts(_Strict):
    """The axes that read otherwise in an age band; the others keep their general text."""

    rhythm: str | None = None
    morphology: str | None = None
    st_t: str | None = None


class LabelTexts(_Strict):
    """A label: its name in words, the three axes, and all of it in one text (for the ablation).

    What the texts rest on stands beside them and is for people: leads, criteria, a note on age, references, and the
    provenance of this label (prompt, model, samples, findings, review).
    """

    name: str
    axes: AxisTexts
    fused: str
    by_age: dict[Band, AgeTexts] = {}
    leads: tuple[str, ...] = ()
    criteria: tuple[str, ...] = ()
    age_note: str = ""
    references: tuple[str, ...] = ()
    provenance: dict[str, Any] = {}

    @property
    def reviews(self) -> list[dict[str, Any]]:
        """What reviewers decided on this label, as its provenance has it."""
        held = self.provenance.get("review", [])
        return [one for one in held if isinstance(one, dict)] if isinstance(held, list) else []

    def texts(self, band: Band | None = None) -> tuple[str, ...]:
        """The text of each axis, as it reads in an age band or in general."""
        own = self.by_age.get(band, AgeTexts()) if band else AgeTexts()
        return tuple(getattr(own, axis) or getattr(self.axes, axis) for axis in AXES)


class DescriptorsFile(_Strict):
    """The whole file. Provenance says who or what wrote the texts, when, on what basis, and who reviewed them."""

    schema_version: Literal[1]
    provenance: dict[str, Any]
    labels: dict[str, LabelTexts]


@dataclass(frozen=True)
class Descriptors:
    """Texts in the order of `labels`: `texts[k][a]` is label k on axis a (K x 3, or K x 1 for the single text).

    `by_age[b]` holds the same for each of BANDS; it is empty where no label has texts of its own for an age.
    `entries` are the labels as the file has them.
    """

    labels: tuple[str, ...]
    names: tuple[str, ...]
    texts: tuple[tuple[str, ...], ...]
    fused: tuple[str, ...]
    provenance: dict[str, Any]
    by_age: tuple[tuple[tuple[str, ...], ...], ...] = ()
    entries: tuple[LabelTexts, ...] = ()

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that stand for the labels, names and texts, in their order."""
        texts = [self.labels, self.names, self.texts]
        return digest([*texts, self.by_age] if self.by_age else texts)

    def as_file(self) -> dict[str, Any]:
        """What a descriptors file of these labels holds."""
        labels = {
            label: entry.model_dump(mode="json", exclude_defaults=True)
            for label, entry in zip(self.labels, self.entries, strict=True)
        }
        return {"schema": 1, "provenance": self.provenance, "labels": labels}

    def variant(self, name: Variant, seed: int = 42) -> Descriptors:
        """The texts as an ablation wants them: three axes, one merged text a label, or texts of other labels.

        `permuted` gives every label the texts of another one, by a fixed cycle drawn from `seed`: it keeps the
        parameters and takes the meaning. Names stay with their labels.
        """
        if name == "single":
            return replace(self, texts=tuple((text,) for text in self.fused), by_age=())
        if name == "permuted":
            order = np.random.default_rng(seed).permutation(len(self.labels))
            source = dict(zip(order.tolist(), np.roll(order, 1).tolist(), strict=True))

            def turned(texts: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
                return tuple(texts[source[place]] for place in range(len(texts)))

            return replace(self, texts=turned(self.texts), by_age=tuple(map(turned, self.by_age)))
        return self


def arrange(held: DescriptorsFile, labels: Sequence[str]) -> Descriptors:
    """The texts of a file in the order of labels that it has."""
    entries = tuple(held.labels[label] for label in labels)
    aged = any(entry.by_age for entry in entries)
    return Descriptors(
        tuple(labels),
        tuple(entry.name for entry in entries),
        tuple(entry.texts() for entry in entries),
        tuple(entry.fused for entry in entries),
        held.provenance,
        tuple(tuple(entry.texts(band) for entry in entries) for band in BANDS) if aged else (),
        entries,
    )


def read_descriptors(path: Path) -> DescriptorsFile:
    """Read and check the form of a descriptors file; raises DataError."""
    values = read_json(path)
    if not isinstance(values, dict):
        raise DataError(f"{path} is not a descriptors file: it must hold 'schema', 'provenance' and 'labels'")
    try:
        # `schema` is a method of pydantic's models, so the field has another name than the key
        return DescriptorsFile.model_validate({_FIELD.get(key, key): value for key, value in values.items()})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join("schema" if part == "schema_version" else str(part) for part in first["loc"])
        raise DataError(f"{path} is not a descriptors file: '{place}': {first['msg'].lower()}") from None


_FIELD = {"schema": "schema_version"}


def locate_descriptors(source: str) -> str:
    """The same source as it is named from anywhere: an embedded set by its name, a file by its absolute path."""
    return source if source in EMBEDDED else str(find_descriptors(source).absolute())


def find_descriptors(source: str | Path) -> Path:
    """The file that is meant: an embedded set, a file, or the one in a directory. Raises DataError."""
    if str(source) in EMBEDDED:
        return EMBEDDED[str(source)]
    path = Path(source)
    if path.is_dir():
        path = path / "descriptors.json"
    if not path.is_file():
        raise DataError(
            f"descriptors '{source}' not found: give 'curated', 'curated_by_age', a descriptors.json or its directory"
        )
    return path
