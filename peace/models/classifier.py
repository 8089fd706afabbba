"""What predicts: ECG in, one logit a label out. Nothing of the text side is in here (design rule 7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from peace.core.errors import ConfigError
from peace.models.encoder import EcgEncoder
from peace.models.query import LabelQueryNetwork

if TYPE_CHECKING:
    from peace.config import ModelConfig

LEADS = 12


class EcgClassifier(nn.Module):
    """ECG encoder and label query network: the whole of the model at inference.

    With `model.readout=linear`, the linear probe, one linear layer on the mean token is in the network's place.
    """

    scale_mv: Tensor
    query: LabelQueryNetwork

    def __init__(self, config: ModelConfig, labels: Sequence[str]) -> None:
        super().__init__()
        self.labels = tuple(labels)
        self.width = config.width
        self.register_buffer("scale_mv", torch.ones(LEADS))
        self.encoder = EcgEncoder(config.encoder, LEADS)
        same = self.encoder.out_channels == config.width
        self.projection: nn.Module = nn.Identity() if same else nn.Linear(self.encoder.out_channels, config.width)
        self.linear: nn.Linear | None = None
        if config.readout == "linear":
            self.linear = nn.Linear(config.width, len(self.labels))
        else:
            self.query = LabelQueryNetwork(config.query, config.width, len(self.labels))

    def set_scale(self, values: Sequence[float] | Tensor) -> None:
        """Millivolts by which each lead is divided, in the order of LEADS; one number for every record of a model.

        Raises ValueError unless they are 12 positive finite numbers.
        """
        scale = torch.as_tensor(values, dtype=torch.float32)
        if scale.shape != (LEADS,) or not bool(torch.isfinite(scale).all() and (scale > 0).all()):
            raise ValueError(f"the scale must be {LEADS} positive numbers in mV, got {scale.tolist()}")
        self.scale_mv.copy_(scale)

    def tokens(self, ecg_mv_bct: Tensor, lead_mask_bc: Tensor) -> Tensor:
        """ECG (B, 12, T) in mV and its lead mask (B, 12), 1 where a lead is present, to tokens (B, N, width).

        What a masked lead holds has no influence, be it NaN.
        """
        scaled = ecg_mv_bct / self.scale_mv[:, None]
        masked = torch.where(lead_mask_bc[:, :, None] > 0, scaled, torch.zeros_like(scaled))
        result: Tensor = self.projection(self.encoder(masked).transpose(1, 2))
        return result

    def forward(self, ecg_mv_bct: Tensor, lead_mask_bc: Tensor) -> Tensor:
        """Logits (B, K) in label order from ECG (B, 12, T) in mV and lead mask (B, 12); any T of a second or more."""
        return self.read(self.tokens(ecg_mv_bct, lead_mask_bc))

    def read(self, tokens_bnd: Tensor) -> Tensor:
        """Logits (B, K) from tokens (B, N, width)."""
        result: Tensor = self.query(tokens_bnd) if self.linear is None else self.linear(tokens_bnd.mean(dim=1))
        return result

    def freeze_features(self) -> None:
        """Keep all that makes tokens as it is, running statistics too: only the readout learns."""
        self.encoder.freeze_stages(len(self.encoder.stages))
        self.projection.requires_grad_(False)

    def attention(self, ecg_mv_bct: Tensor, lead_mask_bc: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, K), and where each label looks: weights (B, depth, heads, K, N) over the N tokens of the ECG.

        Raises ConfigError for a linear probe, which has no attention.
        """
        if self.linear is not None:
            raise ConfigError("this model is a linear probe (model.readout=linear): its labels do not look anywhere")
        maps: list[Tensor] = []
        logits = self.query.decode(self.query.project_kv(self.tokens(ecg_mv_bct, lead_mask_bc)), maps=maps)
        return logits, torch.stack(maps, dim=1)
