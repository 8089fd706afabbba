"""How exporters, vendors and spreadsheets write what is otherwise sound: generators for benchmarks/fuzz.py.

Unlike the mutations of fuzz_records.py and fuzz_tables.py these mean something: many are read, others refused by name.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

import numpy as np
from fuzz_records import Mutation

NAMES = ("ECG-{}", "EKG {}", "Lead {}", "MDC_ECG_LEAD_{}", "{} (mV)", "lead_{}", "{}_uV", " {} ", "Ableitung {}")
EXTRA = ("V3R", "V4R", "V7", "V8", "vx", "vy", "vz", "RESP", "PACE", "marker", "-aVR", "ABP", "CH 13")
MARKS = ("# a\x85b", "# a\u2028b", "# a\x0cb", "# Geschlecht: weiblich", "#", "\t", "# a\x0bb\x1cc", "# a\u00a0b")


def lines_of(folder: Path) -> list[str]:
    return (folder / "r.hea").read_text(encoding="utf-8").splitlines()


def write_lines(folder: Path, lines: list[str], ending: str = "\n") -> None:
    (folder / "r.hea").write_bytes((ending.join(lines) + ending).encode("utf-8"))


def names(chance: random.Random, folder: Path) -> None:
    """Lead names as vendors, DICOM and standards write them, one of them turned or unknown now and then."""
    lines, form = lines_of(folder), chance.choice(NAMES)
    for number in range(1, len(lines)):
        *cells, lead = lines[number].split(maxsplit=8)
        lead = chance.choice((form.format(lead), lead.lower(), lead.upper()))
        lines[number] = " ".join([*cells, f"-{lead}" if chance.random() < 0.05 else lead])
    if chance.random() < 0.3:
        number = chance.randrange(1, len(lines))
        lines[number] = " ".join([*lines[number].split(maxsplit=8)[:8], chance.choice(EXTRA)])
    write_lines(folder, lines)


def extra_leads(chance: random.Random, folder: Path) -> None:
    """The same samples beside more channels, or fewer limb leads: of 16 bits, in a file of its own."""
    lines = lines_of(folder)
    count = len(lines) - 1
    kept = [k for k in range(count) if not (k < 6 and chance.random() < 0.4)]
    more = chance.sample(EXTRA, chance.randint(0, 4))
    generator = np.random.default_rng(chance.randrange(2**32))
    beat = np.exp(-((((np.arange(1500) / 250) % 0.8 - 0.3) / 0.012) ** 2))
    millivolts = np.outer(beat, generator.uniform(0.2, 1, len(kept) + len(more)))
    samples = np.rint(1000 * millivolts + generator.normal(0, 5, millivolts.shape)).astype("<i2")
    (folder / "r.dat").write_bytes(samples.tobytes())
    leads = [lines[k + 1].split(maxsplit=8)[8] for k in kept] + more
    units = ["Ohm" if lead in ("RESP", "ABP") else "mV" for lead in leads]
    described = [f"r.dat 16 1000/{unit} 16 0 0 0 0 {lead}" for unit, lead in zip(units, leads, strict=True)]
    write_lines(folder, [f"r {len(leads)} 250 1500", *described])


def header_text(chance: random.Random, folder: Path) -> None:
    """What editors and converters leave in a header that is otherwise sound."""
    lines = lines_of(folder)
    first = lines[0].split()
    for _ in range(chance.randint(1, 3)):
        kind = chance.randrange(6)
        if kind == 0:
            lines.insert(chance.randrange(len(lines) + 1), chance.choice(MARKS))
        elif kind == 1:
            lines.append(chance.choice(("\x1a", "", lines[-1], "# end\x1a")))
        elif kind == 2:
            lines[0] = "\ufeff" + lines[0]
        elif kind == 3:
            first[0] = first[0].split(".")[0] + chance.choice((".mat", ".dat", ".hea"))
        elif kind == 4:
            first[3:] = chance.choice(
                (["0"], [], [*first[3:4], "02:50:55", "PM"], [*first[3:4], "9:49:17", "05-May-2020"])
            )
        else:
            lines = [line.replace(" ", "\t", chance.randint(0, 9)) for line in lines]
    if not lines[0].startswith(("#", "\ufeff", "\t")):
        lines[0] = " ".join(first)
    write_lines(folder, lines, chance.choice(("\n", "\r\n", "\r")))
    if chance.random() < 0.3:  # a comment of cp1252: no UTF-8
        content = (folder / "r.hea").read_bytes()
        (folder / "r.hea").write_bytes(content + b"# Verdacht\x85 \x93LVH\x94\n")


def amplitudes(chance: random.Random, folder: Path) -> None:
    """A gain of nothing, or wrong by ten; or exchanged arms: I turned, II and III, aVR and aVL exchanged."""
    lines = lines_of(folder)
    factor = chance.choice((0.0, 0.1, 10.0))
    exchanged = chance.random() < 0.5
    for number in range(1, len(lines)):
        cells = lines[number].split(maxsplit=8)
        if exchanged:
            cells[2] = f"-{cells[2]}" if cells[8] == "I" else cells[2]  # a gain below zero turns the lead
            cells[8] = {"II": "III", "III": "II", "aVR": "aVL", "aVL": "aVR"}.get(cells[8], cells[8])
        else:
            cells[2] = re.sub(r"^[\d.]+", lambda found: f"{float(found[0]) * factor:g}", cells[2])
        lines[number] = " ".join(cells)
    write_lines(folder, lines)


def stretches(chance: random.Random, folder: Path) -> None:
    """Zeros, another constant or the last row held, in all leads or in some, at either end or inside; or a rail."""
    lines = lines_of(folder)
    count = len(lines) - 1
    generator = np.random.default_rng(chance.randrange(2**32))
    beat = np.exp(-((((np.arange(1500) / 250) % 0.8 - 0.3) / 0.012) ** 2))
    samples = np.rint(1000 * np.outer(beat, generator.uniform(0.2, 1, count)) + generator.normal(0, 5, (1500, count)))
    start, length = chance.choice((0, chance.randrange(1500))), chance.choice((10, 200, 700, 1400))
    some = list(range(count)) if chance.random() < 0.6 else chance.sample(range(count), chance.randint(1, count))
    value = chance.choice((0.0, 777.0, -32768.0, 2047.0, float(samples[start, 0])))
    for lead in some:
        samples[start : start + length, lead] = value
    if chance.random() < 0.2:
        samples = np.clip(samples * 20, -2048, 2047)
    if chance.random() < 0.2:
        samples[:, chance.randrange(count)] = samples[:, 0]
    (folder / "r.dat").write_bytes(samples.astype("<i2").tobytes())
    leads = [line.split(maxsplit=8)[8] for line in lines[1:]]
    write_lines(folder, [f"r {count} 250 1500", *(f"r.dat 16 1000/mV 16 0 0 0 0 {lead}" for lead in leads)])


def table_dialect(chance: random.Random, table: Path) -> None:
    """Another delimiter, a sep= line, a byte order mark, Ctrl-Z, other ends of lines, another code page."""
    text = table.read_text(encoding="utf-8")
    mark = chance.choice((";", "\t", "|", ","))
    if mark != ",":
        text = re.sub(r',(?=(?:[^"]*"[^"]*")*[^"]*$)', mark, text)
    if chance.random() < 0.4:
        text = f"sep={mark}\n{text}"
    text += chance.choice(("", "\x1a", "\n\n"))
    text = text.replace("\n", chance.choice(("\n", "\r\n")))
    table.write_bytes(text.encode(chance.choice(("utf-8", "utf-8-sig", "cp1252")), "replace"))


CELLS = {
    "path": ("{}", ".\\{}", "./{}", "{}.hea", "{}/", " {}"),
    "age": ("56,5", "56 y", "7d", "3 months", "nan", "NaN", "NA", "N/A", "None", "<NA>", "", "056Y", "-1"),
    "id": ("1.57E+04", "4.00E+07", "{}.0", "0{}", "########", "nan", "NA", "", "1,234", "2020-01-02", " {}", "'{}"),
    "codes": (
        '"{{\'NORM\': np.float64(100.0)}}"', '"[\'NORM\']"', "NORM;SR", '"{{\'NORM\': nan}}"', '"[(\'NORM\', 100)]"',
        '"{{“NORM”: 100}}"',
    ),
}  # fmt: skip


def table_writings(chance: random.Random, table: Path) -> None:
    """Cells of one column as spreadsheets and statistics programs write them: in one row, in some, in all."""
    lines = table.read_text(encoding="utf-8").split("\n")
    header = lines[0].split(",")
    column = chance.randrange(len(header))
    name = header[column].lower()
    kinds = [kind for kind, words in KINDS.items() if any(word in name for word in words)] or sorted(CELLS)
    form = chance.choice(CELLS[chance.choice(kinds)])
    share = chance.choice((0.2, 0.6, 1.0))
    for number in range(1, len(lines)):
        cells = re.split(r',(?=(?:[^"]*"[^"]*")*[^"]*$)', lines[number])
        if column < len(cells) and chance.random() < share:
            cell = form.format(cells[column].strip('"'))
            cells[column] = f'"{cell}"' if "," in cell and not cell.startswith('"') else cell
            lines[number] = ",".join(cells)
    table.write_text("\n".join(lines), encoding="utf-8")


KINDS = {"path": ("path", "filename"), "age": ("age",), "id": ("_id", "id", "filename"), "codes": ("code",)}


def long_cells(chance: random.Random, table: Path) -> None:
    """A quoted text of many lines, or of more than a csv module takes."""
    lines = table.read_text(encoding="utf-8").split("\n")
    number = chance.randrange(1, len(lines))
    cells = lines[number].split(",")
    text = chance.choice(("\n".join(["Sinus rhythm"] * 80), "x" * 200_000, "“LVH”, ‘with strain’ … –"))
    cells[chance.randrange(len(cells))] = f'"{text}"'
    lines[number] = ",".join(cells)
    table.write_text("\n".join(lines), encoding="utf-8")


RECORD_WRITINGS: dict[str, Mutation] = {
    "writing: lead names": names,
    "writing: extra and absent leads": extra_leads,
    "writing: header text": header_text,
    "writing: gains, exchanged arms": amplitudes,
    "writing: padding, gaps, rails": stretches,
}
TABLE_WRITINGS: dict[str, Mutation] = {
    "writing: dialect of a table": table_dialect,
    "writing: cells of a column": table_writings,
    "writing: long cells": long_cells,
}
