"""Cells of the cohorts' tables: what an id, an age, a path and codes may look like, and what none of them is."""

from __future__ import annotations

import pandas as pd
import pytest

from peace.data.cohorts.cells import read_ages, read_ids, safe_paths, tidy_paths
from peace.data.cohorts.scp_codes import parse_codes

MANGLED = {"1.57E+04": "exponent", "4e+07": "exponent", "########": "too narrow", "#REF!": "error",
           "15,709": "thousands", "15.709": "thousands", "15 709": "thousands", "1,234,567": "thousands",
           "15709.5": "fraction", "Jan-57": "a date", "1-Mar": "a date",
           "2024-01-05": "a date", "5/1/2024 00:00": "a date",
           "12345678901234500000": "first 15"}  # fmt: skip


@pytest.mark.parametrize("cell", MANGLED)
def test_what_became_of_a_mangled_id_is_said(cell: str) -> None:
    ids = read_ids(pd.Series([cell, "15709"], dtype="str"))
    assert ids.values.tolist() == [cell, "15709"]
    assert MANGLED[cell] in ids.mangled[0]
    assert ids.mangled[1] == ""


def test_long_ids_that_differ_in_their_last_digits_are_sound() -> None:
    ids = read_ids(pd.Series(["12345678901234560", "12345678901234567", "P1", "MAR1", "A-12", "S0250"], dtype="str"))
    assert (ids.mangled == "").all()
    assert ids.values.tolist()[:2] == ["12345678901234560", "12345678901234567"]


@pytest.mark.parametrize(
    ("cell", "bare", "days"),
    [
        ("56", "years", 20454), ("56,5", "years", 20636.625), ("5.6e1", "years", 20454), ("56 y", "", 20454),
        ("056Y", "", 20454), ("3 months", "years", 91.3125), ("003M", "", 91.3125), ("2 wks", "", 14),
        ("7d", "years", 7), ("3714.0 D", "", 3714), ("12 h", "", 0.5), ("1 y 2 m", "", 426.125),
        ("3 years, 1 day old", "", 1096.75), ("3\u5c81", "", 1095.75), ("2\u4e2a\u6708", "", 60.875),
        ("90+", "years", 32872.5), ("> 89 y", "years", 32872.5), ("3714", "", None),
        ("1,234", "years", None), ("3,714d", "", None), ("56 parsecs", "", None),
        ("-3", "years", None),
        ("1 y 1 y", "", None), ("200", "years", None), ("y", "", None), ("inf", "years", None), ("56;5", "years", None),
    ],
)  # fmt: skip
def test_ages(cell: str, bare: str, days: float | None) -> None:
    ages = read_ages(pd.Series([cell], dtype="str"), bare)
    assert ages.bad.tolist() == [days is None]
    assert days is None or ages.days.tolist() == [pytest.approx(days)]


@pytest.mark.parametrize(
    "path", ["..\\x", "C:\\x", "\\\\host\\x", "//host/x", "./../x", "a/./../x", "~\\x", "./", "\\"]
)
def test_a_tidied_path_does_not_leave_the_tree(path: str) -> None:
    assert not safe_paths(tidy_paths(pd.Series([path], dtype="str"))).any()


@pytest.mark.parametrize(
    "cell",
    [
        "{'NORM': 100.0, 'SR': 0.0}", "{'NORM': np.float64(100.0), 'SR': np.float64(0.0)}",
        "{np.str_('NORM'): numpy.int64(100), 'SR': float32(0)}", '{"NORM": 100, "SR": null}',
        "{'NORM': nan, 'SR': None}",
        "['NORM', 'SR']", "('NORM', 'SR')", "{'NORM', 'SR'}", "['NORM' 'SR']", "array(['NORM', 'SR'], dtype=object)",
        "[('NORM', 100.0), ('SR', 0.0)]", "OrderedDict([('NORM', 100.0), ('SR', 0.0)])", "{'NORM': 100,0, 'SR': 0,0}",
        "{\u2018NORM\u2019: 100.0, \u2018SR\u2019: 0.0}", "{'NORM': '100', 'SR': '0'}",
        "{' NORM': float('nan'), 'SR': -0.0}",
    ],
)  # fmt: skip
def test_codes_in_any_writing(cell: str) -> None:
    assert list(parse_codes(cell) or ()) == ["NORM", "SR"]


@pytest.mark.parametrize(
    "cell",
    [
        "", "nan", "NORM", "NORM;SR", "'NORM'", "5", "{'NORM': 100.0", "['NORM', 5]", "[['NORM']]", "{1: 2}", "{**{}}",
        "{'NORM': 1j}", "{'NORM': 'much'}", "{'NORM': [1]}", "__import__('os').system('true')", "exec('1')", "['']",
        "{'NORM': __import__('os').getpid()}", "(" * 500, "{'NORM': 1" + "0" * 400 + "}", "dict(NORM=1)", "x\x00",
    ],
)  # fmt: skip
def test_what_is_no_code_is_none(cell: str) -> None:
    assert parse_codes(cell) is None
