"""The cost model: stages of the paper's path, their time, memory, disk and price on a cluster. Pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from peace.config import Config
from peace.core.errors import ConfigError, DataError, nearest
from peace.planning import rates
from peace.planning.model import TWO_LAYERS_OF_BERT, ModelSize, model_size
from peace.planning.rates import ACCELERATORS, Rate

GB = 1e9
LEADS, BYTES = 12, 2
RAW_SHAPE = 12 * 5000 * 2  # bytes of the recording that RAW_BYTES is of
FULL = 0.9  # of a disk or a store that a plan may fill
SECONDS_AN_HOUR = 3600
GPUS_A_NODE = 8


@dataclass(frozen=True)
class Cluster:
    """What the run may use: workers train, one each on an accelerator, or on its cores where `gpu` is 'cpu'."""

    workers: int
    gpu: str
    cores_per_worker: int
    memory_gb_per_worker: float
    object_store_gb: float
    disk_gb: float
    network_gbit: float
    dollars_per_hour: float | None = None

    @property
    def cores(self) -> int:
        """Of all workers together."""
        return self.workers * self.cores_per_worker

    @property
    def price(self) -> float:
        """Dollars an hour of the whole cluster."""
        if self.dollars_per_hour is not None:
            return self.dollars_per_hour
        if self.gpu == "cpu":
            return self.cores * rates.CORE_DOLLARS.value
        return self.workers * ACCELERATORS[self.gpu].dollars_per_hour


@dataclass(frozen=True)
class Stage:
    """A part of the run: seconds, what limits it, and the rates that say so."""

    name: str
    seconds: float
    limit: str
    rests_on: Sequence[Rate] = ()

    @property
    def basis(self) -> str:
        """'measured' where every rate of it is."""
        return "measured" if all(rate.basis == "measured" for rate in self.rests_on) else "assumed"


@dataclass(frozen=True)
class Plan:
    """The whole run. `needs` are gigabytes by place; `faults` say what does not fit, `warnings` what is wasteful."""

    records: int
    shards: int
    record_bytes: float
    model: ModelSize
    stages: list[Stage]
    needs: dict[str, float]
    dollars: float
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Of all stages together."""
        return sum(stage.seconds for stage in self.stages)


def usual_network(gpu: str, workers: int) -> float:
    """Gbit/s between workers where nobody says: within one node of up to eight linked GPUs, or between nodes."""
    linked = gpu in ACCELERATORS and ACCELERATORS[gpu].linked and workers <= GPUS_A_NODE
    return (rates.NODE_GBIT if linked else rates.NETWORK_GBIT).value


def plan(records: int, cluster: Cluster, config: Config) -> Plan:
    """Index, preprocess, pretrain and score `records` recordings.

    Raises ConfigError for a size or an accelerator that cannot be, DataError (naming each) for what does not fit.
    """
    _check(records, cluster)
    samples = round(config.signal.rate * config.signal.seconds)
    plain = LEADS * samples * BYTES
    shards = max(config.preprocess.min_tasks, math.ceil(records * plain / (config.preprocess.shard_mb * 1e6)))
    stored = plain * rates.SHARD_SHARE.value
    training = records * config.split.ratios[0] / sum(config.split.ratios)
    model = model_size(config.model, samples)
    stages = [_index(records), _preprocess(records, cluster), *_train(records, training, cluster, config, model)]
    needs = _needs(records, stored, training * plain, cluster, config, model)
    dollars = sum(stage.seconds for stage in stages) / SECONDS_AN_HOUR * cluster.price
    made = Plan(records, shards, stored, model, stages, needs, dollars)
    made.faults.extend(_faults(made, cluster))
    made.warnings.extend(_warnings(made, cluster, config))
    if made.faults:
        raise DataError("this plan does not fit: " + "; ".join(made.faults))
    return made


def _check(records: int, cluster: Cluster) -> None:
    if records < 1 or cluster.workers < 1 or cluster.cores_per_worker < 1:
        raise ConfigError("records, workers and cores are at least 1 each")
    if cluster.gpu != "cpu" and cluster.gpu not in ACCELERATORS:
        known = ["cpu", *ACCELERATORS]
        raise ConfigError(
            f"unknown accelerator '{cluster.gpu}'{nearest(cluster.gpu, known)}; known: {', '.join(known)}"
        )


def _index(records: int) -> Stage:
    return Stage("index", records / rates.INDEX.value, "one process", (rates.INDEX,))


def _preprocess(records: int, cluster: Cluster) -> Stage:
    by_cores = records / (rates.PREPROCESS.value * cluster.cores)
    from_store = min(_network(cluster), rates.NETWORK_GBIT.value * 1e9 / 8)
    by_network = records * rates.RAW_BYTES.value / (cluster.workers * from_store)
    limit = "cores" if by_cores >= by_network else "network"
    seconds = rates.PREPROCESS_START.value + max(by_cores, by_network)
    return Stage("preprocess", seconds, limit, (rates.PREPROCESS, rates.PREPROCESS_START, rates.RAW_BYTES))


def _train(records: int, training: float, cluster: Cluster, config: Config, model: ModelSize) -> list[Stage]:
    """Training, then one pass over validation and test; an epoch's validation is in its stage."""
    batch, epochs = config.pretrain.batch_size, config.pretrain.epochs
    rate, rests_on = _samples_per_second(cluster, model, config.pretrain.precision)
    steps = epochs * math.ceil(training / batch)
    share = math.ceil(batch / cluster.workers)
    texts, its_rate = _text_seconds(cluster, model)
    parts = step_parts(batch, cluster.workers, 1 / rate, texts, _gradient_bytes(model), _network(cluster))
    read = share / (rates.READER.value * max(1, cluster.cores_per_worker // 2))
    step = max(sum(parts.values()), read)
    limit = "reading" if read > sum(parts.values()) else max(parts, key=lambda name: parts[name])
    forward = cluster.workers * rate * 3  # a pass without gradients is about a third of one with
    held_out = records - training
    validation = epochs * held_out / 2 / forward
    basis = (*rests_on, its_rate, rates.READER)
    return [
        Stage(f"pretrain, {epochs} epochs", steps * step + validation, limit, basis),
        Stage("predict validation and test", held_out / forward, "the model", rests_on),
    ]


def step_parts(
    batch: int, workers: int, sample: float, fixed: float, gradient_bytes: float, network: float
) -> dict[str, float]:
    """Seconds of a step by what takes them, where a record takes a worker `sample` seconds and the rest `fixed`.

    `network`: bytes a second between workers.
    """
    return {
        "the model": math.ceil(batch / workers) * sample,
        "exchange of gradients": 2 * (workers - 1) / workers * gradient_bytes / network,
        "texts and launches": fixed,
    }


def _samples_per_second(cluster: Cluster, model: ModelSize, precision: str) -> tuple[float, tuple[Rate, ...]]:
    """Of one worker, forward and backward."""
    if cluster.gpu == "cpu":
        speed = rates.CPU_SPEED if precision == "fp32" else rates.CPU_SPEED_BF16
        return speed.value * cluster.cores_per_worker / model.gflop, (speed,)
    peak = ACCELERATORS[cluster.gpu].bf16_tflops * 1e3
    return peak * rates.GPU_SHARE.value / model.gflop, (rates.GPU_SHARE,)


def _text_seconds(cluster: Cluster, model: ModelSize) -> tuple[float, Rate]:
    """Of a step: on CPUs the text encoder's trained layers, both ways; the frozen ones are reckoned once a run."""
    if cluster.gpu != "cpu":
        return rates.STEP_SECONDS.value, rates.STEP_SECONDS
    layers = model.text_weights / TWO_LAYERS_OF_BERT
    return rates.TEXT_CPU_SECONDS.value * layers / cluster.cores_per_worker, rates.TEXT_CPU_SECONDS


def _gradient_bytes(model: ModelSize) -> float:
    return model.weights * rates.WEIGHT_BYTES


def _needs(
    records: int, stored: float, training_bytes: float, cluster: Cluster, config: Config, model: ModelSize
) -> dict[str, float]:
    held = training_bytes if training_bytes <= config.ray.in_memory_mb * 1e6 else 64 * config.preprocess.shard_mb * 1e6
    weights = _gradient_bytes(model) * rates.OPTIMISER_FACTOR
    kept = 3 * weights + records * 400  # checkpoints, predictions
    return {
        "raw tree": records * rates.RAW_BYTES.value / GB,
        "shards": records * stored / GB,
        "checkpoints and predictions": kept / GB,
        "object store, all nodes": records * rates.BLOCK_BYTES.value / GB,
        "driver": (1e9 + records * rates.DRIVER_BYTES.value) / GB,
        "a worker": (cluster.cores_per_worker * rates.WORKER_BYTES.value + held + 2 * weights) / GB,
    }


def _faults(made: Plan, cluster: Cluster) -> list[str]:
    needs = made.needs
    disk = needs["raw tree"] + needs["shards"] + needs["checkpoints and predictions"]
    found = []
    if disk > FULL * cluster.disk_gb:
        found.append(
            f"{disk:,.0f} GB of recordings, shards and checkpoints on a disk of {cluster.disk_gb:,.0f} GB "
            f"(--disk-gb {math.ceil(disk / FULL):.0f}, a lower signal.rate, or recordings and shards apart)"
        )
    store, wanted = cluster.object_store_gb * cluster.workers, needs["object store, all nodes"]
    if wanted > FULL * store:
        found.append(
            f"{wanted:,.1f} GB of manifest in an object store of {store:,.1f} GB over all nodes "
            "(preprocess the manifest in parts, or raise --object-store-gb)"
        )
    for name in ("driver", "a worker"):
        if needs[name] > FULL * cluster.memory_gb_per_worker:
            found.append(
                f"{needs[name]:,.1f} GB in the memory of {name}, which has {cluster.memory_gb_per_worker:,.0f} GB "
                "(--memory-gb, fewer --cores, a lower ray.in_memory_mb, or the manifest in parts)"
            )
    return found


def _warnings(made: Plan, cluster: Cluster, config: Config) -> list[str]:
    found = []
    share = config.pretrain.batch_size / cluster.workers
    if share < 8:
        found.append(
            f"a batch of {config.pretrain.batch_size} over {cluster.workers} workers leaves {share:.1f} records each: "
            "raise pretrain.batch_size (and its learning rate) or take fewer workers"
        )
    training = next(stage for stage in made.stages if stage.name.startswith("pretrain"))
    if training.limit == "exchange of gradients":
        found.append("training waits for the network more than for the model: fewer workers, or a faster network")
    if made.shards < cluster.cores:
        found.append(f"{made.shards} shards for {cluster.cores} cores: lower preprocess.shard_mb, or take fewer cores")
    return found


def _network(cluster: Cluster) -> float:
    """Bytes a second between workers."""
    return cluster.network_gbit * 1e9 / 8
