"""What can be wrong with a recording or a table on disk, as functions of a random generator and a folder."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path


def words(text: str) -> list[str]:
    return text.split()


NUMBERS = words(
    "0 -1 1 -32768 65536 2147483648 9223372036854775808 1e308 -1e308 1e-320 1e9 nan inf -inf 0x10 1e 1.5 ٣ +5 1_000 "
    "5000000000"
)
NUMBERS += ["9" * 400, ""]
BYTES = (
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\r",
    b"\n",
    b"\n\n",
    b"\t",
    b"#",
    b"\x1a",
    b"\xe7",
    b" ",
    b"\xc2\xb5V",
    b'"',
)
FORMATS = words("0 1 8 16 24 32 61 80 160 212 310 311 508 516 524 999 -16")
ELSEWHERE = words(
    "../../outside/canary.dat /dev/zero /etc/passwd /dev/stdin ../../../../etc/passwd ~/canary.dat . .. - r.hea r.dat/ "
    "./r.dat ..\\..\\outside\\canary.dat C:\\canary.dat sub/../../../outside/canary.dat ../rec/r.dat "
    "file:///etc/passwd a\0b http://127.0.0.1:9/r.dat"
)

Mutation = Callable[[random.Random, Path], None]


def damaged(content: bytes, chance: random.Random, pieces: Sequence[bytes] = BYTES) -> bytes:
    """Flip bits, cut, repeat, delete and insert at one to six places."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 6)):
        place = chance.randrange(max(1, len(data)))
        kind = chance.randrange(6)
        if kind == 0 and data:
            data[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            data[place : place + chance.randint(1, 60)] = b""
        elif kind == 2:
            data[place:place] = data[place : place + chance.randint(1, 200)]
        elif kind == 3:
            data[place:place] = chance.choice(pieces)
        elif kind == 4:
            data[place:place] = chance.randbytes(chance.randint(1, 20))
        elif chance.random() < 0.3:
            del data[place:]
    return bytes(data)


def header_bytes(chance: random.Random, folder: Path) -> None:
    header = folder / "r.hea"
    header.write_bytes(damaged(header.read_bytes(), chance))


def header_numbers(chance: random.Random, folder: Path) -> None:
    """A number of the header becomes an absurd one."""
    header = folder / "r.hea"
    text = header.read_text(encoding="latin-1")
    for _ in range(chance.randint(1, 3)):
        found = list(re.finditer(r"-?\d+(\.\d+)?", text))
        if found:
            at = chance.choice(found)
            text = text[: at.start()] + chance.choice(NUMBERS) + text[at.end() :]
    header.write_bytes(text.encode("utf-8", "surrogateescape"))


def record_line(chance: random.Random, folder: Path) -> None:
    """Numbers of leads, rate and length that are huge, nothing or negative."""
    lines = (folder / "r.hea").read_text().splitlines()
    cells = lines[0].split()
    cells[chance.randrange(1, len(cells))] = chance.choice(NUMBERS)
    if chance.random() < 0.3:
        cells[0] += chance.choice(("/2", "/0", "/999999999", "/-1", "/1", "//"))
    (folder / "r.hea").write_text("\n".join([" ".join(cells), *lines[1:]]))


def signal_format(chance: random.Random, folder: Path) -> None:
    """Another format, samples a frame, skew and offset, over bytes that are none of it."""
    lines = (folder / "r.hea").read_text().splitlines()
    form = chance.choice(FORMATS)
    for mark in "x:+":
        if chance.random() < 0.25:
            form += mark + chance.choice(("0", "1", "2", "7", "64", "65", "1000000", "999999999999", "-1"))
    some = range(1, len(lines)) if chance.random() < 0.8 else [chance.randrange(1, len(lines))]
    for number in some:
        cells = lines[number].split()
        cells[1] = form
        lines[number] = " ".join(cells)
    (folder / "r.hea").write_text("\n".join(lines))
    if chance.random() < 0.5:
        (folder / "r.dat").write_bytes(chance.choice((b"fLaC", b"MATLAB 5.0", b"")) + chance.randbytes(5000))


def gains(chance: random.Random, folder: Path) -> None:
    values = words(
        "0 -200 1e-300 1e300 nan 200()/mV 200(1e9)/mV 200(99999999999)/mV 200/ 200/kg 200/µV 200(-32768)/mV 0(0)/mV "
        "1e-7 1e13 200.(5)/V 0x80"
    )
    lines = (folder / "r.hea").read_text().splitlines()
    for number in range(1, len(lines)):
        if chance.random() < 0.15:
            cells = lines[number].split()
            cells[2] = chance.choice(values)
            lines[number] = " ".join(cells)
    (folder / "r.hea").write_text("\n".join(lines), encoding=chance.choice(("utf-8", "latin-1")))


def leads(chance: random.Random, folder: Path) -> None:
    lines = (folder / "r.hea").read_text().splitlines()
    number = chance.randrange(1, len(lines))
    name = chance.choice(("", "V1", "I" * 100_000, "V7", "aVR\x00", "ＶＩ", "II\u0301", "../I", "V 1", "nan"))
    lines[number] = " ".join([*lines[number].split()[:8], name])
    (folder / "r.hea").write_text("\n".join(lines))


def long_header(chance: random.Random, folder: Path) -> None:
    text = (folder / "r.hea").read_text()
    more = chance.choice(
        (
            "#" + "x" * 2_000_000,
            "x" * 900_000,
            "\n".join(["r.dat 16 200 16 0 0 0 0 I"] * 30_000),
            "#\n" * 400_000,
            " " * 900_000,
        )
    )
    (folder / "r.hea").write_text(text + more if chance.random() < 0.5 else more + "\n" + text)


def elsewhere(chance: random.Random, folder: Path) -> None:
    """The file name field leads out of the folder, to a device or to nothing."""
    name = chance.choice((*ELSEWHERE, str(folder.parents[1] / "outside" / "canary.dat"), "x" * 5000))
    lines = (folder / "r.hea").read_text().splitlines()
    for number in range(1, len(lines)):
        cells = lines[number].split()
        lines[number] = " ".join([name, *cells[1:]])
    (folder / "r.hea").write_text("\n".join(lines))


def links(chance: random.Random, folder: Path) -> None:
    """A file of the record is a link: out of the tree, to itself, to nothing, to a device."""
    ending = chance.choice((".hea", ".dat"))
    (folder / f"r{ending}").unlink()
    out = f"outside/canary{ending}"
    devices = words("/dev/zero /dev/tty /dev/stdin /proc/self/mem /proc/kmsg . nowhere")
    target = chance.choice([f"../../{out}", f"{folder.parents[1]}/{out}", f"r{ending}", *devices])
    (folder / f"r{ending}").symlink_to(target)


def no_plain_file(chance: random.Random, folder: Path) -> None:
    path = folder / chance.choice(("r.hea", "r.dat"))
    path.unlink()
    kind = chance.randrange(4)
    if kind == 0:
        os.mkfifo(path)
    elif kind == 1:
        path.mkdir()
    elif kind == 2:
        path.write_bytes(b"")
    # else it is missing


def samples(chance: random.Random, folder: Path) -> None:
    """Bit flips, truncation, garbage and extremes in the samples."""
    path = folder / "r.dat"
    content = path.read_bytes()
    kind = chance.randrange(7)
    if kind < 3:
        content = damaged(content, chance)
    elif kind == 3:
        content = content[: chance.randrange(len(content))]
    elif kind == 4:
        content = chance.randbytes(len(content))
    elif kind == 5:
        content = chance.choice((b"\x00\x80", b"\xff\x7f", b"\x00\x00")) * (len(content) // 2)
    else:
        start = chance.randrange(len(content))
        content = content[:start] + b"\x00\x80" * 500 + content[start + 1000 :]
    path.write_bytes(content)


def grown(chance: random.Random, folder: Path) -> None:
    """A sparse file of up to 4 GB, with a header that leaves the length to it or announces much."""
    os.truncate(folder / "r.dat", chance.choice((10**7, 10**9, 2**32)))
    lines = (folder / "r.hea").read_text().splitlines()
    cells = lines[0].split()
    cells[3:] = chance.choice(([], ["1600000"], ["20000000"], ["1000000000"]))
    (folder / "r.hea").write_text("\n".join([" ".join(cells), *lines[1:]]))


def segments(chance: random.Random, folder: Path) -> None:
    """Headers of several segments that name themselves, each other, layouts, and lengths that do not add up."""
    lead = (folder / "r.hea").read_text().splitlines()[0].split()
    lists = (
        "r 1000;r 1000|s 1000;s 1000|p 1000;q 1000|~ 5000|p 99999999999;p 1|p 0;p 1000|../../outside/canary 1000|"
        "l 0;p 1000;~ 1000;q 1000|p 1000;t 1000"
    )
    parts = chance.choice([*(text.split(";") for text in lists.split("|")), ["p 1000"] * 1000, ["p 1000"] * 1001])
    total = chance.choice(("2000", "1000", "1000000", "0", lead[3]))
    other = (folder / "r.hea").read_bytes()
    for name in ("p", "q"):
        (folder / f"{name}.hea").write_bytes(other.replace(b"r.dat", b"r.dat").replace(b"r ", name.encode() + b" ", 1))
    (folder / "l.hea").write_bytes(re.sub(rb"r\.dat", b"~", other).replace(b"r ", b"l ", 1))
    (folder / "s.hea").write_text(f"s/2 {lead[1]} {lead[2]} 2000\nr 1000\ns 1000\n")
    (folder / "t.hea").write_bytes(damaged(other, chance))
    (folder / "r.hea").write_text("\n".join([f"r/{len(parts)} {lead[1]} {lead[2]} {total}", *parts, ""]))


def several_files(chance: random.Random, folder: Path) -> None:
    """Leads in several files, as only wfdb reads them; one file is missing, short, a folder or leads out."""
    content = (folder / "r.dat").read_bytes()
    lines = (folder / "r.hea").read_text().splitlines()
    lines = [line.replace("r.dat", "a.dat" if number % 2 else "b.dat") for number, line in enumerate(lines)]
    (folder / "a.dat").write_bytes(content)
    kind = chance.randrange(4)
    if kind == 0:
        (folder / "b.dat").write_bytes(content[: chance.randrange(len(content))])
    elif kind == 1:
        (folder / "b.dat").symlink_to("../../outside/canary.dat")
    elif kind == 2:
        os.mkfifo(folder / "b.dat")
    else:
        (folder / "b.dat").write_bytes(damaged(content, chance))
    (folder / "r.hea").write_text("\n".join(lines))


def swapped(chance: random.Random, folder: Path) -> None:
    """Another record's signal or header under this record's name."""
    ending = chance.choice((".hea", ".dat"))
    other = chance.choice([path for path in (folder.parents[1] / "templates").iterdir() if path.suffix == ending])
    (folder / f"r{ending}").write_bytes(other.read_bytes())


RECORDS: dict[str, Mutation] = {
    "header: damaged bytes": header_bytes,
    "header: absurd numbers": header_numbers,
    "header: record line": record_line,
    "header: formats, skew, offsets": signal_format,
    "header: gains and units": gains,
    "header: lead names": leads,
    "header: very long": long_header,
    "header: file name leads out": elsewhere,
    "header: segments": segments,
    "header: several files": several_files,
    "files: links": links,
    "files: pipes, folders, nothing": no_plain_file,
    "files: swapped": swapped,
    "samples: damaged": samples,
    "samples: huge files": grown,
}
