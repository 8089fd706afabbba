"""A descriptors file: what it must hold, and the texts in the order of a label set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from peace.errors import DataError, nearest
from peace.files import digest, read_json

AXES = ("rhythm", "morphology", "st_t")
CURATED = Path(__file__).parent / "curated.json"

Variant = Literal["three_axes", "single", "permuted"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AxisTexts(_Strict):
    """What a label looks like on each axis, 8 to 25 words."""

    rhythm: str
    morphology: str
    st_t: str


class LabelTexts(_Strict):
    """A label: its name in words, the three axes, and all of it in one text (for the ablation)."""

    name: str
    axes: AxisTexts
    fused: str


class DescriptorsFile(_Strict):
    """The whole file. Provenance says who or what wrote the texts, when, on what basis, and who reviewed them."""

    schema_version: Literal[1]
    provenance: dict[str, Any]
    labels: dict[str, LabelTexts]


@dataclass(frozen=True)
class Descriptors:
    """Texts in the order of `labels`: `texts[k][a]` is label k on axis a (K x 3, or K x 1 for the single text)."""

    labels: tuple[str, ...]
    names: tuple[str, ...]
    texts: tuple[tuple[str, ...], ...]
    fused: tuple[str, ...]
    provenance: dict[str, Any]

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that stand for the labels, names and texts, in their order."""
        return digest([self.labels, self.names, self.texts])

    def as_file(self) -> dict[str, Any]:
        """What a descriptors file of these texts holds; wants the three axes."""
        labels = {
            label: {"name": name, "axes": dict(zip(AXES, texts, strict=True)), "fused": fused}
            for label, name, texts, fused in zip(self.labels, self.names, self.texts, self.fused, strict=True)
        }
        return {"schema": 1, "provenance": self.provenance, "labels": labels}

    def variant(self, name: Variant, seed: int = 42) -> Descriptors:
        """The texts as an ablation wants them: three axes, one merged text a label, or texts of other labels.

        `permuted` gives every label the texts of another one, by a fixed cycle drawn from `seed`: it keeps the
        parameters and takes the meaning. Names stay with their labels.
        """
        if name == "single":
            return replace(self, texts=tuple((text,) for text in self.fused))
        if name == "permuted":
            order = np.random.default_rng(seed).permutation(len(self.labels))
            given = list(self.texts)
            for place, source in zip(order, np.roll(order, 1), strict=True):
                given[place] = self.texts[source]
            return replace(self, texts=tuple(given))
        return self


def load_descriptors(source: str | Path, labels: Sequence[str] | None = None) -> Descriptors:
    """The descriptors of 'curated', of a file, or of a `peace describe` directory, in the order of `labels`.

    Without `labels`: all that the file holds. Raises DataError naming the file and what is wrong or missing.
    """
    path = _path(source)
    held = read_descriptors(path)
    wanted = tuple(held.labels if labels is None else labels)
    for label in wanted:
        if label not in held.labels:
            raise DataError(f"{path} has no descriptors of label '{label}'{nearest(label, held.labels)}")
    texts = [held.labels[label] for label in wanted]
    return Descriptors(
        wanted,
        tuple(text.name for text in texts),
        tuple(tuple(getattr(text.axes, axis) for axis in AXES) for text in texts),
        tuple(text.fused for text in texts),
        held.provenance,
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


def _path(source: str | Path) -> Path:
    if str(source) == "curated":
        return CURATED
    path = Path(source)
    if path.is_dir():
        path = path / "descriptors.json"
    if not path.is_file():
        raise DataError(f"descriptors '{source}' not found: give 'curated', a descriptors.json or its directory")
    return path
