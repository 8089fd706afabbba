"""The text side of a step: 36 strings once, with the frozen layers cached, against encoding the texts of every record.

    python benchmarks/text_side.py [--batch 80] [--sample 2] [--threads 1] [--json FILE]

A BERT-base with random weights (12 layers, 768 wide, 10 frozen, pooler), built here: timing needs no trained ones. Both
sides run forward and backward to the trained layers, and give the same axis tokens (checked). The baseline encodes, for
each record, the texts of its labels on the three axes, each padded to the 256 tokens that KED allows; a second, milder
one pads to the longest text there is. Its cost is proportional to the records, so it is timed on `--sample` of them and
multiplied; ours does not depend on their number.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from peace.config import TextConfig
from peace.descriptors import load_descriptors
from peace.models.text import TextEncoder

KED_TOKENS = 256


def bert_base(folder: Path, texts: list[str]) -> Path:
    """A BERT-base with random weights, and a tokenizer that knows the words of `texts`."""
    from transformers import BertConfig, BertModel

    from peace.models.text_loading import tiny_text_model

    _, tokenizer = tiny_text_model(texts)
    torch.manual_seed(0)
    # Bio_ClinicalBERT's vocabulary size: its embeddings are looked up, so it costs memory alone
    BertModel(BertConfig(vocab_size=28996)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def per_record(encoder: TextEncoder, texts: list[list[str]], padding: Any) -> Tensor:
    """Axis tokens of records, each from the texts of its own labels on each axis: (B, 3, 768), by the plain path."""
    found = []
    for axes in texts:
        tokens = encoder.tokenizer(axes, return_tensors="pt", truncation=True, **padding)
        hidden = encoder.model(**tokens).last_hidden_state
        found.append(encoder.model.pooler(hidden).unflatten(0, (-1, 3)).mean(dim=0))
    return torch.stack(found)


def timed(step: Callable[[], Tensor], repeats: int) -> float:
    """Seconds of the fastest of some steps, forward and backward."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        step().square().mean().backward()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def measure(batch: int, sample: int, repeats: int) -> dict[str, Any]:
    """Seconds a step of each path, and their ratios."""
    descriptors = load_descriptors("curated")
    texts = [text for label in descriptors.texts for text in label]
    generator = torch.Generator().manual_seed(0)
    target = (torch.rand(batch, len(descriptors.labels), generator=generator) < 0.05).float()
    target[torch.arange(batch), torch.randint(len(descriptors.labels), (batch,), generator=generator)] = 1
    with tempfile.TemporaryDirectory() as folder:
        name = str(bert_base(Path(folder) / "bert", texts))
        encoder = TextEncoder(TextConfig(name=name, max_tokens=KED_TOKENS), texts)
        weights = target / target.sum(dim=1, keepdim=True)
        own = [[text for k in row.nonzero().flatten() for text in descriptors.texts[k]] for row in target]
        longest = max(encoder.token_counts())

        def ours() -> Tensor:
            return torch.einsum("bk,kad->bad", weights, encoder().unflatten(0, (len(target[0]), -1)))

        def padded(length: int) -> Callable[[], Tensor]:
            return lambda: per_record(encoder, own[:sample], {"padding": "max_length", "max_length": length})

        with torch.no_grad():
            torch.testing.assert_close(ours()[:sample], padded(longest)(), rtol=1e-3, atol=1e-4)
        fast = timed(ours, repeats)
        slow = {length: timed(padded(length), 1) * batch / sample for length in (KED_TOKENS, longest)}
    return {
        "batch": batch,
        "texts": len(texts),
        "strings_of_the_baseline": int(3 * target.sum()),
        "seconds_a_step": fast,
        "seconds_a_step_per_record": slow[KED_TOKENS],
        "seconds_a_step_per_record_longest": slow[longest],
        "longest_tokens": longest,
        "ratio": slow[KED_TOKENS] / fast,
        "ratio_longest": slow[longest] / fast,
    }


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=80, help="records of a step (KED's 80)")
    parser.add_argument("--sample", type=int, default=2, help="records on which the baseline is timed")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    result = measure(args.batch, args.sample, args.repeats)
    print(f"{result['texts']} texts once a step, 10 layers cached: {result['seconds_a_step']:.3f} s")
    for what, key in ((f"padded to {KED_TOKENS} tokens", ""), (f"padded to {result['longest_tokens']}", "_longest")):
        seconds, ratio = result[f"seconds_a_step_per_record{key}"], result[f"ratio{key}"]
        print(f"{args.batch} records, each by itself, {what}: {seconds:.1f} s, {ratio:.0f} times as long")
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
