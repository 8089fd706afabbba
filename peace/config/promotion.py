"""What a model must show before it takes another's place."""

from __future__ import annotations

from pydantic import Field, field_validator

from peace.config.base import Section


class PromotionConfig(Section):
    """The gate of `peace promote`. Both models score the same test records; intervals resample patients in pairs.

    A label counts where it has `min_count` positives and negatives among the records in question; others are named as
    not judged. A floor is for the candidate alone; a drop fails where it is larger than allowed and its interval lies
    below zero, so that chance alone refuses nobody.
    """

    min_gain: float = Field(
        0.0,
        ge=-1,
        le=1,
        description="the interval of the gain in macro AUC must lie above; below 0: no worse than that",
    )
    label_floor: float = Field(0.6, ge=0, le=1, description="AUC of each label")
    label_floors: dict[str, float] = Field({}, description="labels with a floor of their own, such as {LQTS: 0.8}")
    label_drop: float = Field(0.03, ge=0, le=1, description="AUC that a label may lose")
    band_floor: float = Field(0.6, ge=0, le=1, description="macro AUC in each age band")
    band_drop: float = Field(0.03, ge=0, le=1, description="macro AUC that an age band may lose")
    max_calibration_error: float = Field(0.2, ge=0, le=1, description="mean expected calibration error of the labels")
    calibration_rise: float = Field(0.05, ge=0, le=1, description="by which that may be higher than the champion's")
    min_count: int = Field(10, ge=1, description="positives, and negatives, below which a label is not judged")

    @field_validator("label_floors")
    @classmethod
    def _are_shares(cls, floors: dict[str, float]) -> dict[str, float]:
        if wrong := [label for label, floor in floors.items() if not 0 <= floor <= 1]:
            raise ValueError(f"the floor of {', '.join(wrong)} must lie in 0 to 1")
        return floors
