"""The clinical checks: what they must see, and what they must leave alone."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from peace.config import load_config
from peace.core.errors import DataError
from peace.descriptors import AXES, CURATED, Descriptors, check_descriptors, load_descriptors
from peace.descriptors.bands import BANDS
from peace.descriptors.clauses import leads_in, statements
from peace.descriptors.criteria import load_criteria
from peace.descriptors.numbers import quantities

OTHER_SIDE = {"left": "right", "right": "left", "Left": "Right", "Right": "Left"}
OTHER_LEAD = {"V1": "V5", "V2": "V6", "V3": "V6", "V5": "V1", "V6": "V2", "I": "III", "II": "aVL", "III": "I"}
OTHER_LEAD |= {"aVF": "aVL", "aVL": "aVF"}
LINES = [
    line.partition(":")
    for line in (Path(__file__).with_name("descriptor_texts.txt")).read_text().splitlines()
    if line and not line.startswith("#")
]
TEXTS = [(*head.split(), text.strip()) for head, _, text in LINES]
PLANTED = [(label, axis, text, check) for label, axis, check, text in TEXTS if check != "sound"]
SOUND = [(label, axis, text) for label, axis, check, text in TEXTS if check == "sound"]


@pytest.fixture(scope="module")
def curated() -> Descriptors:
    return load_descriptors("curated")


def planted(descriptors: Descriptors, label: str, axis: str, text: str) -> Descriptors:
    place = descriptors.labels.index(label)
    if axis == "fused":
        return replace(descriptors, fused=(*descriptors.fused[:place], text, *descriptors.fused[place + 1 :]))
    texts = [list(axes) for axes in descriptors.texts]
    texts[place][AXES.index(axis)] = text
    return replace(descriptors, texts=tuple(map(tuple, texts)))


def test_every_planted_mistake_is_found(curated: Descriptors) -> None:
    missed = []
    for label, axis, text, check in PLANTED:
        found = check_descriptors(planted(curated, label, axis, text))
        seen = {one.check for one in found if one.label == label}
        if check not in seen and not (check == "any" and seen):
            missed.append((label, axis, text, check, found))
    assert missed == []
    a_label = Counter(label for label, *_ in PLANTED)
    assert len(PLANTED) >= 40
    assert set(a_label) == set(curated.labels)
    assert min(a_label.values()) >= 2
    checks = {check for *_, check in PLANTED}
    assert checks >= {
        "axis",
        "laterality",
        "leads",
        "number",
        "contradiction",
        "treatment",
        "length",
        "language",
        "empty",
    }


def turned(text: str) -> str:
    return re.sub(r"\b(left|right|Left|Right)", lambda found: OTHER_SIDE[found[0]], text)


def moved(text: str) -> str:
    return re.sub(r"\b(V[1-6]|III|II|I|aV[LF])\b", lambda found: OTHER_LEAD.get(found[0], found[0]), text)


def scaled(text: str, factor: float) -> str:
    return re.sub(r"\d+(\.\d+)?(?= (ms|mV|degrees))", lambda found: f"{float(found[0]) * factor:g}", text)


@pytest.mark.parametrize(
    ("corrupt", "blind"),
    [(turned, 1), (moved, 0), (lambda text: scaled(text, 10), 0), (lambda text: scaled(text, 0.1), 0)],
    ids=["left for right", "other leads", "numbers times ten", "numbers by ten"],
)
def test_a_systematic_slip_is_found_wherever_it_can_happen(
    curated: Descriptors, corrupt: Callable[[str], str], blind: int
) -> None:
    tried, missed = 0, []
    for label, texts in zip(curated.labels, curated.texts, strict=True):
        for axis, text in zip(AXES, texts, strict=True):
            if corrupt(text) != text:
                tried += 1
                found = check_descriptors(planted(curated, label, axis, corrupt(text)))
                if not any(one.label == label and one.severity == "error" for one in found):
                    missed.append((label, axis, corrupt(text)))
    assert tried >= 7
    assert len(missed) <= blind, missed


def test_sound_texts_in_other_words_are_left_alone(curated: Descriptors) -> None:
    found = {row: check_descriptors(planted(curated, *row)) for row in SOUND}
    assert {row: findings for row, findings in found.items() if findings} == {}


@pytest.mark.parametrize("source", ["curated", "curated_by_age"])
def test_the_embedded_sets_pass(source: str) -> None:
    assert check_descriptors(load_descriptors(source)) == []


def test_the_table_holds_every_label_and_its_ranges_are_in_order(curated: Descriptors) -> None:
    table = load_criteria()
    assert set(table.labels) == set(curated.labels)
    for rules in table.labels.values():
        for rule in rules.numbers.values():
            assert rule.adult[0] < rule.adult[1]
            assert rule.child[0] < rule.child[1]


def test_texts_of_an_age_are_held_to_the_numbers_of_that_age() -> None:
    aged = load_descriptors("curated_by_age")
    place = aged.labels.index("CRBBB")
    text = aged.by_age[BANDS.index("1-3 years")][place][1]
    assert "90 ms" in text
    groups = [list(group) for group in aged.by_age]
    groups[BANDS.index("adult")][place] = (aged.texts[place][0], text, aged.texts[place][2])
    wrong = replace(aged, by_age=tuple(tuple(group) for group in groups))
    assert [(one.label, one.axis, one.check) for one in check_descriptors(wrong)] == [
        ("CRBBB", "morphology (adult)", "number")
    ]


def test_two_labels_or_two_axes_with_one_text_are_found(curated: Descriptors) -> None:
    found = check_descriptors(planted(curated, "IRBBB", "morphology", curated.texts[3][1]))
    assert ("CRBBB", "twin") in {(one.label, one.check) for one in found}
    found = check_descriptors(planted(curated, "LVH", "rhythm", curated.texts[7][1]))
    assert ("LVH", "repeated") in {(one.label, one.check) for one in found}


def test_errors_stop_a_use_unless_they_are_allowed_by_name(tmp_path: Path) -> None:
    values = json.loads(CURATED.read_text())
    values["labels"]["LVH"]["axes"]["rhythm"] = ""
    path = tmp_path / "own.json"
    path.write_text(json.dumps(values))
    assert load_descriptors(path).labels
    with pytest.raises(DataError, match=r"LVH rhythm: there is no text; .*allow_findings=\[LVH/empty\]"):
        load_descriptors(path, None, ())
    allowed = load_config("debug", None, ["objective.allow_findings=[LVH/empty]"]).objective.allow_findings
    assert load_descriptors(path, None, allowed).labels
    with pytest.raises(DataError):
        load_descriptors(path, None, ("LVH/treatment",))


def test_leads_are_read_with_ranges_and_groups() -> None:
    assert leads_in("T inversion in V1 to V3, I, aVL and III") == {"V1", "V2", "V3", "I", "aVL", "III"}
    assert leads_in("rS in the inferior leads") == {"II", "III", "aVF"}
    assert leads_in("QRS of 120 ms in Infants; V10") == frozenset()


def test_negations_and_possibilities_are_told_apart() -> None:
    said = {(one.concept, one.denied, one.possible) for one in statements("no ST elevation, depression or T inversion")}
    assert {(concept, denied) for concept, denied, _ in said} >= {("ST elevation", True), ("T inversion", True)}
    assert ("atrial fibrillation", False, True) in {
        (one.concept, one.denied, one.possible) for one in statements("Sinus rhythm; atrial fibrillation may occur.")
    }


def test_numbers_are_read_with_quantity_unit_and_side() -> None:
    found = [
        (one.name, one.low, one.high, one.side)
        for one in quantities(
            "QRS of 0.12 s or more; axis -45 to -90 degrees; P wave above 2.5 mm in II; below 1.0 mV in all chest leads"
        )
    ]
    assert found == [
        ("qrs", 120, 120, "above"),
        ("axis", -90, -45, None),
        ("p amplitude", 0.25, 0.25, "above"),
        ("chest amplitude", 1.0, 1.0, "below"),
    ]
