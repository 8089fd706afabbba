"""The text encoder: frozen prefix against the plain path, and every source it can come from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from peace.config import TextConfig, load_config
from peace.core.errors import ConfigError, DataError
from peace.descriptors import load_descriptors
from peace.models.text import TextEncoder
from peace.models.text_loading import tiny_text_model

TEXTS = ("Sinus rhythm, regular.", "rSr' pattern in V1 or V2; terminal S wave in I and V6.", "Tall R waves in V5.")


def tiny(frozen: int = 1, pooling: str = "mean", name: str = "tiny", tokens: int = 64) -> TextConfig:
    return TextConfig(name=name, frozen_layers=frozen, pooling=pooling, max_tokens=tokens)


@pytest.mark.parametrize("pooling", ["mean", "pooler"])
@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_the_kept_prefix_equals_the_plain_path_and_stays_so_while_training(frozen: int, pooling: str) -> None:
    encoder = TextEncoder(tiny(frozen, pooling), TEXTS).train()
    learned = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    optimiser = torch.optim.SGD(learned, lr=1.0) if learned else None
    first = encoder().detach()
    for _ in range(3):
        torch.testing.assert_close(encoder(), encoder.encode(TEXTS), rtol=1e-5, atol=1e-6)
        if optimiser:
            optimiser.zero_grad()
            encoder().square().sum().backward()
            kept = [parameter.grad.clone() for parameter in learned]
            optimiser.zero_grad()
            encoder.encode(TEXTS).square().sum().backward()
            for parameter, grad in zip(learned, kept, strict=True):
                torch.testing.assert_close(grad, parameter.grad, rtol=1e-4, atol=1e-6)
            optimiser.step()
    assert torch.equal(encoder(), first) == (frozen == 2)


def test_one_text_a_call_gives_the_same_as_all_together() -> None:
    encoder = TextEncoder(tiny(0, "pooler"), TEXTS)
    alone = torch.cat([encoder.encode([text]) for text in TEXTS])
    torch.testing.assert_close(encoder(), alone)


def test_freezing_takes_embeddings_and_the_first_layers() -> None:
    encoder = TextEncoder(tiny(1, "pooler"), TEXTS)
    learned = {name for name, parameter in encoder.named_parameters() if parameter.requires_grad}
    assert {name.split(".")[1] for name in learned} == {"encoder", "pooler"}
    assert all("layer.1." in name for name in learned if ".layer." in name)
    encoder().sum().backward()
    graded = {name for name, parameter in encoder.named_parameters() if parameter.grad is not None}
    assert graded == learned


def test_more_frozen_layers_than_there_are_is_refused() -> None:
    with pytest.raises(ConfigError, match="has 2 layers"):
        TextEncoder(tiny(3), TEXTS)


def test_loading_leaves_torchs_random_numbers_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    TextEncoder(tiny(), TEXTS)
    assert torch.equal(torch.rand(3), expected)


def test_the_packaged_encoder_reads_every_curated_text_whole() -> None:
    config = load_config("demo").model.text
    descriptors = load_descriptors("curated")
    texts = [text for label in descriptors.texts for text in label]
    encoder = TextEncoder(config, texts)
    assert max(encoder.token_counts()) <= config.max_tokens
    embeddings = encoder()
    assert embeddings.shape == (36, 384)
    # a different text, a different embedding: nothing was cut or mapped to unknown
    distances = torch.cdist(embeddings, embeddings) + 10 * torch.eye(36)
    assert distances.min() > 0.1


@pytest.fixture(scope="module")
def clinical(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stand-in for Bio_ClinicalBERT as it lies on the hub: config.json, vocab.txt, pytorch_model.bin with heads."""
    from transformers import BertForPreTraining

    folder = tmp_path_factory.mktemp("text") / "clinical"
    model, tokenizer = tiny_text_model(TEXTS)
    torch.manual_seed(1)
    whole = BertForPreTraining(model.config)
    whole.save_pretrained(folder)
    (folder / "model.safetensors").unlink()
    torch.save(whole.state_dict(), folder / "pytorch_model.bin")
    words = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    return folder


def test_a_local_folder_loads_from_bin_and_from_safetensors_alike(clinical: Path, tmp_path: Path) -> None:
    from transformers import BertForPreTraining

    from_bin = TextEncoder(tiny(name=str(clinical), pooling="pooler"), TEXTS)
    whole = BertForPreTraining.from_pretrained(clinical)
    assert torch.equal(from_bin.model.embeddings.word_embeddings.weight, whole.bert.embeddings.word_embeddings.weight)
    safe = tmp_path / "safe"
    from_bin.model.save_pretrained(safe)
    from_bin.tokenizer.save_pretrained(safe)
    assert (safe / "model.safetensors").exists()
    from_safe = TextEncoder(tiny(name=str(safe), pooling="pooler"), TEXTS)
    assert torch.equal(from_safe(), from_bin())


def test_a_folder_without_pooler_weights_serves_mean_pooling_only(clinical: Path, tmp_path: Path) -> None:
    folder = tmp_path / "headless"
    shutil.copytree(clinical, folder)
    state = torch.load(folder / "pytorch_model.bin")
    torch.save({name: value for name, value in state.items() if ".pooler." not in name}, folder / "pytorch_model.bin")
    assert TextEncoder(tiny(name=str(folder)), TEXTS)().shape == (3, 32)
    with pytest.raises(DataError, match="lacks 2 weights, such as pooler"):
        TextEncoder(tiny(name=str(folder), pooling="pooler"), TEXTS)


def test_weights_that_are_absent_are_told_not_made_up(clinical: Path, tmp_path: Path) -> None:
    folder = tmp_path / "holes"
    shutil.copytree(clinical, folder)
    state = torch.load(folder / "pytorch_model.bin")
    torch.save({name: value for name, value in state.items() if "layer.1." not in name}, folder / "pytorch_model.bin")
    with pytest.raises(DataError, match=r"lacks 16 weights, such as encoder\.layer\.1"):
        TextEncoder(tiny(name=str(folder)), TEXTS)


@pytest.mark.parametrize("lost", ["config.json", "pytorch_model.bin"])
def test_a_folder_with_a_file_missing_is_refused_in_one_line(clinical: Path, tmp_path: Path, lost: str) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(clinical, folder)
    (folder / lost).unlink()
    with pytest.raises(DataError, match="cannot load text encoder") as caught:
        TextEncoder(tiny(name=str(folder)), TEXTS)
    assert "\n" not in str(caught.value)


def test_a_damaged_weights_file_is_refused(clinical: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(clinical, folder)
    (folder / "pytorch_model.bin").write_bytes(b"not weights")
    with pytest.raises(DataError, match="cannot load text encoder"):
        TextEncoder(tiny(name=str(folder)), TEXTS)


@pytest.mark.parametrize("name", ["nobody-at-all/no-such-text-encoder", "/no/such/folder", "bert", "./here"])
def test_an_encoder_that_cannot_be_had_is_refused_with_what_to_do(name: str) -> None:
    with pytest.raises(DataError, match=r"model\.text\.name to a local folder") as caught:
        TextEncoder(tiny(name=name), TEXTS)
    assert "\n" not in str(caught.value)
