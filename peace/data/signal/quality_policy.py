"""What is done where a recording passes a limit: kept and flagged, mended and flagged, or left out with the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from peace.config import QualityConfig
from peace.data.signal.quality import Findings
from peace.data.signal.unreadable import Unreadable

# What the column `flags` of a shard may hold, in the order in which it holds them.
FLAGS: dict[str, str] = {
    "nan_samples_filled": "missing samples were filled linearly",
    "flat_lead_masked": "leads without signal were masked",
    "saturated": "a lead touches the rail for longer than quality.saturated.limit",
    "saturated_masked": "leads at the rail were masked",
    "spikes": "a lead has more spikes than quality.spikes.limit",
    "spikes_filled": "spikes were replaced by the line between their neighbours",
    "checksum_mismatch": "more leads than quality.checksum.limit contradict the header's checksum",
    "einthoven_mismatch": "einthoven_mv is over quality.einthoven.limit",
    "baseline_wander": "wander_mv is over quality.wander.limit",
    "mains_noise": "mains_mv is over quality.mains.limit",
    "clipped": "clipped_share is over quality.clipped.limit",
    "extra_leads": "signals besides the twelve leads were left out",
    "leads_derived": "limb leads that the file lacks were computed from two others",
    "lead_turned": "leads stored upside down (-aVR) were turned",
}


@dataclass(frozen=True)
class Rule:
    """A reason, the section of quality that rules it, the column that it is about, and how a breach is told."""

    reason: str
    section: str
    column: str
    detail: str


BEFORE_FILTER = (
    Rule("nan_samples", "missing", "nan_share", "{:.4f} of a lead is missing"),
    Rule("flat_lead", "flat", "flat_leads", "{:.0f} leads without signal"),
    Rule("saturated", "saturated", "rail_share", "{:.4f} of a lead at the rail"),
    Rule("spikes", "spikes", "spike_count", "{:.0f} spikes in a lead"),
    Rule("checksum_mismatch", "checksum", "checksum_errors", "{:.0f} leads"),
    Rule("einthoven_mismatch", "einthoven", "einthoven_mv", "I + III - II is {:.3f} mV"),
    Rule("baseline_wander", "wander", "wander_mv", "{:.3f} mV"),
    Rule("mains_noise", "mains", "mains_mv", "{:.3f} mV"),
)
AFTER_FILTER = (Rule("clipped", "clipped", "clipped_share", "{:.4f} of all values"),)


def judge(
    rules: Sequence[Rule], values: Mapping[str, float], config: QualityConfig, findings: Findings | None = None
) -> list[str]:
    """The flags of limits passed by a record that is kept as it is. Raises Unreadable where one rules it out.

    `findings` are needed where a rule allows repair. What is not known (NaN) passes no limit.
    """
    kept = []
    for rule in rules:
        policy, value = getattr(config, rule.section), values[rule.column]
        if not value > policy.limit:
            continue
        if policy.action == "keep":
            kept.append(rule.reason)
        elif policy.action == "reject" or findings is None or _extent(rule, findings) > policy.repair_limit:
            raise Unreadable(rule.reason, rule.detail.format(value))
    return kept


def _extent(rule: Rule, findings: Findings) -> float:
    """How much there is to repair, in the unit of repair_limit."""
    return float(findings.saturated.sum()) if rule.section == "saturated" else findings.values[rule.column]


def mend(
    ordered: npt.NDArray[np.float64],
    n_window: int,
    mask: npt.NDArray[np.uint8],
    findings: Findings,
    config: QualityConfig,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.uint8], list[str], float]:
    """Mend a (samples, 12) recording that passed `judge`, in place, so that no missing sample is left.

    `findings` are those of its first `n_window` samples. Gives the samples, up to the first gap behind the window; the
    mask of the leads that are left; flags; and the largest share of the window that was filled in any lead.
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
        raise Unreadable("flat_lead", "no lead is left")
    return left, flags


def _until_next_gap(ordered: npt.NDArray[np.float64], n_window: int) -> npt.NDArray[np.float64]:
    """Cut the context that follows the window at its first missing sample: the filter must see no gap."""
    gaps = np.flatnonzero(np.isnan(ordered[n_window:]).any(axis=1))
    return ordered[: n_window + gaps[0]] if gaps.size else ordered


def _fill_gaps(window: npt.NDArray[np.float64]) -> float:
    """Fill missing samples in place, linearly between neighbours; gives the largest share filled in any lead."""
    missing = np.isnan(window)
    times = np.arange(len(window))
    for lead in np.flatnonzero(missing.any(axis=0)):
        gap = missing[:, lead]
        window[gap, lead] = np.interp(times[gap], times[~gap], window[~gap, lead])
    return float(missing.mean(axis=0).max())
