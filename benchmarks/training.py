"""Samples a second of a training step: against the naive step, against the network alone, and inside Ray Train.

    python benchmarks/training.py [--quick] [--json FILE] [--shape paper] [--batch 32] [--precision bf16] [--no-jobs]

Runs where torch, transformers and numpy are all there is (PYTHONPATH=. where the project is not installed). With Ray
and the rest of the project installed it also trains an epoch of 20,000 records by `peace pretrain` and by the same loop
without Ray. Sides take turns in one go, so that what else the machine does falls on all of them; on a machine that is
busy, `--clock cpu --threads 1` and OMP_WAIT_POLICY=passive compare them by CPU time.

naive_sps   the step of the nearest public implementation (benchmarks/training_naive.py), float32
step_sps    our whole step: input, forward, losses, text, backward, clipping, optimiser, log; precision as asked
limit_sps   forward and backward of ECG encoder and label query network alone, same precision, data in memory
loop_sps    an epoch of 20,000 records by the loop without Ray, from its call to its last checkpoint
ray_sps     the same by Ray Train on a cluster that is up, from its call to its end
data_wait   share of time that the loop inside Ray waited for data
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from training_naive import naive_step
from training_shapes import SHAPES, Shape, curated, make_trainer, records, text_model

from peace.models.classifier import EcgClassifier
from peace.training.batches import take
from peace.training.prefetch import DeviceBatch, prefetch

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


class Sides:
    """Ways to do a step, which take turns; seconds a record of each turn."""

    def __init__(self, device: torch.device, clock: str) -> None:
        self.device = device
        self.clock = CLOCKS[clock]
        self.ways: dict[str, tuple[Callable[[], None], int, int]] = {}
        self.seconds: dict[str, list[float]] = {}

    def add(self, name: str, way: Callable[[], None], records: int, every: int = 1, warm: bool = True) -> None:
        """`records` of one call; called in every `every`-th turn; `warm`: called once before it counts."""
        self.ways[name] = (way, records, every)
        self.seconds[name] = []
        if warm:
            way()

    def turns(self, count: int) -> None:
        """Let them take so many turns."""
        for turn in range(count):
            for name, (way, size, every) in self.ways.items():
                if turn % every == 0:
                    self.seconds[name].append(self.time(way) / size)

    def time(self, way: Callable[[], None]) -> float:
        """Seconds of a call, until the device is done."""
        self._wait()
        started = self.clock()
        way()
        self._wait()
        return self.clock() - started

    def rate(self, name: str) -> float:
        """Samples a second: the median turn."""
        return 1 / statistics.median(self.seconds[name])

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def headline(args: argparse.Namespace, turns: int, folder: Path, device: torch.device) -> dict[str, Any]:
    """naive, step and limit, in turns."""
    shape, batch, precision = SHAPES[args.shape], args.batch, args.precision
    steps = 2 if device.type == "cpu" else 20
    trainer, task = make_trainer(shape, batch, precision, steps, folder, device)
    sides = Sides(device, args.clock)
    waits: list[float] = []
    epoch = iter(range(10**6))

    def step() -> None:
        found = trainer.run_epoch(next(epoch), lambda done, total: None)
        waits.append(found["data_wait_share"])

    held = _held(trainer, device)
    limit = _limit(task.classifier, held, precision, device)
    naive = _naive(shape, trainer, folder, device)
    sides.add("step", step, steps * batch)
    sides.add("limit", lambda: [limit() for _ in range(steps)] and None, steps * batch)
    sides.add("naive", naive, batch, every=2, warm=device.type == "cuda")
    sides.turns(turns)
    found = {f"{name}_sps": sides.rate(name) for name in sides.ways}
    return found | {"step_data_wait": statistics.median(waits), "seconds_a_record": sides.seconds}


def _held(trainer: Any, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    batch = next(iter(trainer.source.epoch(0)))
    ecg, mask, target = batch.on(device)
    return ecg, mask, target


def _limit(classifier: EcgClassifier, held: Any, precision: str, device: torch.device) -> Callable[[], None]:
    ecg, mask, target = held
    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)

    def step() -> None:
        classifier.train()
        classifier.zero_grad(set_to_none=True)
        with torch.autocast(device.type, kind or torch.bfloat16, enabled=kind is not None):
            logits = classifier(ecg, mask)
        torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), target).backward()

    return step


def _naive(shape: Shape, trainer: Any, folder: Path, device: torch.device) -> Callable[[], None]:
    from training_shapes import namespace
    from transformers import AutoModel, AutoTokenizer

    place, texts = text_model(shape.preset, folder), curated()
    classifier = EcgClassifier(namespace(shape.values["model"]), texts.labels).to(device).train()
    bert = AutoModel.from_pretrained(place, local_files_only=True).to(device).train()
    tokenizer = AutoTokenizer.from_pretrained(place, local_files_only=True)
    return naive_step(classifier, bert, tokenizer, texts, _held(trainer, device))


def stages(shape: Shape, batch: int, precision: str, sides: Sides, repeats: int, folder: Path) -> dict[str, Any]:
    """Samples a second of each stage of a step by itself; that of the text and the optimiser is of the whole batch."""
    device = sides.device
    trainer, task = make_trainer(shape, batch, precision, 1, folder, device)
    stepper = trainer.stepper
    source = records(batch, shape.samples, len(curated().labels), seed=1)
    loaded: DeviceBatch = next(prefetch(trainer.source.epoch(0), device))
    inputs = loaded.floats()
    task.train()
    kept: dict[str, Any] = {}

    def forward() -> None:
        with stepper._autocast():
            kept["losses"] = task(*inputs[:3], 0.5, inputs[3])

    def backward() -> None:
        kept.pop("losses").total.backward()

    def optimiser() -> None:
        torch.nn.utils.clip_grad_norm_(stepper.parameters, 1.0)
        stepper.optimiser.step()
        stepper.optimiser.zero_grad(set_to_none=True)

    def text() -> None:
        with stepper._autocast():
            embedded = task.side.composer.encoder()
        if embedded.requires_grad:
            embedded.float().square().mean().backward()

    def transfer() -> None:
        next(prefetch(iter([take(source, torch.arange(batch).numpy())]), device)).floats()

    for way in (transfer, forward, backward, optimiser):
        sides.add(way.__name__, way, batch)
    sides.turns(repeats)
    sides.add("text", text, batch)
    sides.seconds["text"] = [sides.time(text) / batch for _ in range(repeats)]
    rates = {name: sides.rate(name) for name in sides.ways}
    together = 1 / sum(1 / rates[name] for name in ("transfer", "forward", "backward", "optimiser"))
    where = {"shape": shape.name, "samples": shape.samples, "batch": batch, "precision": precision}
    return where | {"together": together, **rates} | _of_gpu(trainer, batch, together, device)


def _of_gpu(trainer: Any, batch: int, rate: float, device: torch.device) -> dict[str, float]:
    """Peak memory, and the share of the GPU's bf16 peak (PEACE_PEAK_TFLOPS, 989 for an H200) that is used."""
    if device.type != "cuda":
        return {}
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    ecg, mask, target = _held(trainer, device)
    with counter:
        trainer.task(ecg, mask, target, 0.5).total.backward()
    peak = float(os.environ.get("PEACE_PEAK_TFLOPS", 989)) * 1e12
    used = counter.get_total_flops() / batch * rate
    return {"mfu": used / peak, "memory_gb": torch.cuda.max_memory_allocated(device) / 1e9}


def largest_batch(shape: Shape, precision: str, folder: Path, device: torch.device) -> int:
    """The largest power of two that a step fits into the GPU's memory."""
    batch = 16
    while True:
        try:
            trainer, _ = make_trainer(shape, 2 * batch, precision, 1, folder, device)
            trainer.run_epoch(0, lambda done, total: None)
        except torch.OutOfMemoryError:
            return batch
        finally:
            trainer = None
            torch.cuda.empty_cache()
        batch *= 2


def measure(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Everything, in one go."""
    device = torch.device(args.device)
    found: dict[str, Any] = {
        "shape": args.shape,
        "batch": args.batch,
        "precision": args.precision,
        "threads": torch.get_num_threads(),
        "clock": args.clock,
        "machine": torch.cuda.get_device_name() if device.type == "cuda" else platform.processor(),
        "torch": torch.__version__,
    }
    found |= headline(args, 2 if args.quick else 6, folder, device)
    print(_said(found), flush=True)
    todo = [(name, 64 if name == "demo" else 16, args.precision) for name in filter(None, args.stages.split(","))]
    if not args.quick:
        todo += [(name, size, "fp32") for name, size, _ in todo] + [(name, 4, kind) for name, _, kind in todo]
    found["stages"] = [
        stages(SHAPES[name], size, kind, Sides(device, args.clock), 2, folder) for name, size, kind in todo
    ]
    if device.type == "cuda":
        found["largest_batch"] = largest_batch(SHAPES[args.shape], args.precision, folder, device)
    if not args.no_jobs:
        try:
            import ray  # noqa: F401
        except ImportError:
            print("Ray is not installed: the epoch of 20,000 records is left out", flush=True)
        else:
            from training_jobs import epochs_of_both

            found |= epochs_of_both(folder, args.records, 1 if args.quick else 2)
    return found


def _said(found: dict[str, Any]) -> str:
    step, naive, limit = (found[f"{name}_sps"] for name in ("step", "naive", "limit"))
    return (
        f"{found['shape']} shape, batch {found['batch']}, {found['precision']}, {found['threads']} threads: "
        f"step {step:.2f} samples/s = {step / naive:.1f} x naive ({naive:.2f}; target 10), "
        f"{step / limit:.2f} x limit ({limit:.2f}; target 0.85)"
    )


def show(found: dict[str, Any]) -> None:
    """The stages, and what Ray costs."""
    names = ("transfer", "forward", "backward", "optimiser", "together", "text")
    print("samples/s by stage: " + ", ".join(names))
    for row in found["stages"]:
        rates = "  ".join(f"{row[name]:10.1f}" for name in names)
        print(f"{row['shape']:11s} batch {row['batch']:3d} {row['precision']:5s} {rates}")
    if "ray_sps" in found:
        ray_sps, loop_sps = found["ray_sps"], found["loop_sps"]
        print(
            f"an epoch of {found['epoch_records']} records: loop {loop_sps:.0f} samples/s, Ray Train {ray_sps:.0f} = "
            f"{ray_sps / loop_sps:.2f} x (target 0.80); waiting for data {found['data_wait']:.1%} (target under 5 %); "
            f"reading shards {found['read_sps']:.0f} records/s"
        )


def main() -> None:
    """Run from the command line."""
    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer turns and shapes: under five minutes on two cores")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    parser.add_argument("--shape", choices=SHAPES, default="paper", help="of naive, step and limit")
    parser.add_argument("--batch", type=int, default=32, help="the paper trains with 80")
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="bf16", help="of step and limit")
    parser.add_argument("--device", default="cuda" if gpu else "cpu")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--stages", default=",".join(SHAPES), help="shapes of the table of stages")
    parser.add_argument("--records", type=int, default=20_000, help="of the epoch by Ray and without")
    parser.add_argument("--no-jobs", action="store_true", help="leave that epoch out")
    parser.add_argument("--work", type=Path, metavar="DIR", help="folder for weights and shards")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory(prefix="peace-benchmark-", dir=args.work) as folder:
        found = measure(args, Path(folder))
    show(found)
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
