"""The step of the nearest public implementation, as plainly as it is done there: a baseline for training.py.

Our own words for the scheme of KED (Tian et al. 2024, code ECGFM-KED): in every step the text encoder goes over one
report a record and one name a label, each padded to 256 tokens, through all twelve layers; the label queries look at
the ECG and once more at the report; losses are loops in Python over batch and labels; everything in float32. The ECG
encoder and the label query network are the same as ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from peace.models.classifier import EcgClassifier

TOKENS = 256
TEMPERATURE = 0.1


def naive_step(
    classifier: EcgClassifier, bert: Any, tokenizer: Any, texts: Any, held: tuple[Tensor, Tensor, Tensor]
) -> Callable[[], None]:
    """A training step on the batch `held` (ecg in mV, lead mask, target)."""
    ecg, mask, target = held
    hidden = bert.config.hidden_size
    device = ecg.device
    width = classifier.width
    mlp = nn.Sequential(nn.Linear(hidden, width), nn.GELU(), nn.Linear(width, width)).to(device)
    for layer in bert.encoder.layer[:10]:
        layer.requires_grad_(False)
    learned = [p for module in (classifier, bert, mlp) for p in module.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(learned, lr=5e-5, weight_decay=0.02)
    # a report says what the record's labels say
    reports = [" ".join(text for k in row.nonzero().flatten() for text in texts.texts[int(k)]) for row in target.cpu()]

    def encode(strings: list[str]) -> Tensor:
        tokens = tokenizer(strings, padding="max_length", truncation=True, max_length=TOKENS, return_tensors="pt")
        return mlp(bert(**{name: tensor.to(device) for name, tensor in tokens.items()}).pooler_output)

    def step() -> None:
        tokens = classifier.tokens(ecg, mask)
        reports_bd, names_kd = encode(reports), encode(list(texts.names))
        query = classifier.query
        query.queries.copy_(names_kd.detach())
        logits = query.decode(query.project_kv(tokens))
        told = query.decode(query.project_kv(reports_bd[:, None]))
        loss = _classification(logits, target) + _classification(told, target)
        loss = loss + _contrast(tokens.mean(dim=1), reports_bd, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def _classification(logits: Tensor, target: Tensor) -> Tensor:
    total = logits.new_zeros(())
    for record in range(len(target)):
        for label in range(target.shape[1]):
            total = total + functional.binary_cross_entropy_with_logits(logits[record, label], target[record, label])
    return total / target.numel()


def _contrast(ecg: Tensor, text: Tensor, target: Tensor) -> Tensor:
    """Bidirectional, label by label: records that carry the label attract each other."""
    similarity = functional.normalize(ecg, dim=-1) @ functional.normalize(text, dim=-1).T / TEMPERATURE
    total, present = similarity.new_zeros(()), 0
    for label in range(target.shape[1]):
        own = [record for record in range(len(target)) if target[record, label] > 0]
        if not own:
            continue
        present += 1
        for scores in (similarity, similarity.T):
            for record in own:
                rows = scores[record].log_softmax(dim=0)
                for other in own:
                    total = total - rows[other] / (2 * len(own) ** 2)
    return total / max(present, 1)
