"""What is no recording though it has samples: the constant runs that exporters fill up with, in all leads at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from peace.data.signal.kernel import compiled


class Extent(NamedTuple):
    """Which part of a recording is signal: rows `begin` to `end`, without `gaps`."""

    begin: int
    end: int
    gaps: npt.NDArray[np.int64]
    """(n, 2): first row and row after the last of each constant run between `begin` and `end`."""


def extent(samples: npt.NDArray[np.float64], shortest: int) -> Extent:
    """Find the constant runs of (samples, leads) mV: `shortest` rows or more (two at least), alike in all leads.

    A run at either end is padding. A recording that is constant throughout is left whole: its leads are flat.
    """
    n_samples = len(samples)
    runs = constant_runs(samples, max(2, shortest))
    begin, end = 0, n_samples
    if len(runs) and runs[0, 0] == 0 and runs[0, 1] < n_samples:
        begin, runs = int(runs[0, 1]), runs[1:]
    if len(runs) and runs[-1, 1] == n_samples and runs[-1, 0] > 0:
        end, runs = int(runs[-1, 0]), runs[:-1]
    return Extent(begin, end, runs if end - begin < n_samples or len(runs) != 1 or runs[0, 0] > 0 else runs[:0])


@compiled
def constant_runs(samples: Any, shortest: int) -> Any:
    """(n, 2): first row and row after the last of each run of `shortest` or more equal rows of (samples, leads).

    A look at every `shortest - 1`th pair of rows meets each such run, so that a sound recording costs nothing.
    """
    n_samples, step = len(samples), shortest - 1
    found = np.empty((n_samples // shortest + 1, 2), np.int64)
    n_found, time = 0, 0
    while time + 1 < n_samples:
        if not _alike(samples, time, time + 1):
            time += step
            continue
        first, last = time, time + 1
        while first > 0 and _alike(samples, first - 1, time):
            first -= 1
        while last + 1 < n_samples and _alike(samples, last + 1, time):
            last += 1
        if last + 1 - first >= shortest:
            found[n_found, 0], found[n_found, 1] = first, last + 1
            n_found += 1
        time = last + 1
    return found[:n_found]


@compiled
def _alike(samples: Any, one: int, other: int) -> Any:
    lead = 0
    while lead < samples.shape[1] and samples[one, lead] == samples[other, lead]:
        lead += 1
    return lead == samples.shape[1]
