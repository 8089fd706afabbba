"""The one path from a record to the array that models see. Shards, adaptation and inference call `condition_file`.

Absent limb leads are first computed from two others, and signals besides the twelve leads are left out. Steps, in this
order: leads by name; padding at the ends cut off; the first `signal.seconds` and what of `signal.margin_seconds`
follows; length, empty leads, quality and what the limits on it ask for; zero-phase filter of the cohort at the recorded
rate; polyphase resampling; crop or zero-padding; whole microvolts.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from peace.config import LeadsConfig, QualityConfig, SignalConfig
from peace.data.signal.absent import without_empty_leads
from peace.data.signal.converter import NO_RAILS, Rails
from peace.data.signal.filters import HIGHEST_SHARE, cascade, ratio, reflection, resample, zero_phase
from peace.data.signal.kernel import to_microvolts, totals
from peace.data.signal.leads import LEADS, arrange, choose
from peace.data.signal.padding import extent
from peace.data.signal.quality import measure
from peace.data.signal.quality_policy import AFTER_FILTER, BEFORE_FILTER, FLAGS, PADDING, judge, repair
from peace.data.signal.reader import Recording, read_record
from peace.data.signal.unreadable import RecordRejected

Whole = npt.NDArray[np.int64]

LARGEST = 32767.0
# Rows kept for the work of each thread, 1.9 MB: 15 s and the reflections at 1,000 Hz.
LARGEST_ROOM = 20_000
_OWN = threading.local()


@dataclass(frozen=True)
class Conditioned:
    """A recording as models see it."""

    signal: npt.NDArray[np.int16]
    """(12, rate * seconds) in microvolts, leads in the order of LEADS, zero where a lead or the time is missing."""
    lead_mask: npt.NDArray[np.uint8]
    """(12,): 1 where the lead is there."""
    n_samples: int
    """Samples before the zero-padding."""
    quality: dict[str, float]
    """The columns of peace.data.signal.quality.QUALITY."""
    flags: tuple[str, ...] = ()
    """Limits passed and repairs made: keys of peace.data.signal.quality_policy.FLAGS, in its order."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """By flag, in words, which leads it is about."""

    @cached_property
    def totals(self) -> tuple[Whole, Whole, Whole, Whole]:
        """Of each lead without the padding, in microvolts: (12,) sum, sum of squares, lowest, highest. Taken once."""
        found: tuple[Whole, Whole, Whole, Whole] = totals(self.signal, self.n_samples)
        return found


def n_samples_of(signal: SignalConfig) -> int:
    """Length of every conditioned array."""
    return round(signal.rate * signal.seconds)


def condition_file(
    path: Path, cohort: str, signal: SignalConfig, leads: LeadsConfig, quality: QualityConfig
) -> Conditioned:
    """Read and condition a WFDB record (path without extension, or its .hea). Raises RecordRejected with the reason."""
    seconds = signal.seconds + signal.margin_seconds
    recording = read_record(path, seconds)
    if len(recording.samples) < recording.length:  # padding at the beginning takes the place of signal further on
        padding = extent(recording.samples, round(quality.padding.least_seconds * recording.rate)).begin
        recording = read_record(path, seconds + padding / recording.rate) if padding else recording
    return condition(recording, cohort, signal, leads, quality)


def condition(
    recording: Recording, cohort: str, signal: SignalConfig, leads: LeadsConfig, quality: QualityConfig
) -> Conditioned:
    """Condition a recording: see the module. Raises RecordRejected with the reason."""
    recording, notes = _twelve(recording)
    positions, mask = arrange(recording.leads, leads, notes.get("extra_leads", ""))
    rate, samples = recording.rate, recording.samples
    _refuse_short(len(samples), rate, quality)
    begin, end, gaps = extent(samples, round(quality.padding.least_seconds * rate))
    gaps = gaps[np.diff(gaps, axis=1)[:, 0] >= quality.padding.gap_seconds * rate]
    padding = {"padding_share": 1 - (end - begin) / len(samples)}
    judge(PADDING, padding, quality)
    _refuse_short(end - begin, rate, quality)
    n_window = min(end - begin, max(1, round(signal.seconds * rate)))
    n_context = min(end - begin, n_window + round(signal.margin_seconds * rate))
    reach = reflection(n_context, rate)
    room = _room(n_context + 2 * reach)
    ordered = room[reach : reach + n_context]
    _put_in_order(samples[begin : begin + n_context], positions, ordered)
    for first, after in gaps - begin:
        ordered[first:after] = np.nan
    mask, n_empty = without_empty_leads(ordered[:n_window], mask, leads, quality)

    recipe = signal.filters.of(cohort)
    rails, uncalibrated = _stored(recording, positions)
    findings = measure(ordered[:n_window], mask, rate, recipe.notch_hz, quality, rails)
    values, errors = findings.values | padding, recording.checksum_errors
    values["zero_leads"], values["uncalibrated_leads"] = float(n_empty), uncalibrated
    values["checksum_errors"] = float("nan") if errors is None else float(errors)
    flags = ["padding_cut"] if begin or end < len(samples) else []
    flags += ["zero_lead_masked"] if n_empty else []
    flags += judge(BEFORE_FILTER, values, quality, findings)
    ordered, mask, repairs, values["repaired_share"] = repair(ordered, n_window, mask, findings, quality)

    highest_hz = min(recipe.lowpass_hz, HIGHEST_SHARE * signal.rate)
    last, left = reach + len(ordered), reflection(len(ordered), rate)
    sections = cascade(rate, recipe.highpass_hz, highest_hz, recipe.notch_hz)
    filtered = zero_phase(room[reach - left : last + left], left, sections)
    stored, n_samples, values["clipped_share"] = _microvolts(
        resample(filtered, rate, signal.rate, n_samples_of(signal)), n_window, rate, signal
    )
    flags += [*notes, *repairs, *judge(AFTER_FILTER, values, quality)]
    return Conditioned(stored, mask, n_samples, values, tuple(name for name in FLAGS if name in flags), notes)


def _twelve(recording: Recording) -> tuple[Recording, Mapping[str, str]]:
    """The recording without extra signals, with derived limb leads, and what is to be told of that, by flag."""
    chosen = choose(recording.leads)
    if chosen is None:
        return recording, {}
    names = tuple(LEADS[lead] for lead in chosen.leads)
    converter = recording.converter and recording.converter.of(chosen.columns, chosen.signs, len(names))
    return replace(recording, leads=names, samples=chosen.of(recording.samples), converter=converter), chosen.notes


def without_leads(record: Conditioned, names: Sequence[str]) -> Conditioned:
    """The record with these leads masked, flagged where one of them was there: its report says they are unreadable."""
    places = [place for place, name in enumerate(LEADS) if name in names and record.lead_mask[place]]
    if not places:
        return record
    signal, mask = record.signal.copy(), record.lead_mask.copy()
    signal[places], mask[places] = 0, 0
    flags = {*record.flags, "report_lead_masked"}
    return replace(record, signal=signal, lead_mask=mask, flags=tuple(name for name in FLAGS if name in flags))


def _refuse_short(n_samples: int, rate: float, quality: QualityConfig) -> None:
    if rate < quality.min_rate:
        raise RecordRejected("rate_too_low", f"{rate:g} Hz")
    seconds = n_samples / rate
    if seconds < quality.min_seconds or n_samples < 2:
        raise RecordRejected("too_short", f"{seconds:g} s")


def _stored(recording: Recording, positions: npt.NDArray[np.intp]) -> tuple[list[Rails] | None, float]:
    """The rails of each of the twelve leads and the number of leads without a gain, as far as the header is known."""
    if recording.converter is None:
        return None, float("nan")
    rails: list[Rails] = [NO_RAILS] * len(LEADS)
    for lead, ends in zip(positions.tolist(), recording.converter.rails, strict=True):
        rails[lead] = ends
    return rails, float(sum(recording.converter.guessed))


def _room(rows: int) -> npt.NDArray[np.float64]:
    """(rows, 12) numbers to work in, the same again for the next record: new memory costs as much as the filter."""
    if rows > LARGEST_ROOM:
        return np.empty((rows, len(LEADS)))
    if not hasattr(_OWN, "room"):
        _OWN.room = np.empty((LARGEST_ROOM, len(LEADS)))
    room: npt.NDArray[np.float64] = _OWN.room[:rows]
    return room


def _put_in_order(
    samples: npt.NDArray[np.float64], positions: npt.NDArray[np.intp], ordered: npt.NDArray[np.float64]
) -> None:
    """Copy in the order of LEADS, zero where a lead is absent."""
    whole = len(positions) == len(LEADS)
    ordered[:] = samples if whole else 0.0
    for column, lead in enumerate(positions.tolist()):
        if not whole or column != lead:
            ordered[:, lead] = samples[:, column]


def _microvolts(
    filtered: npt.NDArray[np.float64], n_window: int, rate: float, signal: SignalConfig
) -> tuple[npt.NDArray[np.int16], int, float]:
    """(12, length) int16, samples before the padding, share of values beyond the range of int16."""
    length = n_samples_of(signal)
    n_samples = min(length, len(filtered), max(1, round(n_window * float(ratio(rate, signal.rate)))))
    stored, n_clipped = to_microvolts(filtered, n_samples, length, LARGEST)
    return stored, n_samples, n_clipped / (n_samples * len(LEADS))
