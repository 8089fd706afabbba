"""Predictions as a training leaves them, drawn at random, for the tests of what reads them."""

import numpy as np
import pandas as pd

LABELS = ("NORM", "LVH", "RVH")


def predictions_frame(records: int = 240, seed: int = 0, strength: float = 1.5) -> pd.DataFrame:
    """Long table of scored records, half of them in each of val and test, two or so a patient."""
    generator = np.random.default_rng(seed)
    target = (generator.random((records, len(LABELS))) < (0.5, 0.3, 0.1)).astype(int)
    logit = generator.normal(size=target.shape) + strength * target - 1
    rows = np.repeat(np.arange(records), len(LABELS))
    return pd.DataFrame(
        {
            "record_id": [f"r{row:04d}" for row in rows],
            "split": np.where(rows < records // 2, "val", "test"),
            "label": list(LABELS) * records,
            "probability": (1 / (1 + np.exp(-logit))).ravel(),
            "target": target.ravel(),
            # a patient is in one split only
            "patient_id": [f"p{row // 2:04d}" for row in rows],
            "age_days": np.repeat(generator.integers(1, 5000, records), len(LABELS)),
        }
    )
