"""Cells as spreadsheets, statistics programs and exporters write them: read where the meaning is certain, else named.

The readers of the cohorts and `peace index --check` read ages, ids and paths here, so that both count the same.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

import pandas as pd

from peace.core.errors import DataError
from peace.data.cohorts.tables import CsvTable

DAYS_PER_YEAR = 365.25
OLDEST_DAYS = 125 * DAYS_PER_YEAR  # an age beyond this is a mistake of the table
OVER_89 = 90 * DAYS_PER_YEAR  # an age given as "above 89" is at least this
LINES_NAMED = 20

# What stands in a cell that holds nothing, in lower case: pandas, numpy, R, SAS, SQL, JSON and spreadsheets.
ABSENT = frozenset(
    (
        *("", "nan", "na", "n/a", "n.a.", "none", "null", "nil", "<na>", "nat", "#n/a", "#na", "(null)"),
        *("-", "--", ".", "?", "unknown", "missing", "not available", "unbekannt", "未知", "无"),
    )
)
NO_PERSON = frozenset(("-1", "-9", "-99", "-999", "-9999", "anonymous", "anonymized", "anonymised"))
CURLY = str.maketrans({**dict.fromkeys("‘’‚‛′ʼ´`＇", "'"), **dict.fromkeys("“”„‟″＂", '"'), "；": ";", "，": ","})
FRACTION = r"(?:[.,]0*)?"  # of a whole number that went through a column of floats

_UNITS = {
    "years": (r"y|yr|yrs|years?|yo|y/o|j|jahren?|jahre|岁|周岁", DAYS_PER_YEAR),
    "months": (r"m|mo|mos|mon|months?|monat|monaten?|个月|月", DAYS_PER_YEAR / 12),
    "weeks": (r"w|wk|wks|weeks?|wochen?|周", 7.0),
    "days": (r"d|days?|tag|tagen?|天|日", 1.0),
    "hours": (r"h|hr|hrs|hours?|stunden?|小时", 1 / 24),
}
_NUMBER = r"[0-9]+(?:\.[0-9]*|,(?:[0-9]{1,2}|[0-9]{4,}))?(?:e[+-]?[0-9]+)?"  # 3,714 may be either: no number
_AGE_PART = re.compile(
    rf"({_NUMBER})\s*(?:" + "|".join(f"(?P<{unit}>{words})" for unit, (words, _) in _UNITS.items()) + r")\.?(?![a-z])"
)
_BETWEEN = re.compile(r"[\s,]*(?:and|und|old)?[\s,]*")
_ABOVE_89 = re.compile(r"(?:>\s*89|(?:>=|≥)\s*90|90\s*\+)\s*(?:y|years)?")

_DAY, _MONTH, _YEAR = r"(?:0?[1-9]|[12][0-9]|3[01])", r"(?:0?[1-9]|1[0-2])", r"(?:[0-9]{4}|[0-9]{2})"
_NAMED_MONTH = r"(?:jan|feb|m[aä]r|mrz|apr|ma[iy]|jun|jul|aug|sept?|o[ck]t|nov|de[cz])\.?"
_DATE = (
    rf"{_YEAR}[-/.]{_MONTH}[-/.]{_DAY}|{_DAY}[-/.]{_MONTH}[-/.]{_YEAR}|{_MONTH}[-/]{_DAY}[-/]{_YEAR}"
    rf"|[0-9]{{1,4}}[-/. ]{_NAMED_MONTH}(?:[-/. ][0-9]{{2,4}})?|{_NAMED_MONTH}[-/ ][0-9]{{1,4}}"
)
# The forms that an id takes in a spreadsheet, each with what became of it.
_MANGLED = (
    (re.compile(r"#+"), "is what a column shows that is too narrow"),
    (re.compile(r"#[a-z0-9/]+[!?]?", re.I), "is a spreadsheet's error"),
    (re.compile(r"[0-9]{1,3}([., '])[0-9]{3}(?:\1[0-9]{3})*(?:[.,]0+)?"), "has a thousands separator, or a fraction"),
    (
        re.compile(rf"(?:{_DATE})(?:[ T][0-9:. ]+(?:[ap]m)?)?|[0-9]{{1,2}}:[0-9]{{2}}(?::[0-9]{{2}})?", re.I),
        "is a date",
    ),
    (re.compile(r"[+-]?[0-9]*[.,][0-9]+"), "has a fraction"),
    (re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?e[+-]?[0-9]+", re.I), "has lost digits to its exponent"),
)
_WHOLE = re.compile(rf"\+?([0-9]+){FRACTION}")
_EXPONENT = re.compile(r"([0-9]+)(?:[.,]([0-9]+))?e\+?([0-9]{1,3})", re.I)
_AS_IT_IS = r"[1-9][0-9]{0,14}|[A-Z]+[0-9]+(?:_[A-Z]?[0-9]+)?"
EXACT_DIGITS = 15  # that a spreadsheet, or a 64-bit float, keeps of a number


@dataclass(frozen=True)
class Ids:
    """A column of ids: `values` as one person or record is written in one way ("" where there is none), and `mangled`.

    `mangled`: what became of an id that a spreadsheet changed, "" where none did.
    """

    values: pd.Series
    mangled: pd.Series


@dataclass(frozen=True)
class Ages:
    """A column of ages: `days` (NaN where none is given) and flags of the cells that are `bad`."""

    days: pd.Series
    bad: pd.Series


def absent(column: pd.Series) -> pd.Series:
    """(rows,) flags of cells that hold nothing."""
    return column.str.lower().isin(ABSENT)


def whole(column: pd.Series) -> pd.Series:
    """Codes that were once written as floats (3.0, or 3,0) without their fraction."""
    return column.str.replace(r"[.,]0*$", "", regex=True)


def read_ids(column: pd.Series) -> Ids:
    """Read ids: 015709, 15709.0, '15709 and 1.5709e4 are 15709; nan, NA and the like are none."""
    odd = ~column.str.fullmatch(_AS_IT_IS)
    floats = bool(column.str.fullmatch(r"[0-9]{4,}\.000").any())
    read = {text: _read_id(text, floats) for text in column[odd].unique()}
    values = column.mask(odd, column.map({text: value for text, (value, _) in read.items()}))
    mangled = column.map({text: why for text, (_, why) in read.items()}).fillna("")
    long = values.str.fullmatch(rf"[0-9]{{{EXACT_DIGITS + 1},}}")
    if long.any() and values[long].str.fullmatch(rf"[0-9]{{{EXACT_DIGITS}}}0+").all():
        mangled = mangled.mask(long, f"has lost its digits after the first {EXACT_DIGITS}")
    return Ids(values.astype("str"), mangled.astype("str"))


def _read_id(text: str, floats: bool) -> tuple[str, str]:
    """The id of a cell, and what became of it; `floats`: the column holds numbers with three zeros behind the point."""
    bare = unicodedata.normalize("NFKC", text).translate(CURLY).strip("\ufeff\u200b '\"").removeprefix('="').strip()
    if whole_number := _WHOLE.fullmatch(bare):
        digits = whole_number.group(1)
        if not re.fullmatch(r"[1-9][0-9]{0,2}[.,]000", bare) or floats:
            return digits.lstrip("0") or "0", ""
    if re.sub(r"[.,]0*$", "", bare.lower()) in ABSENT | NO_PERSON:
        return "", ""
    if (number := _EXPONENT.fullmatch(bare)) and (exact := _exact(*number.groups())):
        return exact, ""
    return next(((bare, why) for form, why in _MANGLED if form.fullmatch(bare)), (bare, ""))


def _exact(whole_part: str, decimals: str | None, exponent: str) -> str:
    """The whole number that an exponent stands for, where its digits are all there; else nothing."""
    decimals, places = decimals or "", int(exponent)
    digits, rest = (whole_part + decimals[:places]).lstrip("0"), decimals[places:]
    if places > len(decimals) or rest.strip("0") or len(digits) > EXACT_DIGITS:
        return ""
    return digits or "0"


def known_ids(table: CsvTable, column: str, allow_mangled: bool) -> tuple[pd.Series, int]:
    """The ids of a column, and how many are mangled. Raises DataError with their lines, unless they are allowed."""
    ids = read_ids(table.frame[column])
    mangled = table.frame.loc[ids.mangled != "", ["line", column]]
    if mangled.empty or allow_mangled:
        return ids.values, len(mangled)
    lines = ", ".join(mangled["line"].head(LINES_NAMED).astype("str"))
    more = f" and {len(mangled) - LINES_NAMED:,} more" if len(mangled) > LINES_NAMED else ""
    first = f"'{mangled[column].iloc[0][:40]}' {ids.mangled[mangled.index[0]]}"
    raise DataError(
        f"{table.path}: {len(mangled):,} cells of {column} were mangled by a spreadsheet (line {lines}{more}): "
        f"{first}; people would be taken for one another. Write them in full, or allow them with --allow-mangled-ids"
    )


def read_ages(column: pd.Series, bare: str) -> Ages:
    """Read ages: 56, 56,5, 56 y, 3 months, 1 y 2 m, 056Y, 3714d. `bare`: the unit of a number alone, "" where none."""
    nothing = absent(column)
    read = {text: _age(text, bare) for text in column[~nothing].unique()}
    days = column.map(read).astype("float64")
    return Ages(days, ~nothing & ~((days >= 0) & (days <= OLDEST_DAYS)))


def _age(text: str, bare: str) -> float | None:
    """Days of an age, None where the cell is none."""
    text = unicodedata.normalize("NFKC", text).strip("\ufeff\u200b '\"").lower()
    if bare and re.fullmatch(_NUMBER, text):
        return _number(text) * _UNITS[bare][1]
    if _ABOVE_89.fullmatch(text):
        return OVER_89
    days, at, units = 0.0, 0, list[str]()
    while at < len(text):
        if (part := _AGE_PART.match(text, at)) is None or str(part.lastgroup) in units:
            return None
        units.append(str(part.lastgroup))
        days += _number(part.group(1)) * _UNITS[units[-1]][1]
        at = max(part.end(), (_BETWEEN.match(text, part.end()) or part).end())
    return days if units else None


def _number(text: str) -> float:
    return float(text.replace(",", "."))


def tidy_paths(paths: pd.Series) -> pd.Series:
    """Paths as the tree has them: / for a backslash, no ./ and no repeated slash within, no extension."""
    tidied = paths.str.replace("\\", "/", regex=False).str.replace(r"^(?:\./+)+", "", regex=True)
    tidied = tidied.str.replace(r"/(?:\./+)+", "/", regex=True).str.replace(r"([^/])//+", r"\1/", regex=True)
    return tidied.str.replace(r"(?i)\.(?:hea|dat)$", "", regex=True)


def safe_paths(paths: pd.Series) -> pd.Series:
    """True where a relative path stays inside the tree: not empty, not absolute, without .. or control characters."""
    unsafe = r"(?:^|/)\.{1,2}(?:/|$)|^/|^~|\\|^[A-Za-z]:|[\x00-\x1f\x7f]|//|/$"
    return (paths != "") & ~paths.str.contains(unsafe, regex=True)
