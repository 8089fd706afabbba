"""Tables damaged at random: each ends in counted records or in one clear error, and no path leaves the tree."""

import random
from pathlib import Path

import pytest
from cohort_tables import mimic_measurement, mimic_record, mimic_tree, ptbxl_row, ptbxl_tree, zzu_row, zzu_tree

from peace.config import load_config
from peace.core.errors import DataError
from peace.data.cohorts import COHORTS, read_cohort
from peace.data.cohorts.manifest import manifest_table
from peace.data.labels import load_label_set
from peace.data.splits import split_patients

PEACE12 = load_label_set("peace12")
MUTATIONS = 40  # of each table; a run of 2,000 of each found nothing more
ROWS = 12


def tree(cohort: str, root: Path) -> Path:
    if cohort == "ptbxl":
        return ptbxl_tree(root, [ptbxl_row(str(number)) for number in range(1, ROWS + 1)])
    if cohort == "zzu":
        return zzu_tree(root, [zzu_row(f"P000{number:02d}_E01", AHA_code="'A1';'L147'") for number in range(ROWS)])
    records = [mimic_record(f"100000{number:02d}", f"400000{number:02d}") for number in range(ROWS)]
    lines = [mimic_measurement(f"100000{n:02d}", f"400000{n:02d}", ["LVH, with strain", "RBBB"]) for n in range(ROWS)]
    return mimic_tree(root, records, lines)


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Flip, cut, repeat, or lace with what tables and paths trip over."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 6)):
        place = chance.randrange(max(1, len(data)))
        kind = chance.randrange(6)
        if kind == 0 and data:
            data[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del data[place:]
        elif kind == 2:
            data[place:place] = data[place : place + chance.randint(1, 200)]
        elif kind == 3:
            del data[place : place + chance.randint(1, 60)]
        elif kind == 4:
            data[place:place] = chance.choice(
                [b'"', b"'", b",", b"\n", b"\r", b"\x00", b"\xff\xfe", b"../../", b"/", b"{" * 300, b"9" * 400, b"\xe7"]
            )
        else:
            data[place:place] = bytes(chance.randrange(256) for _ in range(chance.randint(1, 20)))
    return bytes(data)


@pytest.mark.parametrize(
    ("cohort", "table"), [(cohort, table) for cohort, known in COHORTS.items() for table in known.tables]
)
def test_damaged_tables(cohort: str, table: str, tmp_path: Path) -> None:
    root = tree(cohort, tmp_path / "tree")
    sound = (root / table).read_bytes()
    config = load_config("debug")
    chance = random.Random(f"{cohort} {table}")
    read, refusals = 0, list[str]()
    for _ in range(MUTATIONS):
        (root / table).write_bytes(damaged(sound, chance))
        try:
            index = read_cohort(cohort, root, PEACE12, config)
        except DataError as error:
            refusals.append(str(error))
            continue
        read += 1
        kept = index.kept
        split = split_patients(index.frame.loc[kept, "patient_id"], index.targets[kept], config.split)
        whole = manifest_table(index, PEACE12.labels, split.reindex(index.frame.index)).to_pandas()
        assert whole["record_id"].is_unique
        assert (index.targets[kept].any(axis=1)).all()
        assert (whole.loc[kept, "path"] != "").all()
        for path in whole.loc[whole["path"] != "", "path"]:
            assert Path(path).resolve().is_relative_to(root.resolve())
    assert read > MUTATIONS // 4, "the damage must not only hit headers"
    assert all(str(root) in said and "\n" not in said for said in refusals)
