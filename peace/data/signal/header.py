"""A strict reader of WFDB headers (WFDB specification, header(5)).

wfdb's own parser takes what it can match of a line and fills the rest with defaults: a gain it cannot read becomes
200 per mV, in silence. Here a line is read whole or the record is left out, so that no quirk ends in wrong millivolts.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from peace.data.signal.lead_names import read_name
from peace.data.signal.unreadable import RecordRejected

MAX_SIGNALS = 256
MAX_SEGMENTS = 1000
# Values that one call reads: an hour of twelve leads at 460 Hz, 160 MB as float64. Diagnostic ECGs last seconds.
MAX_SAMPLES = 20_000_000
MAX_RATE = 100_000.0
MAX_FRAME = 1000  # a second at 1,000 Hz: EDF keeps such blocks, and converters hand them on
LONGEST_NUMBER = 12
DEFAULT_RATE = 250.0
DEFAULT_GAIN = 200.0
# Beyond these the millivolts would overflow, or round to nothing.
GAIN_RANGE = (1e-6, 1e12)

NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?"
INTEGER = r"[-+]?\d{1,12}"
# PhysioNet's Challenges write r.mat: the ending of the signal file is no part of the name.
NAME = re.compile(r"([-\w]+)(?:\.(?:mat|dat|hea))?(?:/(\d{1,9}))?", re.ASCII)
LINE_END = re.compile(r"[\r\n]+")
# DOS editors end a text with Ctrl-Z, some of them fill the last block with zeros.
TEXT_END = "\x1a\0 \t\r\n"
RATE = re.compile(rf"({NUMBER})(?:/-?{NUMBER}(?:\(-?{NUMBER}\))?)?", re.ASCII)
FORMAT = re.compile(r"(\d{1,4})(?:x(\d{1,9}))?(?::(\d{1,12}))?(?:\+(\d{1,12}))?", re.ASCII)
GAIN = re.compile(rf"([-+]?{NUMBER})(?:\(({INTEGER})\))?(?:/(\S+))?", re.ASCII)
COUNT = re.compile(r"\d{1,18}", re.ASCII)

# Millivolts in one of these. MIMIC and PTB-XL write mV; device exports often uV.
UNITS_MV = {"V": 1e3, "v": 1e3, "mV": 1.0, "mv": 1.0, "uV": 1e-3, "uv": 1e-3, "µV": 1e-3, "μV": 1e-3, "nV": 1e-6}


class SignalLine(NamedTuple):
    """One lead of a header: where its samples lie and how they become millivolts."""

    file: str
    checksum: int | None
    format: int
    per_frame: int
    skew: int
    offset: int
    gain: float
    baseline: int
    units: str
    calibrated: bool
    """Whether the header gives a gain; without one, 200 a unit is assumed."""
    zero: int
    """The value of the converter at 0 volts in."""
    bits: int
    """Width of the converter; 0 where it is not given."""
    lead: str

    @property
    def unit_mv(self) -> float:
        """Millivolts in one physical unit of this lead; 1 for a signal in units of its own, such as RESP in Ohm.

        Raises RecordRejected where one of the twelve leads is in units that are no voltage.
        """
        scale = UNITS_MV.get(self.units)
        if scale is None and read_name(self.lead) is not None:
            raise RecordRejected("unknown_units", f"lead {self.lead} is in {self.units!r}")
        return 1.0 if scale is None else scale


@dataclass(frozen=True)
class Header:
    """A parsed header. `n_samples` is None where the header leaves it to the size of the signal file."""

    record: str
    rate: float
    n_signals: int
    n_samples: int | None
    signals: tuple[SignalLine, ...]
    segments: tuple[tuple[str, int], ...]
    surplus: int = 0
    """Lines beyond the announced number, which are not read."""
    initial: tuple[int, ...] = ()
    """First sample of each signal, from which formats of differences go on."""


def parse_header(text: str) -> Header:
    """Parse the text of a .hea file. Raises RecordRejected: bad_header, outside_root.

    Only CR and LF end a line, and lines beyond the announced number are not read (header(5)).
    """
    lines = [line.strip() for line in LINE_END.split(text.removeprefix("\ufeff").rstrip(TEXT_END))]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        raise RecordRejected("bad_header", "no record line")
    record, n_segments, n_signals, rate, n_samples = _record_line(lines[0])
    expected = n_signals if n_segments is None else n_segments
    described = lines[1 : expected + 1]
    if len(described) < expected:
        raise RecordRejected("bad_header", f"{expected} lines announced after the first, {len(described)} found")
    if n_segments is not None:
        return Header(record, rate, n_signals, n_samples, (), tuple(map(_segment_line, described)))
    signals, initial = zip(*map(_signal_line, described), strict=True)
    return Header(record, rate, n_signals, n_samples, signals, (), len(lines) - 1 - expected, initial)


def _record_line(line: str) -> tuple[str, int | None, int, float, int | None]:
    """Name, number of segments, signals, rate and samples; time and date, in whatever form, decide nothing here."""
    words = line.split()
    name = NAME.fullmatch(words[0])
    if name is None or len(words) < 2 or COUNT.fullmatch(words[1]) is None:
        raise RecordRejected("bad_header", f"record line {line[:80]!r}")
    n_segments = None if name[2] is None else int(name[2])
    n_signals = int(words[1])
    if not 0 < n_signals <= MAX_SIGNALS or not 0 < (n_segments or 1) <= MAX_SEGMENTS:
        raise RecordRejected("bad_header", f"{n_signals} signals in {n_segments or 1} segments")
    rate = _rate(words[2]) if len(words) > 2 else DEFAULT_RATE
    n_samples = None
    if len(words) > 3:
        if COUNT.fullmatch(words[3]) is None:
            raise RecordRejected("bad_header", f"number of samples {words[3][:40]!r}")
        n_samples = int(words[3]) or None  # 0: unspecified
    return name[1], n_segments, n_signals, rate, n_samples


def _rate(word: str) -> float:
    match = RATE.fullmatch(word)
    rate = float(match[1]) if match else math.nan
    if not 0 < rate <= MAX_RATE:
        raise RecordRejected("bad_header", f"sampling rate {word[:40]!r}")
    return rate


def _segment_line(line: str) -> tuple[str, int]:
    words = line.split()
    if len(words) != 2 or re.fullmatch(r"[-\w]+|~", words[0], re.ASCII) is None or COUNT.fullmatch(words[1]) is None:
        raise RecordRejected("bad_header", f"segment line {line[:80]!r}")
    return words[0], int(words[1])


def _signal_line(line: str) -> tuple[SignalLine, int]:
    """A lead, and its first sample."""
    words = line.split(maxsplit=8)
    if len(words) < 2:
        raise RecordRejected("bad_header", f"signal line {line[:80]!r}")
    _refuse_other_folders(words[0])
    varying = [_whole(word) for word in words[5:7]]  # first sample and checksum: the rest is alike in many records
    checksum = varying[1] if len(varying) > 1 else None
    signal = SignalLine(words[0], checksum, *_description(*words[1:5], rest=tuple(words[7:])))
    return signal, varying[0] if varying else 0


@lru_cache(maxsize=1024)
def _description(
    form: str, gain: str = "", resolution: str = "0", zero: str = "0", rest: tuple[str, ...] = ()
) -> tuple[int, int, int, int, float, int, str, bool, int, int, str]:
    """The fields of SignalLine from `format` on; `rest` is block size and lead."""
    for word in rest[:1]:
        _whole(word)
    bits, adc_zero = _whole(resolution), _whole(zero)
    scale = _gain(gain, adc_zero) if gain else (DEFAULT_GAIN, 0, "mV", False)
    return *_form(form), *scale, adc_zero, bits, rest[1].strip() if len(rest) > 1 else ""


def _form(word: str) -> tuple[int, int, int, int]:
    """Format, samples a frame, skew and byte offset."""
    match = FORMAT.fullmatch(word)
    if match is None:
        raise RecordRejected("bad_header", f"format {word[:40]!r}")
    per_frame = int(match[2] or 1)
    if not 0 < per_frame <= MAX_FRAME:
        raise RecordRejected("bad_header", f"{per_frame} samples a frame")
    return int(match[1]), per_frame, int(match[3] or 0), int(match[4] or 0)


def _gain(word: str, adc_zero: int) -> tuple[float, int, str, bool]:
    """Gain in steps a unit, baseline (the ADC's zero where none is written), units, and whether a gain is given."""
    match = GAIN.fullmatch(word)
    if match is None:
        raise RecordRejected("bad_header", f"gain {word[:40]!r}")
    given = float(match[1])
    gain = given or DEFAULT_GAIN
    if not GAIN_RANGE[0] <= abs(gain) <= GAIN_RANGE[1]:
        raise RecordRejected("bad_header", f"gain {word[:40]!r}")
    return gain, int(match[2]) if match[2] is not None else adc_zero, match[3] or "mV", given != 0


def _whole(word: str) -> int:
    digits = word[1:] if word[0] in "+-" else word
    if not (digits.isdecimal() and digits.isascii() and len(digits) <= LONGEST_NUMBER):
        raise RecordRejected("bad_header", f"{word[:40]!r} for a whole number in a signal line")
    return int(word)


@lru_cache(maxsize=16)
def _refuse_other_folders(name: str) -> None:
    if "/" in name or "\\" in name or "\0" in name or name in (".", "..", "-"):
        raise RecordRejected("outside_root", f"signal file {name[:80]!r}")
