"""A label set is a data file: another one drops in, and a mistake in it is named."""

import pickle
from pathlib import Path

import pytest

from peace.core.errors import ConfigError
from peace.data.labels import load_label_set

THREE = """
name: three
labels:
  NORMAL: {full_name: normal ECG, aha: [A1], scp: {subclasses: [NORM]}}
  LONGQT: {full_name: long QT, aha: [L148], scp: {codes: [LNGQT]}}
  ST: {full_name: ST-T change, scp: {subclasses: [STTC], except: [LNGQT]}}
report:
  findings:
    - {name: normal, when: '^normal ecg$', labels: [NORMAL]}
    - {name: qt, when: 'prolonged qt', labels: [LONGQT]}
"""


def write(folder: Path, text: str) -> str:
    path = folder / "set.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_another_label_set_drops_in(tmp_path: Path) -> None:
    three = load_label_set(write(tmp_path, THREE))
    statements = {"NORM": "NORM", "LNGQT": "STTC", "NDT": "STTC"}
    assert three.labels == ("NORMAL", "LONGQT", "ST")
    assert three.from_aha(["A1", "A2", "L145"]) == ["NORMAL"]
    assert three.from_scp({"LNGQT": 0.0}, statements) == ["LONGQT"], "taken out of its subclass"
    assert three.from_scp({"NDT": 0.0, "LNGQT": 0.0}, statements) == ["LONGQT", "ST"]
    assert three.from_report(["Normal ECG", "Prolonged QT interval"]) == ["NORMAL", "LONGQT"]


def test_the_digest_follows_the_rules_and_not_the_comments(tmp_path: Path) -> None:
    digest = load_label_set(write(tmp_path, THREE)).digest
    assert load_label_set(write(tmp_path, THREE + "# a remark\n")).digest == digest
    assert load_label_set(write(tmp_path, THREE.replace("[A1]", "[A1, A2]"))).digest != digest


def test_a_label_set_travels_to_another_process(tmp_path: Path) -> None:
    three = load_label_set(write(tmp_path, THREE))
    assert three.from_report(["Prolonged QT"]) == ["LONGQT"]
    again = pickle.loads(pickle.dumps(three))
    assert again.from_report(["Prolonged QT"]) == ["LONGQT"]
    assert again.digest == three.digest


def test_the_example_of_the_documentation_works(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "labels.md").read_text(encoding="utf-8")
    example = page.split("```yaml\n")[1].split("```")[0]
    three = load_label_set(write(tmp_path, example))
    assert three.labels == ("NORMAL", "LONGQT", "STT")
    assert three.from_report(["Normal ECG", "Long QTc interval"]) == ["LONGQT"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("aha: [A1]", "ahaa: [A1]", "'labels.NORMAL.ahaa'; did you mean 'aha'?"),
        ("subclasses: [NORM]", "subclass: [NORM]", "'labels.NORMAL.scp.subclass'; did you mean 'subclasses'?"),
        ("findings:", "rules:", "unknown key 'report.rules'"),
        ("labels: [LONGQT]", "labels: [LONGQTT]", "'LONGQTT', which is not one; did you mean 'LONGQT'?"),
        ("'prolonged qt'", "'prolonged (qt'", "is not a regular expression"),
        ("[A1]", "[A1, A1]", "labels.NORMAL.aha: A1 stands twice"),
        ("full_name: long QT, ", "", "labels.LONGQT.full_name: Field required"),
        ("  LONGQT: {", "  NORMAL: {", "'NORMAL' stands twice"),
        ("  NORMAL: {", "  'a b': {", "'a b' cannot name a label"),
        ("  NORMAL: {", "  NO: {", "put the key False in quotes"),
        ("name: three\n", "name: [three\n", "is not valid YAML"),
        (THREE, "[]", "must hold keys and values"),
        (THREE, "name: none\nlabels: {}\n", "labels"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in THREE
    path = write(tmp_path, THREE.replace(old, new, 1))
    with pytest.raises(ConfigError) as raised:
        load_label_set(path)
    assert said in str(raised.value)
    assert path in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_unknown_name_lists_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown label set 'peace13'; did you mean 'peace12'"):
        load_label_set("peace13")
    with pytest.raises(ConfigError, match="cannot read label set"):
        load_label_set(str(tmp_path / "absent.yaml"))
