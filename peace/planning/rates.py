"""The rates that a plan rests on, and where each comes from. Measured: two cores with AVX512, files in page cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Rate:
    """A number, its unit, and whether we measured it (then `source` says how) or assume it (then why)."""

    value: float
    unit: str
    basis: Literal["measured", "assumed"]
    source: str


@dataclass(frozen=True)
class Accelerator:
    """A kind of training worker: what it can do at most, and what an hour of it costs."""

    bf16_tflops: float
    memory_gb: float
    dollars_per_hour: float
    linked: bool = False  # up to eight in a node, joined by more than its network


INDEX = Rate(5000, "records/s", "assumed", "one process, whatever the cluster; the tables of a tree on a local disk")
PREPROCESS = Rate(1437, "records/s a core", "measured", "docs/preprocessing.md: 2,874 on two cores once it runs")
PREPROCESS_START = Rate(15, "s", "measured", "docs/preprocessing.md: start of Ray, import and kernels")
RAW_BYTES = Rate(120_700, "bytes a record", "measured", "12 leads x 10 s x 500 Hz in format 16, and its header")
SHARD_SHARE = Rate(0.34, "of plain int16", "measured", "docs/preprocessing.md: 500 PTB-XL records at 500 Hz")
BLOCK_BYTES = Rate(300, "bytes a record", "assumed", "a row of the manifest for Ray Data; 153 with short paths")
DRIVER_BYTES = Rate(1500, "bytes a record", "assumed", "a manifest in pandas, its plan and its blocks in the driver")
WORKER_BYTES = Rate(0.65e9, "bytes a worker", "measured", "docs/preprocessing.md: 1.3 GB with Ray and two workers")
CPU_SPEED = Rate(117, "GFLOP/s a core", "measured", "the paper's encoder, batch 16, fp32: 14.4 samples/s on two cores")
CPU_SPEED_BF16 = Rate(154, "GFLOP/s a core", "measured", "docs/scaling.md: 0.174 CPU seconds a sample, paper's shape")
GPU_SHARE = Rate(0.10, "of the peak in bf16", "assumed", "1-D convolutions are bound by memory; not measured by us")
STEP_SECONDS = Rate(0.010, "s a step", "assumed", "texts, optimiser and launches of a step on a GPU")
TEXT_CPU_SECONDS = Rate(0.29, "CPU seconds a step", "measured", "docs/scaling.md: two trained layers of BERT, AdamW")
WEIGHT_BYTES = 4
OPTIMISER_FACTOR = 4  # weights, gradients and two moments
READER = Rate(5000, "records/s a core", "measured", "docs/design/shards.md: 12 x 5000, 4,400 to 6,200")
NODE_GBIT = Rate(400, "Gbit/s", "assumed", "between the GPUs of one node, well under what NVLink can do")
NETWORK_GBIT = Rate(25, "Gbit/s", "assumed", "between nodes, and from the object store to each")
CORE_DOLLARS = Rate(0.05, "dollars a core and hour", "assumed", "on-demand list prices of large clouds, rounded")

# Peaks are the vendor's dense bf16 figures; prices are on-demand list prices of large clouds, rounded, and age quickly.
ACCELERATORS = {
    "h200": Accelerator(989, 141, 4.5, True),
    "h100": Accelerator(989, 80, 4.0, True),
    "a100": Accelerator(312, 80, 2.5, True),
    "l40s": Accelerator(362, 48, 1.8),
    "a10g": Accelerator(70, 24, 1.2),
    "l4": Accelerator(121, 24, 0.8),
    "t4": Accelerator(65, 16, 0.5),
}
