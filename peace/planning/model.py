"""What a sample costs in the configured model, counted on the model itself: no weights are made."""

from __future__ import annotations

from dataclasses import dataclass

from peace.config import ModelConfig

LABELS = 12
BATCH = 2
LEADS = 12
# Text encoders: number of layers, and weights of one (BERT-base: 12 of 7.1 million; MiniLM: 6 of 1.8 million).
TEXT = {"tiny": (2, 0.02e6), "minilm": (6, 1.77e6)}
BERT = (12, 7.09e6)
TWO_LAYERS_OF_BERT = 2 * BERT[1]


@dataclass(frozen=True)
class ModelSize:
    """Of encoder and query network: GFLOP of a sample forward and backward. Trained weights: with the text side's."""

    gflop: float
    weights: float
    text_weights: float  # of these, the text encoder's layers


def model_size(config: ModelConfig, samples: int) -> ModelSize:
    """Count them for recordings of `samples` samples a lead."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from peace.models import EcgClassifier

    with torch.device("meta"):
        model = EcgClassifier(config, [str(number) for number in range(LABELS)])
        ecg, mask = torch.empty(BATCH, LEADS, samples), torch.empty(BATCH, LEADS)
        with FlopCounterMode(display=False) as counter:
            model(ecg, mask).sum().backward()
    layers, weights_a_layer = TEXT.get(config.text.name, BERT)
    trained_text = max(0, layers - config.text.frozen_layers) * weights_a_layer
    weights = sum(parameter.numel() for parameter in model.parameters())
    return ModelSize(counter.get_total_flops() / BATCH / 1e9, weights + trained_text, trained_text)
