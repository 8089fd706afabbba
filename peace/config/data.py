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
    doubtful: Literal["mask", "negative"] = Field(
        "mask", description="labels that a report line leaves doubtful: out of losses and metrics, or counted as absent"
    )
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


class MaxExcludedConfig(Section):
    """Share of a cohort's records, above which leaving out is told of: about half of what the paper keeps is lost too.

    The paper leaves out 0.40, 0.46 and 0.25 of the published records (arXiv 2605.00647).
    """

    mimic: float = Field(0.7, ge=0, le=1)
    zzu: float = Field(0.75, ge=0, le=1)
    ptbxl: float = Field(0.6, ge=0, le=1)

    def of(self, cohort: str) -> float:
        """The share of a cohort; one that is not known may lose all but one record."""
        return float(getattr(self, cohort, 1.0))


class IndexConfig(Section):
    """What an index puts up with."""

    max_excluded: MaxExcludedConfig = MaxExcludedConfig()
    too_many: Literal["warn", "error"] = Field("warn", description="where more than max_excluded is left out")
    mangled_ids: Literal["error", "allow"] = Field(
        "error", description="ids that a spreadsheet has changed: people may be taken for one another"
    )


class LeadsConfig(Section):
    """Which leads a record must have."""

    require: Literal[12, 9] = Field(12, description="9 admits records without V2, V4, V6, with a lead mask")


class LinksConfig(Section):
    """Links among the files of a tree. One that leads out of its record's own folder is refused."""

    stores: tuple[str, ...] = Field(
        (), description="folders into which links may lead: the store of git-annex, DataLad, DVC or a hub's cache"
    )


class FilterConfig(Section):
    """What is filtered out of a recording, all of it zero-phase (method: 0.5 Hz high-pass, 100 Hz low-pass, notch)."""

    highpass_hz: float = Field(0.5, ge=0, le=20, description="0 leaves it out")
    lowpass_hz: float = Field(
        100.0, gt=20, description="lowered to 0.45 x the lower of recorded and stored rate where that asks for it"
    )
    notch_hz: float = Field(0.0, ge=0, description="mains frequency; 0 leaves it out")


class Mains50Config(FilterConfig):
    """Recorded where the mains have 50 Hz."""

    notch_hz: float = Field(50.0, ge=0, description="mains frequency; 0 leaves it out")


class Mains60Config(FilterConfig):
    """Recorded where the mains have 60 Hz."""

    notch_hz: float = Field(60.0, ge=0, description="mains frequency; 0 leaves it out")


class FiltersConfig(Section):
    """One recipe a cohort: MIMIC was recorded in Boston, ZZU in Zhengzhou, PTB-XL in Germany."""

    mimic: Mains60Config = Mains60Config()
    zzu: Mains50Config = Mains50Config()
    ptbxl: Mains50Config = Mains50Config()
    other: FilterConfig = Field(FilterConfig(), description="cohorts without a recipe of their own")

    def of(self, cohort: str) -> FilterConfig:
        """The recipe of a cohort."""
        own: FilterConfig = getattr(self, cohort) if cohort in type(self).model_fields else self.other
        return own


class SignalConfig(Section):
    """From bytes to a (12, rate * seconds) array in millivolts."""

    rate: int = Field(500, gt=0, description="samples per second after resampling")
    seconds: float = Field(10.0, gt=0, description="crop, or zero-pad with a mask, to this length")
    margin_seconds: float = Field(
        5.0, ge=0, description="filtered together with what is kept, so that the crop is no edge"
    )
    filters: FiltersConfig = FiltersConfig()


class PreprocessConfig(Section):
    """How shards are written."""

    shard_mb: float = Field(128.0, gt=0, description="aimed-at size of a shard before compression")
    min_tasks: int = Field(4, gt=0, description="smaller shards, so that at least so many tasks share the work")


class ReportConfig(Section):
    """The data report. What it shows changes no shard."""

    strips: int = Field(4, ge=0, description="kept records of a cohort that are drawn, and rejected ones")


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
