"""The unit of stored signals: int16 microvolts in shards and batches, float32 millivolts in models and figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

MILLIVOLTS_PER_MICROVOLT = 1e-3


@overload
def to_mv(microvolts: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]: ...
@overload
def to_mv(microvolts: torch.Tensor) -> torch.Tensor: ...
def to_mv(microvolts: npt.NDArray[np.int16] | torch.Tensor) -> npt.NDArray[np.float32] | torch.Tensor:
    """int16 microvolts as float32 millivolts, of the same shape; a tensor stays on its device."""
    if isinstance(microvolts, np.ndarray):
        return microvolts.astype(np.float32) * np.float32(MILLIVOLTS_PER_MICROVOLT)
    return microvolts.float().mul_(MILLIVOLTS_PER_MICROVOLT)
