"""What can be wrong with a cohort's table, as functions of a random generator and the table's path."""

from __future__ import annotations

import os
import random
from pathlib import Path

from fuzz_records import BYTES, Mutation, damaged, words

CELLS = words("../../outside/canary /etc/passwd ~/x .. nan ' \" Null C:\\x r.hea =1+1 1e999 -5 records/../x records//x")
CELLS += ["", "9" * 400, "x" * 100_000, "a\x00b", "{" * 3000, "\u202e", "{'NORM': 1e999}", "{'NORM': [" * 50]


def table_bytes(chance: random.Random, table: Path) -> None:
    table.write_bytes(damaged(table.read_bytes(), chance, (*BYTES, b",", b"../../", b"{" * 300, b"9" * 400)))


def table_cells(chance: random.Random, table: Path) -> None:
    """Cells become what parsers and paths trip over."""
    lines = table.read_text(encoding="utf-8").split("\n")
    for _ in range(chance.randint(1, 5)):
        number = chance.randrange(len(lines))
        cells = lines[number].split(",")
        cells[chance.randrange(len(cells))] = chance.choice(CELLS)
        lines[number] = ",".join(cells)
    table.write_text("\n".join(lines), encoding="utf-8")


def table_columns(chance: random.Random, table: Path) -> None:
    """Columns twice, lost, renamed, or thousands of them."""
    rows = [line.split(",") for line in table.read_text(encoding="utf-8").split("\n")]
    column = chance.randrange(len(rows[0]))
    kind = chance.randrange(4)
    for row in rows:
        if column < len(row) and kind == 0:
            row.append(row[column])
        elif column < len(row) and kind == 1:
            del row[column]
        elif kind == 2:
            row += [""] * 20_000
    if kind == 3 and column < len(rows[0]):
        rows[0][column] += chance.choice((" ", "\x00", "s", "\ufeff"))
    table.write_text("\n".join(",".join(row) for row in rows), encoding="utf-8")


def table_shape(chance: random.Random, table: Path) -> None:
    """Cut, empty, repeated many times, one endless line, other encodings, no plain file."""
    content = table.read_bytes()
    kind = chance.randrange(7)
    if kind == 0:
        content = content[: chance.randrange(len(content))]
    elif kind == 1:
        content = content + content.partition(b"\n")[2] * chance.randint(1, 300)
    elif kind == 2:
        content = content + b'"' + b"x," * 2_000_000
    elif kind == 3:
        content = content.decode().encode(chance.choice(("utf-16", "utf-32", "utf-8-sig", "utf-7")))
    elif kind == 4:
        content = chance.choice((b"", b"\n" * 1000, b"\x00" * 5000, b"PK\x03\x04" + chance.randbytes(3000)))
    elif kind == 5:
        table.unlink()
        chance.choice((table.mkdir, lambda: table.symlink_to("/dev/zero"), lambda: os.mkfifo(table)))()
        return
    else:
        content = content.replace(b"\n", b"\r")
    table.write_bytes(content)


TABLES: dict[str, Mutation] = {
    "table: damaged bytes": table_bytes,
    "table: absurd cells": table_cells,
    "table: columns": table_columns,
    "table: shape": table_shape,
}
