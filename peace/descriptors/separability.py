"""Can the text encoder tell the labels apart? Similarities, nearest neighbours, and an alarm."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from matplotlib.figure import Figure
from numpy.typing import NDArray

from peace.descriptors.embedding import Embed
from peace.descriptors.texts import AXES, Descriptors
from peace.reports.drawing import png

KINDS = ("name", *AXES)
TITLES = {"name": "names", "rhythm": "rhythm", "morphology": "morphology", "st_t": "ST-T"}


@dataclass(frozen=True)
class Neighbour:
    """The nearest other label on one axis, and how near a paraphrase of the label's own text is (None: there is none).

    `alarm`: the other label is nearer than the label is to its own paraphrase.
    """

    kind: str
    label: str
    nearest: str
    similarity: float
    own_paraphrase: float | None

    @property
    def alarm(self) -> bool:
        return self.own_paraphrase is not None and self.similarity > self.own_paraphrase


@dataclass(frozen=True)
class Mirror:
    """A name against its mirror image and against its own paraphrase."""

    name: str
    mirror: str
    paraphrase: str
    to_mirror: float
    to_paraphrase: float

    @property
    def confused(self) -> bool:
        return self.to_mirror > self.to_paraphrase


@dataclass(frozen=True)
class Separability:
    """Cosines (K, K) of each kind of text, cosines (3K, 3K) of all axis texts, neighbours, and mirror images."""

    labels: tuple[str, ...]
    encoder: str
    cosines: dict[str, NDArray[np.float64]]
    all_axes: NDArray[np.float64]
    neighbours: list[Neighbour]
    mirrors: list[Mirror]

    @property
    def alarms(self) -> list[Neighbour]:
        """Where two labels are closer than a label is to its own paraphrase."""
        return [one for one in self.neighbours if one.alarm]

    def as_dict(self) -> dict[str, Any]:
        """For result.json."""
        return {
            "encoder": self.encoder,
            "labels": list(self.labels),
            "cosine": {kind: np.round(matrix, 4).tolist() for kind, matrix in self.cosines.items()},
            "all_axes": np.round(self.all_axes, 4).tolist(),
            "neighbours": [{**asdict(one), "alarm": one.alarm} for one in self.neighbours],
            "mirrors": [{**asdict(one), "confused": one.confused} for one in self.mirrors],
            "alarms": len(self.alarms),
        }


def paraphrases() -> tuple[dict[str, dict[str, str]], list[dict[str, str]]]:
    """Of each label name and axes in other words; and names with their mirror images."""
    values = yaml.safe_load(Path(__file__).with_name("paraphrases.yaml").read_text(encoding="utf-8"))
    return values["labels"], values["mirrors"]


def vocabulary(descriptors: Descriptors) -> list[str]:
    """Every text that is compared."""
    labels, mirrors = paraphrases()
    texts = [*descriptors.names, *(text for axes in descriptors.texts for text in axes)]
    return [
        *texts,
        *(text for own in labels.values() for text in own.values()),
        *(t for m in mirrors for t in m.values()),
    ]


def separability(descriptors: Descriptors, embed: Embed, encoder: str) -> Separability:
    """Compare all labels on their names and on each axis. Expects three axes a label."""
    known, pairs = paraphrases()
    texts = {"name": list(descriptors.names)}
    texts |= {axis: [axes[at] for axes in descriptors.texts] for at, axis in enumerate(AXES)}
    vectors = {kind: embed(found) for kind, found in texts.items()}
    cosines = {kind: found @ found.T for kind, found in vectors.items()}
    stacked = np.concatenate([vectors[axis] for axis in AXES])
    neighbours = [
        _neighbour(kind, place, descriptors.labels, vectors[kind], cosines[kind], known, embed)
        for kind in KINDS
        for place in range(len(descriptors.labels))
        if len(descriptors.labels) > 1
    ]
    mirrors = []
    for pair in pairs:
        name, mirror, paraphrase = embed([pair["name"], pair["mirror"], pair["paraphrase"]])
        mirrors.append(
            Mirror(pair["name"], pair["mirror"], pair["paraphrase"], float(name @ mirror), float(name @ paraphrase))
        )
    return Separability(descriptors.labels, encoder, cosines, stacked @ stacked.T, neighbours, mirrors)


def _neighbour(
    kind: str,
    place: int,
    labels: tuple[str, ...],
    vectors: NDArray[np.float64],
    cosine: NDArray[np.float64],
    known: dict[str, dict[str, str]],
    embed: Embed,
) -> Neighbour:
    others = cosine[place].copy()
    others[place] = -np.inf
    nearest = int(others.argmax())
    own = known.get(labels[place], {}).get(kind)
    paraphrase = float(vectors[place] @ embed([own])[0]) if own else None
    return Neighbour(kind, labels[place], labels[nearest], float(others[nearest]), paraphrase)


def draw(found: Separability) -> bytes:
    """The 12 x 3 texts against each other as a PNG, axis by axis, and the names beside them."""
    count = len(found.labels)
    figure = Figure(figsize=(12.5, 8.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(2.4, 1))
    image = left.imshow(found.all_axes, vmin=0, vmax=1, cmap="viridis")
    for edge in range(1, len(AXES)):
        left.axhline(edge * count - 0.5, color="white", linewidth=1.5)
        left.axvline(edge * count - 0.5, color="white", linewidth=1.5)
    ticks = range(len(AXES) * count)
    left.set_xticks(ticks, list(found.labels) * len(AXES), rotation=90, fontsize=6.5)
    left.set_yticks(ticks, list(found.labels) * len(AXES), fontsize=6.5)
    left.set_title("rhythm · morphology · ST-T", fontsize=10)
    right.imshow(found.cosines["name"], vmin=0, vmax=1, cmap="viridis")
    right.set_xticks(range(count), found.labels, rotation=90, fontsize=7)
    right.set_yticks(range(count), found.labels, fontsize=7)
    right.set_title("names", fontsize=10)
    figure.colorbar(image, ax=right, location="bottom", shrink=0.8, label=f"cosine of {found.encoder}")
    return png(figure)


def reading(found: Separability) -> list[str]:
    """What the figure says, in sentences."""
    sentences = []
    for mirror in (one for one in found.mirrors if one.confused):
        sentences.append(
            f"The encoder {found.encoder} puts “{mirror.name}” nearer to “{mirror.mirror}” ({mirror.to_mirror:.2f}) "
            f"than to “{mirror.paraphrase}” ({mirror.to_paraphrase:.2f}): it reads words, not electrophysiology."
        )
    for kind in KINDS:
        alarms = [one for one in found.alarms if one.kind == kind]
        if alarms:
            worst = max(alarms, key=lambda one: one.similarity)
            title = TITLES[kind][:1].upper() + TITLES[kind][1:]
            sentences.append(
                f"{title}: {len(alarms)} of {len(found.labels)} labels are nearer to another label than to their own "
                f"paraphrase; nearest are {worst.label} and {worst.nearest} ({worst.similarity:.2f})."
            )
    return sentences or [
        f"The encoder {found.encoder} keeps all labels further apart than a label from its paraphrase."
    ]
