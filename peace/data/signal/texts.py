"""What is said to people of each flag and of each reason of quality: the one table of such texts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Text(NamedTuple):
    """A sentence without its full stop, and the column whose value stands in it."""

    column: str
    template: str


TEXTS: dict[str, Text] = {
    "padding": Text("padding_share", "{:.0%} of the recording is padding: all leads are constant there"),
    "padding_cut": Text("padding_share", "{:.0%} of the recording was padding, constant in all leads, and was cut off"),
    "nan_samples": Text("nan_share", "{:.4f} of a lead is missing"),
    "nan_samples_filled": Text("repaired_share", "missing samples were filled in: up to {:.1%} of a lead"),
    "zero_lead_masked": Text("zero_leads", "{:.0f} chest leads of zeros throughout were taken as absent"),
    "flat_lead": Text("flat_leads", "{:.0f} leads without signal"),
    "flat_lead_masked": Text("flat_leads", "{:.0f} leads without signal were left out"),
    "report_lead_masked": Text("", "leads that the cart's report calls unreadable were masked"),
    "saturated": Text("rail_share", "a lead stays at the recorder's limit for {:.1%} of the time"),
    "saturated_masked": Text("rail_share", "leads at the recorder's limit (up to {:.1%} of the time) were left out"),
    "cut_off": Text("cut_off_samples", "waves are cut off where the converter ends: {:.0f} samples of a lead"),
    "spikes": Text(
        "spike_count", "{:.0f} samples of a lead stand far off their neighbours: an electrode may have been off"
    ),
    "spikes_filled": Text("spike_count", "{:.0f} samples far off their neighbours were replaced"),
    "checksum_mismatch": Text("checksum_errors", "{:.0f} leads contradict the header's checksum: the file was changed"),
    "uncalibrated": Text(
        "uncalibrated_leads", "{:.0f} leads have no gain in the header: read as 200 steps a millivolt"
    ),
    "amplitude_implausible": Text(
        "amplitude_mv", "the leads are {:.3g} mV high, which no heart makes: the gain in the header may be wrong"
    ),
    "einthoven_mismatch": Text("einthoven_mv", "limb leads do not add up: I + III is off II by {:.2g} mV"),
    "goldberger_mismatch": Text(
        "goldberger_mv", "limb leads do not add up: aVR, aVL or aVF is off what I and II make it by {:.2g} mV"
    ),
    "arms_exchanged": Text(
        "arm_reversal",
        "limb leads may be reversed (right and left arm): lead I is a mirror image of V5 and V6 ({:.2f} of 1)",
    ),
    "copied_leads": Text("copied_leads", "{:.0f} leads hold the same samples as another lead"),
    "baseline_wander": Text("wander_mv", "the baseline wanders by {:.2g} mV"),
    "mains_noise": Text("mains_mv", "mains hum of {:.2g} mV"),
    # what a record's own notes say better, with the names of the leads
    "extra_leads": Text("", "signals besides the twelve leads were not used"),
    "leads_derived": Text("", "limb leads that the file lacks were computed from two others"),
    "lead_turned": Text("", "leads stored upside down (-aVR) were turned"),
    "clipped": Text("clipped_share", "{:.2%} of all values are beyond 32.767 mV and were cut off"),
}


def flag_text(name: str, value: float = math.nan) -> str:
    """What a flag or a reason of quality says to people; `value` is that of its column."""
    return TEXTS[name].template.format(value)


def flag_texts(flags: Iterable[str], quality: Mapping[str, float]) -> list[str]:
    """What the flags of a recording say, with the figures of its quality columns."""
    return [flag_text(flag, quality.get(TEXTS[flag].column, math.nan)) for flag in flags]
