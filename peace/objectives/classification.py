"""The classification loss: the only one whose minimum alone makes a useful model."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def classification_loss(logits_bk: Tensor, target_bk: Tensor) -> Tensor:
    """Binary cross-entropy with logits, mean over records and labels; labels are independent (method 1.1).

    KED's two-way softmax per label is the same function of the difference of its two logits (method 1.2).
    """
    return functional.binary_cross_entropy_with_logits(logits_bk.float(), target_bk.float())
