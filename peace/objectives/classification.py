"""The classification loss: the only one whose minimum alone makes a useful model."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from peace.objectives.gather import mean_over_records


def classification_loss(logits_bk: Tensor, target_bk: Tensor) -> Tensor:
    """Binary cross-entropy with logits, mean over records and labels; labels are independent (method 1.1).

    A target that is NaN (a doubtful label) adds nothing and has no gradient; the others keep their weight.

    With several workers it is this one's part of the mean over the records of all (see `mean_over_records`).

    KED's two-way softmax per label is the same function of the difference of its two logits (method 1.2).
    """
    target = target_bk.float()
    known = (~target.isnan()).float()
    losses = functional.binary_cross_entropy_with_logits(
        logits_bk.float(), target.nan_to_num(), known, reduction="none"
    )
    return mean_over_records(losses.mean(dim=1))
