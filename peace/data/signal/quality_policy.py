"""What is done where a recording passes a limit: kept and flagged, mended and flagged, or left out with the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from peace.config import QualityConfig
from peace.data.signal.quality import Findings
from peace.data.signal.texts import flag_text
from peace.data.signal.unreadable import RecordRejected

# What the column `flags` of a shard may hold, in the order in which it holds them.
FLAGS: dict[str, str] = {
    "padding_cut": "constant runs in all leads at the ends were cut off",
    "nan_samples_filled": "missing samples were filled linearly",
    "zero_lead_masked": "chest leads of zeros throughout were taken as absent",
    "flat_lead_masked": "leads without signal were masked",
    "report_lead_masked": "leads that the cart's report calls unreadable were masked",
    "saturated": "a lead touches the rail for longer than quality.saturated.limit",
    "saturated_masked": "leads at the rail were masked",
    "cut_off": "cut_off_samples is over quality.cut_off.limit",
    "spikes": "a lead has more spikes than quality.spikes.limit",
    "spikes_filled": "spikes were replaced by the line between their neighbours",
    "checksum_mismatch": "more leads than quality.checksum.limit contradict the header's checksum",
    "uncalibrated": "more leads than quality.calibration.limit have no gain in the header",
    "amplitude_implausible": "amplitude_mv is over quality.amplitude.limit or under quality.amplitude.least",
    "einthoven_mismatch": "einthoven_mv is over quality.einthoven.limit",
    "goldberger_mismatch": "goldberger_mv is over quality.goldberger.limit",
    "arms_exchanged": "arm_reversal is over quality.reversal.limit",
    "copied_leads": "more leads than quality.copied.limit repeat another",
    "baseline_wander": "wander_mv is over quality.wander.limit",
    "mains_noise": "mains_mv is over quality.mains.limit",
    "clipped": "clipped_share is over quality.clipped.limit",
    "extra_leads": "signals besides the twelve leads were left out",
    "leads_derived": "limb leads that the file lacks were computed from two others",
    "lead_turned": "leads stored upside down (-aVR) were turned",
}


@dataclass(frozen=True)
class Rule:
    """A reason, the section of quality that rules it, and the column that it is about."""

    reason: str
    section: str
    column: str
    two_sided: bool = False
    """Whether the section has a `least` too."""


PADDING = (Rule("padding", "padding", "padding_share"),)
BEFORE_FILTER = (
    Rule("nan_samples", "missing", "nan_share"),
    Rule("flat_lead", "flat", "flat_leads"),
    Rule("saturated", "saturated", "rail_share"),
    Rule("cut_off", "cut_off", "cut_off_samples"),
    Rule("spikes", "spikes", "spike_count"),
    Rule("checksum_mismatch", "checksum", "checksum_errors"),
    Rule("uncalibrated", "calibration", "uncalibrated_leads"),
    Rule("amplitude_implausible", "amplitude", "amplitude_mv", two_sided=True),
    Rule("einthoven_mismatch", "einthoven", "einthoven_mv"),
    Rule("goldberger_mismatch", "goldberger", "goldberger_mv"),
    Rule("arms_exchanged", "reversal", "arm_reversal"),
    Rule("copied_leads", "copied", "copied_leads"),
    Rule("baseline_wander", "wander", "wander_mv"),
    Rule("mains_noise", "mains", "mains_mv"),
)
AFTER_FILTER = (Rule("clipped", "clipped", "clipped_share"),)


def judge(
    rules: Sequence[Rule], values: Mapping[str, float], config: QualityConfig, findings: Findings | None = None
) -> list[str]:
    """The flags of limits passed by a record that is kept as it is. Raises RecordRejected where one rules it out.

    `findings` are needed where leads at the rail may be masked. What is not known (NaN) passes no limit.
    """
    kept = []
    for rule in rules:
        policy, value = getattr(config, rule.section), values[rule.column]
        if not (value > policy.limit or (rule.two_sided and value < policy.least)):
            continue
        if policy.action == "keep":
            kept.append(rule.reason)
        elif policy.action == "reject" or _extent(rule, value, findings) > policy.repair_limit:
            raise RecordRejected(rule.reason, flag_text(rule.reason, value))
    return kept


def _extent(rule: Rule, value: float, findings: Findings | None) -> float:
    """How much there is to repair, in the unit of repair_limit."""
    return float(findings.saturated.sum()) if findings and rule.section == "saturated" else value


def repair(
    ordered: npt.NDArray[np.float64],
    n_window: int,
    mask: npt.NDArray[np.uint8],
    findings: Findings,
    config: QualityConfig,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.uint8], list[str], float]:
    """Mend a (samples, 12) recording that passed `judge`, in place, so that no missing sample is left.

    `findings` are those of its first `n_window` samples. Returns the samples, up to the first gap behind the window;
    the mask of the leads that are left; flags; and the largest share of the window that was filled in any lead.
    """
    mask, flags = _without_dead_leads(mask, findings, config)
    ordered[:, mask == 0] = 0.0
    ordered = _until_next_gap(ordered, n_window)
    window, filled = ordered[:n_window], 0.0
    if findings.values["nan_share"] and np.isnan(window).any():
        flags.append("nan_samples_filled")
    if findings.spiky is not None and config.spikes.action == "repair" and findings.spiky[:, mask == 1].any():
        window[findings.spiky & (mask == 1)] = np.nan
        flags.append("spikes_filled")
    if flags and np.isnan(window).any():
        filled = _fill_gaps(window)
    return ordered, mask, flags, filled


def _without_dead_leads(
    mask: npt.NDArray[np.uint8], findings: Findings, config: QualityConfig
) -> tuple[npt.NDArray[np.uint8], list[str]]:
    """A lead without signal that the limits let pass is absent, not zero volts."""
    flags, dead = [], findings.flat
    if findings.flat.any():
        flags.append("flat_lead_masked")
    if config.saturated.action == "repair" and findings.saturated.any():
        flags.append("saturated_masked")
        dead = dead | findings.saturated
    left = np.where(dead, 0, mask).astype(np.uint8)
    if not left.any():
        raise RecordRejected("flat_lead", "no lead is left")
    return left, flags


def _until_next_gap(ordered: npt.NDArray[np.float64], n_window: int) -> npt.NDArray[np.float64]:
    """Cut the context that follows the window at its first missing sample: the filter must see no gap."""
    gaps = np.flatnonzero(np.isnan(ordered[n_window:]).any(axis=1))
    return ordered[: n_window + gaps[0]] if gaps.size else ordered


def _fill_gaps(window: npt.NDArray[np.float64]) -> float:
    """Fill missing samples in place, linearly between neighbours; returns the largest share filled in any lead."""
    missing = np.isnan(window)
    times = np.arange(len(window))
    for lead in np.flatnonzero(missing.any(axis=0)):
        gap = missing[:, lead]
        window[gap, lead] = np.interp(times[gap], times[~gap], window[~gap, lead])
    return float(missing.mean(axis=0).max())
