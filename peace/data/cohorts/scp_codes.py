"""A cell of PTB-XL's scp_codes: a dict of code and likelihood, however Python, numpy, pandas or JSON wrote it."""

from __future__ import annotations

import ast
import math
import re

from peace.data.cohorts.cells import CURLY

Codes = dict[str, float]
LONGEST = 10_000  # characters; real cells have under 200
_DECIMAL_COMMA = re.compile(r"(:\s*[0-9]+),([0-9]+)(?=\s*[,}])")
_NO_COMMA = re.compile(r"(['\"])(\s+)(?=['\"])")  # numpy writes ['NORM' 'SR'], which Python would read as one word
_NUMBERS = frozenset(("float64", "float32", "float16", "int64", "int32", "int16", "int8", "float", "int", "Decimal"))
_CONTAINERS = frozenset(("OrderedDict", "dict", "array", "list", "tuple", "set", "frozenset", "Series", "Index"))
_WORDS = {"nan": math.nan, "NaN": math.nan, "NA": math.nan, "null": math.nan, "inf": math.inf}


def parse_codes(text: str) -> Codes | None:
    """Code -> likelihood (NaN where none is given) of a cell; None where it is neither such a dict nor a list of codes.

    Nothing is executed: the cell's syntax tree is read.
    """
    if len(text) > LONGEST:
        return None
    text = _NO_COMMA.sub(r"\1,\2", _DECIMAL_COMMA.sub(r"\1.\2", text.translate(CURLY)))
    try:
        return _codes(ast.parse(text.strip(), mode="eval").body)
    except (ValueError, SyntaxError, OverflowError, MemoryError, RecursionError):
        return None


def _codes(node: ast.expr) -> Codes:
    """Raises ValueError for anything that is not codes."""
    if isinstance(node, ast.Call) and _name(node.func) in _CONTAINERS and node.args:
        return _codes(node.args[0])
    if isinstance(node, ast.Dict):
        return {_code(key): _likelihood(value) for key, value in zip(node.keys, node.values, strict=True)}
    if not isinstance(node, ast.List | ast.Tuple | ast.Set):
        raise ValueError(ast.dump(node))
    pairs = [item for item in node.elts if isinstance(item, ast.List | ast.Tuple) and len(item.elts) == 2]
    if pairs and len(pairs) == len(node.elts):
        return {_code(pair.elts[0]): _likelihood(pair.elts[1]) for pair in pairs}
    return {_code(item): math.nan for item in node.elts}


def _code(node: ast.expr | None) -> str:
    if isinstance(node, ast.Call) and _name(node.func) in ("str_", "str") and len(node.args) == 1:
        return _code(node.args[0])
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.strip():
        return node.value.strip()
    raise ValueError("no code")


def _likelihood(node: ast.expr) -> float:
    """A number, a number in quotes, or NaN for what says that there is none."""
    if isinstance(node, ast.Call) and _name(node.func) in _NUMBERS and len(node.args) == 1:
        return _likelihood(node.args[0])
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_likelihood(node.operand)
    if isinstance(node, ast.Name | ast.Attribute) and _name(node) in _WORDS:
        return _WORDS[_name(node)]
    if isinstance(node, ast.Constant) and node.value is None:
        return math.nan
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float | str):
        return float(node.value)
    raise ValueError("no likelihood")


def _name(node: ast.expr) -> str:
    """Last name of `np.float64`, or of `float64`."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
