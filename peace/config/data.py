"""From raw trees to shards: labels, splits, leads, signal, quality, and the synthetic cohorts."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, NonNegativeFloat, field_validator

from peace.config.base import Section


class LabelsConfig(Section):
    """Which label set, and how strictly codes are read."""

    set: str = Field("peace12", description="name of an embedded label set, or a path to a YAML file")
    modified_codes: bool = Field(False, description="count AHA codes that carry a modifier, such as L145+Modifier362")
    code_columns: Literal["aha", "either"] = Field("aha", description="ZZU: the AHA column decides, or AHA or CHN")


class SplitConfig(Section):
    """Patient-level split (paper: 8:1:1, seed 42)."""

    ratios: tuple[NonNegativeFloat, NonNegativeFloat, NonNegativeFloat] = Field(
        (8, 1, 1), description="train : val : test"
    )
    seed: int = Field(42, ge=0)
    official_folds: bool = Field(False, description="PTB-XL only: strat_fold 1-8 / 9 / 10 instead of our own split")

    @field_validator("ratios")
    @classmethod
    def _something_to_train_on(cls, ratios: tuple[float, float, float]) -> tuple[float, float, float]:
        if not 0 < ratios[0] < math.inf or not math.isfinite(sum(ratios)):
            raise ValueError("the training part must be above 0")
        return ratios


class LeadsConfig(Section):
    """Which leads a record must have."""

    require: Literal[12, 9] = Field(12, description="9 admits records without V2, V4, V6, with a lead mask")


class SignalConfig(Section):
    """From bytes to a (12, rate * seconds) array in millivolts (method: 0.5 Hz high-pass, 100 Hz low-pass, notch)."""

    rate: int = Field(500, gt=0, description="samples per second after resampling")
    seconds: float = Field(10.0, gt=0, description="crop, or zero-pad with a mask, to this length")
    margin_seconds: float = Field(
        5.0, ge=0, description="filtered together with what is kept, so that the crop is no edge"
    )
    highpass_hz: float = Field(0.5, ge=0, description="zero-phase; 0 leaves it out")
    lowpass_hz: float = Field(100.0, gt=0, description="zero-phase; lowered to 0.45 x rate where rate asks for it")
    notch_hz: dict[str, float] = Field(
        {"mimic": 60.0, "zzu": 50.0, "ptbxl": 50.0}, description="mains frequency by cohort; 0 leaves it out"
    )


class QualityConfig(Section):
    """Limits beyond which a record is rejected, with the reason named (our choice)."""

    nan_share: float = Field(0.0, ge=0, le=1, description="largest share of missing samples in any lead")
    flat_leads: int = Field(0, ge=0, le=12, description="largest number of flat leads; such a lead is masked")
    flat_mv: float = Field(0.01, ge=0, description="a lead whose peak-to-peak stays under this is flat")
    rail_mv: float = Field(26.0, gt=0, description="samples beyond this many mV touch the rail (ZZU: near 26.6)")
    rail_share: float = Field(0.05, ge=0, le=1, description="largest share of samples at the rail in any lead")
    min_seconds: float = Field(2.0, ge=0, description="shortest record")
    min_rate: float = Field(100.0, gt=0, description="lowest sampling rate in Hz")


class PreprocessConfig(Section):
    """How shards are written."""

    shard_mb: float = Field(128.0, gt=0, description="aimed-at size of a shard before compression")
    min_tasks: int = Field(4, gt=0, description="smaller shards, so that at least so many tasks share the work")


class SyntheticConfig(Section):
    """Size and variety of the embedded synthetic cohorts (docs/synthetic.md)."""

    mimic_records: int = Field(20000, ge=0)
    zzu_records: int = Field(4000, ge=0)
    ptbxl_records: int = Field(4000, ge=0)
    seed: int = Field(42, ge=0)
    prior: Literal["published", "flat"] = Field(
        "published", description="how frequent labels are: as in each real cohort, or each abnormal one alike"
    )
    leadfield_spread: float = Field(1.0, ge=0, description="how far subjects' leads differ from Dower's; 0: not at all")
    noise: float = Field(1.0, ge=0, description="factor on wander, muscle, mains, motion and lost electrodes")
