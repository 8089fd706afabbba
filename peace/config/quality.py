"""When a recording is too poor, and what is done then: one section a reason, each with its limit and its action.

`keep` lets the record in and names the breach in its flags, `repair` mends what can be mended within a bound and says
so in the flags, `reject` leaves the record out with the reason. The limits are our choice.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from peace.config.base import Section

Kept = Literal["keep", "reject"]


def _bound_over_limit(section: Any) -> Any:
    """What may be repaired begins where the limit ends."""
    if section.action == "repair" and section.repair_limit < section.limit:
        raise ValueError("repair_limit must not be under limit")
    return section


class MissingConfig(Section):
    """Missing samples. A filter cannot run over a gap, so that gaps in a kept record are always filled, linearly."""

    limit: float = Field(0.0, ge=0, le=1, description="largest share of missing samples in any lead")
    action: Literal["repair", "reject"] = "reject"
    repair_limit: float = Field(0.02, ge=0, le=1, description="with repair: more than this share is rejected")

    _ordered = model_validator(mode="after")(_bound_over_limit)


class PaddingConfig(Section):
    """Constant runs in all leads at once, as exporters fill up with. Repaired, those at the ends are cut off.

    A run inside is a gap: its samples are missing, and `missing` says what is done then.
    """

    limit: float = Field(0.0, ge=0, le=1, description="largest share of padding at the ends of what is read")
    action: Literal["repair", "reject"] = "repair"
    repair_limit: float = Field(1.0, ge=0, le=1, description="with repair: more than this share is rejected")
    least_seconds: float = Field(0.2, gt=0, description="shorter constant runs count as signal")

    _ordered = model_validator(mode="after")(_bound_over_limit)
    gap_seconds: float = Field(
        1.0,
        gt=0,
        description="a constant stretch inside is a gap from here on: a simulator's pause between beats is not",
    )


class FlatConfig(Section):
    """Leads without signal. They are absent, not zero volts: in a kept record they are masked."""

    limit: int = Field(0, ge=0, le=11, description="largest number of flat leads")
    action: Literal["repair", "reject"] = "reject"
    repair_limit: int = Field(3, ge=0, le=11, description="with repair: more leads than this are rejected")
    least_mv: float = Field(0.01, ge=0, description="a lead whose peak-to-peak stays under this is flat")

    _ordered = model_validator(mode="after")(_bound_over_limit)


class SaturatedConfig(Section):
    """Leads at the recorder's limit. Repaired, the leads over the limit are masked."""

    limit: float = Field(0.05, ge=0, le=1, description="largest share of samples at the rail in any lead")
    action: Literal["keep", "repair", "reject"] = "reject"
    repair_limit: int = Field(3, ge=0, le=11, description="with repair: more leads than this over it are rejected")
    rail_mv: float = Field(26.0, gt=0, description="samples beyond this many mV touch the rail (ZZU: near 26.6)")


class CutOffConfig(Section):
    """Waves cut off where the converter or the storage format ends: at the rails of 10, 11, 12, 14 or 16 bits."""

    limit: int = Field(5, ge=0, description="largest number of samples at such a rail, in plateaus, in any lead")
    action: Kept = "keep"


class CalibrationConfig(Section):
    """Leads without a gain, or with gain 0. The WFDB specification has them read as 200 steps a millivolt."""

    limit: int = Field(0, ge=0, description="largest number of leads")
    action: Kept = "keep"


class AmplitudeConfig(Section):
    """Amplitudes that cannot be, as a gain that is wrong by ten makes them.

    In 500 PTB-XL and 9 ZZU records the value lies between 0.47 and 3.5 mV, in synthetic children up to 6.
    """

    limit: float = Field(6.0, gt=0, description="largest amplitude_mv")
    least: float = Field(0.25, ge=0, description="smallest amplitude_mv")
    action: Kept = "keep"


class SpikesConfig(Section):
    """Single samples far off both neighbours, as a loose electrode makes them. Repaired, they are interpolated.

    In 500 PTB-XL records at 500 Hz, QRS complexes stand less than 1 mV off both neighbours, pacing spikes up to 1.4.
    """

    limit: int = Field(0, ge=0, description="largest number of spikes in any lead")
    action: Literal["keep", "repair", "reject"] = "keep"
    repair_limit: int = Field(50, ge=0, description="with repair: more spikes than this in a lead are rejected")
    jump_mv: float = Field(5.0, gt=0, description="a spike stands this far off both neighbours, on the same side")


class ChecksumConfig(Section):
    """Leads whose samples contradict the header. Known only where the whole record was read."""

    limit: int = Field(0, ge=0, description="largest number of leads")
    action: Kept = "keep"


class EinthovenConfig(Section):
    """Limb leads that contradict each other: exchanged, mislabelled or of unequal gain."""

    limit: float = Field(0.05, ge=0, description="largest root mean square of I + III - II in mV")
    action: Kept = "keep"


class GoldbergerConfig(Section):
    """Augmented leads that do not follow from I and II."""

    limit: float = Field(0.1, ge=0, description="largest departure of aVR, aVL or aVF in mV, in any sample")
    action: Kept = "keep"


class ReversalConfig(Section):
    """The electrodes of the arms exchanged: lead I is upside down in P, QRS and T, while V5 and V6 are not."""

    limit: float = Field(0.3, ge=0, le=1, description="largest arm_reversal")
    action: Kept = "keep"


class CopiedConfig(Section):
    """Leads that hold the same samples as another."""

    limit: int = Field(0, ge=0, le=11, description="largest number of leads that repeat another")
    action: Kept = "keep"


class WanderConfig(Section):
    """Baseline wander; the high-pass takes off what is slow."""

    limit: float = Field(0.5, ge=0, description="largest wander_mv")
    action: Kept = "keep"


class MainsConfig(Section):
    """Hum at the cohort's mains frequency, before the notch."""

    limit: float = Field(0.1, ge=0, description="largest mains_mv")
    action: Kept = "keep"


class ClippedConfig(Section):
    """Values that int16 microvolts cannot hold, after the filter."""

    limit: float = Field(0.0, ge=0, le=1, description="largest share of all values")
    action: Kept = "keep"


class QualityConfig(Section):
    """Limits on the recording, and what is done beyond each."""

    min_seconds: float = Field(2.0, ge=0, description="shortest record")
    min_rate: float = Field(100.0, gt=0, description="lowest sampling rate in Hz")
    missing: MissingConfig = MissingConfig()
    padding: PaddingConfig = PaddingConfig()
    flat: FlatConfig = FlatConfig()
    saturated: SaturatedConfig = SaturatedConfig()
    cut_off: CutOffConfig = CutOffConfig()
    spikes: SpikesConfig = SpikesConfig()
    checksum: ChecksumConfig = ChecksumConfig()
    calibration: CalibrationConfig = CalibrationConfig()
    amplitude: AmplitudeConfig = AmplitudeConfig()
    einthoven: EinthovenConfig = EinthovenConfig()
    goldberger: GoldbergerConfig = GoldbergerConfig()
    reversal: ReversalConfig = ReversalConfig()
    copied: CopiedConfig = CopiedConfig()
    wander: WanderConfig = WanderConfig()
    mains: MainsConfig = MainsConfig()
    clipped: ClippedConfig = ClippedConfig()
