"""Tables in any encoding and shape: every line is read or counted; trees that are none say what was expected."""

import re
from pathlib import Path

import pytest
from cohort_tables import mimic_measurement, mimic_record, mimic_tree, ptbxl_row, ptbxl_tree, zzu_row, zzu_tree
from hypothesis import given, settings
from hypothesis import strategies as st

from peace.config import load_config
from peace.core.errors import DataError
from peace.data.cohorts import read_cohort
from peace.data.cohorts.tables import BLOCK, read_table
from peace.data.labels import load_label_set

PEACE12 = load_label_set("peace12")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16", "latin-1"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    words = "Vorhofgrö" if encoding == "latin-1" else "窦性心律"
    path = tmp_path / "table.csv"
    path.write_text(f"id , words\n1,{words}\n", encoding=encoding)
    frame = read_table(path, ["id", "words"]).frame
    assert frame["id"].tolist() == ["1"]
    assert frame["words"].tolist() == [words]
    assert frame["line"].tolist() == [2]


def test_line_ends_blank_lines_and_optional_columns(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(b"id,words\r\n1, a \r\n\r\n2,b")
    frame = read_table(path, ["words"], optional=["absent"]).frame
    assert frame.to_dict("list") == {"line": [2, 4], "words": ["a", "b"], "absent": ["", ""]}


def test_more_rows_than_a_block(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    count = BLOCK + 7
    path.write_text("id\n" + "".join(f"{number}\n" for number in range(count)), encoding="utf-8")
    assert read_table(path, ["id"]).frame["id"].tolist() == [str(number) for number in range(count)]


@given(
    cells=st.lists(
        st.tuples(*[st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=8)] * 2),
        min_size=1,
        max_size=30,
    )
)
@settings(deadline=None)
def test_no_line_is_lost_whatever_it_holds(
    cells: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Junk with stray quotes and commas: a line is a row, a malformed row, or in a quoted field above."""
    path = tmp_path_factory.mktemp("junk") / "table.csv"
    lines = [f"{number},{a},{b}" for number, (a, b) in enumerate(cells)]
    path.write_text("\n".join(["id,a,b", *lines]) + "\n", encoding="utf-8", newline="")
    table = read_table(path, ["id"])
    ids = dict(zip(table.frame["line"] - 2, table.frame["id"], strict=True))
    starts = set(ids) | {line - 2 for line, _ in table.malformed}
    assert len(starts) == len(ids) + len(table.malformed)
    assert all(name == str(place) for place, name in ids.items()), "an id is its own line's"
    start = 0
    for place in range(len(lines)):
        if place in starts:
            start = place
        else:
            assert "\n".join(lines[start:place]).count('"') % 2 == 1, "a quote stands open"


def test_a_huge_field_is_one_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(f'id,a\n1,"{"x" * 300_000}\n2,"y"\n3,{"z" * 300_000}\n', encoding="utf-8")
    table = read_table(path, ["id"])
    assert set(table.frame["id"]) >= {"2", "3"}
    assert len(table.frame) + len(table.malformed) == 3


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"id,a\n", "has a header but no rows"),
        (b"id,id\n1,2\n", "has the column 'id' twice"),
        (b"\x00\xff\xfe" * 50, "has no column 'id'"),
    ],
)
def test_files_that_are_no_table(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(said)):
        read_table(path, ["id"])


TREES = {
    "ptbxl": lambda root: ptbxl_tree(root, [ptbxl_row()]),
    "zzu": lambda root: zzu_tree(root, [zzu_row()]),
    "mimic": lambda root: mimic_tree(root, [mimic_record("1", "2")], [mimic_measurement("1", "2", ["LVH"])]),
}


@pytest.mark.parametrize("cohort", sorted(TREES))
def test_trees_that_are_missing_empty_or_something_else(cohort: str, tmp_path: Path) -> None:
    config = load_config("debug")
    with pytest.raises(DataError, match=r"does not exist: a .* tree holds"):
        read_cohort(cohort, tmp_path / "absent", PEACE12, config)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"is empty: a .* tree holds"):
        read_cohort(cohort, tmp_path / "empty", PEACE12, config)
    (tmp_path / "file").write_text("text")
    with pytest.raises(DataError, match="is not a directory"):
        read_cohort(cohort, tmp_path / "file", PEACE12, config)
    for other, make in TREES.items():
        root = make(tmp_path / other)
        if other != cohort:
            with pytest.raises(DataError, match=f"this looks like .* --cohort {other}"):
                read_cohort(cohort, root, PEACE12, config)


@pytest.mark.parametrize("cohort", sorted(TREES))
def test_a_tree_one_level_off_is_pointed_at(cohort: str, tmp_path: Path) -> None:
    root = TREES[cohort](tmp_path / "data" / "tree")
    with pytest.raises(DataError, match=f"did you mean {root}"):
        read_cohort(cohort, root.parent, PEACE12, load_config("debug"))
    folder = next(found for found in root.iterdir() if found.is_dir())
    (folder / "something").mkdir()
    with pytest.raises(DataError, match=f"did you mean {root}"):
        read_cohort(cohort, folder, PEACE12, load_config("debug"))
    (folder / "something").rmdir()
    folder.rmdir()
    with pytest.raises(DataError, match=f"has no {folder.name}/ folder, where the recordings are"):
        read_cohort(cohort, root, PEACE12, load_config("debug"))
    assert len(read_cohort(cohort, TREES[cohort](root), PEACE12, load_config("debug")).frame) == 1


@pytest.mark.parametrize("cohort", sorted(TREES))
def test_a_table_of_malformed_rows_alone_is_counted(cohort: str, tmp_path: Path) -> None:
    root = TREES[cohort](tmp_path)
    table = next(root / name for name in ("record_list.csv", "AttributesDictionary.csv", "ptbxl_database.csv")
                 if (root / name).exists())  # fmt: skip
    header = table.read_text(encoding="utf-8").splitlines()[0]
    table.write_text(f"{header}\ntorn\ntorn,too\n", encoding="utf-8")
    index = read_cohort(cohort, root, PEACE12, load_config("debug"))
    assert index.frame["excluded"].tolist() == ["malformed_row", "malformed_row"]
    assert index.targets.shape == (2, 12)
