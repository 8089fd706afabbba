"""The descriptors: the curated file, its form, and the checks that keep slips out."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jobs.describe import VERB
from jobs.runtime.harness import main
from peace.config import load_config, override_config
from peace.core.errors import DataError
from peace.data.shards import ShardSet
from peace.descriptors import AXES, CURATED, Descriptors, check_descriptors, load_descriptors
from peace.training.plan import with_descriptors

LABELS = ("NORM", "LAFB", "IRBBB", "CRBBB", "LVOLT", "LAE", "RAE", "LVH", "RVH", "STTC", "TAB_", "LQTS")


@pytest.fixture
def curated() -> Descriptors:
    return load_descriptors("curated", LABELS)


def planted(descriptors: Descriptors, label: str, axis: str, text: str) -> Descriptors:
    place = descriptors.labels.index(label)
    if axis == "fused":
        return replace(descriptors, fused=(*descriptors.fused[:place], text, *descriptors.fused[place + 1 :]))
    texts = [list(axes) for axes in descriptors.texts]
    texts[place][AXES.index(axis)] = text
    return replace(descriptors, texts=tuple(map(tuple, texts)))


def test_the_curated_set_holds_twelve_labels_of_three_axes_and_passes_its_checks(curated: Descriptors) -> None:
    assert [len(texts) for texts in curated.texts] == [3] * 12
    assert all(8 <= len(text.split()) <= 25 for texts in curated.texts for text in texts)
    assert len({text for texts in curated.texts for text in texts}) == 36
    assert len(set(curated.names)) == len(set(curated.fused)) == 12
    assert check_descriptors(curated) == []
    assert curated.provenance["review"]["status"] == "not reviewed"


def test_texts_come_in_the_order_of_the_labels(curated: Descriptors) -> None:
    some = load_descriptors("curated", ("RVH", "NORM"))
    assert some.names == ("right ventricular hypertrophy", "normal ECG")
    assert some.texts == (curated.texts[8], curated.texts[0])
    assert load_descriptors("curated") == curated


def test_the_digest_stands_for_texts_and_order(curated: Descriptors) -> None:
    assert curated.digest == load_descriptors(CURATED, LABELS).digest
    assert curated.digest != load_descriptors("curated", LABELS[::-1]).digest
    assert curated.digest != planted(curated, "LVH", "rhythm", "Something else.").digest
    command = "from peace.descriptors import load_descriptors; print(load_descriptors('curated').digest)"
    other = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == curated.digest


def test_variants_merge_or_permute(curated: Descriptors) -> None:
    assert curated.variant("three_axes") is curated
    assert curated.variant("single").texts == tuple((text,) for text in curated.fused)
    permuted = curated.variant("permuted")
    assert sorted(permuted.texts) == sorted(curated.texts)
    assert all(given != own for given, own in zip(permuted.texts, curated.texts, strict=True))
    assert (permuted.labels, permuted.names) == (curated.labels, curated.names)
    assert permuted == curated.variant("permuted")
    assert len({d.digest for d in (curated, permuted, curated.variant("single"))}) == 3


def test_a_missing_label_is_named_with_the_nearest() -> None:
    with pytest.raises(DataError, match=r"no descriptors of label 'LVHX'; did you mean 'LVH'"):
        load_descriptors("curated", ("NORM", "LVHX"))


def broken(change: str) -> Any:
    values = json.loads(CURATED.read_text())
    if change == "axis missing":
        del values["labels"]["LVH"]["axes"]["st_t"]
    elif change == "unknown axis":
        values["labels"]["LVH"]["axes"]["age"] = "text"
    elif change == "not a text":
        values["labels"]["LVH"]["axes"]["st_t"] = 3
    elif change == "other schema":
        values["schema"] = 2
    elif change == "no provenance":
        del values["provenance"]
    else:
        values = [values]
    return values


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("axis missing", r"labels\.LVH\.axes\.st_t"),
        ("unknown axis", r"labels\.LVH\.axes\.age"),
        ("not a text", r"labels\.LVH\.axes\.st_t"),
        ("other schema", "'schema'"),
        ("no provenance", "provenance"),
        ("a list", "must hold"),
    ],
)
def test_a_file_of_another_form_is_refused_by_place(tmp_path: Path, change: str, told: str) -> None:
    path = tmp_path / "descriptors.json"
    path.write_text(json.dumps(broken(change)))
    with pytest.raises(DataError, match=told) as caught:
        load_descriptors(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_or_not_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="give 'curated'"):
        load_descriptors(tmp_path / "no.json")
    (tmp_path / "descriptors.json").write_text("{")
    with pytest.raises(DataError, match="not valid JSON"):
        load_descriptors(tmp_path)


def test_a_training_finds_its_descriptors_from_anywhere_or_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shards = ShardSet(tmp_path, {"labels": list(LABELS)})
    config = load_config("debug")
    assert with_descriptors(config, shards) == config
    own = override_config(config, {"objective.descriptors": "own.json"})
    with pytest.raises(DataError, match=r"own\.json' not found"):
        with_descriptors(own, shards)
    shutil.copy(CURATED, "own.json")
    assert with_descriptors(own, shards).objective.descriptors == str(tmp_path / "own.json")
    Path("own.json").write_text(CURATED.read_text().replace("Left axis deviation, -45", "Right axis deviation, -45"))
    with pytest.raises(DataError, match=r"allow_findings=\[LAFB/laterality\]"):
        with_descriptors(own, shards)
    allowed = override_config(own, {"objective.allow_findings": ["LAFB/laterality"]})
    assert with_descriptors(allowed, shards).objective.allow_findings == ("LAFB/laterality",)


def test_describe_writes_a_file_that_loads_as_the_same_descriptors(curated: Descriptors, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(VERB, ["--out", str(out), "tracking.enabled=false"]) == 0
    result = json.loads((out / "result.json").read_text())
    assert (result["generated"], result["cached"], result["failed"], result["findings"]) == (0, 12, {}, [])
    written = load_descriptors(out, LABELS)
    assert (written.texts, written.names, written.fused) == (curated.texts, curated.names, curated.fused)
    assert all(entry.provenance["findings"] == [] for entry in written.entries)
    assert result["descriptor_digest"] == curated.digest


def test_describe_reports_what_is_wrong_with_ones_own_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "own.json"
    values = json.loads(CURATED.read_text())
    values["labels"]["LVH"]["axes"]["rhythm"] = ""
    own.write_text(json.dumps(values))
    call = ["--provider", "file", "--out", str(tmp_path / "out"), "tracking.enabled=false"]
    assert main(VERB, [*call, "--file", str(own)]) == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["errors"] == 1
    assert [(found["label"], found["check"]) for found in result["findings"]] == [("LVH", "empty")]
    assert "there is no text" in capsys.readouterr().out
    shutil.copy(CURATED, own)
    assert main(VERB, [*call, "--file", str(own)]) == 0
    assert json.loads((tmp_path / "out" / "result.json").read_text())["errors"] == 0
    assert main(VERB, call) == 2
    assert "--file" in capsys.readouterr().err
