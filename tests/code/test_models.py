"""The classifier: shapes, independence of what must not matter, and attention against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from peace.config import EncoderConfig, ModelConfig, QueryConfig, load_config
from peace.core.errors import ConfigError
from peace.models import EcgClassifier
from peace.models.attention import Attention
from peace.models.dropout import Dropout
from peace.models.encoder import EcgEncoder
from peace.models.query import LabelQueryNetwork, fit_queries

LABELS = ("NORM", "LVH", "TAB_")


@pytest.fixture
def classifier() -> EcgClassifier:
    torch.manual_seed(3)
    return EcgClassifier(load_config("debug").model, LABELS).eval()


def ecg(batch: int = 4, length: int = 1000, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 12, length, generator=generator), torch.ones(batch, 12)


def test_the_paper_encoder_is_xresnet1d101() -> None:
    encoder = EcgEncoder(EncoderConfig()).eval()
    convolutions = [module for module in encoder.modules() if isinstance(module, nn.Conv1d)]
    in_path = [
        c for stage in encoder.stages for block in stage for c in block.path.modules() if isinstance(c, nn.Conv1d)
    ]
    # 3 in the stem, 3 a block in 33 blocks, a projected shortcut in the first block of each stage but the third
    assert (len(in_path), len(convolutions)) == (99, 3 + 99 + 3)
    assert encoder.out_channels == 768
    assert encoder(torch.zeros(1, 12, 5000)).shape == (1, 768, 157)


def test_the_demo_encoder_leaves_32_tokens_of_1000_samples() -> None:
    model = EcgClassifier(load_config("demo").model, LABELS).eval()
    assert model.tokens(*ecg(2)).shape == (2, 32, 128)


@pytest.mark.parametrize("length", [100, 137, 999, 1000, 5000])
@pytest.mark.parametrize("batch", [1, 3])
def test_any_length_and_batch_gives_one_logit_a_label(classifier: EcgClassifier, length: int, batch: int) -> None:
    logits = classifier(*ecg(batch, length))
    assert logits.shape == (batch, 3)
    assert torch.isfinite(logits).all()


def test_a_record_scores_the_same_alone_and_in_a_batch(classifier: EcgClassifier) -> None:
    signal, mask = ecg(5)
    together = classifier(signal, mask)
    alone = torch.cat([classifier(signal[i : i + 1], mask[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_what_a_masked_lead_holds_has_no_influence(classifier: EcgClassifier) -> None:
    signal, mask = ecg()
    mask[:, 6] = 0
    expected = classifier(signal, mask)
    for content in (0.0, 26.6, float("nan"), float("inf")):
        signal[:, 6] = content
        assert torch.equal(classifier(signal, mask), expected)
    signal[:, 7] += 1
    assert not torch.equal(classifier(signal, mask), expected)


def test_the_scale_divides_and_is_part_of_the_state(classifier: EcgClassifier) -> None:
    signal, mask = ecg()
    expected = classifier(signal, mask)
    classifier.set_scale([0.5] * 12)
    torch.testing.assert_close(classifier(signal / 2, mask), expected)
    other = EcgClassifier(load_config("debug").model, LABELS).eval()
    other.load_state_dict(classifier.state_dict())
    assert torch.equal(other(signal, mask), classifier(signal, mask))


@pytest.mark.parametrize("scale", [[1.0] * 11, [0.0] + [1.0] * 11, [float("nan")] * 12])
def test_an_impossible_scale_is_refused(classifier: EcgClassifier, scale: list[float]) -> None:
    with pytest.raises(ValueError, match="12 positive numbers"):
        classifier.set_scale(scale)


def test_attention_maps_are_the_weights_of_the_same_pass(classifier: EcgClassifier) -> None:
    signal, mask = ecg(2)
    logits, maps = classifier.attention(signal, mask)
    assert torch.equal(logits, classifier(signal, mask))
    tokens = classifier.tokens(signal, mask).shape[1]
    assert maps.shape == (2, 1, 2, len(LABELS), tokens)
    torch.testing.assert_close(maps.sum(-1), torch.ones(2, 1, 2, len(LABELS)))


def test_attention_equals_torchs_own() -> None:
    torch.manual_seed(0)
    ours, theirs = Attention(16, 4, 0.0), nn.MultiheadAttention(16, 4, batch_first=True)
    for part in (ours.query, ours.memory, ours.out):
        nn.init.normal_(part.bias)
    theirs.load_state_dict(
        {
            "in_proj_weight": torch.cat([ours.query.weight, ours.memory.weight]),
            "in_proj_bias": torch.cat([ours.query.bias, ours.memory.bias]),
            "out_proj.weight": ours.out.weight,
            "out_proj.bias": ours.out.bias,
        }
    )
    x, memory, hidden = torch.randn(3, 5, 16), torch.randn(3, 7, 16), torch.zeros(3, 7, dtype=torch.bool)
    hidden[1, 4:] = True
    found, weights = ours(x, ours.project_kv(memory), hidden)
    expected, expected_weights = theirs(x, memory, memory, hidden, average_attn_weights=False)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(weights, expected_weights)


def test_passes_that_share_keys_and_values_equal_passes_over_all_tokens() -> None:
    torch.manual_seed(0)
    network = LabelQueryNetwork(QueryConfig(depth=3, heads=2, feedforward=16, head=8, dropout=0), 16, 4)
    tokens, axes = torch.randn(2, 9, 16), torch.randn(2, 3, 16)
    shared = network.decode(network.project_kv(tokens), network.project_kv(axes))
    torch.testing.assert_close(shared, network(torch.cat([tokens, axes], dim=1)))


def test_a_hidden_axis_token_has_no_influence_and_a_seen_one_has() -> None:
    torch.manual_seed(0)
    network = LabelQueryNetwork(QueryConfig(depth=2, heads=2, feedforward=16, head=8, dropout=0), 16, 4)
    memory, axes = network.project_kv(torch.randn(2, 9, 16)), torch.randn(2, 3, 16)
    hidden = torch.tensor([[True, False, False]] * 2)
    expected = network.decode(memory, network.project_kv(axes), hidden)
    changed = axes.clone()
    changed[:, 0] = torch.randn(2, 16)
    assert torch.equal(network.decode(memory, network.project_kv(changed), hidden), expected)
    changed[:, 1] = torch.randn(2, 16)
    assert not torch.allclose(network.decode(memory, network.project_kv(changed), hidden), expected)
    everything = torch.ones_like(hidden)
    torch.testing.assert_close(network.decode(memory, network.project_kv(axes), everything), network.decode(memory))


def test_queries_keep_the_angles_between_names() -> None:
    torch.manual_seed(0)
    names = torch.randn(12, 384) + 20  # a large part common to all, as in a BERT's space
    names[1] = names[0] + 0.1 * torch.randn(384)
    queries = fit_queries(names, 256)
    assert torch.equal(queries, fit_queries(names, 256))
    torch.testing.assert_close(queries.pow(2).mean(dim=1), torch.ones(12))
    cosine = queries @ queries.T / 256
    assert cosine[0, 1] > 0.9
    assert cosine[2:, :2].max() < 0.5
    assert torch.isfinite(fit_queries(torch.ones(1, 8), 8)).all()


def test_frozen_stages_keep_weights_and_running_statistics() -> None:
    encoder = EcgEncoder(load_config("demo").model.encoder)
    encoder.freeze_stages(2)
    encoder.train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    encoder(torch.randn(4, 12, 500)).mean().backward()
    changed = {
        name.split(".")[1] for name, value in encoder.state_dict().items() if not torch.equal(value, before[name])
    }
    graded = {name.split(".")[1] for name, parameter in encoder.named_parameters() if parameter.grad is not None}
    # stages 2 and 3 of `stages.0` to `stages.3`, and nothing of the stem
    assert changed == graded == {"2", "3"}
    encoder.freeze_stages(0)
    assert all(parameter.requires_grad for parameter in encoder.parameters())
    assert all(module.training for module in encoder.modules())
    with pytest.raises(ConfigError, match="has 4"):
        encoder.freeze_stages(5)


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_a_block_starts_as_its_shortcut(norm: str) -> None:
    config = EncoderConfig(blocks=(2,), widths=(8,), expansion=1, stem=(8,), norm=norm)
    encoder = EcgEncoder(config).eval()
    x = torch.rand(2, 8, 50)
    assert torch.equal(encoder.stages[0][1](x), x)


@pytest.mark.parametrize(
    "override",
    ["model.width=30", "model.encoder.blocks=[1]", "model.encoder.kernel=4", "model.encoder.stem=[]"],
)
def test_sizes_that_do_not_fit_are_refused(override: str) -> None:
    with pytest.raises(ConfigError, match="model"):
        load_config("demo", None, [override])


def test_one_seed_gives_one_classifier() -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(7)
        states.append(EcgClassifier(ModelConfig(**load_config("debug").model.model_dump()), LABELS).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_two_passes_side_by_side_are_the_two_passes() -> None:
    """And nothing of the axis tokens reaches the first, not even a gradient."""
    torch.manual_seed(0)
    network = LabelQueryNetwork(QueryConfig(depth=2, heads=2, feedforward=32, dropout=0, head=32), 16, 5)
    tokens, axes = torch.randn(3, 7, 16), torch.randn(3, 3, 16, requires_grad=True)
    hidden = torch.tensor([[False, True, False], [True, True, True], [False, False, False]])
    memory, other = network.project_kv(tokens), network.project_kv(axes)
    alone, knowing = network.decode_paired(memory, other, hidden)
    torch.testing.assert_close(alone, network.decode(memory), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(knowing, network.decode(memory, other, hidden), rtol=1e-5, atol=1e-6)
    assert torch.autograd.grad(alone.sum(), axes, retain_graph=True)[0].abs().max() == 0
    seen = torch.autograd.grad(knowing.sum(), axes)[0].abs().amax(dim=2) > 0
    assert torch.equal(seen, ~hidden)


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    dropout, x = Dropout(0.1), torch.full((301, 1003), 2.0, requires_grad=True)
    found = dropout(x)
    assert torch.isin(found, torch.tensor([0.0, 2 / 0.9])).logical_or((found - 2 / 0.9).abs() < 1e-4).all()
    assert (found == 0).float().mean().item() == pytest.approx(0.1, abs=0.003)
    assert found.mean().item() == pytest.approx(2.0, rel=0.005)
    # no pattern along rows or columns
    assert (found == 0).float().mean(dim=0).std().item() == pytest.approx((0.09 / 301) ** 0.5, rel=0.15)
    found.sum().backward()
    assert torch.equal(x.grad == 0, found == 0)
    torch.manual_seed(0)
    assert torch.equal(dropout(x), found)
    assert dropout.eval()(x) is x
