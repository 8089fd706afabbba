"""A training that a cluster cannot hold is refused at once, with what was asked and what is there."""

from __future__ import annotations

import pytest

from jobs.training.resources import check_capacity, cpus_and_threads, worker_resources
from peace.config import load_config
from peace.core.errors import ConfigError

GIB = 2.0**30
SMALL = {"CPU": 2.0, "memory": 8 * GIB}
GPU = {"CPU": 16.0, "GPU": 4.0, "memory": 64 * GIB}


def room(nodes: list[dict[str, float]], *overrides: str, records_mb: float = 0.0) -> tuple[float, int]:
    settings = load_config("debug", overrides=list(overrides)).ray
    share, threads = cpus_and_threads(settings, nodes)
    check_capacity(settings, worker_resources(settings, share), nodes, records_mb)
    return share, threads


@pytest.mark.parametrize(
    ("nodes", "overrides", "expected"),
    [
        ([SMALL], [], (2, 2)),
        ([SMALL], ["ray.workers=2"], (1, 1)),
        ([SMALL], ["ray.workers=2", "ray.cpus_per_worker=0.5"], (0.5, 1)),
        ([SMALL, SMALL], [], (2, 2)),  # not 4: no machine has so many
        ([SMALL, SMALL], ["ray.workers=2"], (2, 2)),
        ([{"CPU": 8.0}, {"CPU": 4.0}], ["ray.workers=3"], (4, 4)),
        ([{"CPU": 3.0}], ["ray.workers=2"], (1.5, 1)),
        ([GPU], ["ray.workers=4", "ray.gpu=true"], (4, 4)),
        ([SMALL], ["ray.workers=4", "ray.min_workers=1", "ray.cpus_per_worker=1"], (1, 1)),
    ],
)
def test_what_fits(nodes: list[dict[str, float]], overrides: list[str], expected: tuple[float, int]) -> None:
    assert room(nodes, *overrides) == expected


@pytest.mark.parametrize(
    ("nodes", "overrides", "records_mb", "said"),
    [
        ([SMALL], ["ray.workers=50"], 0, "ray.workers=50: the cluster has 2 CPUs"),
        ([SMALL, SMALL], ["ray.cpus_per_worker=3"], 0, "1 worker of 3 CPUs each: the cluster has 4 CPUs on 2 machines"),
        ([GPU], ["ray.workers=5", "ray.gpu=true"], 0, "the cluster has 16 CPUs, 4 GPUs on 1 machine, room for 4"),
        ([SMALL], ["ray.gpu=true"], 0, "0 GPUs"),
        ([GPU], ["ray.resources={fast_disk: 1}"], 0, "the cluster has 16 CPUs, 0 fast_disk"),
        ([SMALL], ["ray.resources={memory: 20000000000}"], 0, "room for 0"),
        ([SMALL], ["ray.workers=2"], 4000, "about 4.7 GiB memory each: the cluster has 8.0 GiB, room for 1"),
        ([SMALL], ["ray.workers=4", "ray.min_workers=3", "ray.cpus_per_worker=1"], 0, "3 workers of 1 CPU each"),
    ],
)
def test_what_does_not(nodes: list[dict[str, float]], overrides: list[str], records_mb: float, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        room(nodes, *overrides, records_mb=records_mb)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["ray.min_workers=3", "ray.workers=2", "ray.gpu=true"], "min_workers is above workers"),
        (["ray.min_workers=1", "ray.workers=2"], "min_workers wants cpus_per_worker or gpu"),
        (["ray.keep_last=1"], "keep_last"),
    ],
)
def test_settings_that_contradict_each_other(overrides: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_config("debug", overrides=overrides)
